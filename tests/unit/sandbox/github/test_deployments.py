"""Deployments, and jobs that their environment holds back."""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.github.gates import ref_allowed, seconds_left
from pavedpath_sandbox.github.settings import Plan, Settings

MEMBER = "member-token"
CUSTOM = {"protected_branches": False, "custom_branch_policies": True}
PROTECTED = {"protected_branches": True, "custom_branch_policies": False}


@pytest.fixture
def enterprise(settings: Settings, start: Callable[..., Any]) -> Generator[Any]:
    with start(replace(settings, plan=Plan.ENTERPRISE)) as client:
        client.repository()
        yield client


R = "/repos/acme/app"


def protect(c: Any, **rules: Any) -> int:
    return c.put(f"{R}/environments/prod", rules, status=200)["id"]


def reviewers(c: Any, *tokens: str) -> list[dict[str, Any]]:
    return [{"type": "User", "id": c.get("/user", token=token)["id"]} for token in tokens]


def deploy(c: Any, **more: Any) -> tuple[str, Any]:
    """A run with one job that names the environment prod."""
    job = {"name": "deploy", "labels": ["linux"], "environment": "prod"}
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [job], **more}, status=200)
    path = f"{R}/actions/runs/{run['id']}"
    return path, c.get(f"{path}/jobs")["jobs"][0]


def states(c: Any, environment: str = "prod") -> list[list[str]]:
    found = c.get(f"{R}/deployments?environment={environment}")
    return [[one["state"] for one in c.get(f"{R}/deployments/{made['id']}/statuses")] for made in found]


def play(c: Any, job: Any, conclusion: str = "success") -> None:
    c.post(f"/_sandbox/jobs/{job['id']}", {"hosted": True}, status=200)
    c.post(f"/_sandbox/jobs/{job['id']}", {"conclusion": conclusion}, status=200)


def test_a_job_waits_for_approval_and_leaves_a_deployment(enterprise: Any) -> None:
    c = enterprise
    environment = protect(c, reviewers=reviewers(c, MEMBER))
    path, job = deploy(c)
    assert (job["status"], c.get(path)["status"], states(c)) == ("waiting", "waiting", [["pending"]])
    assert c.get(f"{R}/actions/runs?status=waiting")["total_count"] == 1
    c.post(f"/_sandbox/jobs/{job['id']}", {"hosted": True}, status=409)
    c.post(f"/_sandbox/jobs/{job['id']}", {"conclusion": "success"}, status=409)
    pending = f"{path}/pending_deployments"
    [mine], [theirs] = c.get(pending), c.get(pending, token=MEMBER)
    assert (mine["current_user_can_approve"], theirs["current_user_can_approve"]) == (False, True)
    assert theirs["reviewers"][0]["reviewer"]["login"] == "dev"
    answer = {"environment_ids": [environment], "state": "approved", "comment": "Go"}
    assert "not allowed" in c.post(pending, answer, status=422)["message"]
    wrong = c.post(pending, answer | {"environment_ids": [environment, 7]}, status=422, token=MEMBER)
    assert wrong["message"] == "Environment 7 does not wait for review."
    [deployment] = c.post(pending, answer, status=200, token=MEMBER)
    assert (deployment["environment"], deployment["performed_via_github_app"]["id"]) == ("prod", 15368)
    assert c.get(pending) == []
    [approval] = c.get(f"{path}/approvals")
    assert (approval["state"], approval["user"]["login"], approval["comment"]) == ("approved", "dev", "Go")
    play(c, job)
    assert c.get(path)["conclusion"] == "success"
    assert states(c) == [["success", "in_progress", "queued", "pending"]]


def test_a_rejected_job_fails(enterprise: Any) -> None:
    c = enterprise
    environment = protect(c, reviewers=reviewers(c, MEMBER))
    path, _ = deploy(c)
    answer = {"environment_ids": [environment], "state": "rejected", "comment": "No"}
    c.post(f"{path}/pending_deployments", answer, status=200, token=MEMBER)
    assert (c.get(path)["conclusion"], states(c)[0][0]) == ("failure", "failure")


def test_nobody_approves_an_own_deployment_where_that_is_forbidden(enterprise: Any) -> None:
    c = enterprise
    environment = protect(c, reviewers=reviewers(c, MEMBER, "owner-token"), prevent_self_review=True)
    path, _ = deploy(c, actor="dev")
    answer = {"environment_ids": [environment], "state": "approved", "comment": ""}
    c.post(f"{path}/pending_deployments", answer, status=422, token=MEMBER)
    c.post(f"{path}/pending_deployments", answer, status=200)
    assert c.get(path)["status"] == "queued"


def test_a_team_may_review(enterprise: Any) -> None:
    c = enterprise
    team = c.post("/orgs/acme/teams", {"name": "Approvers"})["id"]
    c.put("/orgs/acme/teams/approvers/memberships/dev", {"role": "member"}, status=200)
    c.put("/orgs/acme/teams/approvers/repos/acme/app", {"permission": "pull"})
    protect(c, reviewers=[{"type": "Team", "id": team}])
    path, _ = deploy(c)
    assert c.get(f"{path}/pending_deployments", token=MEMBER)[0]["current_user_can_approve"] is True


