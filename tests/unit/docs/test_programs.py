"""Programs on pages of their own run as they stand there."""

from pathlib import Path

import pytest

from tests.unit.docs.blocks import Block, blocks

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "docs" / "adding-a-component.md"]
README = ROOT / "components" / "README.md"
PROGRAMS = [
    *(block for page in PAGES for block in blocks(page)),
    # The other one makes resources, and needs an engine: tests/integration/test_library.py runs it.
    *(block for block in blocks(README) if "pavedpath.workflows" in block.text),
]


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: f"{block.page.name}:{block.line}")
def test_a_program_of_a_page_runs(block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    exec(code, {"__name__": "__main__"})  # noqa: S102  # the page's own program is what is tested
    assert ".github/workflows/deploy.yml" in capsys.readouterr().out


def test_there_is_one_on_each_page() -> None:
    assert {block.page for block in PROGRAMS} == {*PAGES, README}
