from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Unclear
from pavedpath_delivery.stack.repair.reality_kubernetes import Revision, look, stuck_revisions, unblock_release

NONE: frozenset[str] = frozenset()
STATUSES = [
    "deployed",
    "superseded",
    "failed",
    "uninstalling",
    "pending-install",
    "pending-upgrade",
    "pending-rollback",
]


class Cluster:
    """Serves objects by path, with discovery of two kinds, and lists the secrets of a namespace."""

    def __init__(self, *paths: str, records: list[tuple[int, str]] | None = None) -> None:
        self.paths = set(paths)
        self.records = {f"sh.helm.release.v1.api.v{n}": (n, status) for n, status in records or []}
        self.deleted: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "DELETE":
            self.deleted.append(path.rsplit("/", 1)[-1])
            del self.records[self.deleted[-1]]
            return httpx.Response(200, json={})
        if path == "/api/v1":
            names = [("namespaces", "Namespace", False), ("pods", "Pod", True), ("pods/exec", "Pod", True)]
            return httpx.Response(200, json={"resources": self.discovery(names)})
        if path == "/apis/rbac.authorization.k8s.io/v1":
            return httpx.Response(200, json={"resources": self.discovery([("roles", "Role", True)])})
        if path == "/api/v1/namespaces/shop/secrets":
            assert request.url.params["labelSelector"] == "owner=helm,name=api"
            return httpx.Response(200, json={"items": [self.secret(name, *r) for name, r in self.records.items()]})
        return httpx.Response(200 if path in self.paths else 404, json={"found": path})

    @staticmethod
    def discovery(names: list[tuple[str, str, bool]]) -> list[dict[str, Any]]:
        return [{"name": name, "kind": kind, "namespaced": namespaced} for name, kind, namespaced in names]

    @staticmethod
    def secret(name: str, number: int, status: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {"version": str(number), "status": status}}}

    def api(self) -> KubernetesApi:
        return KubernetesApi(httpx.Client(base_url="http://k", transport=httpx.MockTransport(self.answer)))


def thing(version: str, kind: str, **metadata: str) -> PendingOperation:
    inputs = {"apiVersion": version, "kind": kind, "metadata": metadata}
    return PendingOperation("creating", "u", f"kubernetes:{version}:{kind}", custom=True, inputs=inputs)


def release(operation: str = "creating") -> PendingOperation:
    inputs = {"name": "api", "namespace": "shop", "chart": "./charts/api"}
    return PendingOperation(operation, "u", "kubernetes:helm.sh/v3:Release", custom=True, inputs=inputs)


def test_objects_are_found_where_discovery_says() -> None:
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/deploy"
    cluster = Cluster("/api/v1/namespaces/shop", role, "/api/v1/namespaces/default/pods/p")
    cases = [
        (thing("v1", "Namespace", name="shop"), Exists("shop")),
        (thing("v1", "Namespace", name="gone"), Absent()),
        (thing("rbac.authorization.k8s.io/v1", "Role", name="deploy", namespace="shop"), Exists("shop/deploy")),
        (thing("rbac.authorization.k8s.io/v1", "Role", name="deploy", namespace="other"), Absent()),
        (thing("v1", "Pod", name="p"), Exists("default/p")),
        (thing("acme.test/v1", "Widget", name="w"), Absent()),
        (thing("v1", "Pod"), Unclear("its apiVersion, kind or name is not known")),
    ]
    assert [look(one, NONE, cluster.api()) for one, _ in cases] == [reality for _, reality in cases]


@pytest.mark.parametrize(
    ("records", "gone", "exists"),
    [
        ([], [], False),
        ([(1, "pending-install")], [1], False),
        ([(1, "failed")], [1], False),
        ([(1, "deployed")], [], True),
        ([(1, "deployed"), (2, "pending-upgrade")], [2], True),
        ([(1, "superseded"), (2, "deployed"), (3, "failed"), (4, "pending-rollback")], [4], True),
        ([(1, "deployed"), (2, "failed")], [], True),
        ([(9, "deployed"), (10, "pending-upgrade")], [10], True),
    ],
)
def test_records_that_block_a_release(records: list[tuple[int, str]], gone: list[int], exists: bool) -> None:
    cluster = Cluster(records=records)
    assert look(release(), NONE, cluster.api()) == (Exists("shop/api") if exists else Absent())
    assert cluster.deleted == []  # looking changes nothing
    removed = unblock_release(cluster.api(), release("updating"))
    assert removed == cluster.deleted
    assert sorted(int(name.rsplit(".v", 1)[1]) for name in removed) == gone


@given(st.lists(st.sampled_from(STATUSES), max_size=6))
def test_afterwards_nothing_blocks_and_what_was_deployed_is_kept(statuses: list[str]) -> None:
    revisions = [Revision(f"v{number}", number, status) for number, status in enumerate(statuses)]
    stuck = stuck_revisions(revisions)
    left = [revision for revision in revisions if revision not in stuck]
    assert not left or not left[-1].status.startswith("pending-")
    assert not any(revision.status in ("deployed", "superseded") for revision in stuck)
    assert stuck_revisions(left) == []


def test_a_cluster_that_does_not_answer_is_no_absence() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    api = KubernetesApi(httpx.Client(base_url="http://k", transport=httpx.MockTransport(refuse)))
    for one in (thing("v1", "Namespace", name="shop"), release()):
        found = look(one, NONE, api)
        assert isinstance(found, Unclear)
        assert found.reason.startswith("the cluster could not be asked: no answer from k:80 (refused). Fix: ")
