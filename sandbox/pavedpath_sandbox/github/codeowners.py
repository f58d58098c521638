"""Who owns which files: the CODEOWNERS file.

https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pavedpath_sandbox.github.rules import glob_matches

PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where the file is looked for, in this order, on the base branch."""


@dataclass(frozen=True)
class Line:
    """A pattern and its owners (`@login`, `@organisation/team`, or an email address); none means nobody owns it."""

    pattern: str
    owners: tuple[str, ...]


def parse(text: str) -> list[Line]:
    """The lines of a CODEOWNERS file."""
    words = [line.partition("#")[0].split() for line in text.splitlines()]
    return [Line(one[0], tuple(one[1:])) for one in words if one]


def _matches(pattern: str, path: str) -> bool:
    anchored = "/" in pattern.rstrip("/")
    whole = ("" if anchored else "**/") + pattern.strip("/")
    inside = not pattern.endswith("/*") and glob_matches(f"{whole}/**", path)
    return inside or (not pattern.endswith("/") and glob_matches(whole, path))


def owners_of(lines: Sequence[Line], path: str) -> tuple[str, ...]:
    """The owners of a file: those of the last line that matches it."""
    return next((line.owners for line in reversed(lines) if _matches(line.pattern, path)), ())
