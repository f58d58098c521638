from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.smoke.health import HealthReport, wait

from tests.unit.delivery.smoke.objects import condition, pod, waiting, workload
from tests.unit.delivery.support import console
from tests.unit.delivery.virtual import VirtualClock

FULL = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}


class Fake:
    """A cluster whose lists change; `forbidden` kinds answer 403, and `down` none."""

    def __init__(self, lists: Mapping[str, list[dict[str, Any]]], forbidden: tuple[str, ...] = ()) -> None:
        self.lists, self.forbidden, self.down = dict(lists), forbidden, False

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
        plural = path.rpartition("/")[2]
        request = httpx.Request("GET", "http://k")
        if self.down:
            raise httpx.ConnectError("refused", request=request)
        if plural in self.forbidden:
            response = httpx.Response(403, request=request)
            raise httpx.HTTPStatusError("no", request=request, response=response)
        return list(self.lists.get(plural, []))


def health(fake: Fake, clock: VirtualClock, budget: float = 60, say: Callable[[str], None] = print) -> HealthReport:
    return wait(fake, "shop", "ns", clock, budget, say)


def test_it_waits_until_all_is_done_and_tells_each_change_once() -> None:
    clock, told = VirtualClock(), list[str]()
    fake = Fake({"deployments": [workload(status={**FULL, "availableReplicas": 1})]})
    clock.at(5, lambda: fake.lists.update(deployments=[workload(status=FULL)]))
    report = health(fake, clock, say=told.append)
    assert report.code is Exit.OK
    assert told == ["deployment shop: 1 of 3 new pods are available", "deployment shop: done"]
    assert 5 <= report.seconds <= 6


def test_the_budget_ends_it_and_the_first_failing_pod_is_named() -> None:
    clock = VirtualClock()
    pods = [
        pod("shop-1", waiting("ImagePullBackOff", message="no such image")),
        pod("other", waiting("X"), app="other"),
    ]
    fake = Fake({"deployments": [workload(status={"updatedReplicas": 1})], "pods": pods})
    report = health(fake, clock, budget=30)
    assert report.code is Exit.FAILED
    assert 30 <= clock.elapsed <= 31
    assert report.workloads[0].problem == "pod shop-1: ImagePullBackOff: no such image"
    sink, out = console(100)
    report.show(sink)
    assert "shop in ns does not run" in out.getvalue()
    assert "no such image" in report.summary()


def test_what_failed_for_good_is_not_waited_for() -> None:
    clock = VirtualClock()
    failed = workload(status={"conditions": [condition("Failed", "True", "DeadlineExceeded", "late")]}, name="migrate")
    report = health(Fake({"jobs": [failed], "deployments": [workload()]}), clock)
    assert clock.elapsed == 0
    assert report.code is Exit.FAILED
    assert report.document()["workloads"][1]["reason"] == "it failed: DeadlineExceeded: late"


def test_kinds_that_may_not_be_listed_are_said_and_no_obstacle() -> None:
    fake = Fake({"deployments": [workload(status=FULL)]}, forbidden=("statefulsets", "daemonsets", "pods"))
    report = health(fake, VirtualClock())
    assert report.code is Exit.OK
    assert report.forbidden == ["statefulsets", "daemonsets"]


def test_an_api_server_that_is_away_for_a_moment_is_asked_again() -> None:
    clock = VirtualClock()
    fake = Fake({"deployments": [workload(status={})]})
    clock.at(3, lambda: setattr(fake, "down", True))
    clock.at(6, lambda: fake.lists.update(deployments=[workload(status=FULL)]))
    clock.at(9, lambda: setattr(fake, "down", False))
    assert health(fake, clock).code is Exit.OK
    assert clock.elapsed >= 9


def test_a_cluster_that_never_answers_and_a_release_that_is_not_there() -> None:
    fake = Fake({})
    with pytest.raises(DeliveryError, match="no workload of the release shop") as caught:
        health(fake, VirtualClock())
    assert caught.value.code is Exit.USAGE
    fake.down = True
    with pytest.raises(DeliveryError, match="does not answer"):
        health(fake, VirtualClock())
