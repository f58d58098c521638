"""The token of a workflow run: one repository, and only what it was given."""

from typing import Any

import pytest

R = "/repos/acme/app"


def token(c: Any, status: int = 200, **body: Any) -> str:
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [{"name": "a", "labels": []}]}, status=200)["id"]
    return c.post(f"/_sandbox/runs/{run}/token", body, status=status).get("token", "")


@pytest.fixture
def c(github: Any) -> Any:
    github.repository()
    return github


def test_a_run_reads_its_repository_and_no_other(c: Any) -> None:
    c.repository("other")
    mine = token(c)
    assert c.get("/user", token=mine)["login"] == "github-actions[bot]"
    c.get(f"{R}/contents/README.md", token=mine)
    c.get("/repos/acme/other", status=404, token=mine)
    refused = c.put(f"{R}/contents/x", {"message": "m", "content": ""}, status=403, token=mine)
    assert refused["message"] == "Resource not accessible by integration"


def test_each_permission_opens_its_own_writes(c: Any) -> None:
    sha = c.get(f"{R}/commits/main")["sha"]
    check = {"name": "gate", "head_sha": sha, "conclusion": "success"}
    writes: dict[str, tuple[str, dict[str, Any]]] = {
        "checks": (f"{R}/check-runs", check),
        "statuses": (f"{R}/statuses/{sha}", {"state": "success"}),
        "deployments": (f"{R}/deployments", {"ref": "main", "required_contexts": []}),
        "contents": (f"{R}/releases", {"tag_name": "v1"}),
    }
    for permission in writes:
        given = token(c, permissions={permission: "write"})
        for name, (path, body) in writes.items():
            c.post(path, body, status=201 if name == permission else 403, token=given)
    assert (
        c.get(f"{R}/commits/main/check-runs?app_id=15368&check_name=gate")["check_runs"][0]["conclusion"] == "success"
    )
    c.put(f"{R}/environments/x", status=403, token=token(c, permissions={"actions": "write"}))


def test_the_default_is_a_setting_of_the_repository(c: Any) -> None:
    c.put(f"{R}/actions/permissions/workflow", {"default_workflow_permissions": "write"})
    c.write(R, "topic.txt", "x")
    c.post(f"{R}/releases", {"tag_name": "v1"}, token=token(c))
    token(c, status=422, permissions={"pull_requests": "write"})
    token(c, status=422, permissions={"contents": "admin"})


def test_a_run_approves_only_where_that_is_allowed(c: Any) -> None:
    sha = c.get(f"{R}/commits/main")["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/heads/topic", "sha": sha})
    c.write(R, "x.txt", "x", branch="topic")
    c.post(f"{R}/pulls", {"title": "T", "head": "topic", "base": "main"})
    given = token(c, permissions={"pull-requests": "write"})
    c.post(f"{R}/issues/1/comments", {"body": "Plan"}, token=given)
    c.post(f"{R}/pulls/1/reviews", {"event": "APPROVE"}, status=422, token=given)
    c.put(f"{R}/actions/permissions/workflow", {"can_approve_pull_request_reviews": True})
    c.post(f"{R}/pulls/1/reviews", {"event": "APPROVE"}, status=200, token=given)
    c.put(f"{R}/pulls/1/merge", status=403, token=given)


def test_the_token_does_not_outlive_its_day(c: Any, clock: Any) -> None:
    given = token(c)
    clock.now += 24 * 3600 + 1
    c.get(R, status=401, token=given)
