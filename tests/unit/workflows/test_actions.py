"""The lock of actions."""

import re

import pytest
from pavedpath.workflows.actions import LOCK_FILE, Lock, LockError, Pin, UnknownActionError, default_lock, parse

PIN = Pin(repository="acme/tool", version="v1.2.3", commit="a" * 40, date="2026-01-01")
ENTRY = '["acme/tool"]\nversion = "v1.2.3"\ncommit = "' + "a" * 40 + '"\ndate = "2026-01-01"\n'


def test_an_entry_is_read() -> None:
    assert parse(ENTRY).pins == {"acme/tool": PIN}


def test_the_librarys_own_has_what_the_pipelines_use() -> None:
    lock = default_lock()
    assert default_lock() is lock
    for action in ("actions/checkout", "docker/build-push-action", "github/codeql-action/upload-sarif"):
        assert re.fullmatch(re.escape(action) + "@[0-9a-f]{40}", lock.reference(action))
    assert list(lock.pins) == sorted(lock.pins)


def test_trivy_is_the_release_whose_tag_was_never_moved() -> None:
    assert default_lock().find("aquasecurity/trivy-action").version == "v0.35.0"


def test_a_path_of_an_action_is_in_its_repository() -> None:
    assert parse(ENTRY).reference("acme/tool/sub/path") == f"acme/tool/sub/path@{'a' * 40}"


@pytest.mark.parametrize("action", ["acme/tol", "acme/tool@v1", "acme/tool/", "acme", ""])
def test_what_is_not_locked_is_refused_with_the_nearest_name(action: str) -> None:
    with pytest.raises(UnknownActionError) as raised:
        parse(ENTRY).find(action)
    assert raised.value.nearest in ("acme/tool", None)
    if len(action) > 5:
        assert "did you mean acme/tool?" in str(raised.value)


def test_another_lock_adds_and_replaces() -> None:
    own = Lock({"acme/tool": PIN})
    newer = Lock({"acme/tool": Pin(repository="acme/tool", version="v2", commit="b" * 40, date="2026-02-02")})
    assert own.with_lock(newer).reference("acme/tool").endswith("b" * 40)
    assert set(default_lock().with_lock(own).pins) == {*default_lock().pins, "acme/tool"}


def test_every_entry_that_is_wrong_is_named() -> None:
    text = """
["acme/tool/sub"]
version = "v1"
commit = "main"
date = "2026-01-01"
["acme/branch"]
version = "main"
commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
date = "2026-01-01"
["acme/half"]
version = "v1"
"""
    with pytest.raises(LockError) as raised:
        parse(text, "own.toml")
    found = str(raised.value).split("\n")
    assert [line.split(": ")[1] for line in found] == ["acme/tool/sub", "acme/tool/sub", "acme/branch", "acme/half"]


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(LockError, match="not TOML"):
        parse("[")


def test_renovate_can_find_every_entry() -> None:
    # The expression of renovate.json, in Python's spelling.
    found = re.findall(
        r'\["(?P<depName>[\w.-]+/[\w.-]+)"\]\nversion = "(?P<currentValue>[^"]+)"\n'
        r'commit = "(?P<currentDigest>[0-9a-f]{40})"',
        LOCK_FILE.read_text(),
    )
    assert [name for name, _, _ in found] == list(default_lock().pins)
