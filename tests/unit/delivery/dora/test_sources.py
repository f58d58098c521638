"""Where records come from: JSON lines, GitHub's documents, a Helm history."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_delivery.dora import helm, records
from pavedpath_delivery.dora.core import Change, Deployment, Incident, Kind, Outcome, Window, link
from pavedpath_delivery.dora.github import Repository, finished
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub

DAY = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=7))


def stamp(hours: float) -> str:
    return (DAY + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def test_lines_become_records() -> None:
    lines = [
        '{"type": "deployment", "id": "1", "application": "shop", "environment": "prod", "commit": "a",'
        ' "finished": "2026-03-02T09:00:00+02:00", "outcome": "success",'
        ' "changes": [{"commit": "a", "committed": "2026-03-02T06:00:00Z"}]}',
        "",
        '{"type": "incident", "id": "2", "application": "shop", "environment": "prod",'
        ' "opened": "2026-03-02T08:00:00Z"}',
    ]
    deployment, incident = records.parse(lines, "file")
    assert isinstance(deployment, Deployment)
    assert deployment.finished == DAY + timedelta(hours=7)
    assert deployment.changes == (Change("a", DAY + timedelta(hours=6)),)
    assert incident == Incident("2", "shop", "prod", DAY + timedelta(hours=8))


def test_wrong_lines_are_named_with_their_numbers(tmp_path: Path) -> None:
    good = {
        "type": "deployment",
        "id": "1",
        "application": "a",
        "environment": "e",
        "commit": "c",
        "outcome": "success",
    }
    wrong = [
        {**good, "finished": "2026-03-02T09:00:00"},
        {**good, "finished": stamp(1), "outcome": "green"},
        {**good, "finished": stamp(1), "comit": "typo"},
        {**good, "finished": stamp(1), "type": "deploy"},
        *[{}] * 10,
    ]
    file = tmp_path / "records.jsonl"
    file.write_text("\n".join(["no json", *map(json.dumps, wrong)]))
    with pytest.raises(DeliveryError) as error:
        list(records.read(file))
    said = str(error.value)
    for part in (
        "line 1: it is no JSON;",
        "line 2: finished: it must have a time zone",
        "line 3: outcome: it must be 'success' or 'failure'",
        "line 4: comit: there is no such key;",
        "line 5: type must be one of deployment, incident;",
        "line 6: type is missing;",
    ):
        assert part in said
    assert "and 5 more lines" in said
    assert error.value.code is Exit.USAGE
    with pytest.raises(DeliveryError, match="cannot be read"):
        list(records.read(tmp_path / "none.jsonl"))


class Hub:
    """GitHub's answers, by path; counts what was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def api(self) -> GitHub:
        return GitHub(httpx.Client(base_url="https://api.test/", transport=httpx.MockTransport(self._answer)), "acme")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/repos/acme/shop/")
        self.asked.append(path)
        if path not in self.answers:
            return httpx.Response(404)
        answer = self.answers[path]
        if not isinstance(answer, list):
            return httpx.Response(200, json=answer)
        page = int(request.url.params.get("page", "1"))  # a page holds two items
        more = {"link": f'<{request.url.copy_set_param("page", page + 1)}>; rel="next"'} if answer[page * 2 :] else {}
        return httpx.Response(200, json=answer[page * 2 - 2 : page * 2], headers=more)


def statuses(*told: tuple[float, str], run: int = 0) -> list[dict[str, Any]]:
    url = f"https://github.test/acme/shop/actions/runs/{run}/job/1" if run else ""
    newest_first = list(enumerate(told))[::-1]
    return [{"id": n, "state": state, "created_at": stamp(hours), "log_url": url} for n, (hours, state) in newest_first]


def document(number: int, sha: str, task: str = "deploy") -> dict[str, Any]:
    return {"id": number, "sha": sha, "environment": "prod", "task": task, "created_at": stamp(0)}


def commit(sha: str, hours: float) -> dict[str, Any]:
    return {"sha": sha, "commit": {"committer": {"date": stamp(hours)}, "author": {"date": stamp(-99)}}}


def hub() -> Hub:
    return Hub(
        {
            "actions/workflows/rollback.yml/runs": {"workflow_runs": [{"id": 77}]},
            "deployments": [
                document(n, sha) for n, sha in ((5, "c"), (4, "c"), (3, "c"), (2, "b"), (1, "a"), (0, "a"))
            ],
            "deployments/0/statuses": statuses((-30, "success")),
            "deployments/1/statuses": statuses((-20, "pending"), (-19, "success"), (3, "inactive")),
            "deployments/2/statuses": statuses((2, "in_progress"), (3, "failure")),
            "deployments/3/statuses": statuses((4, "success")),
            # GitHub writes the commit of the workflow into a rollback.
            "deployments/4/statuses": statuses((6, "success"), run=77),
            "deployments/5/statuses": statuses((7, "waiting")),
            "compare/a...c": {"commits": [commit("b", 1), commit("c", 2)]},
            "issues": [
                {"number": 9, "created_at": stamp(5), "closed_at": None},
                {"number": 10, "created_at": stamp(5), "closed_at": None, "pull_request": {}},
            ],
        }
    )


