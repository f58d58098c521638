from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.leftovers import remove_leftovers

ATTRS = '{"user.cache_control": "", "md5": "x"}'


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / ".pulumi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_what_a_kill_left_goes_and_everything_else_stays(tmp_path: Path) -> None:
    kept = {
        "stacks/shop/dev.json": "{}",
        "stacks/shop/dev.json.bak": "{}",
        "stacks/shop/dev.json.bak.attrs": ATTRS,
        "stacks/shop/developers.json.attrs": "",
        "stacks/other/dev.json.attrs": "",
        "history/shop/dev/dev-1.history.json": "{}",
    }
    gone = {
        "stacks/shop/dev.json.attrs": "",
        "stacks/shop/dev.json.18ea15e2ff4767d9.tmp": '{"version": 3',
        "history/shop/dev/dev-1.history.json.attrs": '{"md',
    }
    write(tmp_path, kept | gone)
    removed = remove_leftovers(f"file://{tmp_path}", "shop", "dev", Path("/elsewhere"))
    assert {str(path.relative_to(tmp_path / ".pulumi")) for path in removed} == set(gone)
    left = {str(path.relative_to(tmp_path / ".pulumi")) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)


def test_other_backends_have_no_files(tmp_path: Path) -> None:
    assert remove_leftovers("s3://state?region=us-east-1", "shop", "dev", tmp_path) == []


@given(st.binary())
def test_a_state_is_never_removed(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("backend")
    write(root, {"stacks/shop/dev.json": ""})
    state = root / ".pulumi/stacks/shop/dev.json"
    state.write_bytes(content)
    (root / ".pulumi/stacks/shop/dev.json.attrs").write_bytes(content)
    remove_leftovers(f"file://{root}", "shop", "dev", root)
    assert state.read_bytes() == content
