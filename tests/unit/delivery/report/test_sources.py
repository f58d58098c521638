"""Where the page's data comes from: what was read, what was refused, and what of it means what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pavedpath_delivery.images.evidence import Evidence, record
from pavedpath_delivery.images.kinds import Kind
from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.kit.github import GitHub
from pavedpath_delivery.report import sources
from pavedpath_delivery.report.page import Running, Unread
from pavedpath_delivery.report.render import render
from pavedpath_delivery.report.run import Asked, Page, Reach, gather

from tests.unit.delivery.drift.test_releases import Cluster
from tests.unit.delivery.drift.test_releases import record as helm_record
from tests.unit.delivery.images.fake_registry import HOST, FakeRegistry, put_image

ROOT = "/repos/acme/shop"
NOW = datetime(2026, 4, 6, 12, tzinfo=UTC)


def stamp(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def deployment(number: int, environment: str, sha: str, task: str = "deploy") -> dict[str, Any]:
    return {
        "id": number,
        "environment": environment,
        "sha": sha,
        "ref": "main",
        "task": task,
        "created_at": stamp(-90 + number),
        "creator": {"login": "ann"},
    }


def status(number: int, state: str, hours: float, url: str = "") -> dict[str, Any]:
    return {"id": number, "state": state, "created_at": stamp(hours), "log_url": url}


class Hub:
    """GitHub's answers by path; a number is a status."""

    def __init__(self) -> None:
        self.paths: dict[str, Any] = {
            ROOT: {"default_branch": "main"},
            f"{ROOT}/environments": {"environments": [{"name": "prod"}, {"name": "dev"}]},
            f"{ROOT}/actions/workflows/rollback.yml/runs": {"workflow_runs": []},
            f"{ROOT}/deployments": [
                deployment(5, "prod", "e"),
                deployment(4, "dev", "d"),
                deployment(3, "prod", "c"),
                deployment(2, "prod", "b"),
                deployment(1, "prod", "a"),
            ],
            f"{ROOT}/deployments/5/statuses": [status(1, "queued", -1)],
            f"{ROOT}/deployments/4/statuses": [status(1, "success", -2, "https://ci.test/runs/1")],
            f"{ROOT}/deployments/3/statuses": [status(1, "failure", -3, "javascript:alert(1)")],
            f"{ROOT}/deployments/2/statuses": [status(1, "success", -4)],
            f"{ROOT}/deployments/1/statuses": [status(1, "success", -5)],
            f"{ROOT}/compare/b...d": {"ahead_by": 3, "commits": []},
        }

    def api(self) -> GitHub:
        client = httpx.Client(base_url="https://api.test/", transport=httpx.MockTransport(self._answer))
        return GitHub(client, "acme")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        found = self.paths.get(request.url.path, 404)
        return httpx.Response(found) if isinstance(found, int) else httpx.Response(200, json=found)

    def page(self, *names: str, count: int = 20) -> Page:
        reach = Reach(self.api, lambda _: Cluster(helm_record()), _never, _never)
        return gather(Asked(names or ["acme/shop"], history=count), reach, NOW)


def _never() -> Any:
    raise AssertionError("nobody asked for that")


def test_history_tells_what_became_of_each_deployment() -> None:
    history = Hub().page().history
    assert history
    assert [(each.id, each.outcome, each.kind, each.url) for each in history.rows] == [
        ("4", "success", "change", "https://ci.test/runs/1"),
        ("3", "failure", "change", ""),
        ("2", "success", "change", ""),
        ("1", "success", "change", ""),
        ("5", "queued", "", ""),
    ]


def test_what_runs_is_found_behind_a_short_history_with_how_far_it_is_behind() -> None:
    page = Hub().page(count=1)
    assert page.history
    assert page.running
    assert [each.id for each in page.history.rows] == ["4"]
    told = [(each.environment, each.deployment and each.deployment.id, each.behind) for each in page.running.rows]
    assert told == [("dev", "4", None), ("prod", "2", 3)]


def test_a_rollback_does_not_pretend_to_know_its_commit() -> None:
    hub = Hub()
    hub.paths[f"{ROOT}/deployments"].insert(0, deployment(6, "prod", "z", task="rollback"))
    hub.paths[f"{ROOT}/deployments/6/statuses"] = [status(1, "success", -1)]
    page = hub.page()
    assert page.running
    prod = page.running.rows[1]
    assert prod.deployment
    assert (prod.deployment.kind, prod.behind) == ("rollback", None)


