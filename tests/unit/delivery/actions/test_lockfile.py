import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.actions.lockfile import Pin, edit, parse, version_of
from pavedpath_delivery.kit.errors import DeliveryError

ROOT = Path(__file__).resolve().parents[4]
NEW = Pin("v2.0.0", "b" * 40, "2026-01-01")
names = st.from_regex(r"[a-z]{1,6}/[a-z.-]{1,6}", fullmatch=True)
pins = st.builds(
    Pin,
    st.from_regex(r"v?[1-9]\.[0-9]\.[0-9]", fullmatch=True),
    st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    st.just("2025-12-02"),
)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, Pin]]:
    """A lock file as people write them, and what is in it."""
    entries = draw(st.dictionaries(names, pins, max_size=4))
    text = draw(st.sampled_from(["", "# Heading\n\n"]))
    for action, pin in entries.items():
        quote = draw(st.sampled_from(['"', "'"]))
        lines = [f"version = {quote}{pin.version}{quote}", f'commit="{pin.commit}"', f"  date = '{pin.date}'  # why"]
        lines = draw(st.permutations([*lines, "# [about] it"]))
        text += f"[{quote}{action}{quote}]{draw(st.sampled_from(['', '  # x']))}\n" + "\n".join(lines) + "\n"
        text += draw(st.sampled_from(["", "\n", "\n# between\n"]))
    return draw(st.sampled_from([text, text.rstrip("\n")])), entries


@given(files(), st.dictionaries(names, pins, max_size=3))
def test_an_edit_changes_what_it_is_told_and_keeps_the_rest(
    file: tuple[str, dict[str, Pin]], changes: dict[str, Pin]
) -> None:
    text, entries = file
    edited = edit(text, changes)
    assert parse(edited, "x") == {**entries, **changes}
    assert list(tomllib.loads(edited)) == [*entries, *(each for each in changes if each not in entries)]
    comments = [line for line in text.splitlines() if "#" in line and "date" not in line]
    assert [line for line in edited.splitlines() if line in comments] == comments
    assert edit(edited, changes) == edited
    assert edit(text, {}) == text


def test_only_the_values_change() -> None:
    text = '# top\n["a/b"] # here\nversion = "v1.0.0" # why\ncommit = "%s"\ndate = "2025-01-01"\n\n["c/d"]\n' % (
        "a" * 40
    )
    text += 'version = "v1.0.0"\ncommit = "%s"\ndate = "2025-01-01"' % ("a" * 40)
    assert edit(text, {"a/b": NEW}) == text.replace("v1.0.0", "v2.0.0", 1).replace("a" * 40, "b" * 40, 1).replace(
        "2025-01-01", "2026-01-01", 1
    )


def test_what_cannot_be_edited_in_place_is_refused() -> None:
    text = f'"a/b" = {{version = "v1.0.0", commit = "{"a" * 40}", date = "2025-01-01"}}\n'
    with pytest.raises(DeliveryError, match="lock file"):
        edit(text, {"a/b": NEW})


def test_every_bad_entry_is_named() -> None:
    text = '["a/b/c"]\nversion = "main"\ncommit = "abc"\ndate = "soon"\n["d/e"]\n'
    with pytest.raises(DeliveryError) as caught:
        parse(text, "lock")
    for part in ("not owner/name", "version 'main'", "40 hexadecimal", "date 'soon'", '["d/e"]: version'):
        assert part in str(caught.value)
    with pytest.raises(DeliveryError, match="lock is no TOML"):
        parse("[", "lock")


def test_the_librarys_own_lock_can_be_read_and_edited() -> None:
    path = ROOT / "components/pavedpath/workflows/actions.lock.toml"
    found = parse(path.read_text(), path.name)
    assert "actions/checkout" in found
    assert parse(edit(path.read_text(), {"actions/checkout": NEW}), path.name)["actions/checkout"] == NEW


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v4", "v4.0.0"), ("4.1", "v4.1.0"), ("v4.1.2", "v4.1.2"), ("0.33.1", "v0.33.1"), ("v1.0.0-rc.1", "v1.0.0-rc.1")],
)
def test_tags_of_actions(tag: str, version: str) -> None:
    assert str(version_of(tag)) == version


@pytest.mark.parametrize("tag", ["main", "", "codeql-bundle-v2.20.0", "v", "vv1", "v1.2.3.4"])
def test_what_is_no_version(tag: str) -> None:
    assert version_of(tag) is None
