"""Release notes out of commit messages. Pure.

Source: https://www.conventionalcommits.org/en/v1.0.0/, "Specification".
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEADER = re.compile(r"(?P<kind>[A-Za-z]+)(?:\((?P<scope>[^()\r\n]+)\))?(?P<breaking>!)?: +(?P<text>\S.*)")
_BREAKING = re.compile(r"^BREAKING[ -]CHANGE: +(?P<text>\S.*)", re.MULTILINE)
_GROUPS = {
    "feat": "Features",
    "fix": "Fixes",
    "perf": "Performance",
    "revert": "Reverted",
    "docs": "Documentation",
    **dict.fromkeys(("build", "chore", "ci", "refactor", "style", "test"), "Maintenance"),
}
_OTHER = "Other changes"
_BREAKS = "Breaking changes"
_ORDER = (_BREAKS, *dict.fromkeys(_GROUPS.values()), _OTHER)
# GitHub refuses the body of a release above 125,000 characters.
_LARGEST = 100_000  # what `notes` adds fits above it


@dataclass(frozen=True)
class Commit:
    """A commit that a release brings; `parents` counts, and one with two is a merge."""

    sha: str
    message: str
    parents: int = 1


@dataclass(frozen=True)
class Entry:
    """A line of the notes, in a group."""

    group: str
    text: str


def entries(commits: Iterable[Commit]) -> list[Entry]:
    """Return what commits say for the notes, in their order; merges say nothing that their commits do not."""
    return [entry for commit in commits if commit.parents < 2 for entry in _entries(commit)]


def _entries(commit: Commit) -> list[Entry]:
    subject, _, body = commit.message.strip().partition("\n")
    match = _HEADER.fullmatch(subject.strip())
    kind = match["kind"].lower() if match else ""
    known = match is not None and kind in _GROUPS
    scope = f"**{match['scope']}:** " if match and known and match["scope"] else ""
    end = f" ({commit.sha[:7]})"
    text = scope + (match["text"] if match and known else subject.strip()) + end
    breaks = [Entry(_BREAKS, scope + each["text"] + end) for each in _BREAKING.finditer(body)]
    if match is not None and match["breaking"] and not breaks:
        breaks = [Entry(_BREAKS, text)]
    return [*breaks, Entry(_GROUPS.get(kind, _OTHER), text)]


def changelog(commits: Sequence[Commit], since: str) -> str:
    """Return the changes as text, a heading for each kind.

    Args:
        commits: what the release brings, oldest first.
        since: the release before it; empty for the first one.
    """
    found = entries(commits)
    lines: list[str] = []
    for group in _ORDER:
        if members := [f"- {entry.text}" for entry in found if entry.group == group]:
            lines += [*([""] if lines else []), f"## {group}", "", *members]
    if not found:
        lines.append(f"No changes since {since}." if since else "No changes.")
    return _cut(lines)


def notes(text: str) -> str:
    """Return a changelog as GitHub shows it: no HTML out of it, and nobody called by name who would get mail of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@<!-- -->")


def _cut(lines: Sequence[str]) -> str:
    size = 0
    for number, line in enumerate(lines):
        size += len(line) + 1
        if size > _LARGEST:
            rest = sum(1 for each in lines[number:] if each.startswith("- "))
            return "\n".join([*lines[:number], f"- and {rest} more", ""])
    return "\n".join([*lines, ""])
