"""What is in an artifact, as the documentation of the actions has it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pavedpath_sandbox.runner.artifacts import download, upload


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("out/a.txt", "out/deep/b.txt", "out/deep/c.log", "out/.hidden", "other/d.txt"):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_text(name)
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "store").mkdir()
    return tmp_path


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["out"], {"a.txt", "deep/b.txt", "deep/c.log"}),
        (["./out/"], {"a.txt", "deep/b.txt", "deep/c.log"}),
        (["out/a.txt"], {"a.txt"}),
        (["out/**/*.txt"], {"a.txt", "deep/b.txt"}),
        (["out/*/b.txt"], {"deep/b.txt"}),
        (["out/deep", "other/d.txt"], {"out/deep/b.txt", "out/deep/c.log", "other/d.txt"}),
        (["out", "!out/**/*.log"], {"a.txt", "deep/b.txt"}),
    ],
)
def test_where_files_are_in_an_artifact(here: Path, patterns: Sequence[str], expected: set[str]) -> None:
    assert upload(here / "store", "x", patterns, "error") == 0
    assert names(here / "store/x") == expected


def test_a_path_may_be_absolute_and_hidden_files_asked_for(here: Path) -> None:
    assert upload(here / "store", "x", [str(here / "work/out")], "error", hidden=True) == 0
    assert names(here / "store/x") == {"a.txt", "deep/b.txt", "deep/c.log", ".hidden"}


@pytest.mark.parametrize(("missing", "status"), [("error", 1), ("warn", 0), ("ignore", 0)])
def test_nothing_to_upload(here: Path, missing: str, status: int) -> None:
    assert upload(here / "store", "x", ["none", str(here / "none")], missing) == status
    assert not (here / "store/x").exists()


def test_an_artifact_is_not_changed(here: Path) -> None:
    assert upload(here / "store", "x", ["out"], "error") == 0
    assert upload(here / "store", "x", ["other"], "error") == 1
    assert "d.txt" not in names(here / "store/x")


def test_what_is_downloaded(here: Path) -> None:
    upload(here / "store", "one", ["out/a.txt"], "error")
    upload(here / "store", "two", ["other"], "error")
    for number, (name, pattern, merge, expected) in enumerate(
        [
            ("one", "", False, {"a.txt"}),
            ("", "", False, {"one/a.txt", "two/d.txt"}),
            ("", "t*", False, {"two/d.txt"}),
            ("", "*", True, {"a.txt", "d.txt"}),
            ("", "none*", False, set[str]()),
        ]
    ):
        target = here / f"down{number}"
        assert download(here / "store", name, pattern, target, merge=merge) == 0
        assert names(target) == expected
    assert download(here / "store", "three", "", here / "down", merge=False) == 1
