from itertools import islice
from pathlib import Path

import pytest
from pavedpath_sandbox import logs


def test_the_last_lines_of_each_then_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws, etcd = tmp_path / "aws.log", tmp_path / "etcd.log"
    aws.write_text("1\n2\n3\n")
    etcd.write_text("x\n")
    (tmp_path / "aws.previous.log").write_text("old\n")
    # While it waits: a whole line and half of one, the other half, and a part that was started anew.
    contents = iter(["1\n2\n3\n4\nhal", "1\n2\n3\n4\nhalf\n", "new\n"])

    def wait(_: float) -> None:
        aws.write_text(next(contents))

    monkeypatch.setattr("time.sleep", wait)
    found = list(islice(logs.read(tmp_path, (), 2, follow=True), 6))
    assert found == ["aws   2", "aws   3", "etcd  x", "aws   4", "aws   half", "aws   new"]


def test_chosen_parts_only(tmp_path: Path) -> None:
    (tmp_path / "aws.log").write_text("1\n")
    (tmp_path / "etcd.log").write_text("x\n")
    assert list(logs.read(tmp_path, ("etcd",), 5, follow=False)) == ["etcd  x"]
    assert list(logs.read(tmp_path, (), 0, follow=False)) == []
    with pytest.raises(logs.UnknownPartError, match="no log of kwok; there are aws, etcd"):
        list(logs.read(tmp_path, ("kwok",), 5, follow=False))
