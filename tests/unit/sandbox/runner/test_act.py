"""What is told to act, and what is understood of what it says."""

import json
from pathlib import Path

import pytest
from pavedpath_sandbox.github.runtokens import NAMES
from pavedpath_sandbox.runner.act import (
    Files,
    NoStandInError,
    Said,
    actions,
    command,
    environment_of,
    labels,
    permissions,
    runs_on,
    stand_ins,
    understand,
    understood,
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
                line(level="warning", msg="unable to build"),
            ],
            "ci",
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
        Said("", line="unable to build"),
    ]


def test_a_slash_in_the_workflow_s_name_is_not_the_job_s() -> None:
    assert next(understand([line(job="CI / CD/a/b ", jobID="x", msg="")], "CI / CD")).title == "a/b"


def test_what_a_workflow_asks_for() -> None:
    assert labels(WORKFLOW) == {"ubuntu-latest", "self-hosted", "linux", "dev"}
    assert {each.partition("@")[0] for each in actions(WORKFLOW)} == {"actions/checkout", "docker/build-push-action"}
    assert [environment_of(job) for job in WORKFLOW["jobs"].values()] == ["", "dev"]


def test_labels_stand_alone_in_a_list_or_beside_a_group() -> None:
    asked = [{"runs-on": "a"}, {"runs-on": ["a", "b"]}, {"runs-on": {"group": "g", "labels": "a"}}, {}]
    assert [runs_on(each) for each in asked] == [["a"], ["a", "b"], ["a"], []]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jobs: {a: {permissions: {contents: write}}, b: {permissions: {contents: none, id-token: write}}}",
         {"contents": "write", "id-token": "write"}),
        ("jobs: {a: {permissions: {contents: read}}, b: {permissions: {contents: none}}}", {"contents": "read"}),
        ("{permissions: {checks: write}, jobs: {a: {}, b: {permissions: {contents: read}}}}",
         {"checks": "write", "contents": "read"}),
        ("{permissions: {}, jobs: {a: {}}}", {}),
        ("{permissions: , jobs: {a: {}}}", {}),
        ("{permissions: read-all, jobs: {a: {}}}", dict.fromkeys(NAMES, "read")),
        ("jobs: {a: {}, b: {permissions: {contents: read}}}", None),
    ],
)  # fmt: skip
def test_permissions_are_those_of_all_jobs_together(text: str, expected: object) -> None:
    assert permissions(read(text)) == expected


def test_only_the_steps_of_a_refused_job_are_replaced() -> None:
    text = """
on: {push: {branches: [main]}}
jobs:
  dev: &dev
    if: github.ref == 'refs/heads/main'
    concurrency:
      group: x
      queue: max
    steps: [{uses: actions/setup-python@v1, with: {python-version: '3.10', cache: true}}]
  prod:
    environment: prod
    needs: [dev]
    steps: [{run: make deploy}]
"""
    before, after = read(text), read(understood(text, ["prod"]))
    assert after["on"] == before["on"]
    assert after["jobs"]["dev"] == {**before["jobs"]["dev"], "concurrency": {"group": "x"}}
    assert "'3.10'" in understood(text, ["prod"])
    assert "cache: true" in understood(text, ["prod"])
    [step] = after["jobs"]["prod"]["steps"]
    assert "exit 1" in step["run"]
    assert after["jobs"]["prod"]["needs"] == ["dev"]
    assert understood(text) == text.replace("      queue: max\n", "")


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
