"""Whether the workloads of a release have become what they were asked to be. Pure.

Source: kubectl, `pkg/polymorphichelpers/rollout_status.go`; a Job is done when it is complete.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.stack.pods import PodProblem, pod_problem

RELEASE_ANNOTATION = "meta.helm.sh/release-name"
_INSTANCE = "app.kubernetes.io/instance"
_STARTING = frozenset({"ContainerCreating", "PodInitializing", "Pending", "ContainersNotReady", "Running"})


class State(StrEnum):
    """How far a workload is."""

    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    """It will not become ready by itself."""


@dataclass(frozen=True)
class Verdict:
    """A workload's state and, unless it is done, the reason in a sentence."""

    state: State
    reason: str = ""


DONE = Verdict(State.DONE)


def _waiting(reason: str) -> Verdict:
    return Verdict(State.WAITING, reason)


def _conditions(workload: Properties) -> dict[str, Properties]:
    return {str(each.get("type")): each for each in objects(fields(workload.get("status")).get("conditions"))}


def _count(status: Properties, name: str) -> int:
    return int(status.get(name) or 0)


def _unseen(workload: Properties) -> bool:
    generation = int(fields(workload.get("metadata")).get("generation") or 0)
    return _count(fields(workload.get("status")), "observedGeneration") < generation


_UNSEEN = _waiting("its controller has not seen the change yet")


def _wanted(workload: Properties) -> int:
    replicas = fields(workload.get("spec")).get("replicas")
    return 1 if replicas is None else int(replicas)


def deployment(workload: Properties) -> Verdict:
    """Judge a Deployment."""
    if _unseen(workload):
        return _UNSEEN
    status, wanted, conditions = fields(workload.get("status")), _wanted(workload), _conditions(workload)
    progressing = conditions.get("Progressing", {})
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(State.FAILED, f"it exceeded its progress deadline: {progressing.get('message', '')}")
    failure = conditions.get("ReplicaFailure", {})
    updated, available = _count(status, "updatedReplicas"), _count(status, "availableReplicas")
    if failure.get("status") == "True" and updated < wanted:
        return _waiting(f"pods cannot be created: {failure.get('reason')}: {failure.get('message')}")
    if updated < wanted:
        return _waiting(f"{updated} of {wanted} pods are of the new version")
    if _count(status, "replicas") > updated:
        return _waiting(f"{_count(status, 'replicas') - updated} old pods are still to end")
    return DONE if available >= updated else _waiting(f"{available} of {updated} new pods are available")


def stateful_set(workload: Properties) -> Verdict:
    """Judge a StatefulSet, one with a partition by the pods above it."""
    if _unseen(workload):
        return _UNSEEN
    spec, status, wanted = fields(workload.get("spec")), fields(workload.get("status")), _wanted(workload)
    if _count(status, "readyReplicas") < wanted:
        return _waiting(f"{_count(status, 'readyReplicas')} of {wanted} pods are ready")
    strategy = fields(spec.get("updateStrategy"))
    if strategy.get("type") == "OnDelete":
        return DONE
    updated = _count(status, "updatedReplicas")
    partition = int(fields(strategy.get("rollingUpdate")).get("partition") or 0)
    if partition:
        due = max(0, wanted - partition)
        return DONE if updated >= due else _waiting(f"{updated} of {due} pods are of the new version")
    if status.get("updateRevision") != status.get("currentRevision"):
        return _waiting(f"{updated} of {wanted} pods are of the new version")
    return DONE


def daemon_set(workload: Properties) -> Verdict:
    """Judge a DaemonSet."""
    if _unseen(workload):
        return _UNSEEN
    status = fields(workload.get("status"))
    wanted, available = _count(status, "desiredNumberScheduled"), _count(status, "numberAvailable")
    by_hand = fields(fields(workload.get("spec")).get("updateStrategy")).get("type") == "OnDelete"
    if not by_hand and _count(status, "updatedNumberScheduled") < wanted:
        return _waiting(f"{_count(status, 'updatedNumberScheduled')} of {wanted} pods are of the new version")
    return DONE if available >= wanted else _waiting(f"{available} of {wanted} pods are available")