def test_github_is_read_as_far_as_the_window_needs() -> None:
    answers = hub()
    found = Repository(answers.api(), "acme/shop", "prod", incident_label="incident").records(WINDOW)
    deployments = [each for each in found if isinstance(each, Deployment)]
    assert [(each.id, each.outcome.value, each.rollback) for each in deployments] == [
        ("0", "success", False),
        ("1", "success", False),
        ("2", "failure", False),
        ("3", "success", False),
        ("4", "success", True),
    ]
    assert [each.changes for each in deployments if each.finished in WINDOW] == [
        None,
        (Change("b", DAY + timedelta(hours=1)), Change("c", DAY + timedelta(hours=2))),
        (),
    ]
    assert [each.kind for each in link(deployments).judged][-1] is Kind.ROLLBACK
    assert [each for each in found if isinstance(each, Incident)] == [
        Incident("issue-9", "acme/shop", "prod", DAY + timedelta(hours=5))
    ]
    assert len([path for path in answers.asked if path.startswith("compare/")]) == 1


def test_no_page_is_asked_for_that_lies_before_what_explains_the_window() -> None:
    many = {f"deployments/{n}/statuses": statuses((-n, "success")) for n in range(1, 100)}
    answers = Hub({"deployments": [document(n, f"c{n}") for n in range(1, 100)], **many})
    assert len(Repository(answers.api(), "acme/shop", "prod").records(WINDOW)) == 10
    assert answers.asked.count("deployments") == 5


def test_the_first_deployment_of_all_brings_its_own_commit() -> None:
    answers = Hub(
        {
            "deployments": [document(1, "a")],
            "deployments/1/statuses": statuses((5, "success")),
            "commits/a": commit("a", 1),
        }
    )
    (only,) = Repository(answers.api(), "acme/shop", "prod").records(WINDOW)
    assert isinstance(only, Deployment)
    assert only.changes == (Change("a", DAY + timedelta(hours=1)),)


def test_commits_that_a_forced_push_removed_are_unknown_and_not_none() -> None:
    answers = Hub(
        {
            "deployments": [document(n, sha) for n, sha in ((3, "a"), (2, "b"), (1, "a"))],
            **{f"deployments/{n}/statuses": statuses((n, "success")) for n in (1, 2, 3)},
            "compare/b...a": {"commits": []},
        }
    )
    found = Repository(answers.api(), "acme/shop", "prod").records(WINDOW)
    assert [each.changes for each in found if isinstance(each, Deployment)] == [None, None, ()]


def test_the_last_end_decides_and_an_end_is_told_once() -> None:
    def ended(*told: tuple[float, str]) -> tuple[Outcome, float] | None:
        found = finished(document(1, "a"), statuses(*told), "shop", frozenset())
        return found and (found.outcome, (found.finished - DAY) / timedelta(hours=1))

    assert ended((1, "success"), (3, "failure")) == (Outcome.FAILURE, 3)
    assert ended((1, "success"), (3, "success")) == (Outcome.SUCCESS, 1)
    assert ended((1, "queued"), (2, "waiting")) is None
    assert ended() is None
    marked = finished(document(1, "a", task="rollback"), statuses((1, "success")), "shop", frozenset())
    assert marked is not None
    assert marked.rollback


def revision(number: int, status: str, description: str) -> dict[str, Any]:
    updated = f"2026-03-02T0{number}:00:00.123456789Z"
    return {"revision": number, "updated": updated, "status": status, "description": description}


def test_a_helm_history_tells_what_was_rolled_back() -> None:
    def history() -> Iterator[dict[str, Any]]:
        yield revision(6, "pending-upgrade", "Preparing upgrade")
        yield revision(5, "deployed", "Rollback to 4")
        yield revision(4, "superseded", "Rollback to 1")
        yield revision(3, "failed", 'Release "orders" failed: context deadline exceeded')
        yield revision(2, "superseded", "Upgrade complete")
        yield revision(1, "superseded", "Install complete")

    found = list(helm.deployments(history(), "orders", "prod"))
    assert [(each.id, each.commit, each.rollback) for each in found] == [
        ("1", "revision-1", False),
        ("2", "revision-2", False),
        ("3", "revision-3", False),
        ("4", "revision-1", False),
        ("5", "revision-1", False),
    ]
    assert [(each.kind, each.failed) for each in link(found).judged] == [
        (Kind.CHANGE, False),
        (Kind.CHANGE, True),  # revision 4 goes back behind it
        (Kind.CHANGE, True),
        (Kind.ROLLBACK, False),
        (Kind.REDEPLOYMENT, False),
    ]


def test_a_rollback_to_what_helm_has_forgotten_is_one_still() -> None:
    kept = [revision(8, "superseded", "Upgrade complete"), revision(9, "deployed", "Rollback to 2")]
    assert [(each.kind, each.failed) for each in link(helm.deployments(kept, "orders", "prod")).judged] == [
        (Kind.CHANGE, True),
        (Kind.ROLLBACK, False),
    ]
