"""The whole graph of each stack, as a reviewer reads it."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pavedpath import SopsFile
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from stacks import program
from stacks.settings import ENVIRONMENTS, MODELS, ROOT, SettingsError
from tests.mocks import ANSWERS, Graph, run

PLAIN = "a-decrypted-value"


class TextExtension(SingleFileSnapshotExtension):
    """One readable file for each stack, beside the tests."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]  # pytest finds it
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:6443'}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    def decrypt(file: SopsFile, key_arn: str) -> dict[str, object]:
        tree = json.loads(json.dumps(file.tree))
        return _fill(tree)

    monkeypatch.setattr(SopsFile, "decrypt", decrypt)
    before = Path.cwd()
    yield
    os.chdir(before)


def _fill(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _fill(value) for key, value in cast(dict[str, Any], tree).items()}
    return PLAIN


def config_of(stack: str) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"])


def deploy(stack: str, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Graph:
    config = {**config_of(stack), **{f"pavedpath:{key}": value for key, value in changed.items()}}
    flat = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(flat))
    return run(program.main, stack, ANSWERS)


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


def refused(make: Callable[[], Graph]) -> str:
    """Return the message of a program that must stop before its first resource."""
    with pytest.raises(SettingsError) as caught:
        make()
    return str(caught.value)


def test_unusable_files_stop_the_stack_before_its_first_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    applications = {"nowhere": {"repository": "storefront", "chart": "charts/none"}}
    message = refused(lambda: deploy("dev", monkeypatch, applications=applications))
    assert "files that cannot be used" in message
    for part in ("applications.nowhere.chart", "nowhere/dev.yaml: cannot be read", "dev.secrets.yaml: cannot be read"):
        assert part in message


def test_a_repository_that_shared_does_not_make(monkeypatch: pytest.MonkeyPatch) -> None:
    deployments: dict[str, object] = {"storefront": {}, "warehouse": {}}
    with pytest.raises(Exception, match="the stack shared makes no repository 'warehouse' \\(it makes: storefront\\)"):
        deploy("dev", monkeypatch, deployments=deployments)


def test_an_unknown_stack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    assert "is not one of this program's: shared, dev, prod" in refused(lambda: run(program.main, "staging", ANSWERS))
