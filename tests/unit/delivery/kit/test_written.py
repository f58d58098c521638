"""Files that a person wrote: whatever is wrong with one is a single error with its name and every mistake."""

from pathlib import Path
from typing import Literal

import pytest
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.written import load
from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    count: int = 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no list of things:\n  it is empty"),
        (b"# nothing\n", "is no list of things:\n  it is empty"),
        (b"- 1\n", "is no list of things:\n  it must be keys with values"),
        (b"a: [\n", "is no YAML (line 2)"),
        (b"a: \x00", "is no YAML"),
        (b"[" * 50_000, "is no YAML"),
        (b"version: 1\ncount: 2026-02-30\n", "is no YAML"),
        (b"\xff\xfe", "is no UTF-8 text"),
        (
            b"version: 2\ncount: s3cret\nother: 1\n",
            "version: it must be 1\n  count: it must be a whole number\n  other:",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_every_mistake_and_no_value(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "things.yaml"
    file.write_bytes(content)
    with pytest.raises(DeliveryError) as error:
        load(file, Model, "list of things", "see the page.")
    assert str(error.value).startswith(f"{file} is no ")
    assert said in str(error.value)
    assert str(error.value).endswith("\nFix: see the page.")
    assert "s3cret" not in str(error.value)
    assert error.value.code is Exit.USAGE


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"none\.yaml cannot be read \(No such file or directory\)\."):
        load(tmp_path / "none.yaml", Model, "list of things", "see the page.")
    with pytest.raises(DeliveryError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, Model, "list of things", "see the page.")


def test_what_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "things.yaml").write_text("version: 1\ncount: 3\n")
    assert load(tmp_path / "things.yaml", Model, "list of things", "see the page.") == Model(version=1, count=3)
