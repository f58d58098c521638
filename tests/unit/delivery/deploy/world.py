"""A cluster in memory with a Helm that keeps its records there, in virtual time."""

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from pavedpath_delivery.deploy.helm import Helm, Inputs
from pavedpath_delivery.deploy.place import Place
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.kit.documents import Json, Properties
from pavedpath_delivery.kit.kube import KubernetesApi

from tests.unit.delivery.virtual import VirtualClock

CONFLICT = (
    "conflict occurred while applying object ns/shop apps/v1, Kind=Deployment: Apply failed with 1 conflict: "
    'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(image: str = "r.example/shop/api:v1", *, replicas: int = 2, secret: str = "") -> str:
    """A Deployment, its Service and, if there is one, its Secret, as JSON documents, which are YAML."""
    labels = {"app": "shop"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "api", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    documents: list[dict[str, Any]] = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": labels}},
    ]
    if secret:
        data = {"KEY": base64.b64encode(secret.encode()).decode()}
        documents.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"}, "data": data})
    return "\n---\n".join(json.dumps(each) for each in documents)


def revision(number: int, status: str = "superseded", **fields: Any) -> Revision:
    made = Revision(number, status, START, manifest=manifest(f"r.example/shop/api:v{number}"))
    return replace(made, **fields)


def as_secret(each: Revision) -> dict[str, Any]:
    """Return the record as Helm writes it."""
    chart = {"metadata": {"name": "shop", "version": "1.0.0", "appVersion": "1"}}
    document = {
        "name": "shop",
        "version": each.number,
        "info": {
            "status": each.status,
            "last_deployed": each.changed.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
            "description": each.description,
        },
        "manifest": each.manifest,
        "config": each.values,
        "chart": chart,
        "apply_method": "ssa" if each.server_side else "csa",
    }
    packed = base64.b64encode(gzip.compress(json.dumps(document).encode()))
    return {"metadata": {"name": f"sh.helm.release.v1.shop.v{each.number}"}, "data": {"release": _b64(packed)}}


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def pod(name: str, *, ready: bool = True, image: str = "", reason: str = "", node: str = "n1") -> dict[str, Any]:
    waiting = [{"image": image, "state": {"waiting": {"reason": reason, "message": "not found"}}}] if reason else []
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": name, "labels": {"app": "shop"}, "creationTimestamp": name},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [condition], "containerStatuses": waiting},
    }


@dataclass
class Cluster:
    """Objects by path, records of one release, pods of one namespace."""

    records: list[Revision] = field(default_factory=list[Revision])
    pods: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    running: str = manifest()
    objects: dict[str, Json] = field(default_factory=dict[str, Json])
    denied: set[str] = field(default_factory=set[str])
    on_delete: Callable[[str], None] = lambda _: None
    on_patch: Callable[[Json], None] = lambda _: None

    def get(self, path: str) -> Json | None:
        if path == "/apis/apps/v1/namespaces/ns/deployments/shop":
            found = json.loads(self.running.split("\n---\n")[0])
            ready = sum(each["status"]["conditions"][0]["status"] == "True" for each in self.pods)
            found["status"] = {"replicas": len(self.pods), "updatedReplicas": len(self.pods)}
            found["status"] |= {"readyReplicas": ready, "availableReplicas": ready}
            return found
        return self.objects.get(path)

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Properties]:
        if path.endswith("/secrets"):
            return [as_secret(each) for each in self.records]
        if path.endswith("/pods"):
            return list(self.pods)
        return [value for key, value in self.objects.items() if key.rpartition("/")[0] == path]

    def api(self) -> KubernetesApi:
        """Return a client of it."""

        def answer(request: httpx.Request) -> httpx.Response:
            path, body = request.url.path, json.loads(request.content or b"{}")
            if path.endswith("selfsubjectaccessreviews"):
                asked = body["spec"]["resourceAttributes"]
                allowed = f"{asked['verb']} {asked['resource']}" not in self.denied
                return httpx.Response(201, json={"status": {"allowed": allowed}})
            if request.method == "GET":
                found = self.get(path)
                listed = {"items": self.items(path)}
                return httpx.Response(200 if found or path.endswith("s") else 404, json=found or listed)
            if request.method == "POST":
                where = f"{path}/{body['metadata']['name']}"
                if where in self.objects:
                    return httpx.Response(409, json={"message": "already exists"})
                self.objects[where] = body
            elif request.method == "DELETE":
                self.objects.pop(path, None)
                self.on_delete(path)
            else:
                self.objects[path]["spec"] = {**self.objects[path]["spec"], **body["spec"]}
                self.on_patch(body)
            return httpx.Response(200, json=body)

        return KubernetesApi(httpx.Client(base_url="http://k", transport=httpx.MockTransport(answer)))


