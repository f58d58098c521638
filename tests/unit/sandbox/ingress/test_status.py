from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.ingress.probes import Probe, Verdict
from pavedpath_sandbox.ingress.status import ContainerState, containers, document, phase, restarts_after

NOW, THEN = "2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"


def pod(policy: str = "Always", init: int = 0, main: int = 1, sidecar: bool = False) -> dict[str, Any]:
    inits = [{"name": f"init-{n}", "image": "i"} for n in range(init)]
    if sidecar:
        inits.append({"name": "sidecar", "image": "i", "restartPolicy": "Always"})
    spec = {
        "restartPolicy": policy,
        "initContainers": inits,
        "containers": [{"name": f"main-{n}"} for n in range(main)],
    }
    return {"spec": spec, "status": {"containerStatuses": [{"name": "main-0", "restartCount": 2}]}}


def started(all_: list[ContainerState]) -> None:
    for each in all_:
        each.runs(THEN)
        if each.keeps_running:
            each.ready = True
        else:
            each.ended(0, NOW)


def test_restarts_are_counted_on_from_the_status() -> None:
    assert [each.restarts for each in containers(pod(init=1, main=2))] == [0, 2, 0]


@pytest.mark.parametrize(
    ("policy", "code", "after"),
    [("Always", 0, "Running"), ("OnFailure", 0, "Succeeded"), ("OnFailure", 1, "Running"), ("Never", 1, "Failed")],
)
def test_phases_of_a_pod_whose_container_ended(policy: str, code: int, after: str) -> None:
    all_ = containers(pod(policy))
    assert phase(all_) == "Pending"
    started(all_)
    assert phase(all_) == "Running"
    all_[0].ended(code, NOW)
    assert phase(all_) == after


def test_init_containers_come_first_and_fail_a_pod_that_is_not_restarted() -> None:
    for policy, after in (("Never", "Failed"), ("Always", "Running")):
        all_ = containers(pod(policy, init=2, sidecar=True))
        all_[0].runs(THEN)
        assert phase(all_) == "Pending"
        all_[0].ended(1, NOW)
        assert phase(all_) == ("Failed" if policy == "Never" else "Pending")
        started(all_)
        if policy == "Always":
            assert phase(all_) == after


def test_what_is_written_of_a_running_pod() -> None:
    all_ = containers(pod(init=1, sidecar=True))
    started(all_)
    before = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": THEN}]}
    found = document(all_, ("127.0.0.1", "10.245.0.1"), THEN, before, NOW)
    times = {each["type"]: (each["status"], each["lastTransitionTime"]) for each in found["conditions"]}
    assert times == {"Ready": ("True", THEN), "ContainersReady": ("True", NOW), "Initialized": ("True", NOW)}
    assert found["phase"] == "Running"
    assert [each["name"] for each in found["initContainerStatuses"]] == ["init-0", "sidecar"]
    assert found["containerStatuses"][0]["restartCount"] == 2
    all_[-1].waits("CrashLoopBackOff", "back-off")
    again = document(all_, ("127.0.0.1", "10.245.0.1"), THEN, found, NOW)
    ready = next(each for each in again["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert "main-0" in ready["message"]


@pytest.mark.parametrize(("code", "shown", "reason"), [(0, 0, "Completed"), (3, 3, "Error"), (-9, 137, "Error")])
def test_how_a_container_ended(code: int, shown: int, reason: str) -> None:
    (state,) = containers(pod())
    state.runs(THEN)
    state.ended(code, NOW)
    assert state.state == {
        "terminated": {"exitCode": shown, "reason": reason, "startedAt": THEN, "finishedAt": NOW},
    }


def test_what_is_restarted() -> None:
    assert [restarts_after(policy, code) for policy in ("Always", "OnFailure", "Never") for code in (0, 1)] == [
        *(True, True),
        *(False, True),
        *(False, False),
    ]


def probe(failures: int = 3, successes: int = 1) -> Probe:
    spec = {"httpGet": {"port": 1}, "failureThreshold": failures, "successThreshold": successes}
    found = Probe.of({"readinessProbe": spec}, "readinessProbe")
    assert found is not None
    return found


def test_a_verdict_changes_at_its_threshold() -> None:
    verdict = Verdict(probe(failures=3, successes=2))
    assert [verdict.take(answer) for answer in (True, False, True, True)] == [False, False, False, True]
    assert verdict.good
    assert [verdict.take(answer) for answer in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert not verdict.good


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_a_verdict_follows_the_last_long_run(answers: list[bool], failures: int, successes: int) -> None:
    verdict, expected = Verdict(probe(failures, successes)), False
    for n, answer in enumerate(answers):
        verdict.take(answer)
        need = successes if answer else failures
        if len(answers[: n + 1]) >= need and all(each == answer for each in answers[n + 1 - need : n + 1]):
            expected = answer
        assert verdict.good == expected


def test_a_container_without_a_probe() -> None:
    assert Probe.of({}, "readinessProbe") is None
