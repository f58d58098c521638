import importlib
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
from pavedpath import tag_everything

from tests.mocks import Graph, run

TAGS = {"project": "p", "environment": "e", "owner": "o"}


def tagged(tags: Callable[[], pulumi.Input[dict[str, str]]] | None = None) -> Graph:
    def program() -> None:
        tag_everything(TAGS)
        aws.ec2.Vpc("net", cidr_block="10.0.0.0/16", tags=tags() if tags else None)
        aws.autoscaling.Group(
            "group",
            min_size=0,
            max_size=1,
            tags=[{"key": "Name", "value": "x", "propagate_at_launch": True}],
        )

    return run(program)


def test_tags_that_a_resource_states_win() -> None:
    assert tagged(lambda: {"owner": "mine"}).one("aws:ec2/vpc:Vpc").inputs["tags"] == {
        "Name": "net",
        **TAGS,
        "owner": "mine",
    }


def test_tags_may_be_known_only_later() -> None:
    assert tagged(lambda: pulumi.Output.from_input({"Name": "late"})).one("aws:ec2/vpc:Vpc").inputs["tags"] == {
        "Name": "late",
        **TAGS,
    }


def test_a_groups_tags_are_a_list_and_left_alone() -> None:
    group = tagged().one("aws:autoscaling/group:Group")
    assert [tag["key"] for tag in group.inputs["tags"]] == ["Name"]


def test_every_resource_is_named_by_its_logical_name() -> None:
    def program() -> None:
        tag_everything(TAGS)
        vpc = aws.ec2.Vpc("net", cidr_block="10.0.0.0/16")
        aws.ec2.EgressOnlyInternetGateway("out", vpc_id=vpc.id)
        aws.kms.Key("key")
        aws.kms.Alias("alias", target_key_id="x")

    graph = run(program)
    named = {node.name: node.inputs["tags"]["Name"] for node in graph.nodes.values() if "tags" in node.inputs}
    assert named == {name: name for name in ("net", "out", "key")}


def provided() -> Iterator[type[pulumi.Resource]]:
    """Yield the classes of the AWS resources that the sandbox's provider has."""
    mapping = Path(__file__).parents[2] / "toolchain" / "recipes" / "aws-provider" / "mapping.json"
    for token in json.loads(mapping.read_text())["resources"].values():
        service, name = token.split("/")
        yield getattr(importlib.import_module(f"pulumi_aws.{'lambda_' if service == 'lambda' else service}"), name)


def test_tags_are_a_mapping_wherever_they_are_added() -> None:
    others = set[str]()
    for resource in provided():
        initialise: Any = vars(resource)["_internal_init"]  # the generated classes list their properties here alone
        tags = inspect.signature(initialise).parameters.get("tags")
        if tags is not None and not any(
            typing.get_origin(each) is typing.get_origin(Mapping[str, Any]) for each in typing.get_args(tags.annotation)
        ):
            others.add(resource.__name__)
    assert others == {"Group"}, "these take tags of another form: see _TAGS_OF_ITS_OWN"
