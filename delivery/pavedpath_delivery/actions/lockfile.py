"""The lock file: a TOML table for each action, `["owner/name"]` with version, commit and date. Pure.

Edited as text: comments and order are someone's.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.documents import Json, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

NAME = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHORT = re.compile(r"v?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Pin:
    """An action's version, its commit, and the day on which it was pinned."""

    version: str
    commit: str
    date: str


def version_of(tag: str) -> Version | None:
    """Return the version that a tag of an action means: `v4` and `4.1` are versions, too."""
    text = "v" + tag.removeprefix("v")
    if _SHORT.fullmatch(text):
        text += ".0" * (2 - text.count("."))
    return Version.parse(text)


def parse(text: str, name: str) -> dict[str, Pin]:
    """Read a lock file.

    Raises:
        DeliveryError: no TOML, or entries that are none; all of them are named.
    """
    try:
        tables: Mapping[str, Json] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeliveryError(f"{name} is no TOML: {error}", Exit.USAGE) from None
    pins: dict[str, Pin] = {}
    problems: list[str] = []
    for action, table in tables.items():
        values = fields(table)
        pin = Pin(*(str(values.get(key, "")) for key in ("version", "commit", "date")))
        found = [
            *(["its name is not owner/name"] if not NAME.fullmatch(action) else []),
            *([f"version {pin.version!r} is none"] if version_of(pin.version) is None else []),
            *(["commit is not 40 hexadecimal digits"] if not _COMMIT.fullmatch(pin.commit) else []),
            *([f"date {pin.date!r} is not YYYY-MM-DD"] if not _DATE.fullmatch(pin.date) else []),
        ]
        problems += [f'{name}: ["{action}"]: {each}' for each in found]
        pins[action] = pin
    if problems:
        raise DeliveryError("\n".join([*problems, "Fix: correct these entries."]), Exit.USAGE)
    return pins


def edit(text: str, changes: Mapping[str, Pin]) -> str:
    """Return a lock file with other pins; what it does not have is added at its end.

    Raises:
        DeliveryError: an entry is written in a way that cannot be edited, such as inline.
    """
    lines = text.splitlines(keepends=True)
    for action, pin in changes.items():
        lines = _edit(lines, action, pin)
    edited = "".join(lines)
    expected = {**parse(text, "the lock file"), **changes}
    if parse(edited, "the edited lock file") != expected:
        raise DeliveryError(
            f"The lock file cannot be edited at {', '.join(sorted(changes))}. Fix: write each entry as a table of its"
            ' own, ["owner/name"], with version, commit and date on lines of their own.',
            Exit.USAGE,
        )
    return edited


def _edit(lines: list[str], action: str, pin: Pin) -> list[str]:
    heading = re.compile(rf"""\s*\[\s*(["']){re.escape(action)}\1\s*\]\s*(#.*)?""")
    start = next((number for number, line in enumerate(lines) if heading.fullmatch(line.rstrip("\r\n"))), None)
    values = {"version": pin.version, "commit": pin.commit, "date": pin.date}
    if start is None:
        gap = ["\n"] if lines else []
        last = [f"{lines[-1]}\n"] if lines and not lines[-1].endswith("\n") else lines[-1:]
        return [*lines[:-1], *last, *gap, f'["{action}"]\n', *(f'{key} = "{value}"\n' for key, value in values.items())]
    end = next((n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    return [*lines[: start + 1], *(_assign(line, values) for line in lines[start + 1 : end]), *lines[end:]]


def _assign(line: str, values: Mapping[str, str]) -> str:
    match = re.match(r"""(\s*(version|commit|date)\s*=\s*)(?:"[^"]*"|'[^']*'|[^\s#]+)""", line)
    return f'{match[1]}"{values[match[2]]}"{line[match.end() :]}' if match else line