def job(workload: Properties) -> Verdict:
    """Judge a Job."""
    conditions = _conditions(workload)
    if conditions.get("Complete", {}).get("status") == "True":
        return DONE
    failed = conditions.get("Failed", {})
    if failed.get("status") == "True":
        return Verdict(State.FAILED, f"it failed: {failed.get('reason')}: {failed.get('message')}")
    if fields(workload.get("spec")).get("suspend"):
        return _waiting("it is suspended")
    status, completions = fields(workload.get("status")), fields(workload.get("spec")).get("completions")
    return _waiting(f"{_count(status, 'succeeded')} of {completions or 1} runs succeeded")


@dataclass(frozen=True)
class Kind:
    """A kind of workload: its name, where the API has it, and how it is judged."""

    name: str
    group: str
    plural: str
    judge: Callable[[Properties], Verdict]


KINDS = (
    Kind("Deployment", "/apis/apps/v1", "deployments", deployment),
    Kind("StatefulSet", "/apis/apps/v1", "statefulsets", stateful_set),
    Kind("DaemonSet", "/apis/apps/v1", "daemonsets", daemon_set),
    Kind("Job", "/apis/batch/v1", "jobs", job),
)


def belongs(thing: Properties, release: str) -> bool:
    """Whether Helm made an object for a release; a chart's own label says so of what Helm did not make itself."""
    metadata = fields(thing.get("metadata"))
    made_for = fields(metadata.get("annotations")).get(RELEASE_ANNOTATION)
    return (made_for or fields(metadata.get("labels")).get(_INSTANCE)) == release


def selects(workload: Properties, pod: Properties) -> bool:
    """Whether a pod is one that a workload's selector takes."""
    selector = fields(fields(workload.get("spec")).get("selector"))
    labels = fields(fields(pod.get("metadata")).get("labels"))
    wanted = fields(selector.get("matchLabels"))
    expressions = objects(selector.get("matchExpressions"))
    return (
        bool(wanted or expressions)
        and all(labels.get(key) == value for key, value in wanted.items())
        and all(_holds(each, labels) for each in expressions)
    )


def _holds(expression: Properties, labels: Properties) -> bool:
    found, values = labels.get(str(expression.get("key"))), cast(list[Json], expression.get("values") or [])
    results: Mapping[str, bool] = {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }
    return results.get(str(expression.get("operator")), False)


def why(pod: Properties) -> PodProblem | None:
    """Return what keeps a pod from being ready; of one that is started again and again, what ended it before."""
    problem = pod_problem(pod)
    if problem is None or problem.reason not in {"CrashLoopBackOff", "Error"}:
        return problem
    for container in objects(fields(pod.get("status")).get("containerStatuses")):
        ended = fields(fields(container.get("lastState")).get("terminated"))
        if ended.get("reason") == "OOMKilled":
            said = f"container {container.get('name')} was out of memory {container.get('restartCount')} times"
            return PodProblem(problem.pod, "OOMKilled", said)
        if ended and ended.get("exitCode"):
            said = f"container {container.get('name')} ended with status {ended.get('exitCode')}"
            return PodProblem(problem.pod, problem.reason, f"{said}, {container.get('restartCount')} restarts")
    return problem


def first_problem(pods: Iterable[Properties]) -> PodProblem | None:
    """Return the problem of the first pod that has one; pods that are only starting come last."""
    found = [problem for pod in _by_age(pods) if (problem := why(pod))]
    return min(found, key=lambda each: each.reason in _STARTING, default=None)


def _by_age(pods: Iterable[Properties]) -> Sequence[Properties]:
    return sorted(pods, key=lambda pod: str(fields(pod.get("metadata")).get("creationTimestamp", "")))
