"""What docs/workflows.md shows runs, and says what it prints."""

import contextlib
import io
from pathlib import Path

from tests.unit.docs.blocks import blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "workflows.md"


def test_the_page_runs_and_prints_what_it_shows() -> None:
    names: dict[str, object] = {}
    printed = io.StringIO()
    for block in blocks(PAGE):
        code = compile("\n" * (block.line - 1) + block.text, str(PAGE), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, names)  # noqa: S102  # the page's own program is what is tested
    text = printed.getvalue()
    shown = [block.text.strip() for language in ("text", "yaml") for block in blocks(PAGE, language)]
    assert len(shown) == 2
    for each in shown:
        assert each in text
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| cd.yml")]
    assert rows
    assert all(row in text for row in rows)
