"""Quantities as Kubernetes writes them, and what the network policies let through."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.namespace import egress_policy, ingress_policy, quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4", 4), ("500m", "0.5"), ("1.5Gi", 3 << 29), ("2e3", 2000), ("1E", 10**18), ("1E3", 1000), (".5", "0.5")],
)
def test_a_quantity_amounts_to(text: str, amount: Any) -> None:
    assert quantity(text) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "1gi", "1KB", "m", "1e", "0x10", "1_000", "\u0661"])
def test_what_kubernetes_refuses_is_no_quantity(text: str) -> None:
    assert quantity(text) is None


@given(st.integers(0, 10**6), st.sampled_from(["", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_a_larger_number_is_a_larger_quantity(number: int, suffix: str) -> None:
    low, high = quantity(f"{number}{suffix}"), quantity(f"{number + 1}{suffix}")
    assert low is not None
    assert high is not None
    assert low < high


@given(st.text(max_size=8))
def test_rubbish_is_a_quantity_or_none(text: str) -> None:
    found = quantity(text)
    assert found is None or found >= 0


def test_connections_come_from_here_and_from_the_named_namespaces_alone() -> None:
    policy: Any = ingress_policy(["ingress-nginx"])
    (rule,) = policy["ingress"]
    assert rule["from_"] == [
        {"pod_selector": {}},
        {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "ingress-nginx"}}},
    ]


def test_connections_go_to_dns_to_here_and_to_what_is_named_alone() -> None:
    policy: Any = egress_policy(["db"], ["10.0.0.0/16"])
    dns, rest = policy["egress"]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert rest["to"] == [
        {"pod_selector": {}},
        {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "db"}}},
        {"ip_block": {"cidr": "10.0.0.0/16"}},
    ]
