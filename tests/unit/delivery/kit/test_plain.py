import io
import json
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit import plain
from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import Output, run
from pavedpath_delivery.kit.console import Console
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from rich import console as rich
from rich.table import Table
from rich.text import Text

NASTY = "q\n::error::pwn\n \t::stop-commands::x\r::warning::y##[error]z\x1b[31m\x9b1m\u202e\u2028"
foreign = st.text() | st.lists(st.sampled_from([*":#[]\n\r\t \x1b\x07a", "::", "##["])).map("".join)


def obeyed(text: str) -> list[str]:
    """Lines that a runner would obey, found as it finds them: trimmed, by `::`, or by `##[` anywhere."""
    return [line for line in re.split(r"\r\n|\r|\n", text) if line.strip().startswith("::") or "##[" in line]


@given(foreign)
def test_nothing_commands(text: str) -> None:
    for shown in (plain.lines(text), plain.plain(text)):
        assert obeyed(shown) == []
        assert {each for each in shown if unicodedata.category(each) in ("Cc", "Cs")} <= set("\n\t")
        assert not re.search(r"[\u202a-\u202e\u2028\u2029\x1b]", shown)
    assert not set(plain.plain(text)) & set("\n\r\t")
    assert plain.plain(plain.plain(text)) == plain.plain(text)
    assert plain.lines(plain.lines(text)) == plain.lines(text)


def test_what_is_shown_instead() -> None:
    assert plain.plain("a\n::b\x1b[1m") == r"a\n::b\x1b[1m"
    assert plain.plain("::b") == r"\x3a:b"
    assert plain.lines("a\n\t::b ::c\n##[d]") == "a\n\t\\x3a:b ::c\n#\\x23[d]"
    assert plain.plain("✓ naïve: 日本 a::b #1") == "✓ naïve: 日本 a::b #1"


@given(foreign)
def test_a_console_writes_nothing_that_commands(text: str) -> None:
    console = Console()
    console.file = io.StringIO()
    table = Table()
    table.add_column(Text(text))
    table.add_row(Text(text, style="red"))
    for each in (text, Text(text), Text.assemble((text, "bold"), (text, "red")), table):
        console.print(each, markup=False)
    assert obeyed(console.file.getvalue()) == []
    assert "\x1b" not in console.file.getvalue()


class Shown:
    """The report of a command that repeats what it read."""

    code = Exit.OK

    def document(self) -> Mapping[str, str]:
        return {"text": NASTY}

    def show(self, console: rich.Console) -> None:
        console.print(NASTY, markup=False)

    def summary(self) -> str:
        return f"# Title\n{NASTY}"

    def outputs(self) -> Mapping[str, str]:
        return {}


@pytest.mark.parametrize("output", list(Output))
def test_a_command_is_safe_on_both_streams(capfd: pytest.CaptureFixture[str], output: Output) -> None:
    def works(_: rich.Console) -> Shown:
        return Shown()

    def fails(progress: rich.Console) -> Shown:
        progress.print(NASTY, markup=False)
        raise DeliveryError(NASTY)

    for work in (works, fails):
        with pytest.raises(typer.Exit):
            run(work, output, Actions({}, sys.stderr))
    written = capfd.readouterr()
    if output is Output.JSON:
        worked, failed = re.split(r"\n(?={)", written.out)
        assert json.loads(worked) == {"text": NASTY}
        assert json.loads(failed) == {"error": {"code": 1, "message": NASTY}}
    for text in written:
        assert "pwn" in text
        assert obeyed(text) == []
        assert "\x1b" not in text


def test_annotations_and_summaries_hold_no_control_characters(tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    stream = io.StringIO()
    job = Actions({"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}, stream)
    job.error(NASTY, NASTY)
    job.add_summary(f"# Title\n{NASTY}")
    job.mask("a\x1bb")
    first, mask = stream.getvalue().splitlines()
    assert first.startswith("::error title=q%0A")
    assert "\x1b" not in first
    assert mask == "::add-mask::a\x1bb"  # what is hidden must be the very value
    written = summary.read_text(encoding="utf-8")
    assert written.startswith("# Title\nq\n")
    assert "\x1b" not in written
