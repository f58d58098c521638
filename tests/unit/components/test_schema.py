"""The library as a Pulumi package: its schema, and how a program of another language reaches a component."""

import json
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath import InvalidArgumentsError, NatMode, SubnetTier, Visibility, package
from pavedpath.package import Package
from pulumi.provider.experimental.analyzer import PropertyDefinition, PropertyType

from tests.mocks import Graph, run

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "components" / "schema.json"


@pytest.fixture(scope="module")
def served() -> Package:
    return Package()


def mapped(served: Package, component: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what a component's constructor gets when the engine sends these inputs."""
    definitions = cast(Any, served)._component_defs  # the SDK has no public way to them
    return cast(dict[str, Any], served.map_inputs(inputs, definitions[component]))


def constructed(served: Package, component: str, inputs: dict[str, Any]) -> Graph:
    return run(lambda: served.construct("it", f"pavedpath:index:{component}", cast(Any, inputs)))


class TestSchema:
    def test_is_the_committed_one(self, served: Package) -> None:
        """A change shows in review; one that removes or narrows breaks programs in other languages."""
        current = json.loads(served.schema or "")
        assert current == json.loads(COMMITTED.read_text()), "run .venv/bin/python -m docs.reference"

    def test_holds_every_component_with_its_words(self, served: Package) -> None:
        resources = json.loads(served.schema or "")["resources"]
        assert set(resources) == {f"pavedpath:index:{each.__name__}" for each in package.components()}
        assert all(each["isComponent"] and each["description"] for each in resources.values())
        undescribed = [
            f"{token}.{name}"
            for token, resource in resources.items()
            for name, value in {**resource["inputProperties"], **resource["properties"]}.items()
            if not value.get("description")
        ]
        assert undescribed == []

    def test_is_of_this_version(self, served: Package) -> None:
        assert json.loads(served.schema or "")["version"] == package.version()


class TestInputs:
    def test_get_pythons_names_and_types(self, served: Package) -> None:
        inputs = {"cidr": "10.0.0.0/16", "zones": ["us-east-1a"], "tiers": ["public", "private"], "nat": "one"}
        got = mapped(served, "Vpc", inputs)
        assert got == {**inputs, "tiers": [SubnetTier.PUBLIC, SubnetTier.PRIVATE], "nat": NatMode.ONE}
        assert isinstance(got["nat"], NatMode)
        assert all(isinstance(tier, SubnetTier) for tier in got["tiers"])

    def test_whole_numbers_are_whole(self, served: Package) -> None:
        got = mapped(served, "ImageRegistry", {"repositories": ["shop/api"], "keepImages": 7.0})
        assert got == {"repositories": ["shop/api"], "keep_images": 7}
        assert type(got["keep_images"]) is int

    def test_maps_keep_their_keys(self, served: Package) -> None:
        got = mapped(
            served, "Repository", {"name": "shop", "checks": {"unit_tests": "make test"}, "visibility": "public"}
        )
        assert got == {"name": "shop", "checks": {"unit_tests": "make test"}, "visibility": Visibility.PUBLIC}

    def test_secrets_stay_secret(self, served: Package) -> None:
        async def check() -> None:
            secret = pulumi.Output.secret(30.0)
            value = served._value(secret, PropertyDefinition(type=PropertyType.INTEGER))  # pyright: ignore[reportPrivateUsage]  # the one place that sees an output
            assert await value.is_secret()
            assert await value.future() == 30

        import asyncio

        asyncio.run(check())

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_rubbish_is_refused_by_the_component_and_not_by_the_mapping(self, served: Package, value: Any) -> None:
        for name in ("tiers", "nat", "zones", "cidr"):
            mapped(served, "Vpc", {name: value})


class TestConstruct:
    def test_makes_the_component(self, served: Package) -> None:
        graph = constructed(served, "ImageRegistry", {"repositories": ["shop/api"], "keepImages": 7.0})
        policy = graph.one("aws:ecr/lifecyclePolicy:LifecyclePolicy", "shop/api").inputs["policy"]
        assert '"countNumber": 7' in policy
        assert "7.0" not in policy

    def test_names_a_misspelt_argument_as_in_python(self, served: Package) -> None:
        with pytest.raises(Exception, match=r"keepImage: there is no such argument.*did you mean 'keep_images'"):
            constructed(served, "ImageRegistry", {"repositories": ["shop/api"], "keepImage": 7.0})

    def test_names_every_missing_argument(self, served: Package) -> None:
        with pytest.raises(Exception, match=r"(?s)cidr: it is required.*zones: it is required"):
            constructed(served, "Vpc", {})

    def test_names_a_choice_that_there_is_not(self, served: Package) -> None:
        inputs = {"cidr": "10.0.0.0/16", "zones": ["us-east-1a"], "nat": "two", "tiers": ["public", "secret"]}
        with pytest.raises(
            Exception, match=r"(?s)tiers\[1\] = 'secret': there is no such choice.*nat = 'two'.*choose none"
        ):
            constructed(served, "Vpc", inputs)


def test_python_programs_may_give_a_choice_as_text_too() -> None:
    import pavedpath

    args: Any = {"cidr": "10.0.0.0/16", "zones": ["us-east-1a"], "nat": "one"}
    assert run(lambda: pavedpath.Vpc("it", args)).of_type("aws:ec2/natGateway:NatGateway")
    wrong: Any = {**args, "nat": "two"}
    with pytest.raises(InvalidArgumentsError, match="choose none, one, per_zone"):
        run(lambda: pavedpath.Vpc("it", wrong))
