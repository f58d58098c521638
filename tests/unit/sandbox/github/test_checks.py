"""Commit statuses, check runs, and what they come to."""

from typing import Any

R = "/repos/acme/app"


def names(c: Any, query: str = "") -> list[tuple[str, str | None]]:
    return [(one["name"], one["conclusion"]) for one in c.get(f"{R}/commits/main/check-runs{query}")["check_runs"]]


def test_statuses_come_to_one_state(github: Any) -> None:
    c = github
    c.repository()
    sha = c.get(f"{R}/commits/main")["sha"]
    assert c.get(f"{R}/commits/main/status")["state"] == "pending"
    for context, state, combined in (
        ("a", "success", "success"),
        ("b", "pending", "pending"),
        ("b", "error", "failure"),
        ("b", "success", "success"),
    ):
        c.post(f"{R}/statuses/{sha}", {"state": state, "context": context})
        assert c.get(f"{R}/commits/{sha}/status")["state"] == combined
    assert c.get(f"{R}/commits/main/status")["total_count"] == 2
    assert [one["state"] for one in c.get(f"{R}/commits/main/statuses")] == ["success", "error", "pending", "success"]
    c.post(f"{R}/statuses/{'1' * 40}", {"state": "success"}, status=422)
    c.post(f"{R}/statuses/{sha}", {"state": "success", "description": "d" * 141}, status=422)
    c.post(f"{R}/statuses/{sha}", {"state": "success"}, status=403, token="member-token")


def test_only_apps_report_checks_and_only_change_their_own(github: Any, app: Any, clock: Any) -> None:
    c = github
    c.repository()
    token = app.token(c, clock.now)
    body = {"name": "scan", "head_sha": c.get(f"{R}/commits/main")["sha"]}
    c.post(f"{R}/check-runs", body, status=403)
    made = c.post(f"{R}/check-runs", body | {"status": "in_progress"}, token=token)
    assert (made["app"]["id"], made["status"], made["conclusion"]) == (app.id, "in_progress", None)
    path = f"{R}/check-runs/{made['id']}"
    c.patch(path, {"status": "completed"}, status=422, token=token)
    done = c.patch(path, {"conclusion": "neutral", "output": {"title": "T", "summary": "S"}}, token=token)
    assert (done["status"], done["completed_at"] is not None, done["output"]["title"]) == ("completed", True, "T")
    suite = c.get(f"{R}/check-suites/{made['check_suite']['id']}")
    assert (suite["status"], suite["conclusion"], suite["latest_check_runs_count"]) == ("completed", "success", 1)
    other = c.post("/_sandbox/checks", {"repository": "app", "name": "gate"}, status=200)
    c.patch(f"{R}/check-runs/{other['id']}", {"conclusion": "success"}, status=403, token=token)


def test_lists_show_the_latest_of_each_name_and_app(github: Any, app: Any, clock: Any) -> None:
    c = github
    c.repository()
    sha = c.get(f"{R}/commits/main")["sha"]
    for conclusion in ("failure", "success"):
        body = {"repository": "app", "name": "gate", "ref": "main", "conclusion": conclusion}
        c.post("/_sandbox/checks", body, status=200)
    theirs = {"name": "gate", "head_sha": sha, "conclusion": "cancelled"}
    c.post(f"{R}/check-runs", theirs, token=app.token(c, clock.now))
    assert names(c) == [("gate", "success"), ("gate", "cancelled")]
    assert names(c, "?app_id=15368") == [("gate", "success")]
    assert len(names(c, "?filter=all")) == 3
    assert names(c, "?check_name=other") == []
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": [{"name": "test", "labels": []}]}, status=200)["id"]
    assert names(c, "?status=queued") == [("test", None)]
    suites = c.get(f"{R}/commits/main/check-suites")["check_suites"]
    assert run in [one["id"] for one in suites]
    assert [one["name"] for one in c.get(f"{R}/check-suites/{run}/check-runs")["check_runs"]] == ["test"]
    c.get(f"{R}/check-suites/1", status=404)


def test_a_commit_with_its_checks_may_be_pushed_directly(github: Any) -> None:
    c = github
    c.repository()
    sha = c.get(f"{R}/commits/main")["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/heads/topic", "sha": sha})
    new = c.write(R, "x.txt", "x", branch="topic")["commit"]["sha"]
    conditions: dict[str, Any] = {"ref_name": {"include": ["refs/heads/main"], "exclude": []}}
    wanted: dict[str, Any] = {
        "required_status_checks": [{"context": one} for one in ("a", "b", "c")],
        "strict_required_status_checks_policy": False,
    }
    rule = {"type": "required_status_checks", "parameters": wanted}
    c.post(f"{R}/rulesets", {"name": "r", "enforcement": "active", "conditions": conditions, "rules": [rule]})

    def refusal() -> str:
        return c.patch(f"{R}/git/refs/heads/main", {"sha": new}, status=422)["message"].split("\n\n")[1]

    assert refusal() == "3 of 3 required status checks are expected."
    c.post(f"{R}/statuses/{new}", {"state": "failure", "context": "a"})
    assert refusal() == "3 of 3 required status checks have not succeeded: 2 expected and 1 failing."
    for context in ("a", "b"):
        c.post(f"{R}/statuses/{new}", {"state": "success", "context": context})
    assert refusal() == 'Required status check "c" is expected.'
    c.post(f"{R}/statuses/{new}", {"state": "success", "context": "c"})
    c.patch(f"{R}/git/refs/heads/main", {"sha": new})
