from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.state.checkpoint import comparable, differences, facts, faults, has_plain_secrets
from pavedpath_delivery.state.project import fill_in_provider

SIGNED = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
STACK = {"urn": "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev", "type": "pulumi:pulumi:Stack"}


def resource(name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::shop::aws:ssm/parameter:Parameter::{name}", "id": name, **more}


def state(*resources: Any, time: str = "2026-03-01T12:00:00.5Z", **more: Any) -> dict[str, Any]:
    return {"version": 3, "deployment": {"manifest": {"time": time}, "resources": [STACK, *resources], **more}}


def test_a_state_says_whose_it_is_and_when_it_was_written() -> None:
    found = facts(state(resource("a"), pending_operations=[{"type": "creating"}]))
    assert (found.project, found.stack, found.resources, found.pending) == ("shop", "dev", 2, 1)
    assert found.written is not None
    assert found.written.isoformat() == "2026-03-01T12:00:00.500000+00:00"
    assert facts(state(time="0001-01-01T00:00:00Z")).written is None, "Go's zero time is no time"
    assert facts({}).stack == ""


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ([], "no `deployment`"),
        ({"version": 3}, "no `deployment`"),
        ({"version": 2, "deployment": {}}, "its version is 2"),
        (state(resource("a", urn="urn:pulumi:prod::shop::t::a")), "not of shop/dev"),
        (state(resource("a", inputs={"v": {**SIGNED, "plaintext": '"x"'}})), "in plain text"),
    ],
)
def test_what_is_no_state_of_the_stack_is_told(export: Any, said: str) -> None:
    assert said in "; ".join(faults(export, "shop", "dev"))
    assert faults(state(resource("a")), "shop", "dev") == []


def test_new_ciphertexts_are_no_difference() -> None:
    one, other = (state(resource("a", inputs={"v": {**SIGNED, "ciphertext": text}})) for text in ("v1:a", "v1:b"))
    assert comparable(one) == comparable(other)
    assert differences(one, other) == []
    assert comparable(one) != comparable(state(resource("a", inputs={"v": "plain"})))


def test_what_a_restore_changes() -> None:
    now = state(resource("a", inputs={"v": 1, "w": 1}, modified="1"), resource("b"))
    then = state(resource("a", inputs={"v": 2, "w": 1}, modified="2"), resource("c"))
    found = {each.urn.rpartition("::")[2]: (each.change, each.properties) for each in differences(now, then)}
    assert found == {"a": ("changed", ("inputs.v",)), "c": ("added", ()), "b": ("removed", ())}


def test_a_resource_that_is_being_replaced_stands_there_twice() -> None:
    both = state(resource("a"), resource("a", id="old", delete=True))
    assert differences(both, both) == []
    assert len(differences(state(resource("a")), both)) >= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(json_values)
def test_rubbish_is_a_fault_and_never_a_traceback(value: Any) -> None:
    for export in (value, {"version": 3, "deployment": value}, {"version": 3, "deployment": {"resources": value}}):
        faults(export, "shop", "dev")
        has_plain_secrets(export)


@given(st.lists(st.sampled_from(["config:", "  shop:x: 1", "# note", "encryptionsalt: v1:x", "encryptedkey: y"])))
def test_a_provider_takes_the_place_of_another_and_of_nothing_else(lines: list[str]) -> None:
    text = "\n".join(lines)
    filled = fill_in_provider(text, "awskms://k", "abc")
    kept = [line for line in lines if not line.startswith(("encryptionsalt", "encryptedkey"))]
    assert [line for line in filled.splitlines() if line] == [
        *kept,
        "secretsprovider: awskms://k",
        "encryptedkey: abc",
    ]
    assert fill_in_provider(filled, "awskms://k", "abc") == filled
