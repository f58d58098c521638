"""Which pods a request is for: Ingress, Service and EndpointSlices on plain data.

Source: Kubernetes, "Ingress": an exact host before a wildcard, of the paths the longest, an exact one first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pavedpath_sandbox.documents import Properties, fields, objects

CLASS = "sandbox"
_LEGACY = "kubernetes.io/ingress.class"


@dataclass(frozen=True)
class Backend:
    """A service's port, by name or number, in a namespace."""

    namespace: str
    service: str
    port: str | int


@dataclass(frozen=True)
class Endpoint:
    """A pod behind a service, and the port that it listens on inside its own network."""

    pod: str
    port: int
    ready: bool


def hosts(ingresses: Iterable[Properties]) -> list[str]:
    """The hosts that rules of the sandbox's class name."""
    return sorted({str(rule.get("host") or "*") for each in _ours(ingresses) for rule in _rules(each)})


def find(ingresses: Iterable[Properties], host: str, path: str) -> Backend | None:
    """The backend of the best rule for a host and a path; None if there is no rule."""
    found: list[tuple[tuple[int, int, int], Backend]] = []
    for ingress in _ours(ingresses):
        namespace = str(fields(ingress.get("metadata")).get("namespace"))
        for rule in _rules(ingress):
            by_host = _host_rank(str(rule.get("host") or ""), host)
            for entry in objects(fields(rule.get("http")).get("paths")):
                by_path = _path_rank(entry, path)
                backend = _backend(namespace, fields(entry.get("backend")))
                if by_host and by_path and backend:
                    found.append(((by_host, *by_path), backend))
        if default := _backend(namespace, fields(fields(ingress.get("spec")).get("defaultBackend"))):
            found.append(((0, 0, 0), default))
    return max(found, key=lambda each: each[0])[1] if found else None


def _ours(ingresses: Iterable[Properties]) -> list[Properties]:
    def name(ingress: Properties) -> object:
        annotations = fields(fields(ingress.get("metadata")).get("annotations"))
        return fields(ingress.get("spec")).get("ingressClassName") or annotations.get(_LEGACY) or CLASS

    return [each for each in ingresses if name(each) == CLASS]


def _rules(ingress: Properties) -> list[Properties]:
    return objects(fields(ingress.get("spec")).get("rules"))


def _host_rank(pattern: str, host: str) -> int:
    if not pattern:
        return 1
    if pattern.startswith("*."):
        return 2 if host.partition(".")[2] == pattern[2:].lower() else 0
    return 3 if host == pattern.lower() else 0


def _path_rank(entry: Properties, path: str) -> tuple[int, int] | None:
    wanted = str(entry.get("path") or "/")
    if entry.get("pathType") == "Exact":
        return (len(wanted), 1) if path == wanted else None
    prefix = wanted.rstrip("/")
    return (len(wanted), 0) if path == prefix or path.startswith(f"{prefix}/") else None


def _backend(namespace: str, backend: Properties) -> Backend | None:
    service = fields(backend.get("service"))
    port = fields(service.get("port"))
    number = port.get("name") or port.get("number")
    return Backend(namespace, str(service["name"]), number) if service and number else None


def endpoints(service: Properties, slices: Iterable[Properties], port: str | int) -> list[Endpoint]:
    """The pods behind a service's port, in a stable order.

    Raises:
        LookupError: the service has no such port; names those it has.
    """
    known = objects(fields(service.get("spec")).get("ports"))
    chosen = next((each for each in known if port in (each.get("name"), each.get("port"))), None)
    if chosen is None:
        listed = ", ".join(f"{each.get('name', '')} {each.get('port')}".strip() for each in known)
        raise LookupError(f"it has no port {port}, but {listed or 'none'}")
    found: set[Endpoint] = set()
    for piece in slices:
        numbers = [
            each["port"] for each in objects(piece.get("ports")) if (each.get("name") or "") == chosen.get("name", "")
        ]
        for endpoint in objects(piece.get("endpoints")):
            pod = str(fields(endpoint.get("targetRef")).get("name", ""))
            ready = fields(endpoint.get("conditions")).get("ready") is not False
            found |= {Endpoint(pod, number, ready) for number in numbers if pod}
    return sorted(found, key=lambda each: (each.pod, each.port))
