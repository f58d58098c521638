"""A run by a program in act's place, and what GitHub shows of it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import yaml
from pavedpath_sandbox.runner import processes
from pavedpath_sandbox.runner.act import NoStandInError
from pavedpath_sandbox.runner.run import JobResult, Machine, Runner, RunnerError
from pavedpath_sandbox.runner.server import GitHubServer

from .conftest import Act, Repository

WORKFLOW = """
name: ci
on: {push: {branches: [main]}}
permissions: {contents: read, id-token: write}
jobs:
  build: {name: Build it, runs-on: linux, steps: [{run: make}]}
  deploy: {runs-on: [self-hosted, dev], needs: build, environment: dev, steps: [{run: make deploy}]}
  later: {runs-on: linux, if: failure(), steps: [{run: make later}]}
"""
FINE = """
say(job="ci/Build it  ", jobID="build", msg="Run Main make")
say(job="ci/Build it  ", jobID="build", command="summary", content="# built")
say(job="ci/Build it  ", jobID="build", jobResult="success")
say(job="ci/deploy", jobID="deploy", msg="Set up")
say(job="ci/deploy", jobID="deploy", jobResult="success")
"""


@pytest.fixture
def runner(machine: Machine, server: GitHubServer) -> Runner:
    return Runner(machine, server)


def is_clean(machine: Machine) -> bool:
    return not list((machine.directory / "runs").glob("*")) and not processes.running(machine.directory)


def test_what_is_shown_of_a_run(repository: Repository, runner: Runner, machine: Machine, fake_act: Act) -> None:
    repository.environment("dev", ["main"])
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    repository.write(".github/workflows/other.yml", WORKFLOW.replace("main", "other"))
    fake_act.does(FINE)
    [result] = runner.run(repository.event())
    assert (result.file, result.name, result.summary, result.succeeded) == ("ci.yml", "ci", "# built", True)
    assert result.jobs == [
        JobResult("build", "Build it", "success"),
        JobResult("deploy", "deploy", "success"),
        JobResult("later", "later", "skipped"),
    ]
    [run] = repository.runs()
    assert (run["name"], run["status"], run["conclusion"]) == ("ci", "completed", "success")
    checks = repository.send("GET", f"/commits/{run['head_sha']}/check-runs")["check_runs"]
    assert {each["name"]: each["conclusion"] for each in checks} == {
        "Build it": "success",
        "deploy": "success",
        "later": "skipped",
    }
    [deployment] = repository.send("GET", "/deployments")
    states = [each["state"] for each in repository.send("GET", f"/deployments/{deployment['id']}/statuses")]
    assert (deployment["environment"], states[0]) == ("dev", "success")
    assert is_clean(machine)


def test_what_a_job_is_given(repository: Repository, runner: Runner, fake_act: Act) -> None:
    repository.environment("dev", ["main"])
    repository.secret("KUBECONFIG", "of dev", "dev")
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    fake_act.does(
        """
for option in ("--secret-file", "--env-file", "--var-file", "--eventpath"):
    (kept / option).write_text(given(option))
