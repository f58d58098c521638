"""What the kubelet says of a pod, from what its containers do. Pure.

Source: Kubernetes, "Pod Lifecycle".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pavedpath_sandbox.documents import Json, Properties, fields, objects

WAITING, RUNNING, TERMINATED = "waiting", "running", "terminated"


@dataclass
class ContainerState:
    """One container: its description in the pod and what became of it. `keeps_running` is false for a plain init one.

    `state` and `last` are the API's ContainerState objects.
    """

    spec: Properties
    init: bool
    restart: str
    state: dict[str, Json] = field(default_factory=lambda: {WAITING: {"reason": "ContainerCreating"}})
    last: dict[str, Json] = field(default_factory=dict[str, Json])
    ready: bool = False
    started: bool = False
    restarts: int = 0
    image_id: str = ""

    @property
    def name(self) -> str:
        """The container's name, unique in its pod."""
        return str(self.spec["name"])

    @property
    def keeps_running(self) -> bool:
        """Whether its end is not awaited: every container, and of the init containers the sidecars."""
        return not self.init or self.restart == "Always"

    def waits(self, reason: str, message: str = "") -> None:
        """It does not run, and why."""
        self.state = {WAITING: {"reason": reason} | ({"message": message} if message else {})}
        self.ready = self.started = False

    def runs(self, now: str) -> None:
        """Its process was started."""
        self.state = {RUNNING: {"startedAt": now}}

    def ended(self, code: int, now: str) -> None:
        """Its process ended; a negative code is a signal's, as Python has it."""
        shown = 128 - code if code < 0 else code
        since = fields(self.state.get(RUNNING)).get("startedAt", now)
        reason = "Completed" if shown == 0 else "Error"
        self.state = {TERMINATED: {"exitCode": shown, "reason": reason, "startedAt": since, "finishedAt": now}}
        self.ready = self.started = False

    def document(self) -> dict[str, Json]:
        """The API's ContainerStatus."""
        return {
            "name": self.name,
            "image": str(self.spec.get("image", "")),
            "imageID": self.image_id,
            "ready": self.ready if self.keeps_running else TERMINATED in self.state,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last,
        }


def timestamp(moment: datetime | None = None) -> str:
    """A time as the API has it: seconds, UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def containers(pod: Properties) -> list[ContainerState]:
    """A pod's containers in the order of their start, restarts counted on from its status."""
    spec, status = fields(pod.get("spec")), fields(pod.get("status"))
    policy = str(spec.get("restartPolicy") or "Always")
    known = {
        str(each.get("name")): int(each.get("restartCount") or 0)
        for key in ("initContainerStatuses", "containerStatuses")
        for each in objects(status.get(key))
    }
    first = [
        ContainerState(each, init=True, restart=str(each.get("restartPolicy") or _for_init(policy)))
        for each in objects(spec.get("initContainers"))
    ]
    rest = [ContainerState(each, init=False, restart=policy) for each in objects(spec.get("containers"))]
    for each in (*first, *rest):
        each.restarts = known.get(each.name, 0)
    return [*first, *rest]


def _for_init(policy: str) -> str:
    """Init containers of a pod that is always restarted are tried until they succeed."""
    return "OnFailure" if policy == "Always" else policy


def phase(all_: Sequence[ContainerState]) -> str:
    """The pod's phase."""
    pending_init = [each for each in all_ if each.init and not each.keeps_running]
    if any(_code(each) not in (0, None) and each.restart == "Never" for each in pending_init):
        return "Failed"
    main = [each for each in all_ if not each.init]
    if any(_code(each) is None for each in pending_init):
        return "Pending"
    if all(TERMINATED in each.state and not _again(each) for each in main):
        return "Succeeded" if all(_code(each) == 0 for each in main) else "Failed"
    if any(RUNNING in each.state or TERMINATED in each.state or each.last for each in main):
        return "Running"
    return "Pending"


def _again(container: ContainerState) -> bool:
    return restarts_after(container.restart, _code(container) or 0)


def restarts_after(policy: str, code: int) -> bool:
    """Whether a container that ended with `code` is started again."""
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _code(container: ContainerState) -> int | None:
    ended = fields(container.state.get(TERMINATED))
    return int(ended["exitCode"]) if ended else None


def document(
    all_: Sequence[ContainerState], addresses: tuple[str, str], started: str, before: Properties, now: str
) -> dict[str, Json]:
    """The pod's status to write. `addresses` are the node's and the pod's, `before` is the status that it has."""
    current = phase(all_)
    initialized = all(TERMINATED in each.state for each in all_ if each.init and not each.keeps_running)
    unready = [each.name for each in all_ if each.keeps_running and not each.ready]
    ended = "PodCompleted" if current == "Succeeded" else "PodFailed" if current == "Failed" else ""
    why = ended or "ContainersNotReady"
    message = f"containers with unready status: [{' '.join(unready)}]"
    ready = not unready and current == "Running"
    conditions = [
        _condition("Initialized", initialized, before, now, "" if initialized else "ContainersNotInitialized"),
        *(
            _condition(kind, ready, before, now, "" if ready else why, "" if ready or ended else message)
            for kind in ("ContainersReady", "Ready")
        ),
    ]
    node, pod = addresses
    return {
        "phase": current,
        "conditions": conditions,
        "initContainerStatuses": [each.document() for each in all_ if each.init],
        "containerStatuses": [each.document() for each in all_ if not each.init],
        "hostIP": node,
        "hostIPs": [{"ip": node}],
        "podIP": pod,
        "podIPs": [{"ip": pod}],
        "startTime": started,
    }


def _condition(
    kind: str, value: bool, before: Properties, now: str, reason: str = "", message: str = ""
) -> dict[str, Json]:
    status = str(value)
    old = next((each for each in objects(before.get("conditions")) if each.get("type") == kind), fields(None))
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": since or now,
        "reason": reason or None,
        "message": message or None,
    }
