"""What the library makes of its smallest uses, and the stacks, keep the rules."""

from collections.abc import Sequence
from typing import Any

import pytest

from policy.model import UNKNOWN, Finding, Resource, ResourceRule
from policy.rules import RULES
from stacks.settings import MODELS
from tests.components.test_contract import SMALLEST, build
from tests.mocks import SECRET, Graph
from tests.stacks.programs import deploy


def resources(graph: Graph) -> list[Resource]:
    """The ids are those that the mocks give."""
    return [
        Resource(node.type_, node.name, node.urn, {"id": f"{node.name}-id", **_known(node.inputs)})
        for node in graph.nodes.values()
    ]


def _known(value: Any) -> Any:
    """Mocks do not tell what is in a secret."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # of JSON
    if isinstance(value, list):
        return [_known(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # of JSON
    return UNKNOWN if value == SECRET else value


def judge(found: Sequence[Resource]) -> list[tuple[str, str, Finding]]:
    """Return the findings with the names of their rules and of the resource's type."""
    broken: list[tuple[str, str, Finding]] = []
    for rule in RULES:
        own = [resource for resource in found if resource.type in rule.types]
        if isinstance(rule, ResourceRule):
            broken += [(rule.name, each.type, finding) for each in own for finding in rule.check(each)]
        else:
            broken += [(rule.name, "", finding) for finding in rule.check(own)]
    return broken


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_the_smallest_use_of_every_component_keeps_the_rules(name: str) -> None:
    graph = build(name, SMALLEST[name], tags={"project": "p", "environment": "e", "owner": "o"})
    assert judge(resources(graph)) == []


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_the_stacks_keep_the_rules(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge(resources(deploy(stack, monkeypatch))) == []
