"""What is told to act, and what is understood of what it says."""

import json
from pathlib import Path

import pytest
from pavedpath_sandbox.runner.act import (
    Files,
    NoStandInError,
    Said,
    actions,
    command,
    environment_of,
    labels,
    stand_ins,
    understand,
)
from pavedpath_sandbox.runner.events import read
from pavedpath_sandbox.runner.run import STAND_INS

WORKFLOW = read(
    """
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@1111111111111111111111111111111111111111
      - uses: docker/build-push-action@2222222222222222222222222222222222222222
  deploy:
    runs-on: [self-hosted, linux, dev]
    environment: {name: dev}
    steps: [{run: make}]
"""
)


def line(**document: object) -> str:
    return json.dumps(document)


def test_what_act_says() -> None:
    said = list(
        understand(
            [
                line(job="ci/Build", jobID="build", stage="Main", msg="⭐ Run Main make\nmore"),
                line(job="ci/Build", jobID="build", raw_output=True, msg="text\n"),
                line(job="ci/Build", jobID="build", command="error", arg="bad"),
                line(job="ci/Build", jobID="build", command="summary", content="# x\n"),
                line(job="ci/Build", jobID="build", stepResult="failure", msg="  ❌  Failure - Main make [4ms]"),
                line(job="ci/Build", jobID="build", jobResult="failure"),
                "Error: Job 'build' failed\n",
            ]
        )
    )
    assert said == [
        Said("build", "Build", step="make"),
        Said("build", "Build", line="text"),
        Said("build", "Build", error="bad"),
        Said("build", "Build", summary="# x\n"),
        Said("build", "Build", step_failed="Main make"),
        Said("build", "Build", result="failure"),
        Said("", line="Error: Job 'build' failed"),
    ]


def test_what_a_workflow_asks_for() -> None:
    assert labels(WORKFLOW) == {"ubuntu-latest", "self-hosted", "linux", "dev"}
    assert {each.partition("@")[0] for each in actions(WORKFLOW)} == {"actions/checkout", "docker/build-push-action"}
    assert [environment_of(job) for job in WORKFLOW["jobs"].values()] == ["", "dev"]


def test_a_stand_in_is_found_by_the_commit_that_is_used() -> None:
    assert stand_ins(actions(WORKFLOW), STAND_INS) == {
        f"actions/checkout@{'1' * 40}": STAND_INS / "actions/checkout",
        f"docker/build-push-action@{'2' * 40}": STAND_INS / "docker/build-push-action",
    }


def test_every_action_without_a_stand_in_is_named() -> None:
    with pytest.raises(NoStandInError, match=r"no stand-in for a/b, c/d:"):
        stand_ins({"a/b@1", "c/d@1", "docker/login-action@1"}, STAND_INS)


def test_secrets_are_on_no_command_line_and_in_private_files(tmp_path: Path) -> None:
    files = Files(tmp_path / "run")
    files.write({}, {"TOKEN": "hidden"}, {"HOST": "seen"}, {"AWS_SECRET_ACCESS_KEY": "hidden"})
    line = command("act", "push", files, {"dev", "linux"}, {"a/b@1": tmp_path})
    assert "hidden" not in " ".join(line)
    assert line.count("--platform") == 2
    assert {path.stat().st_mode & 0o077 for path in (files.secrets, files.environment)} == {0}
