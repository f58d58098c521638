"""The whole graph of each stack, as a reviewer reads it."""

import json
from collections.abc import Iterator

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from stacks import program
from stacks.settings import ENVIRONMENTS, MODELS, ROOT
from tests.mocks import ANSWERS, Graph, run
from tests.stacks.programs import PLAIN, deploy, refused

MOST_RESOURCES = 300
"""A self-managed backend rewrites the whole state on each change."""


class TextExtension(SingleFileSnapshotExtension):
    """One readable file for each stack, beside the tests."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


def render(graph: Graph) -> str:
    """Write a graph as a person reads it: each resource under its parent, with its inputs."""
    children: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        children.setdefault(node.parent, []).append(node.urn)
    roots = [urn for urn in children if urn not in graph.nodes]

    def lines(urn: str, depth: int) -> Iterator[str]:
        for child in sorted(children.get(urn, []), key=lambda each: (graph.nodes[each].type_, graph.nodes[each].name)):
            node = graph.nodes[child]
            yield f"{'  ' * depth}{node.type_}  {node.name}"
            for key, value in sorted(node.inputs.items()):
                yield f"{'  ' * (depth + 2)}{key}: {json.dumps(value, sort_keys=True)}"
            yield from lines(child, depth + 1)

    body = "\n".join(line for root in roots for line in lines(root, 0))
    custom = sum(node.custom for node in graph.nodes.values())
    return f"{custom} resources in {len(graph.nodes) - custom} components\n\n{body}\n"


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_graph(stack: str, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion) -> None:
    graph = deploy(stack, monkeypatch)
    text = render(graph)
    assert graph.repeated == []
    assert PLAIN not in text
    assert PLAIN not in json.dumps(list(graph.outputs.values()))
    assert text == snapshot(extension_class=TextExtension)


def test_the_table_of_sizes_is_true_and_no_stack_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[str] = []
    for stack in MODELS:
        nodes = deploy(stack, monkeypatch).nodes.values()
        resources = sum(node.custom for node in nodes)
        rows.append(f"| {stack} | {resources} | {len(nodes) - resources} |")
        assert resources < MOST_RESOURCES
    assert "\n".join(rows) in (ROOT / "docs" / "stacks.md").read_text(), "\n".join(rows)


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_only_components_stand_at_the_top(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = deploy(stack, monkeypatch)
    top = {node.type_ for node in graph.nodes.values() if node.parent not in graph.nodes}
    assert {type_ for type_ in top if not type_.startswith("pavedpath:index:")} <= {
        "pulumi:pulumi:StackReference",
    }


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_every_aws_resource_that_takes_tags_carries_the_stacks(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tagged = [node for node in deploy(stack, monkeypatch).nodes.values() if "tags" in node.inputs]
    assert bool(tagged) == (stack in ENVIRONMENTS)
    for node in tagged:
        assert node.inputs["tags"] == {
            "Name": node.name,
            "environment": stack,
            "owner": "platform",
            "project": "pavedpath",
        }


def test_unusable_files_stop_the_stack_before_its_first_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    applications = {"nowhere": {"repository": "storefront", "chart": "charts/none"}}
    message = refused(lambda: deploy("dev", monkeypatch, applications=applications))
    for part in (
        "pavedpath:applications.nowhere.chart: chart charts/none",
        "nowhere/dev.yaml: cannot be read",
        "dev.secrets.yaml: cannot be read",
    ):
        assert part in message


def test_a_repository_that_shared_does_not_make(monkeypatch: pytest.MonkeyPatch) -> None:
    deployments: dict[str, object] = {"storefront": {}, "orders": {}, "warehouse": {}}
    with pytest.raises(Exception, match=r"the stack shared makes no repository 'warehouse' \(it makes: orders, store"):
        deploy("dev", monkeypatch, deployments=deployments)


def test_an_unknown_stack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    assert "is not one of this program's: shared, dev, prod" in refused(lambda: run(program.main, "staging", ANSWERS))


@pytest.mark.parametrize("stack", sorted(MODELS))
def test_no_two_tagged_resources_of_a_type_share_a_name(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repair tells by the tag Name, which is the logical name, what an interrupted creation left behind."""
    tagged = [node for node in deploy(stack, monkeypatch).nodes.values() if "tags" in node.inputs]
    found = [(node.type_, node.name) for node in tagged]
    assert sorted(found) == sorted(set(found))
