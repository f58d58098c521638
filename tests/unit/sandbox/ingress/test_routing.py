from typing import Any

import pytest
from pavedpath_sandbox.ingress.routing import Backend, Endpoint, endpoints, find, hosts


def ingress(*rules: dict[str, Any], namespace: str = "ns", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace}, "spec": {"rules": list(rules), **spec}}


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    entries = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": name, "port": {"number": 80}}}}
        for path, kind, name in paths
    ]
    return {"host": host, "http": {"paths": entries}} if host else {"http": {"paths": entries}}


SHOP = [
    ingress(
        rule("shop.example", ("/", "Prefix", "web"), ("/api", "Prefix", "api"), ("/api", "Exact", "exact")),
        rule("*.example", ("/", "Prefix", "wild")),
        rule("", ("/any", "Prefix", "any")),
    ),
    ingress(rule("other.example", ("/", "Prefix", "nginx")), ingressClassName="nginx"),
]


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("shop.example", "/", "web"),
        ("shop.example", "/apis", "web"),
        ("shop.example", "/api", "exact"),
        ("shop.example", "/api/x", "api"),
        ("a.example", "/x", "wild"),
        ("a.b.example", "/x", None),
        ("else.org", "/any/thing", "any"),
        ("else.org", "/", None),
        ("other.example", "/", "wild"),
    ],
)
def test_the_best_rule_wins(host: str, path: str, service: str | None) -> None:
    found = find(SHOP, host, path)
    assert (found.service if found else None) == service


def test_a_default_backend_comes_last() -> None:
    default = {"service": {"name": "fallback", "port": {"name": "http"}}}
    listed = [*SHOP, ingress(defaultBackend=default)]
    assert find(listed, "nowhere.org", "/") == Backend("ns", "fallback", "http")
    assert find(listed, "shop.example", "/") == Backend("ns", "web", 80)


def test_only_hosts_of_the_sandboxs_class_are_listed() -> None:
    assert hosts(SHOP) == ["*", "*.example", "shop.example"]


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9000}]}}


def piece(name: str, port: int, *pods: tuple[str, bool | None]) -> dict[str, Any]:
    listed = [{"targetRef": {"name": pod}, "conditions": {"ready": ready}} for pod, ready in pods]
    return {"ports": [{"name": name, "port": port}], "endpoints": [*listed, {"addresses": ["10.0.0.1"]}]}


@pytest.mark.parametrize("port", ["http", 80])
def test_the_pods_behind_a_port(port: str | int) -> None:
    slices = [
        piece("http", 8000, ("b", True), ("a", None)),
        piece("http", 8080, ("c", False)),
        piece("metrics", 1, ("a", True)),
    ]
    assert endpoints(SERVICE, slices, port) == [
        Endpoint("a", 8000, True),
        Endpoint("b", 8000, True),
        Endpoint("c", 8080, False),
    ]


def test_a_port_without_a_name() -> None:
    assert endpoints({"spec": {"ports": [{"port": 80}]}}, [piece("", 8000, ("a", True))], 80) == [
        Endpoint("a", 8000, True)
    ]


def test_a_port_that_the_service_has_not() -> None:
    with pytest.raises(LookupError, match="no port 81, but http 80, metrics 9000"):
        endpoints(SERVICE, [], 81)
