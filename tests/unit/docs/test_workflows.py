"""This repository's own workflows are what the catalogue gives."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / ".github" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_up_to_date() -> None:
    wanted: dict[Path, str] = generate().files()
    there = {path: path.read_text() for path in (ROOT / ".github" / "workflows").iterdir()}
    assert there == wanted, "run: .venv/bin/python .github/generate.py"


def test_the_command_writes_what_is_old_and_only_says_so_with_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = generate()
    made = {tmp_path / path.name: text for path, text in module.files().items()}
    monkeypatch.setattr(module, "files", lambda: made)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert module.main(["--check"]) == 1
    assert "ci.yml is not what the catalogue gives" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert module.main([]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"ci.yml", "preview.yml"}
    assert module.main(["--check"]) == 0
