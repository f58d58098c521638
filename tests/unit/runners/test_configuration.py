"""The fleet's configuration survives its way through a parameter, and says what is wrong with it."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_runners.configuration import Budget, Fleet, LabelMatch, Level, Pool, WarmPool

NAMES = st.text("abcdefgh-", min_size=1, max_size=8)
POOLS = st.builds(
    Pool,
    name=NAMES,
    labels=st.lists(NAMES, max_size=3).map(tuple),
    instance_types=st.lists(NAMES, max_size=3).map(tuple),
    subnet_ids=st.lists(NAMES, max_size=3).map(tuple),
    launch_template_id=NAMES,
    maximum=st.integers(1, 100),
    match=st.sampled_from(LabelMatch),
    spot=st.booleans(),
    warm=st.builds(WarmPool, hot=st.integers(0, 5), days=st.lists(st.integers(0, 6)).map(tuple)),
    hourly_usd=st.dictionaries(NAMES, st.floats(0, 10)),
)
FLEETS = st.builds(
    Fleet,
    name=NAMES,
    organization=NAMES,
    pools=st.lists(POOLS, max_size=3).map(tuple),
    repositories=st.lists(NAMES, max_size=3).map(tuple),
    level=st.sampled_from(Level),
    allow_forks=st.booleans(),
    budgets=st.dictionaries(NAMES, st.builds(Budget, capacity=st.floats(1, 10), per_second=st.floats(0, 10))),
)
SMALL = Fleet("dev", "acme", (Pool("arm", ("linux",), ("m7g.large",), ("subnet-1",), "lt-1", 4),))


@given(FLEETS)
def test_what_is_written_is_read(fleet: Fleet) -> None:
    assert Fleet.from_json(fleet.to_json()) == fleet


def test_what_is_default_is_not_written() -> None:
    assert "idle_minutes" not in SMALL.to_json()
    assert "budgets" not in SMALL.to_json()


def test_every_missing_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"^fleet\.organization is missing; fleet\.pools is missing$"):
        Fleet.from_json('{"name": "dev", "hok_id": 1}')


def test_what_a_later_version_has_added_is_ignored_and_told() -> None:
    document = json.loads(SMALL.to_json())
    document["colour"] = {"name": 1}
    document["pools"][0]["size"] = 7
    document["budgets"] = {"ec2": {"capacity": 1.0, "per_second": 1.0, "burst": 2}}
    told: list[str] = []
    read = Fleet.from_json(json.dumps(document), told.append)
    assert sorted(told) == ["fleet.budgets.ec2.burst", "fleet.colour", "fleet.pools[0].size"]
    assert read == dataclasses.replace(SMALL, budgets={"ec2": Budget(1.0, 1.0)})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("app_id", "7", "fleet.app_id: int is needed, got '7'"),
        ("app_id", True, "fleet.app_id: int is needed, got True"),
        ("pools", {}, "fleet.pools: a list is needed"),
        ("budgets", [], "fleet.budgets: an object is needed"),
        ("level", "enterprise", "'enterprise' is not a valid Level"),
    ],
    ids=["text", "truth", "no-list", "no-object", "unknown-level"],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(field: str, value: object, said: str) -> None:
    document = json.loads(SMALL.to_json()) | {field: value}
    with pytest.raises(ValueError, match=said):
        Fleet.from_json(json.dumps(document))


def test_a_pool_is_found_by_name() -> None:
    assert SMALL.pool("arm") is SMALL.pools[0]
    assert SMALL.pool("x64") is None
    assert dataclasses.replace(SMALL, pools=()).pool("arm") is None
