"""Namespace: its limits, its closed network, and what it refuses first."""

from typing import Any

import pytest
from pavedpath import InvalidArgumentsError, Namespace

from tests.mocks import Graph, run


def build(**arguments: Any) -> Graph:
    given: Any = {"name": "shop", "server": "https://127.0.0.1:6443", **arguments}
    return run(lambda: Namespace("shop", given))


def names(graph: Graph) -> set[tuple[str, str]]:
    return {(node.type_.split(":")[-1], node.name) for node in graph.nodes.values()}


def problems(**arguments: Any) -> set[str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        build(**arguments)
    return {problem.argument for problem in caught.value.problems}


RELEASED = {
    ("Namespace", "shop"),
    ("ServiceAccount", "shop-deployer"),
    ("Role", "shop-deployer"),
    ("RoleBinding", "shop-deployer"),
    ("Secret", "shop-deployer-token"),
}


def test_what_release_0_1_0_made_has_its_names_still() -> None:
    assert names(build()) - RELEASED == {("NetworkPolicy", "shop-ingress")}
    assert names(build(deny_ingress=False)) == RELEASED


def test_connections_from_elsewhere_are_denied_unless_named() -> None:
    spec = (
        build(ingress_namespaces=["ingress-nginx"]).one("kubernetes:networking.k8s.io/v1:NetworkPolicy").inputs["spec"]
    )
    named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    assert spec == {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {}}, named]}],
    }


def test_connections_to_elsewhere_are_denied_on_request() -> None:
    graph = build(deny_egress=True, egress_cidrs=["10.0.0.0/16"], egress_namespaces=["db"])
    spec = graph.one("kubernetes:networking.k8s.io/v1:NetworkPolicy", "shop-egress").inputs["spec"]
    assert spec["policyTypes"] == ["Egress"]
    assert {"ipBlock": {"cidr": "10.0.0.0/16"}} in spec["egress"][1]["to"]


def test_a_quota_comes_with_what_a_container_takes_that_states_nothing() -> None:
    graph = build(quota={"cpu": "4", "memory": "8Gi", "pods": 20})
    quota = graph.one("kubernetes:core/v1:ResourceQuota")
    assert quota.inputs["spec"] == {"hard": {"requests.cpu": "4", "limits.memory": "8Gi", "pods": "20"}}
    limits = graph.one("kubernetes:core/v1:LimitRange")
    assert limits.urn in quota.depends_on
    assert limits.inputs["spec"]["limits"] == [
        {"type": "Container", "default": {"memory": "128Mi"}, "defaultRequest": {"cpu": "50m", "memory": "128Mi"}}
    ]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"quota": {"cpu": "lots", "memory": "8GB", "pods": 0}}, {"quota.cpu", "quota.memory", "quota.pods"}),
        ({"quota": {"cpu": "10m", "memory": "1Gi"}}, {"quota.container_cpu"}),
        ({"quota": {"cpu": "1"}}, {"quota.memory"}),
        ({"quota": {"cpu": "1", "memory": "1Gi", "gpu": "1"}}, {"quota.gpu"}),
        ({"quota": 5}, {"quota"}),
        ({"ingress_namespaces": ["Nginx"], "name": "Shop"}, {"ingress_namespaces[0]", "name"}),
        ({"deny_ingress": False, "ingress_namespaces": ["nginx"]}, {"ingress_namespaces"}),
        ({"egress_cidrs": ["10.0.0.1/16"]}, {"egress_cidrs[0]", "egress_cidrs"}),
    ],
)
def test_every_mistake_is_named_by_its_path(arguments: dict[str, Any], named: set[str]) -> None:
    assert problems(**arguments) == named
