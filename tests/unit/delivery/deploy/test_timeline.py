from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy.timeline import Measured, Observation, measure, ready_pods

from tests.unit.delivery.deploy.world import manifest, pod

BEFORE = {"shop": 2}


def look(at: float, ready: int, *, whole: bool | None = None, answered: bool | None = None) -> Observation:
    return Observation(at, {"shop": ready}, ready == 2 if whole is None else whole, answered)


def test_downtime_degradation_and_recovery_by_hand() -> None:
    looks = [look(0, 2, whole=False), look(1, 1), look(3, 0), look(7, 1), look(8, 2), look(9, 2)]
    assert measure(BEFORE, looks) == Measured(4, 7, 8, {"shop": 0})


def test_a_relapse_is_no_recovery() -> None:
    assert measure(BEFORE, [look(0, 1), look(1, 2), look(2, 1), look(3, 2)]).recovery_s == 3
    assert measure(BEFORE, [look(0, 2), look(1, 1)]).recovery_s is None


def test_nothing_happened() -> None:
    assert measure(BEFORE, [look(0, 2), look(5, 2)]) == Measured(0, 0, 0, {"shop": 2})
    assert measure(BEFORE, []) == Measured(0, 0, None, {"shop": 2})


def test_requests_are_counted() -> None:
    looks = [look(0, 2, answered=True), look(1, 2, answered=False), look(2, 2)]
    assert (measure(BEFORE, looks).requests, measure(BEFORE, looks).failed_requests) == (2, 1)


@given(st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, 3)), min_size=1, max_size=20))
def test_bounds(steps: list[tuple[float, int]]) -> None:
    at, looks = 0.0, list[Observation]()
    for wait, ready in steps:
        looks.append(look(at, ready))
        at += wait
    found = measure(BEFORE, looks)
    total = looks[-1].at_s
    assert 0 <= found.downtime_s <= found.degraded_s <= total + 1e-9
    assert found.recovery_s is None or 0 <= found.recovery_s <= total
    assert found.lowest["shop"] == min(2, *(ready for _, ready in steps), 2)
    assert (found.recovery_s is None) == (looks[-1].ready["shop"] != 2)


def test_a_pod_that_is_being_removed_or_is_another_takes_no_requests() -> None:
    leaving = pod("b")
    leaving["metadata"]["deletionTimestamp"] = "now"
    other = pod("c")
    other["metadata"]["labels"] = {"app": "other"}
    assert ready_pods(manifest(), [pod("a"), leaving, other, pod("d", ready=False)]) == {"shop": 1}
    without_service = manifest().split("\n---\n")[0]
    assert ready_pods(without_service, [pod("a")]) == {"shop": 1}
