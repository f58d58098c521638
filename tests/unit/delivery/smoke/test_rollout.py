from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.smoke.rollout import (
    State,
    Verdict,
    belongs,
    daemon_set,
    deployment,
    first_problem,
    job,
    selects,
    stateful_set,
    why,
)

from tests.unit.delivery.smoke.objects import condition, container, pod, waiting, workload

FULL = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3}


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (FULL, State.DONE, ""),
        ({**FULL, "observedGeneration": 0}, State.WAITING, "has not seen the change"),
        ({**FULL, "updatedReplicas": 1}, State.WAITING, "1 of 3 pods are of the new version"),
        ({**FULL, "replicas": 4}, State.WAITING, "1 old pods are still to end"),
        ({**FULL, "availableReplicas": 2}, State.WAITING, "2 of 3 new pods are available"),
        (
            {**FULL, "conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded", "no progress")]},
            State.FAILED,
            "progress deadline: no progress",
        ),
        (
            {"conditions": [condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: compute")]},
            State.WAITING,
            "FailedCreate: exceeded quota: compute",
        ),
    ],
)
def test_deployments(status: dict[str, Any], state: State, reason: str) -> None:
    found = deployment(workload(status=status))
    assert found.state is state
    assert reason in found.reason


def test_a_deployment_of_none_is_done() -> None:
    assert deployment(workload({"replicas": 0})) == Verdict(State.DONE)


@pytest.mark.parametrize(
    ("spec", "status", "state"),
    [
        ({}, {**FULL, "currentRevision": "a", "updateRevision": "a"}, State.DONE),
        ({}, {**FULL, "currentRevision": "a", "updateRevision": "b"}, State.WAITING),
        ({}, {"readyReplicas": 2, "currentRevision": "a", "updateRevision": "a"}, State.WAITING),
        ({"updateStrategy": {"type": "OnDelete"}}, {**FULL, "currentRevision": "a", "updateRevision": "b"}, State.DONE),
        ({"updateStrategy": {"rollingUpdate": {"partition": 2}}}, {**FULL, "updatedReplicas": 1}, State.DONE),
        ({"updateStrategy": {"rollingUpdate": {"partition": 1}}}, {**FULL, "updatedReplicas": 1}, State.WAITING),
        ({"updateStrategy": {"rollingUpdate": {"partition": 9}}}, {**FULL, "updatedReplicas": 0}, State.DONE),
        ({}, {**FULL, "observedGeneration": 0}, State.WAITING),
    ],
)
def test_stateful_sets(spec: dict[str, Any], status: dict[str, Any], state: State) -> None:
    assert stateful_set(workload(spec, status)).state is state


@pytest.mark.parametrize(
    ("spec", "updated", "available", "state"),
    [
        ({}, 2, 2, State.DONE),
        ({}, 1, 2, State.WAITING),
        ({}, 2, 1, State.WAITING),
        ({"updateStrategy": {"type": "OnDelete"}}, 0, 2, State.DONE),
    ],
)
def test_daemon_sets(spec: dict[str, Any], updated: int, available: int, state: State) -> None:
    status = {"desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available}
    assert daemon_set(workload(spec, status)).state is state


def test_jobs() -> None:
    assert job(workload(status={"conditions": [condition("Complete", "True")]})).state is State.DONE
    failed = job(workload(status={"conditions": [condition("Failed", "True", "BackoffLimitExceeded", "too often")]}))
    assert failed == Verdict(State.FAILED, "it failed: BackoffLimitExceeded: too often")
    assert job(workload({"completions": 3}, {"succeeded": 1})).reason == "1 of 3 runs succeeded"
    assert job(workload({"suspend": True})).reason == "it is suspended"


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 9))
def test_a_deployment_is_done_only_when_all_its_pods_are_new_and_available(
    wanted: int, updated: int, available: int, replicas: int
) -> None:
    status = {"replicas": replicas, "updatedReplicas": updated, "availableReplicas": available}
    done = deployment(workload({"replicas": wanted}, status)).state is State.DONE
    assert done == (updated >= wanted and available >= updated and replicas <= updated)


def terminated(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (waiting("ImagePullBackOff", message="Back-off pulling image"), "ImagePullBackOff: Back-off pulling image"),
        (
            waiting("CrashLoopBackOff", terminated(1), 4),
            "CrashLoopBackOff: container web ended with status 1, 4 restarts",
        ),
        (
            waiting("CrashLoopBackOff", terminated(137, "OOMKilled"), 2),
            "OOMKilled: container web was out of memory 2 times",
        ),
        (
            {
                "phase": "Pending",
                "conditions": [condition("PodScheduled", "False", "Unschedulable", "0/3 nodes: Insufficient cpu")],
            },
            "Unschedulable: 0/3 nodes: Insufficient cpu",
        ),
    ],
)
def test_why_a_pod_is_not_ready(status: dict[str, Any], said: str) -> None:
    assert str(why(pod("a", status))) == f"pod a: {said}"


def test_a_ready_pod_has_no_problem() -> None:
    assert why(pod("a", {"phase": "Running", "conditions": [condition("Ready", "True")]})) is None


def test_the_oldest_pod_that_fails_comes_before_one_that_only_starts() -> None:
    starting = pod(
        "a", {"phase": "Pending", "containerStatuses": [container({"waiting": {"reason": "ContainerCreating"}})]}
    )
    old, new = pod("b", waiting("ErrImagePull"), created="2"), pod("c", waiting("CrashLoopBackOff"), created="3")
    found = first_problem([new, starting, old])
    assert found is not None
    assert found.pod == "b"
    assert first_problem([]) is None


def test_what_belongs_to_a_release() -> None:
    assert belongs(workload(), "shop")
    assert not belongs(workload(), "other")
    assert belongs({"metadata": {"labels": {"app.kubernetes.io/instance": "shop"}}}, "shop")
    # Helm's own word counts, whatever a chart's label says.
    both = {"annotations": {"meta.helm.sh/release-name": "a"}, "labels": {"app.kubernetes.io/instance": "shop"}}
    assert not belongs({"metadata": both}, "shop")


def test_a_selector_with_expressions() -> None:
    expressions = [
        {"key": "app", "operator": "In", "values": ["shop", "b"]},
        {"key": "app", "operator": "NotIn", "values": ["b"]},
        {"key": "app", "operator": "Exists"},
        {"key": "gone", "operator": "DoesNotExist"},
    ]
    chosen = workload({"selector": {"matchExpressions": expressions}})
    assert selects(chosen, pod("a", {}))
    assert not selects(chosen, pod("a", {}, app="b"))
    assert not selects(workload({"selector": {}}), pod("a", {}))
