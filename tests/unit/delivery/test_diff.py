from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.diff import PropertyChange, format_path, parse_path, property_changes
from pavedpath_delivery.stack.events import ResourceState, Step

from tests.unit.delivery.support import replay

KEYS = st.lists(st.integers(0, 99) | st.text(min_size=1, max_size=8), min_size=1, max_size=5)


def step(old: dict[str, Any], new: dict[str, Any], detailed: dict[str, Any] | None = None) -> Step:
    return Step.model_validate(
        {
            "op": "update",
            "urn": "u",
            "type": "t",
            "old": {"inputs": old, "outputs": old},
            "new": {"inputs": new},
            "detailedDiff": detailed,
        }
    )


@given(KEYS)
def test_a_path_is_read_as_it_was_written(keys: list[str | int]) -> None:
    assert parse_path(format_path(keys)) == tuple(keys)


def test_the_providers_own_diff_is_used() -> None:
    found = property_changes(
        step(
            {"tags": {"a.b": "1"}, "rules": [{"n": 1}]},
            {"tags": {}, "rules": [{"n": 2}]},
            {"rules[0].n": {"diffKind": "update-replace"}, 'tags["a.b"]': {"diffKind": "delete", "inputDiff": True}},
        )
    )
    assert found == [
        PropertyChange("rules[0].n", "update", 1, 2, replaces=True),
        PropertyChange('tags["a.b"]', "delete", "1", None),
    ]


JSON_OBJECT = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.recursive(st.integers() | st.text("xy"), lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text("de"), c)),
    max_size=4,
)


@given(JSON_OBJECT, JSON_OBJECT)
def test_comparing_finds_something_exactly_if_the_inputs_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    def emptied(value: Any) -> Any:  # an empty object or list beside nothing at all is no difference worth a line
        if isinstance(value, dict):
            entries = cast(dict[str, Any], value)
            return {k: e for k, v in entries.items() if (e := emptied(v)) not in ({}, [])}
        return [emptied(v) for v in cast(list[Any], value)] if isinstance(value, list) else value

    if emptied(old) != emptied(new):
        assert property_changes(step(old, new))
    if old == new:
        assert not property_changes(step(old, new))


def test_bookkeeping_of_the_sdk_is_no_change() -> None:
    assert property_changes(step({"__defaults": ["a"], "a": 1}, {"__defaults": [], "a": 1})) == []


def test_a_secret_that_changes_is_named_and_not_shown() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
    found = property_changes(step({"values": secret}, {"values": secret}, {"values.a.b": {"diffKind": "update"}}))
    assert found == [PropertyChange("values.a.b", "update", "[secret]", "[secret]")]


def test_a_preview_lists_the_change_and_no_other() -> None:
    changes = replay("preview", "preview").changes
    assert {(c.operation, c.type) for c in changes} == {
        ("update", "aws:cloudwatch/logGroup:LogGroup"),
        ("update", "aws:ecr/repository:Repository"),
    }
    by_type = {c.type: c.properties for c in changes}
    assert by_type["aws:cloudwatch/logGroup:LogGroup"] == (PropertyChange("retentionInDays", "update", 30, 14),)


def test_a_replacement_is_one_change() -> None:
    changes = {c.type: c for c in replay("preview-replace", "preview").changes}
    assert changes["aws:ecr/repository:Repository"].operation == "replace"
    assert (
        PropertyChange("name", "update", "app", "app2", replaces=True)
        in changes["aws:ecr/repository:Repository"].properties
    )


def test_drift_is_what_was_found() -> None:
    changes = {c.type: c for c in replay("drift", "refresh").changes}
    assert changes["aws:ecr/repository:Repository"].operation == "delete"
    assert PropertyChange("retentionInDays", "update", 14, 7) in changes["aws:cloudwatch/logGroup:LogGroup"].properties
    assert len(changes) == 2


def test_nothing_is_nothing() -> None:
    assert replay("preview-none", "preview").changes == []
    assert property_changes(Step(op="update", urn="u", type="t", old=ResourceState(), new=ResourceState())) == []
