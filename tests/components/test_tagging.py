from collections.abc import Callable

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
