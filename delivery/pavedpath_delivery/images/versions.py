"""Versions as tags: vX.Y.Z and vX.Y.Z-prerelease. Pure.

Source: https://semver.org, grammar and "Precedence"; without build metadata, for a tag cannot hold a `+`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

_NUMBER = r"(0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?")


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version; ordered by precedence. `prerelease` is empty for a release."""

    numbers: tuple[int, int, int]
    prerelease: str = ""

    def __str__(self) -> str:
        return "v" + ".".join(map(str, self.numbers)) + (f"-{self.prerelease}" if self.prerelease else "")

    def __lt__(self, other: "Version") -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]:
        parts = self.prerelease.split(".") if self.prerelease else []
        # Numbers stand below words, and are compared as numbers.
        order = tuple((not each.isdigit(), int(each) if each.isdigit() else 0, each) for each in parts)
        return self.numbers, not self.prerelease, order

    @classmethod
    def parse(cls, tag: str) -> "Version | None":
        """Return the version that a tag is; None for a tag that is none."""
        found = _VERSION.fullmatch(tag)
        return cls((int(found[1]), int(found[2]), int(found[3])), found[4] or "") if found else None


def versions(tags: Iterable[str]) -> list[Version]:
    """Return the versions among tags, newest first."""
    return sorted(filter(None, map(Version.parse, tags)), reverse=True)
