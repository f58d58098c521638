"""Workflows: their files, and what a dispatch may give them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.github.workflowfiles import dispatch_inputs, given_inputs, name_of, read

R = "/repos/acme/app"
DEPLOY = """\
name: Deploy
on:
  push:
  workflow_dispatch:
    inputs:
      environment: {type: environment, required: true}
      level: {type: choice, options: [info, debug], default: info}
      debug: {type: boolean}
      replicas: {type: number, default: 2}
      note: {}
jobs: {}
"""


@pytest.fixture
def c(github: Any) -> Any:
    github.repository()
    github.write(R, ".github/workflows/deploy.yml", DEPLOY)
    github.write(R, ".github/workflows/ci.yaml", "on: push\n")
    github.put(f"{R}/environments/dev", status=200)
    return github


def test_workflows_are_the_files_of_the_default_branch(c: Any) -> None:
    found = {one["path"]: one for one in c.get(f"{R}/actions/workflows")["workflows"]}
    assert {path: one["name"] for path, one in found.items()} == {
        ".github/workflows/ci.yaml": ".github/workflows/ci.yaml",
        ".github/workflows/deploy.yml": "Deploy",
    }
    deploy = found[".github/workflows/deploy.yml"]
    assert c.get(f"{R}/actions/workflows/{deploy['id']}") == c.get(f"{R}/actions/workflows/deploy.yml") == deploy
    c.get(f"{R}/actions/workflows/none.yml", status=404)


def test_a_dispatch_starts_a_run_with_its_inputs(c: Any) -> None:
    path = f"{R}/actions/workflows/deploy.yml"
    body = {"ref": "main", "inputs": {"environment": "dev", "debug": True}, "return_run_details": True}
    run = c.post(f"{path}/dispatches", body, status=200)["workflow_run_id"]
    shown = c.get(f"{R}/actions/runs/{run}")
    assert (shown["event"], shown["status"], shown["name"]) == ("workflow_dispatch", "queued", "Deploy")
    inputs = {"environment": "dev", "level": "info", "debug": "true", "replicas": "2", "note": ""}
    known = c.post(f"/_sandbox/runs/{run}", status=200)
    assert (known["inputs"], known["ref"]) == (inputs, "refs/heads/main")
    c.post(f"/_sandbox/runs/{run}/jobs", {"jobs": [{"name": "one", "labels": ["linux"]}]}, status=200)
    assert c.get(f"{R}/actions/runs/{run}/jobs")["jobs"][0]["status"] == "queued"
    assert c.get(f"{path}/runs?event=workflow_dispatch&branch=main")["total_count"] == 1
    assert c.get(f"{R}/actions/workflows/ci.yaml/runs")["total_count"] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"ref": "none"}, "No ref found for: none"),
        ({"ref": "main"}, "Required input 'environment' not provided"),
        ({"ref": "main", "inputs": {"environment": "moon"}}, "Provided value 'moon' for input 'environment' is not an"),
        ({"ref": "main", "inputs": {"environment": "dev", "x": "y"}}, "Unexpected inputs provided: ['x']"),
        ({"ref": "main", "inputs": {"environment": "dev", "level": "x"}}, "not in the list of allowed values"),
        ({"ref": "main", "inputs": {"environment": "dev", "debug": "x"}}, "is not a boolean"),
        ({"ref": "main", "inputs": {"environment": "dev", "replicas": "x"}}, "is not a number"),
    ],
)
def test_what_a_dispatch_refuses(c: Any, body: dict[str, Any], message: str) -> None:
    assert message in c.post(f"{R}/actions/workflows/deploy.yml/dispatches", body, status=422)["message"]


def test_only_what_can_be_dispatched_is(c: Any) -> None:
    answer = c.post(f"{R}/actions/workflows/ci.yaml/dispatches", {"ref": "main"}, status=422)
    assert answer["message"] == "Workflow does not have 'workflow_dispatch' trigger"
    c.put(f"{R}/actions/workflows/deploy.yml/disable")
    c.post(f"{R}/actions/workflows/deploy.yml/dispatches", {"ref": "main"}, status=403)
    c.post(f"{R}/actions/workflows/deploy.yml/dispatches", {"ref": "main"}, status=403, token="member-token")


def test_a_run_whose_runner_was_lost_ends_with_what_had_not_ended(c: Any) -> None:
    jobs: list[dict[str, Any]] = [{"name": name, "labels": []} for name in ("done", "lost", "next")]
    jobs[2]["needs"] = ["lost"]
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": jobs[:1], "open": True}, status=200)["id"]
    first = c.get(f"{R}/actions/runs/{run}/jobs")["jobs"][0]["id"]
    c.post(f"/_sandbox/jobs/{first}", {"hosted": True}, status=200)
    c.post(f"/_sandbox/jobs/{first}", {"conclusion": "success"}, status=200)
    assert c.get(f"{R}/actions/runs/{run}")["status"] == "in_progress"
    c.post(f"/_sandbox/runs/{run}/jobs", {"jobs": jobs[1:]}, status=200)
    for _ in range(2):  # closing twice does no more
        closed = c.post(f"/_sandbox/runs/{run}/close", status=200)
        assert (closed["status"], closed["conclusion"]) == ("completed", "cancelled")
    found = {one["name"]: one["conclusion"] for one in c.get(f"{R}/actions/runs/{run}/jobs")["jobs"]}
    assert found == {"done": "success", "lost": "cancelled", "next": "skipped"}


def test_an_open_run_without_jobs_can_be_closed(c: Any) -> None:
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [], "open": True}, status=200)["id"]
    assert c.post(f"/_sandbox/runs/{run}/close", status=200)["conclusion"] == "cancelled"


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("on: workflow_dispatch", {}),
        ("on: [push, workflow_dispatch]", {}),
        ("on: {workflow_dispatch: }", {}),
        ("on: push", None),
        ("on: {push: }", None),
        ("[]", None),
        ("a: [", None),
    ],
)
def test_how_a_dispatch_is_declared(text: str, inputs: object) -> None:
    assert dispatch_inputs(read(text)) == inputs
    assert name_of(read(text), "file.yml") == "file.yml"


@given(st.dictionaries(st.sampled_from("abc"), st.text(max_size=3)), st.sets(st.sampled_from("abc")))
def test_every_input_is_either_declared_or_refused(given_: dict[str, str], declared: set[str]) -> None:
    values, wrong = given_inputs({name: {} for name in declared}, given_, [])
    assert values.keys() == declared
    assert bool(wrong) == bool(given_.keys() - declared)
