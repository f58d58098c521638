"""Why a release's pods do not get ready: watched while the release is deployed, for a rollback removes them."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.errors import StackCommandError
from pavedpath_delivery.stack.events import RELEASE_TYPE, Event, Step, plain

_JUST_STARTING = frozenset({"ContainerCreating", "PodInitializing", "Pending", "ContainersNotReady"})
_RELEASE_LABELS = ("app.kubernetes.io/instance", "release", "helm.sh/release")


@dataclass(frozen=True)
class PodProblem:
    """A pod that is not ready: `reason` is Kubernetes' word for it, `message` its explanation (may be empty)."""

    pod: str
    reason: str
    message: str = ""

    def __str__(self) -> str:
        return f"pod {self.pod}: {self.reason}" + (f": {self.message}" if self.message else "")


def _conditions(pod: Properties) -> dict[str, Properties]:
    conditions = objects(fields(pod.get("status")).get("conditions"))
    return {str(condition.get("type")): condition for condition in conditions}


def pod_problem(pod: Properties) -> PodProblem | None:
    """Return what keeps a pod from being ready; None for one that is ready, done or being removed. Pure."""
    name = str(fields(pod.get("metadata")).get("name", ""))
    status = fields(pod.get("status"))
    conditions = _conditions(pod)
    ready = conditions.get("Ready", {})
    if (
        ready.get("status") == "True"
        or status.get("phase") == "Succeeded"
        or fields(pod.get("metadata")).get("deletionTimestamp")
    ):
        return None
    containers = [
        *objects(status.get("initContainerStatuses")),
        *objects(status.get("containerStatuses")),
    ]
    for container in containers:
        state = fields(container.get("state"))
        waiting, ended = fields(state.get("waiting")), fields(state.get("terminated"))
        if waiting.get("reason"):
            return PodProblem(name, str(waiting["reason"]), str(waiting.get("message", "")))
        if ended and ended.get("exitCode") != 0:
            reason = str(ended.get("reason", "Error"))
            return PodProblem(name, reason, str(ended.get("message") or f"exit code {ended.get('exitCode')}"))
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return PodProblem(name, str(scheduled.get("reason", "Unschedulable")), str(scheduled.get("message", "")))
    reason = status.get("reason") or ready.get("reason") or status.get("phase") or "NotReady"
    return PodProblem(name, str(reason), str(status.get("message") or ready.get("message") or ""))


def pods_of_release(pods: Iterable[Properties], release: str) -> list[Properties]:
    """Return the pods that carry the release's label; all of the namespace where a chart labels none."""
    everything = list(pods)
    labelled = [
        pod
        for pod in everything
        if release in [fields(fields(pod.get("metadata")).get("labels")).get(label) for label in _RELEASE_LABELS]
    ]
    return labelled or everything


class Remembered:
    """What was seen of the pods of one release, poll after poll. Pure.

    A pod that was not ready when it was last seen stays remembered after it is gone: that is what a rollback does
    to it. One that became ready is forgotten.
    """

    def __init__(self) -> None:
        self._problems: dict[str, PodProblem] = {}

    def look(self, pods: Iterable[Properties]) -> None:
        """Take in the pods that exist now."""
        for pod in pods:
            name = str(fields(pod.get("metadata")).get("name", ""))
            problem = pod_problem(pod)
            if problem:
                if problem.reason not in _JUST_STARTING or name not in self._problems:
                    self._problems[name] = problem
            elif not fields(pod.get("metadata")).get("deletionTimestamp"):
                self._problems.pop(name, None)

    def problems(self) -> list[PodProblem]:
        """Return the pods that did not get ready; those that were only starting count if there are no others."""
        found = list(self._problems.values())
        return [problem for problem in found if problem.reason not in _JUST_STARTING] or found


def problems_in_events(events: Iterable[Properties]) -> list[PodProblem]:
    """Return the latest warning of each pod, from a namespace's events. Pure."""
    latest: dict[str, PodProblem] = {}
    for event in sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or "")):
        about = fields(event.get("involvedObject"))
        if event.get("type") == "Warning" and about.get("kind") == "Pod":
            name = str(about.get("name"))
            latest[name] = PodProblem(name, str(event.get("reason", "")), str(event.get("message", "")))
    return list(latest.values())


@dataclass(frozen=True)
class _Release:
    namespace: str
    name: str


def _release(step: Step) -> _Release | None:
    state = step.new or step.old
    if state is None:
        return None
    inputs = fields(plain(state.inputs))
    name = inputs.get("name")
    return _Release(str(inputs.get("namespace") or "default"), str(name)) if name else None


class PodWatcher:
    """Follows the engine's events and polls the pods of each Helm release while it is deployed.

    Args:
        connect: opens the cluster; called at the first release, so that a stack without one needs none.
        interval_s: seconds between polls.
    """

    def __init__(self, connect: Callable[[], KubernetesApi], interval_s: float = 1.0) -> None:
        self._connect = connect
        self._interval_s = interval_s
        self._active: dict[str, tuple[_Release, Remembered]] = {}
        self._failed: dict[str, tuple[_Release, list[PodProblem]]] = {}
        self._changed = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Take in an event of the engine."""
        if event.started and event.started.metadata.type == RELEASE_TYPE:
            self._begin(event.started.metadata)
        elif event.finished:
            self._active.pop(event.finished.metadata.urn, None)
        elif event.failed and event.failed.metadata.urn in self._active:
            release, remembered = self._active.pop(event.failed.metadata.urn)
            self._failed[event.failed.metadata.urn] = release, remembered.problems()

    def _begin(self, step: Step) -> None:
        release = _release(step)
        if release is None or step.op not in ("create", "update", "replace", "create-replacement"):
            return
        self._active[step.urn] = release, Remembered()
        self._changed.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._poll, daemon=True)
            self._thread.start()

    def _poll(self) -> None:
        import httpx

        try:
            api = self._connect()
        except StackCommandError:
            return  # without a cluster there is nothing to watch; the failure itself is told by the provider
        while not self._closed:
            if not self._active:
                self._changed.clear()
                self._changed.wait(timeout=60)
                continue
            for release, remembered in list(self._active.values()):
                with suppress(httpx.HTTPError):  # tried again at the next poll
                    pods = api.items(f"/api/v1/namespaces/{release.namespace}/pods")
                    remembered.look(pods_of_release(pods, release.name))
            time.sleep(self._interval_s)

    def close(self) -> None:
        """Stop polling."""
        self._closed = True
        self._changed.set()

    def report(self) -> dict[str, list[str]]:
        """Return, by the URN of each release that failed, lines that name the release and its pods."""
        return {urn: self._lines(release, problems) for urn, (release, problems) in self._failed.items()}

    def _lines(self, release: _Release, problems: list[PodProblem]) -> list[str]:
        import httpx

        if not problems:
            with suppress(httpx.HTTPError, StackCommandError):
                events = self._connect().items(f"/api/v1/namespaces/{release.namespace}/events")
                problems = problems_in_events(e for e in events if _names_release(e, release.name))
        head = f"release {release.name} in namespace {release.namespace}"
        if not problems:
            return [f"{head}: no pod of it was seen that did not get ready"]
        return [f"{head}: {len(problems)} pod(s) did not get ready", *(f"  {problem}" for problem in problems)]


def _names_release(event: Properties, release: str) -> bool:
    return release in str(fields(event.get("involvedObject")).get("name", ""))
