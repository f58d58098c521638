"""Registers the cluster's nodes and waits until pods can be created and scheduled."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .config import NODES, REGION

_POLL_SECONDS = 0.1


class ClusterError(Exception):
    """The cluster did not become usable; the message says what is missing."""


@dataclass(frozen=True)
class Api:
    """The API server on 127.0.0.1, called as the administrator."""

    port: int
    ca: Path
    token: str

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
        """Make one call; return the HTTP status and the JSON object of the answer."""
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, cast("dict[str, object]", json.loads(response.read() or b"{}"))
        finally:
            connection.close()


def node(name: str, zone: str) -> dict[str, object]:
    """A node's manifest; kwok fills in its status."""
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "kwok",
        "topology.kubernetes.io/region": REGION,
        "topology.kubernetes.io/zone": zone,
    }
    provider = f"aws:///{zone}/{name}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": provider},
    }


def release(api: Api) -> None:
    """Delete the nodes' leases, before kwok starts.

    Each kwok process has an identity of its own and would wait until its predecessor's leases expire; until then no pod
    would become ready.

    Raises:
        ClusterError: a call was refused.
    """
    for name in NODES:
        status, answer = api.call("DELETE", _lease(name))
        if status not in {200, 404}:
            raise ClusterError(f"the lease of node {name} could not be deleted: {answer.get('message', status)}")


def _lease(name: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"


def ensure(api: Api, timeout: float = 30.0, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Register the nodes and wait until all are ready and the namespace ``default`` has its service account.

    Raises:
        ClusterError: `timeout` seconds passed, or a call was refused.
    """
    for name, zone in NODES.items():
        status, answer = api.call("POST", "/api/v1/nodes", node(name, zone))
        if status not in {201, 409}:  # 409: it is there already
            raise ClusterError(f"node {name} was refused: {answer.get('message', status)}")
    deadline = time.monotonic() + timeout
    while missing := _missing(api):
        if cancelled():
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"after {timeout:.0f} s the cluster still lacks: {', '.join(missing)}")
        time.sleep(_POLL_SECONDS)


def _missing(api: Api) -> list[str]:
    _, answer = api.call("GET", "/api/v1/nodes")
    nodes = cast("list[dict[str, dict[str, object]]]", answer.get("items", []))
    ready = {str(item["metadata"]["name"]) for item in nodes if _is_ready(item)}
    missing = [f"node {name} ready" for name in NODES if name not in ready]
    missing += [f"kwok's lease of node {name}" for name in NODES if api.call("GET", _lease(name))[0] != 200]
    # Pods are refused until the controller manager has made it.
    if api.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] != 200:
        missing.append("the service account default")
    return missing


def _is_ready(item: dict[str, dict[str, object]]) -> bool:
    conditions = cast("list[dict[str, str]]", item.get("status", {}).get("conditions", []))
    tainted = cast("list[object]", item.get("spec", {}).get("taints") or [])
    return not tainted and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
