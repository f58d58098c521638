"""The page of all commands is true: its table, its exit codes, its environment variables."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import Exit
from typer.core import TyperGroup

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "commands" / "index.md"
VARIABLE = r"(?:GITHUB|NOTIFY|CHART_REGISTRY|PAVEDPATH|RELEASE|DOCKER)_[A-Z_]*[A-Z]"
PASSED_ON = {"PAVEDPATH_SECRET"}  # set by `rotate aws` for the test of the new value


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(command, TyperGroup):
        for name, each in command.commands.items():
            yield from commands(each, (*path, name))
    else:
        yield " ".join(path), command


def cells(heading: str) -> list[list[str]]:
    """Return the rows below a heading's table, without the table's own heading; escaped bars are text."""
    section = PAGE.read_text().partition(heading)[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


REAL = dict(commands(typer.main.get_command(app)))


def test_every_command_is_in_the_table_once() -> None:
    listed = [re.findall(r"`([^`]+)`", row[0])[0] for row in cells("# The command")]
    assert sorted(listed) == sorted(REAL)


def test_it_says_which_have_json_and_a_dry_run() -> None:
    wrong: list[str] = []
    for name, _, *marks in cells("# The command"):
        command = REAL[re.findall(r"`([^`]+)`", name)[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        said = [mark == "✓" for mark in marks]
        if said != ["--output" in options, "--dry-run" in options]:
            wrong.append(f"{name}: {said}")
    assert wrong == []


def test_exit_codes_are_those_of_the_program() -> None:
    assert [row[0] for row in cells("## Exit codes")] == [str(int(code)) for code in Exit]


def test_variables_are_those_that_the_program_reads() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "delivery" / "pavedpath_delivery").rglob("*.py"))
    read = set(re.findall(rf"[\"']({VARIABLE})[\"']", sources)) - PASSED_ON
    listed = {name for row in cells("## Environment variables") for name in re.findall(rf"`({VARIABLE})`", row[0])}
    assert listed == read


def test_every_command_with_a_page_of_its_own_is_linked() -> None:
    linked = set(re.findall(r"\]\((\w+\.md)", PAGE.read_text()))
    assert {path.name for path in PAGE.parent.glob("*.md")} - {"index.md"} <= linked


def test_every_page_is_in_the_navigation() -> None:
    docs = ROOT / "docs"
    listed = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
