import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.workflows import GATE, PROMOTION, ChecksWorkflow

jobs = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True).filter(lambda job: job != GATE)
commands = st.from_regex(r"[a-z]{1,10}( [a-z./-]{1,10}){0,3}(\n[a-z]{1,10} [a-z]{1,10}){0,2}", fullmatch=True)
checks = st.dictionaries(jobs, commands, min_size=1, max_size=4)


@given(checks)
def test_renders_what_was_asked_for(wanted: dict[str, str]) -> None:
    workflow = ChecksWorkflow(wanted)
    assert list(workflow.problems()) == []
    document = yaml.safe_load(workflow.render())
    assert set(document["jobs"]) == {*wanted, GATE}
    assert document["jobs"][GATE]["needs"] == list(wanted)
    for job, command in wanted.items():
        assert document["jobs"][job]["steps"][-1]["run"].strip() == command.strip()


@given(checks)
def test_permissions_are_none_but_reading_and_nothing_filters_paths(wanted: dict[str, str]) -> None:
    text = ChecksWorkflow(wanted).render()
    document = yaml.safe_load(text)
    assert document["permissions"] == {}
    assert {str(document["jobs"][job]["permissions"]) for job in wanted} == {"{'contents': 'read'}"}
    assert "paths" not in text


def test_actions_are_pinned_by_commit() -> None:
    text = ChecksWorkflow({"test": "make test"}).render()
    assert all(re.search(r"@[0-9a-f]{40} # v\d", line) for line in text.splitlines() if "uses:" in line)


@given(st.dictionaries(st.text(), st.text()))
def test_rubbish_is_a_problem_or_valid_yaml(rubbish: dict[str, str]) -> None:
    workflow = ChecksWorkflow(rubbish)
    if not list(workflow.problems()):
        assert set(yaml.safe_load(workflow.render())["jobs"]) == {*rubbish, GATE}


@given(checks)
def test_a_merge_queue_is_answered_and_nothing_else_changes(wanted: dict[str, str]) -> None:
    plain, queued = ChecksWorkflow(wanted).render(), ChecksWorkflow(wanted, merge_queue=True).render()
    assert "merge_group" not in plain
    assert queued.replace("  merge_group:\n", "", 1) == plain
    assert "merge_group" in yaml.safe_load(queued)["on"]


def test_the_gate_waits_for_the_guard_of_approval_branches() -> None:
    workflow = ChecksWorkflow({"test": "true"}, approval_branches=["deploy/staging", "deploy/prod"])
    jobs = yaml.safe_load(workflow.render())["jobs"]
    assert jobs[GATE]["needs"] == ["test", PROMOTION]
    assert "if" not in jobs[PROMOTION]  # a job that is skipped has not succeeded
    conditions = {step["if"] for step in jobs[PROMOTION]["steps"]}
    assert conditions == {"github.base_ref == 'deploy/staging' || github.base_ref == 'deploy/prod'"}
    assert jobs[PROMOTION]["steps"][0]["with"]["fetch-depth"] == 0


@pytest.mark.parametrize(("head", "passes"), [("main", True), ("main~1", True), ("side", False)])
def test_only_what_is_on_the_default_branch_is_promoted(tmp_path: Path, head: str, passes: bool) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t.test"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    for message in ("one", "two"):
        git("commit", "-q", "--allow-empty", "-m", message)
    git("checkout", "-q", "-b", "side")
    git("commit", "-q", "--allow-empty", "-m", "three")
    git("update-ref", "refs/remotes/origin/main", "main")

    workflow = ChecksWorkflow({"test": "true"}, approval_branches=["deploy/prod"])
    script = yaml.safe_load(workflow.render())["jobs"][PROMOTION]["steps"][-1]["run"]
    environment = {"PATH": "/usr/bin:/bin", "HEAD": git("rev-parse", head)}
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=False)
    assert (done.returncode == 0) is passes