def test_a_refusal_stands_in_every_section_that_it_empties() -> None:
    hub = Hub()
    hub.paths[f"{ROOT}/deployments"] = 403
    page = hub.page("acme/shop", "acme/none")
    refused = Unread("deployments of acme/shop", "403: Forbidden")
    hidden = Unread("deployments of acme/none", "404: not there, or the token may not see it")
    assert page.running
    assert page.history
    assert page.environments
    assert page.running.unread == page.history.unread == page.measured_unread == (refused, hidden)
    assert page.measured is None
    assert [each.source for each in page.environments.unread] == ["environments of acme/none"]
    assert [each.where for each in page.drift.unchecked if each.whole] == ["acme/none"]


def test_commits_that_cannot_be_read_leave_no_figures_of_nothing() -> None:
    hub = Hub()
    hub.paths[f"{ROOT}/commits/a"] = 403
    page = hub.page()
    assert page.measured is None
    assert page.measured_unread == (Unread("deployments of acme/shop", "403: Forbidden"),)


def test_a_status_that_cannot_be_read_makes_the_history_unread() -> None:
    hub = Hub()
    hub.paths[f"{ROOT}/deployments/3/statuses"] = 403
    page = hub.page()
    assert page.history
    assert page.history.rows == ()
    assert [each.source for each in page.history.unread] == ["deployments of acme/shop"]


def test_a_cluster_that_cannot_be_opened_is_told() -> None:
    def closed(_: str) -> Cluster:
        raise DeliveryError("no kubeconfig")

    reach = Reach(_never, closed, _never, lambda: FakeRegistry().registries())
    page = gather(Asked(apps=[sources.App("prod", "shop", "shop")]), reach, NOW)
    assert page.running
    assert page.running.unread == (Unread("release shop/shop of prod", "no kubeconfig"),)
    assert [(each.environment, each.missing, each.unread) for each in page.running.rows] == [("prod", False, True)]
    assert [each.reason for each in page.drift.unchecked] == ["no kubeconfig"]


def test_an_environment_without_a_release_is_not_deployed() -> None:
    reach = Reach(_never, lambda _: Cluster(), _never, lambda: FakeRegistry().registries())
    page = gather(Asked(apps=[sources.App("prod", "shop", "shop"), sources.App("", "cron", "cron")]), reach, NOW)
    assert page.running
    assert [(each.application, each.environment, each.missing) for each in page.running.rows] == [
        ("cron", "", True),
        ("shop", "prod", True),
    ]
    assert [each.source for each in page.running.unread] == ["release shop/shop of prod", "release cron/cron"]
    assert render(page).count("not deployed") == 2


def test_an_environment_that_was_never_deployed_to_has_its_row() -> None:
    hub = Hub()
    hub.paths[f"{ROOT}/environments"]["environments"].append({"name": "staging"})
    page = hub.page()
    assert page.running
    assert [(each.environment, each.missing) for each in page.running.rows] == [
        ("dev", False),
        ("staging", True),
        ("prod", False),
    ]
    hub.paths[f"{ROOT}/deployments"] = 403
    page = hub.page()
    assert page.running
    assert [(each.unread, each.missing) for each in page.running.rows] == [(True, False)] * 3


def test_evidence_is_read_at_the_digest() -> None:
    registry = FakeRegistry()
    name = f"{HOST}/shop/api"
    image = f"{name}@{put_image(registry.at(name), 'one').digest}"
    reference = Reference.parse(image)
    record(registry.open(name), reference, Evidence(Kind.TESTED, reference.digest, "", "", "c" * 40, NOW))
    with registry.registries() as registries:
        found = sources.evidence(registries, [image, image, f"{name}:latest", f"{HOST}/none@sha256:{'0' * 64}", "::"])
    assert [(each.image, each.recorded) for each in found.rows[:1]] == [(image, (("tested", "2026-04-06 12:00 UTC"),))]
    assert f"{name}:latest" in {each.source for each in found.unread}
    assert "::" in {each.source for each in found.unread}


def test_one_environment_alone_is_behind_nothing() -> None:
    rows = [Running("prod", "a", None, None), Running("prod", "b", None, None)]
    assert list(sources.behind(Hub().api(), rows)) == rows
