"""Objects of the Kubernetes API, short."""

from typing import Any


def workload(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, name: str = "shop", generation: int = 1
) -> dict[str, Any]:
    metadata = {"name": name, "generation": generation, "annotations": {"meta.helm.sh/release-name": "shop"}}
    selector = {"matchLabels": {"app": name}}
    seen = {"observedGeneration": generation, **(status or {})}
    return {"metadata": metadata, "spec": {"replicas": 3, "selector": selector, **(spec or {})}, "status": seen}


def pod(name: str, status: dict[str, Any], app: str = "shop", created: str = "1") -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": app}, "creationTimestamp": created}
    return {"metadata": metadata, "spec": {"containers": [{"name": "web", "image": "i:1"}]}, "status": status}


def container(state: dict[str, Any], last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    return {"name": "web", "state": state, "lastState": last or {}, "restartCount": restarts}


def waiting(reason: str, last: dict[str, Any] | None = None, restarts: int = 0, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [container(state, last, restarts)]}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message}