(kept / "argv").write_text(repr(sys.argv) + repr(dict(os.environ)))
"""
        + FINE
    )
    runner.run(repository.event())
    secrets, environment = (yaml.safe_load(fake_act.kept(name)) for name in ("--secret-file", "--env-file"))
    assert secrets["KUBECONFIG"] == "of dev"
    assert secrets["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] == environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert environment["GITHUB_RUN_ID"] == str(repository.runs()[-1]["id"])
    assert json.loads(fake_act.kept("--eventpath"))["ref"] == "refs/heads/main"
    for value in secrets.values():
        assert value not in fake_act.kept("argv")
    told = "".join(path.read_text() for path in fake_act.directory.iterdir())
    assert "secret-token" not in told


def test_without_the_permission_there_is_no_identity(repository: Repository, runner: Runner, fake_act: Act) -> None:
    repository.write(
        ".github/workflows/ci.yml", "on: push\njobs: {a: {runs-on: x, permissions: {}, steps: [{run: a}]}}"
    )
    fake_act.does(
        "(kept / 'env').write_text(given('--env-file'))\nsay(job='workflow.yml/a', jobID='a', jobResult='success')"
    )
    [result] = runner.run(repository.event())
    assert (result.name, result.jobs) == ("ci.yml", [JobResult("a", "a", "success")])
    assert "ACTIONS_ID_TOKEN" not in fake_act.kept("env")


def test_a_refused_environment_gives_nothing_and_its_job_does_nothing(
    repository: Repository, runner: Runner, fake_act: Act
) -> None:
    repository.environment("dev", ["release"])
    repository.secret("KUBECONFIG", "of dev", "dev")
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    fake_act.does(
        "(kept / 'secrets').write_text(given('--secret-file'))\n(kept / 'workflow').write_text(given('--workflows'))\n"
        + FINE.replace('"deploy", jobResult="success"', '"deploy", jobResult="failure"')
    )
    said: list[str] = []
    runner.hear = lambda _file, heard: said.append(heard.error)
    [result] = runner.run(repository.event())
    assert not result.succeeded
    assert 'Branch "main" is not allowed to deploy to dev due to environment protection rules.' in said
    assert "KUBECONFIG" not in fake_act.kept("secrets")
    assert "make deploy" not in fake_act.kept("workflow")
    assert repository.jobs()["deploy"] == ("completed", "failure")
    assert repository.send("GET", "/deployments") == []


def test_two_environments_at_once_are_refused_before_anything_runs(
    repository: Repository, runner: Runner, fake_act: Act
) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW.replace("if: failure()", "environment: prod"))
    fake_act.does("raise SystemExit('started')")
    with pytest.raises(RunnerError, match="may deploy to dev, prod in one run"):
        runner.run(repository.event())
    assert repository.runs() == []


def test_an_environment_that_is_an_expression_is_refused(repository: Repository, runner: Runner) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW.replace("environment: dev", "environment: '${{ inputs.x }}'"))
    with pytest.raises(RunnerError, match="environment of deploy is an expression"):
        runner.run(repository.event())


def test_an_action_without_stand_in_is_refused_before_anything_runs(repository: Repository, runner: Runner) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW.replace("run: make later", "uses: a/b@v1"))
    with pytest.raises(NoStandInError, match="no stand-in for a/b"):
        runner.run(repository.event())
    assert repository.runs() == []


@pytest.mark.parametrize("script", ["print('Error: no stages', flush=True); sys.exit(1)", FINE + "sys.exit(2)"])
def test_an_act_that_fails_without_a_failed_job_is_no_success(
    repository: Repository, runner: Runner, machine: Machine, fake_act: Act, script: str
) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    fake_act.does(script)
    with pytest.raises(RunnerError, match=r"act ended with status [12]"):
        runner.run(repository.event())
    assert repository.runs()[-1]["status"] == "completed"
    assert is_clean(machine)


def test_a_job_that_begins_and_never_ends_has_failed(repository: Repository, runner: Runner, fake_act: Act) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    fake_act.does('say(job="ci/Build it", jobID="build", msg="Run Main make")')
    [result] = runner.run(repository.event())
    assert result.jobs[0] == JobResult("build", "Build it", "failure")
    assert repository.jobs()["Build it"] == ("completed", "failure")


def test_inputs_are_those_that_the_workflow_declares(repository: Repository, runner: Runner, fake_act: Act) -> None:
    inputs = "{where: {type: choice, options: [dev, prod], required: 'true'}, debug: {type: boolean}}"
    on = f"on: {{workflow_dispatch: {{inputs: {inputs}}}}}"
    repository.write(".github/workflows/by-hand.yml", WORKFLOW.replace("on: {push: {branches: [main]}}", on))
    fake_act.does("(kept / 'event').write_text(given('--eventpath'))\n" + FINE)
    runner.run(repository.event("workflow_dispatch", inputs={"where": "dev"}), "by-hand.yml")
    assert json.loads(fake_act.kept("event"))["inputs"] == {"where": "dev", "debug": "false"}
    with pytest.raises(RunnerError, match=r"Unexpected inputs provided: \['other'\]; Provided value 'moon'"):
        runner.run(repository.event("workflow_dispatch", inputs={"where": "moon", "other": "x"}), "by-hand.yml")


def test_a_workflow_that_would_not_start_is_named(repository: Repository, runner: Runner) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    with pytest.raises(RunnerError, match=r"starts no workflow cd\.yml"):
        runner.run(repository.event(), "cd.yml")


def test_one_runner_at_a_time(repository: Repository, runner: Runner, machine: Machine) -> None:
    with processes.alone(machine.directory), pytest.raises(RunnerError, match=f"process {os.getpid()} runs workflows"):
        runner.run(repository.event())


def test_what_a_killed_runner_has_left_is_ended_by_the_next(
    repository: Repository, runner: Runner, machine: Machine, fake_act: Act, tmp_path: Path
) -> None:
    repository.write(".github/workflows/ci.yml", WORKFLOW)
    fake_act.does(
        """
import subprocess, yaml
step = subprocess.Popen(["sleep", "600"], start_new_session=True, env=yaml.safe_load(given("--env-file")))
say(job="ci/Build it", jobID="build", msg="Run Main make")
time.sleep(600)
"""
    )
    program = tmp_path / "killed.py"
    program.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from pavedpath_sandbox.runner.events import Event
        from pavedpath_sandbox.runner.run import Machine, Runner
        from pavedpath_sandbox.runner.server import GitHubServer
        machine = Machine(Path({str(machine.directory)!r}), {machine.path!r}, {{}}, Path({str(machine.act)!r}), "")
        server = GitHubServer({runner.server.root!r}, {runner.server.token!r})
        Runner(machine, server).run(Event("push", {repository.name!r}, "refs/heads/main",
            {repository.event().sha!r}, "acme-admin"))
        """)
    )
    killed = subprocess.Popen([sys.executable, str(program)])
    deadline = time.monotonic() + 120
    while not repository.runs() or repository.jobs().get("Build it") != ("in_progress", None):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    left = processes.running(machine.directory)
    assert {"sleep"} < {each.name() for each in left}

    fake_act.does(FINE)
    [result] = runner.run(repository.event())
    assert result.succeeded
    first, second = repository.runs()
    assert (first["status"], first["conclusion"]) == ("completed", "cancelled")
    assert repository.jobs(first)["Build it"] == ("completed", "cancelled")
    assert (second["status"], second["conclusion"]) == ("completed", "success")
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in left)
    assert is_clean(machine)
