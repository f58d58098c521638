"""Looks in the cluster for an object or a Helm release whose creation was interrupted."""

import os
from dataclasses import dataclass

from pavedpath_delivery.kit.documents import fields, objects
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.errors import StackCommandError
from pavedpath_delivery.stack.events import RELEASE_TYPE, plain
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Reality, Unclear


@dataclass(frozen=True)
class Revision:
    """One record of Helm: a secret `sh.helm.release.v1.<name>.v<number>`; `status` is its label."""

    secret: str
    number: int
    status: str


def stuck_revisions(revisions: list[Revision]) -> list[Revision]:
    """Return the records that must go so that Helm works on the release again. Pure.

    Helm refuses every operation while the newest record is `pending-*` ("another operation is in progress"). Of a
    release that was never deployed nothing is kept, so that it is installed anew (Helm adopts the objects that the
    first try left, they carry the release's name); of one that was, only the unfinished newest records go.
    Source: `action/action.go` and `storage/driver/secrets.go` of helm.
    """
    ordered = sorted(revisions, key=lambda revision: revision.number)
    if not any(revision.status in ("deployed", "superseded") for revision in ordered):
        return ordered
    stuck: list[Revision] = []
    while ordered and ordered[-1].status.startswith("pending-"):
        stuck.append(ordered.pop())
    return stuck


def release_name(operation: PendingOperation) -> tuple[str, str]:
    """Return the namespace and the name of a Release; the name is empty if it is not known."""
    return operation.text("namespace") or "default", operation.text("name")


def revisions(api: KubernetesApi, namespace: str, name: str) -> list[Revision]:
    """Return Helm's records of a release."""
    secrets = api.items(f"/api/v1/namespaces/{namespace}/secrets", {"labelSelector": f"owner=helm,name={name}"})
    found: list[Revision] = []
    for secret in secrets:
        labels = fields(secret["metadata"].get("labels"))
        number = int(labels.get("version") or str(secret["metadata"]["name"]).rpartition(".v")[2])
        found.append(Revision(str(secret["metadata"]["name"]), number, str(labels.get("status", ""))))
    return found


def unblock_release(api: KubernetesApi, operation: PendingOperation) -> list[str]:
    """Remove the records that block a release; return the names of those removed."""
    namespace, name = release_name(operation)
    if not name:
        return []
    stuck = stuck_revisions(revisions(api, namespace, name))
    for revision in stuck:
        api.delete(f"/api/v1/namespaces/{namespace}/secrets/{revision.secret}")
    return [revision.secret for revision in stuck]


def object_path(api: KubernetesApi, operation: PendingOperation) -> tuple[str, str] | Unclear:
    """Return the API path and the import id of a plain object, with the plural that the cluster's discovery gives."""
    metadata = fields(plain(operation.inputs.get("metadata")))
    name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace") or "default")
    version, kind = operation.text("apiVersion"), operation.text("kind")
    if not (name and version and kind):
        return Unclear("its apiVersion, kind or name is not known")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = objects(fields(api.get(root)).get("resources"))
    entry = next((r for r in resources if r.get("kind") == kind and "/" not in str(r.get("name"))), None)
    if entry is None:
        return f"{root}/unserved", name  # a kind that the cluster does not serve has no objects: the path gives 404
    if entry.get("namespaced"):
        return f"{root}/namespaces/{namespace}/{entry['name']}/{name}", f"{namespace}/{name}"
    return f"{root}/{entry['name']}/{name}", name


def look(operation: PendingOperation, _known: frozenset[str], api: KubernetesApi | None = None) -> Reality:
    """Return what the cluster knows of the object or release."""
    import httpx

    try:
        api = api or KubernetesApi.from_environment(os.environ)
        if operation.type == RELEASE_TYPE:
            return _look_release(api, operation)
        found = object_path(api, operation)
        if isinstance(found, Unclear):
            return found
        path, identifier = found
        return Exists(identifier) if api.get(path) else Absent()
    except (httpx.HTTPError, StackCommandError, KeyError, ValueError) as error:
        return Unclear(f"the cluster could not be asked: {error}")


def _look_release(api: KubernetesApi, operation: PendingOperation) -> Reality:
    namespace, name = release_name(operation)
    if not name:
        return Unclear("its name is not known")
    records = revisions(api, namespace, name)
    kept = len(records) - len(stuck_revisions(records))
    return Exists(f"{namespace}/{name}") if kept else Absent()
