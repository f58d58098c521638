"""Text from outside (scanners, clusters, servers, charts) as it may stand in a log: it shows, and commands nothing.

A job's log obeys lines that begin with `::`, and `##[` anywhere in one; a terminal obeys control characters. Source:
actions/runner, `src/Runner.Common/ActionCommand.cs`.
"""

import re

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""All but the tab and the newline: C0, DEL, C1, what turns the direction of text around, and lone surrogates."""
_CONTROL = re.compile(f"[{_CONTROLS}]")
_COMMAND = re.compile(r"^(\s*):(?=:)|##(?=\[)", re.MULTILINE)
_NAMES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str) -> str:
    r"""Return a text of any number of lines with its control characters written out: `\x1b`. Pure."""
    return _CONTROL.sub(_escaped, text)


def lines(text: str) -> str:
    """Return `visible` text in which no line is a command to a job of GitHub Actions. Pure; idempotent."""
    return _COMMAND.sub(lambda found: rf"{found[1]}\x3a" if found[1] is not None else r"#\x23", visible(text))


def plain(text: str) -> str:
    r"""Return a text as one line of `lines`: its own ends of lines are written out, too (`\n`). Pure; idempotent."""
    return lines(re.sub(r"[\n\t]", _escaped, text))


def _escaped(found: "re.Match[str]") -> str:
    code = ord(found[0])
    return _NAMES.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
