"""Live objects against the manifest that Helm keeps of its release: the one that `helm get manifest` shows."""

from collections.abc import Iterator
from functools import cache

from pavedpath_delivery.deploy import releases
from pavedpath_delivery.deploy.manifests import documents, secrets_of
from pavedpath_delivery.deploy.releases import Cluster
from pavedpath_delivery.deploy.secrets import Hider
from pavedpath_delivery.drift.model import Audit, Finding, Severity, Unchecked, shown
from pavedpath_delivery.drift.objects import Difference, differences
from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError


def audit(cluster: Cluster, namespace: str, name: str) -> Audit:
    """Return how a release's objects differ from what it declared."""
    import httpx

    place = f"release {namespace}/{name}"
    try:
        revision = releases.running(releases.history(cluster, namespace, name))
    except (httpx.HTTPError, DeliveryError) as error:
        return Audit(unchecked=(Unchecked(place, _reason(error), whole=True),))
    if revision is None:
        return Audit(unchecked=(Unchecked(place, "Helm holds no revision of it for deployed", whole=True),))
    hide = Hider(secrets_of(revision.manifest))
    findings: list[Finding] = []
    unchecked: list[Unchecked] = []
    discovery = _Discovery(cluster)
    declared = documents(revision.manifest)
    scaled = frozenset(_scaled(declared))
    for document in declared:
        where = f"{place}: {document.get('kind')} {fields(document.get('metadata')).get('name')}"
        try:
            path = discovery.path(str(document.get("apiVersion")), str(document.get("kind")))
            live = cluster.get(_object_path(path, document, namespace)) if path else None
        except httpx.HTTPError as error:
            unchecked.append(Unchecked(where, _reason(error)))
            continue
        if not path:
            unchecked.append(
                Unchecked(where, f"the cluster knows no kind {document.get('kind')} of {document.get('apiVersion')}")
            )
            continue
        why = f"Helm, revision {revision.number} of {namespace}/{name}"
        findings += _findings(where, why, name, document, live, hide, scaled)
    return Audit(tuple(findings), tuple(unchecked))


def _findings(
    where: str,
    why: str,
    release: str,
    document: Properties,
    live: Json | None,
    hide: Hider,
    scaled: frozenset[tuple[str, str]],
) -> Iterator[Finding]:
    fix = f"`pavedpath deploy {release} … --force` puts it back; or change the chart or its values"
    if live is None:
        yield Finding("object-gone", where, "it is gone", "it is there", why, fix, Severity.HIGH)
        return
    key = str(document.get("kind")), str(fields(document.get("metadata")).get("name"))
    for each in differences(document, fields(live)):
        if each.path == "spec.replicas" and key in scaled:
            continue
        yield _finding(f"{where} {each.path}", why, fix, each, hide)


def _finding(where: str, why: str, fix: str, found: Difference, hide: Hider) -> Finding:
    by = f" (set by {found.manager})" if found.manager else ""
    live, declared = (hide(shown(value)) for value in (found.live, found.declared))
    return Finding("object-changed", where, f"{live}{by}", declared, why, fix, Severity.MEDIUM)


def _scaled(declared: list[Properties]) -> Iterator[tuple[str, str]]:
    """Yield the workloads whose number of pods an autoscaler decides."""
    for each in declared:
        if each.get("kind") == "HorizontalPodAutoscaler":
            of = fields(fields(each.get("spec")).get("scaleTargetRef"))
            yield str(of.get("kind")), str(of.get("name"))


class _Discovery:
    """Where the cluster keeps the objects of a kind, by its own discovery; None for a kind that it does not know."""

    def __init__(self, cluster: Cluster) -> None:
        def resources(version: str) -> list[Properties]:
            root = f"/apis/{version}" if "/" in version else f"/api/{version}"
            return objects(fields(cluster.get(root)).get("resources"))

        self._resources = cache(resources)

    def path(self, version: str, kind: str) -> tuple[str, str, bool] | None:
        for each in self._resources(version):
            if each.get("kind") == kind and "/" not in str(each.get("name")):
                return version, str(each["name"]), bool(each.get("namespaced"))
        return None


def _object_path(kind: tuple[str, str, bool], document: Properties, namespace: str) -> str:
    version, plural, namespaced = kind
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    metadata = fields(document.get("metadata"))
    within = f"/namespaces/{metadata.get('namespace') or namespace}" if namespaced else ""
    return f"{root}{within}/{plural}/{metadata.get('name')}"


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code}: {error.response.reason_phrase}"
    return str(error) or type(error).__name__