@dataclass
class Operation:
    """Ends `after_s` virtual seconds from its beginning, or when it is stopped, with what `finish` then does."""

    clock: VirtualClock
    after_s: float
    finish: Callable[[], str]
    calls: list[str] = field(default_factory=list[str])
    interrupts: int = 0
    _until: float = -1.0

    def wait(self, seconds: float) -> str | None:
        if self._until < 0:
            self._until = self.clock.elapsed + self.after_s
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        self.clock.sleep(min(seconds, max(0.0, self._until - self.clock.elapsed)))
        return self.finish() if self.clock.elapsed >= self._until else None

    def stop(self) -> None:
        self.calls.append("stop")
        self._until = self.clock.elapsed + 1.0

    def end(self) -> None:
        self.calls.append("end")


class FakeHelm(Helm):
    """Keeps its records in the cluster; `script` says how upgrades end, in order: ok, fails, refused, hangs."""

    def __init__(self, cluster: Cluster, clock: VirtualClock, *script: str) -> None:
        super().__init__("helm", 4, {})
        self.cluster = cluster
        self.clock = clock
        self.script = list(script)
        self.calls: list[str] = []
        self.rendered = manifest("r.example/shop/api:v2")
        self.operation: Operation | None = None

    def hiding(self, hide: Callable[[str], str]) -> "FakeHelm":
        return self

    def preview(self, release: str, inputs: Inputs, namespace: str) -> str:
        return self.rendered

    def chart(self, path: str) -> Properties:
        return {"name": "shop", "version": "1.0.0", "appVersion": "1"}

    def default_values(self, path: str) -> Properties:
        return {"image": {"repository": "r.example/shop/api", "tag": "v1"}}

    def lint(self, inputs: Inputs, namespace: str) -> str:
        return ""

    def upgrade(self, release: str, inputs: Inputs, namespace: str, *, take_back: bool = False, **_: Any) -> Any:
        self.calls.append("upgrade" + " taking back" * take_back)
        new = json.loads(inputs.document)["manifest"] if '"manifest"' in inputs.document else self.rendered
        how = self.script.pop(0) if self.script else "ok"
        self.operation = Operation(self.clock, 10.0, lambda: self._finish(how, new))
        return self.operation

    def _finish(self, how: str, new: str) -> str:
        records, number = self.cluster.records, len(self.cluster.records) + 1
        now = self.clock.now()
        if how == "refused":
            return "UPGRADE FAILED: forbidden"
        if how == "ok":
            records[:] = [replace(each, status="superseded") for each in records]
            records.append(revision(number, "deployed", manifest=new, changed=now))
            self.cluster.running = new
            return ""
        records.append(revision(number, "failed", manifest=new, changed=now))
        if how == "conflicts":
            # As Helm 4: its rollback is refused, too, and marks what failed before it.
            records[-1] = replace(records[-1], status="superseded", description='Upgrade "shop" failed: conflict')
            records.append(replace(records[-1], number=number + 1, status="failed"))
            return f"UPGRADE FAILED: {CONFLICT}: {CONFLICT}"
        if how == "overtaken":
            records[:] = [replace(each, status="superseded") for each in records]
            records.append(revision(number + 1, "deployed", description="Upgrade complete", changed=now))
        if how == "fails":
            self._restore(self._good())
        return f"UPGRADE FAILED: {how}"

    def _good(self) -> Revision:
        return next(each for each in reversed(self.cluster.records) if each.status == "deployed")

    def _restore(self, good: Revision) -> None:
        records = self.cluster.records
        records[:] = [replace(e, status="superseded" if e.status == "deployed" else e.status) for e in records]
        text = f"Rollback to {good.number}"
        records.append(
            revision(len(records) + 1, "deployed", manifest=good.manifest, description=text, changed=self.clock.now())
        )
        self.cluster.running = good.manifest

    def rollback(self, release: str, namespace: str, revision: int, *, take_back: bool = False, **_: Any) -> Any:
        self.calls.append(f"rollback {revision}" + " taking back" * take_back)
        how = self.script.pop(0) if self.script else "ok"

        def finish() -> str:
            if how == "conflicts":
                return CONFLICT
            self._restore(self.cluster.records[revision - 1])
            return ""

        return Operation(self.clock, 3.0, finish)

    def uninstall(self, release: str, namespace: str, *, timeout_s: float) -> None:
        self.calls.append("uninstall")
        self.cluster.records.clear()


@dataclass
class World:
    """All of it together."""

    cluster: Cluster = field(default_factory=Cluster)
    clock: VirtualClock = field(default_factory=VirtualClock)
    said: list[str] = field(default_factory=list[str])

    def place(self, helm: FakeHelm) -> Place:
        return Place("shop", "ns", helm, self.cluster, self.clock, self.said.append)
