"""The step that lets only approvers deploy, run by the shell that a runner runs it with."""

import os
import subprocess

import pytest
import yaml
from pavedpath.workflows import APPROVERS, approver_step

(STEP,) = yaml.safe_load(approver_step())


def run(
    approvers: str, actors: str = "ada ada", event: str = "workflow_dispatch"
) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": os.environ["PATH"], "ACTORS": actors, "APPROVERS": approvers, "EVENT": event}
    # Source: GitHub, "Workflow syntax", jobs.<job_id>.steps[*].shell: what `shell: bash` runs.
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEP["run"]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_step_reads_what_it_needs_and_nothing_is_pasted_into_the_shell() -> None:
    assert STEP["env"] == {
        "ACTORS": "${{ github.actor }} ${{ github.triggering_actor }}",
        "APPROVERS": f"${{{{ vars.{APPROVERS} }}}}",
        "EVENT": "${{ github.event_name }}",
    }
    assert "${{" not in STEP["run"]


@pytest.mark.parametrize("approvers", ["ada", "ada bob", "bob ada"])
@pytest.mark.parametrize("actors", ["ada ada", "Ada ADA"])
def test_an_approver_goes_on(approvers: str, actors: str) -> None:
    assert run(approvers, actors).returncode == 0


@pytest.mark.parametrize(
    ("approvers", "actors", "event", "said"),
    [
        ("ada", "eve eve", "workflow_dispatch", "eve is not one"),
        ("ada", "ada eve", "workflow_dispatch", "eve is not one"),  # eve runs again what ada started
        ("ada", "eve ada", "workflow_dispatch", "eve is not one"),
        ("", "ada ada", "workflow_dispatch", "ada is not one"),  # the variable is missing
        ("adam", "ada ada", "workflow_dispatch", "ada is not one"),
        ("x-ada ada-x", "ada ada", "workflow_dispatch", "ada is not one"),
        ("*", "ada ada", "workflow_dispatch", "ada is not one"),
        ("ada", "", "workflow_dispatch", "not known"),
        ("ada", "ada", "workflow_dispatch", "not known"),
        ("ada", "ada ada", "push", "started by hand"),
        ("ada", "ada ada", "schedule", "started by hand"),
    ],
)
def test_nobody_else_does(approvers: str, actors: str, event: str, said: str) -> None:
    done = run(approvers, actors, event)
    assert done.returncode == 1
    assert said in done.stdout


def test_an_actor_that_is_a_pattern_matches_nobody() -> None:
    done = run("ada bob", "* *")
    assert done.returncode == 1
    assert "::error::* is not one" in done.stdout
