"""The pods of a release while Helm waits for them: what is told, and when waiting is of no use any more."""

from collections.abc import Callable
from contextlib import suppress

from pavedpath_delivery.deploy.manifests import workloads
from pavedpath_delivery.deploy.releases import Cluster
from pavedpath_delivery.deploy.rollout import Rollout, inspect, unpullable
from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Properties
from pavedpath_delivery.smoke.rollout import why

_STARTING = frozenset({"ContainerCreating", "PodInitializing", "Pending", "ContainersNotReady"})


class Watch:
    """Looks at the workloads of a manifest.

    Args:
        cluster: the cluster.
        namespace: the release's namespace.
        manifest: what is being deployed.
        clock: time.
        say: tells what is new.
        fail_fast_s: how long an image may not be pulled until it is of no use to wait; None for ever.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        manifest: str,
        clock: Clock,
        say: Callable[[str], None],
        fail_fast_s: float | None = None,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._manifest = manifest
        self._workloads = workloads(manifest)
        self._clock = clock
        self._say = say
        self._fail_fast_s = fail_fast_s
        self._told: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self._unpullable: dict[str, float] = {}

    def look(self) -> str:
        """Tell what is new; return why it is of no use to wait any longer, empty if it may be."""
        import httpx

        with suppress(httpx.HTTPError):  # looked at again in a second; Helm tells of what lasts
            pods = self._cluster.items(f"/api/v1/namespaces/{self._namespace}/pods")
            self.take(inspect(self._cluster, self._namespace, self._manifest), pods)
        return self.hopeless()

    def take(self, rollouts: list[Rollout], pods: list[Properties]) -> None:
        """Take in how the workloads and the pods are now."""
        for rollout in rollouts:
            self._tell(rollout.workload, str(rollout))
        waited: set[str] = set()
        for workload in self._workloads:
            for pod in filter(workload.owns, pods):
                waited |= set(unpullable(pod, workload.images))
                problem = why(pod)
                if problem and problem.reason not in _STARTING:
                    # Told once for a workload, not for each of its pods, whose names say nothing.
                    said = f"{workload}: {problem.reason}" + (f": {problem.message}" if problem.message else "")
                    self._problems[said] = str(problem)
                    self._tell(f"{workload} {problem.reason}", said)
        now = self._clock.monotonic()
        self._unpullable = {image: self._unpullable.get(image, now) for image in sorted(waited)}

    def hopeless(self) -> str:
        """Return which image could not be pulled for too long."""
        if self._fail_fast_s is None:
            return ""
        now = self._clock.monotonic()
        late = [image for image, since in self._unpullable.items() if now - since >= self._fail_fast_s]
        return f"{', '.join(late)} could not be pulled for {self._fail_fast_s:g} s" if late else ""

    def problems(self) -> list[str]:
        """Return what was wrong with the pods, each kind of it once."""
        return list(self._problems.values())

    def _tell(self, about: str, line: str) -> None:
        if self._told.get(about) != line:
            self._told[about] = line
            self._say(line)