def test_a_wait_timer_runs_in_minutes_beside_the_review(enterprise: Any, clock: Any) -> None:
    c = enterprise
    environment = protect(c, wait_timer=5, reviewers=reviewers(c, MEMBER))
    path, job = deploy(c)
    answer = {"environment_ids": [environment], "state": "approved", "comment": ""}
    clock.now += 240
    c.post(f"{path}/pending_deployments", answer, status=200, token=MEMBER)
    assert c.get(f"{path}/pending_deployments", token=MEMBER)[0]["current_user_can_approve"] is False
    assert c.get(f"{R}/actions/jobs/{job['id']}")["status"] == "waiting"
    clock.now += 59
    assert c.get(path)["status"] == "waiting"
    clock.now += 1
    assert c.get(path)["status"] == "queued"


def test_the_environment_may_go_while_a_job_waits_for_it(enterprise: Any) -> None:
    c = enterprise
    protect(c, wait_timer=5)
    path, _ = deploy(c)
    c.delete(f"{R}/environments/prod")
    assert c.get(path)["conclusion"] == "failure"


def test_cancelling_and_running_again_asks_for_approval_again(enterprise: Any) -> None:
    c = enterprise
    protect(c, reviewers=reviewers(c, MEMBER))
    path, _ = deploy(c)
    c.post(f"{path}/cancel", status=202)
    assert (c.get(path)["conclusion"], c.get(f"{path}/pending_deployments")) == ("cancelled", [])
    c.post(f"{path}/rerun")
    assert (c.get(path)["status"], len(c.get(f"{path}/pending_deployments"))) == ("waiting", 1)


def test_only_allowed_branches_and_tags_deploy(github: Any) -> None:
    c = github
    c.repository()
    protect(c, deployment_branch_policy=CUSTOM)
    policies = f"{R}/environments/prod/deployment-branch-policies"
    c.post(policies, {"name": "main"}, status=200)
    c.post(policies, {"name": "v*", "type": "tag"}, status=200)
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    for ref in ("refs/heads/v1", "refs/tags/v2", "refs/heads/topic"):
        c.post(f"{R}/git/refs", {"ref": ref, "sha": sha})
    allowed = {branch: deploy(c, head_branch=branch)[1]["status"] for branch in ("main", "v1", "v2", "topic")}
    assert allowed == {"main": "queued", "v1": "completed", "v2": "queued", "topic": "completed"}
    path, job = deploy(c, head_branch="topic")
    assert c.get(path)["conclusion"] == "failure"
    said = c.get(f"{R}/check-runs/{job['id']}")["output"]["summary"]
    assert said == 'Branch "topic" is not allowed to deploy to prod due to environment protection rules.'
    assert len(states(c)) == 2


def test_protected_branches_deploy_and_all_do_while_none_is_protected(github: Any) -> None:
    c = github
    c.repository()
    protect(c, deployment_branch_policy=PROTECTED)
    assert deploy(c)[1]["status"] == "queued"
    conditions: dict[str, Any] = {"ref_name": {"include": ["refs/heads/release"], "exclude": []}}
    rule = {"name": "r", "enforcement": "active", "conditions": conditions, "rules": [{"type": "deletion"}]}
    c.post(f"{R}/rulesets", rule)
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/heads/release", "sha": sha})
    assert (deploy(c)[1]["status"], deploy(c, head_branch="release")[1]["status"]) == ("completed", "queued")


@given(st.sampled_from(["refs/heads/main", "refs/tags/v1"]), st.booleans())
def test_without_a_policy_every_ref_deploys(ref: str, protected: bool) -> None:
    assert ref_allowed(ref, None, [], protected=protected)
    assert ref_allowed(ref, PROTECTED, [], protected=protected) is protected
    assert not ref_allowed(ref, CUSTOM, [], protected=protected)


@given(st.integers(0, 43_200), st.integers(0, 10**7))
def test_what_is_left_of_a_wait(minutes: int, elapsed: int) -> None:
    started = "2026-09-01T00:00:00Z"
    assert (seconds_left(started, minutes, 1_788_220_800 + elapsed) <= 0) == (elapsed >= minutes * 60)


def test_a_success_makes_earlier_ones_inactive_but_not_in_production(github: Any) -> None:
    c = github
    c.repository()
    for environment, expected in (("dev", ["success", "inactive"]), ("production", ["success", "success"])):
        for _ in range(2):
            made = c.post(f"{R}/deployments", {"ref": "main", "environment": environment})
            c.post(f"{R}/deployments/{made['id']}/statuses", {"state": "success"})
        assert [one[0] for one in states(c, environment)] == expected
    path = f"{R}/deployments/{c.get(f'{R}/deployments')[0]['id']}"
    c.delete(path, status=422)
    c.post(f"{path}/statuses", {"state": "inactive"})
    c.delete(path)


