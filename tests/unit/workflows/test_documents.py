"""The documents' snippets: what linters find in them, as the page says; and the pages' own programs."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.unit.docs.blocks import Block, blocks

ROOT = Path(__file__).resolve().parents[3]
SNIPPETS = sorted(Path(__file__).with_name("documents").glob("*.yml"))
PAGES = ROOT / "docs" / "pipelines"
PROGRAMS = [block for page in sorted(PAGES.glob("*.md")) for block in blocks(page)]


def zizmor() -> dict[str, Counter[str]]:
    """Return the findings by file and severity."""
    command = [Path(sys.executable).with_name("zizmor"), "--offline", "--no-config", "--format", "json", *SNIPPETS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    counts = {path.name: Counter[str]() for path in SNIPPETS}
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    for each in findings:
        where = each["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"]
        counts[Path(where).name][each["determinations"]["severity"]] += 1
    return counts


def said() -> dict[str, tuple[int, ...]]:
    """Return the page's counts: high, medium and informational of zizmor, and those of actionlint."""
    page = (PAGES / "documents-compared.md").read_text()
    rows = re.findall(r"^\| (\S+\.yml) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    return {name: tuple(map(int, numbers)) for name, *numbers in rows}


def test_the_page_says_what_zizmor_finds() -> None:
    found = {
        name: tuple(counts[each] for each in ("High", "Medium", "Informational")) for name, counts in zizmor().items()
    }
    assert {name: counts[:3] for name, counts in said().items()} == found
    assert sum(high for high, *_ in found.values()) >= 5


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page.name}:{block.line}")
def test_a_program_of_a_page_runs(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    exec(code, {"__name__": "__main__"})  # noqa: S102  # the page's own program is what is tested
    assert capsys.readouterr().out
