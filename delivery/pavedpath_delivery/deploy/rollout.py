"""Whether workloads run as they were asked to, out of their status; and what their pods lack."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pavedpath_delivery.deploy.manifests import Workload, images_of, workloads
from pavedpath_delivery.deploy.releases import Cluster
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.smoke.rollout import deployment, stateful_set

_JUDGES = {"Deployment": deployment, "StatefulSet": stateful_set}
CANNOT_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Source: Kubernetes, `pkg/kubelet/images/types.go`."""


@dataclass(frozen=True)
class Rollout:
    """How far a workload is: pods ready of those wanted, and why it is not done (empty when it is)."""

    workload: str
    ready: int
    wanted: int
    lacks: str = ""

    def __str__(self) -> str:
        return f"{self.workload}: {self.ready} of {self.wanted} ready" + (f", {self.lacks}" if self.lacks else "")


def rollout(workload: Workload, found: Properties) -> Rollout:
    """Return how far a workload is, as `kubectl rollout status` judges it, and only if its images are these. Pure."""
    spec, status = fields(found.get("spec")), fields(found.get("status"))
    images = images_of(spec)
    verdict = _JUDGES[workload.kind](found)
    other = f"but with {', '.join(images)} instead of {', '.join(workload.images)}"
    lacks = verdict.reason if tuple(images) == workload.images else other
    return Rollout(str(workload), int(status.get("readyReplicas") or 0), int(spec.get("replicas", 1)), lacks)


def inspect(cluster: Cluster, namespace: str, manifest: str) -> list[Rollout]:
    """Return how far each workload of a manifest is."""
    found: list[Rollout] = []
    for workload in workloads(manifest):
        document = cluster.get(workload.path(namespace))
        found.append(
            Rollout(str(workload), 0, 1, "it is not there") if document is None else rollout(workload, fields(document))
        )
    return found


def unready(rollouts: Iterable[Rollout]) -> list[Rollout]:
    """Return those that are not done. Pure."""
    return [each for each in rollouts if each.lacks]


def unpullable(pod: Properties, images: Sequence[str]) -> list[str]:
    """Return those of `images` that a pod waits for and cannot get. Pure."""
    status = fields(pod.get("status"))
    waiting = [
        str(container.get("image"))
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in objects(status.get(kind))
        if fields(fields(container.get("state")).get("waiting")).get("reason") in CANNOT_PULL
    ]
    return [image for image in waiting if image in images]
