"""How a service fared over a time in which it was disturbed. All pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pavedpath_delivery.deploy.manifests import services, workloads
from pavedpath_delivery.kit.documents import Properties, fields, objects


@dataclass(frozen=True)
class Observation:
    """One look: seconds since the disturbance, ready pods by service, and whether all is as it must be."""

    at_s: float
    ready: Mapping[str, int]
    whole: bool
    answered: bool | None = None
    """Whether a request was answered; None if none was made."""


@dataclass(frozen=True)
class Measured:
    """What the looks amount to.

    Args:
        downtime_s: seconds in which a service had no ready pod.
        degraded_s: seconds in which a service had fewer than at first, downtime included.
        recovery_s: seconds until everything was whole for good; None if it was not in the end.
        lowest: fewest ready pods that each service had.
        requests: requests made.
        failed_requests: those that were not answered.
    """

    downtime_s: float
    degraded_s: float
    recovery_s: float | None
    lowest: Mapping[str, int]
    requests: int = 0
    failed_requests: int = 0


def ready(pod: Properties) -> bool:
    """Whether a pod takes requests: a pod that is being removed does not."""
    if fields(pod.get("metadata")).get("deletionTimestamp"):
        return False
    conditions = objects(fields(pod.get("status")).get("conditions"))
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def ready_pods(manifest: str, pods: Iterable[Properties]) -> dict[str, int]:
    """Return how many ready pods each Service of a manifest selects; of each workload, where it has no Service."""
    selectors = services(manifest) or {each.name: each.labels for each in workloads(manifest)}
    taking = [fields(fields(pod.get("metadata")).get("labels")) for pod in pods if ready(pod)]
    return {
        name: sum(all(labels.get(key) == value for key, value in selector.items()) for labels in taking)
        for name, selector in selectors.items()
    }


def measure(baseline: Mapping[str, int], looks: Sequence[Observation]) -> Measured:
    """Return what happened between the first look and the last; each look holds until the next one.

    Args:
        baseline: ready pods by service before the disturbance.
        looks: in the order of their times.
    """
    down = degraded = 0.0
    for this, following in pairwise(looks):
        lasted = following.at_s - this.at_s
        fewer = [this.ready.get(name, 0) for name, before in baseline.items() if this.ready.get(name, 0) < before]
        degraded += lasted if fewer else 0.0
        down += lasted if 0 in fewer else 0.0
    recovered: float | None = None
    for look in reversed(looks):
        if not look.whole:
            break
        recovered = look.at_s
    lowest = {name: min([before, *(look.ready.get(name, 0) for look in looks)]) for name, before in baseline.items()}
    answers = [look.answered for look in looks if look.answered is not None]
    return Measured(down, degraded, recovered, lowest, len(answers), answers.count(False))