def test_a_deployment_wants_what_was_reported_to_have_succeeded(github: Any) -> None:
    c = github
    c.repository()
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/statuses/{sha}", {"state": "failure", "context": "ci"})
    answer = c.post(f"{R}/deployments", {"ref": "main"}, status=409)
    assert answer["errors"] == [{"contexts": "ci", "state": "failure"}]
    c.post(f"{R}/deployments", {"ref": "main", "required_contexts": []})
    c.post(f"{R}/statuses/{sha}", {"state": "success", "context": "ci"})
    c.post(f"{R}/deployments", {"ref": "main"})
    c.post(f"{R}/deployments", {"ref": "main", "required_contexts": ["scan"]}, status=409)
    c.post(f"{R}/deployments", {"ref": "nowhere"}, status=422)


def test_a_branch_that_is_behind_is_merged_first(github: Any) -> None:
    c = github
    c.repository()
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/heads/topic", "sha": sha})
    c.write(R, "new.txt", "new\n")
    c.post(f"{R}/deployments", {"ref": "topic", "auto_merge": False})
    answer = c.post(f"{R}/deployments", {"ref": "topic"}, status=202)
    assert answer["message"] == "Auto-merged main into topic on deployment."
    c.get(f"{R}/contents/new.txt?ref=topic")
    made = c.post(f"{R}/deployments", {"ref": "topic", "payload": '{"a": 1}'})
    assert (made["payload"], made["environment"], made["production_environment"]) == ({"a": 1}, "production", True)


def test_jobs_start_when_what_they_need_has_ended(github: Any) -> None:
    c = github
    c.repository()
    jobs: list[dict[str, Any]] = [
        {"name": "test", "labels": []},
        {"name": "deploy", "labels": [], "needs": ["test"]},
        {"name": "smoke", "labels": [], "needs": ["deploy"]},
        {"name": "gate", "labels": [], "needs": ["test", "smoke"], "always": True},
    ]
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": jobs}, status=200)["id"]
    path = f"{R}/actions/runs/{run}"

    def now() -> dict[str, str]:
        return {one["name"]: one["conclusion"] or one["status"] for one in c.get(f"{path}/jobs")["jobs"]}

    assert now() == {"test": "queued", "deploy": "pending", "smoke": "pending", "gate": "pending"}
    play(c, c.get(f"{path}/jobs")["jobs"][0], "failure")
    assert now() == {"test": "failure", "deploy": "skipped", "smoke": "skipped", "gate": "queued"}
    play(c, c.get(f"{path}/jobs")["jobs"][3], "failure")
    assert c.get(path)["conclusion"] == "failure"
    c.post(f"/_sandbox/runs/{run}/jobs", {"jobs": [{"name": "late", "labels": []}]}, status=409)
    c.post(f"{path}/rerun-failed-jobs")
    assert now() == {"test": "queued", "deploy": "pending", "smoke": "pending", "gate": "pending"}
    unknown = [{"name": "a", "labels": [], "needs": ["b"]}]
    assert "called b" in c.post(f"/_sandbox/runs/{run}/jobs", {"jobs": unknown}, status=422)["message"]


def test_what_waits_still_waits_after_a_restart(settings: Settings, start: Callable[..., Any], clock: Any) -> None:
    enterprise = replace(settings, plan=Plan.ENTERPRISE)
    with start(enterprise) as first:
        first.repository()
        environment = protect(first, wait_timer=5, reviewers=reviewers(first, MEMBER))
        path, job = deploy(first)
    with start(enterprise) as second:
        answer = {"environment_ids": [environment], "state": "approved", "comment": ""}
        second.post(f"{path}/pending_deployments", answer, status=200, token=MEMBER)
        assert second.get(path)["status"] == "waiting"
    clock.now += 300
    with start(enterprise) as third:
        play(third, job)
        assert states(third)[0][0] == "success"


def test_hooks_are_told_of_reviews_and_deployments(enterprise: Any) -> None:
    c = enterprise
    environment = protect(c, reviewers=reviewers(c, MEMBER))
    events = ["deployment", "deployment_status", "deployment_review"]
    config = {"url": "http://127.0.0.1:9/x", "content_type": "json"}
    hook = c.post(f"{R}/hooks", {"name": "web", "config": config, "events": events})["id"]
    path, _ = deploy(c)
    answer = {"environment_ids": [environment], "state": "approved", "comment": ""}
    c.post(f"{path}/pending_deployments", answer, status=200, token=MEMBER)
    c.deliveries()
    told = [(one["event"], one["action"]) for one in reversed(c.get(f"{R}/hooks/{hook}/deliveries"))]
    assert told[1:] == [
        ("deployment", "created"),
        ("deployment_status", "created"),
        ("deployment_review", "requested"),
        ("deployment_status", "created"),
        ("deployment_review", "approved"),
    ]
