"""The tests that docs/coverage.md names are there, and every row of the documents has its line."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "coverage.md"
ROWS = {"000": 27, "001": 17, "002": 17, "003": 56, "004": 26}


def section(document: str) -> list[list[str]]:
    text = PAGE.read_text().partition(f"\n## {document} ")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if "| " in line]


@pytest.mark.parametrize("document", ROWS)
def test_every_row_is_there_once(document: str) -> None:
    rows = section(document)[1:]
    assert [row[0] for row in rows] == [str(number) for number in range(1, ROWS[document] + 1)]
    assert all(len(row) == 4 and all(row) for row in rows)


@pytest.mark.parametrize("document", ROWS)
def test_a_place_and_a_test_go_together(document: str) -> None:
    assert [row[0] for row in section(document)[1:] if (row[2] == "-") != (row[3] == "-")] == []


def test_the_tests_are_there() -> None:
    missing: list[str] = []
    for name in set(re.findall(r"\btests/[\w/.]+(?:::\w+)*", PAGE.read_text())):
        path, *parts = name.rstrip(".").split("::")
        file = ROOT / path
        text = file.read_text() if file.is_file() else ""
        there = file.exists() and all(re.search(rf"^\s*(?:class|def) {part}\b", text, re.MULTILINE) for part in parts)
        if not there:
            missing.append(name)
    assert missing == []
