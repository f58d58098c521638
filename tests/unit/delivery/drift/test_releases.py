"""A release's objects against its own manifest."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import httpx
from pavedpath_delivery.drift.releases import audit

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: fast}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: hunter2-hunter2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {replicas: 1, paused: false, note: hunter2-hunter2}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: api}
spec: {scaleTargetRef: {kind: Deployment, name: api}}
"""
SPACE = "namespaces/shop"


def record(status: str = "deployed") -> dict[str, Any]:
    document = {
        "version": 3,
        "manifest": MANIFEST,
        "info": {"status": status, "last_deployed": "2026-04-01T00:00:00Z"},
        "chart": {"metadata": {"name": "shop", "version": "1"}},
    }
    packed = gzip.compress(json.dumps(document).encode())
    return {"data": {"release": base64.b64encode(base64.b64encode(packed)).decode()}}


class Cluster:
    """Live objects by path; a number is the status of a refusal."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.records = list(records)
        password = base64.b64encode(b"hunter2-hunter2").decode()
        self.objects: dict[str, Any] = {
            "/api/v1": {"resources": [_kind("ConfigMap", "configmaps"), _kind("Secret", "secrets")]},
            "/apis/apps/v1": {"resources": [_kind("Scale", "deployments/scale"), _kind("Deployment", "deployments")]},
            "/apis/autoscaling/v2": {"resources": [_kind("HorizontalPodAutoscaler", "hpas")]},
            f"/api/v1/{SPACE}/configmaps/settings": {"metadata": {"name": "settings"}, "data": {"mode": "fast"}},
            f"/api/v1/{SPACE}/secrets/login": {"metadata": {"name": "login"}, "data": {"password": password}},
            f"/apis/apps/v1/{SPACE}/deployments/api": {
                "metadata": {"name": "api"},
                "spec": {"replicas": 5, "note": "hunter2-hunter2"},
            },
            f"/apis/autoscaling/v2/{SPACE}/hpas/api": {
                "metadata": {"name": "api"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "api"}},
            },
        }

    def get(self, path: str) -> Any | None:
        found = self.objects.get(path)
        if isinstance(found, int):
            request = httpx.Request("GET", f"https://cluster.test{path}")
            raise httpx.HTTPStatusError("no", request=request, response=httpx.Response(found, request=request))
        return found

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Any]:
        return self.records


def _kind(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "namespaced": True}


def test_a_release_as_it_was_deployed_has_no_findings_and_scaling_is_none() -> None:
    found = audit(Cluster(record()), "shop", "shop")
    assert found.findings == ()
    assert found.unchecked == ()


def test_edited_and_missing_objects_are_told_without_secrets() -> None:
    cluster = Cluster(record())
    cluster.objects[f"/api/v1/{SPACE}/configmaps/settings"]["data"] = {"mode": "slow"}
    cluster.objects[f"/api/v1/{SPACE}/secrets/login"]["data"] = {"password": "b3RoZXItc2VjcmV0"}
    cluster.objects[f"/apis/apps/v1/{SPACE}/deployments/api"]["spec"]["note"] = "no more"
    del cluster.objects[f"/apis/autoscaling/v2/{SPACE}/hpas/api"]
    found = {each.where.partition(": ")[2]: each for each in audit(cluster, "shop", "shop").findings}
    assert set(found) == {
        "ConfigMap settings data.mode",
        "Secret login data.password",
        "Deployment api spec.note",
        "HorizontalPodAutoscaler api",
    }
    assert (found["ConfigMap settings data.mode"].found, found["ConfigMap settings data.mode"].wanted) == (
        "slow",
        "fast",
    )
    assert found["HorizontalPodAutoscaler api"].rule == "object-gone"
    assert "hunter2" not in repr(found)
    assert "b3RoZXItc2VjcmV0" not in repr(found)


def test_what_may_not_be_read_is_not_checked() -> None:
    cluster = Cluster(record())
    cluster.objects[f"/api/v1/{SPACE}/secrets/login"] = 403
    cluster.objects["/apis/apps/v1"] = None
    found = audit(cluster, "shop", "shop")
    assert found.findings == ()
    assert [each.where.partition(": ")[2] for each in found.unchecked] == ["Secret login", "Deployment api"]


def test_a_release_that_is_not_there_is_not_fine() -> None:
    for cluster in (Cluster(), Cluster(record("failed"))):
        (unchecked,) = audit(cluster, "shop", "shop").unchecked
        assert unchecked.whole
