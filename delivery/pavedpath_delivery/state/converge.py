"""Brings things into a wanted shape, one setting at a time, and reports what it did.

Every write is decided by what is there, never by what a run before did: a run that was killed anywhere is finished by
the next one.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pavedpath_delivery.stack.s3 import code_of


class Outcome(StrEnum):
    """What was done about one thing."""

    MADE = "made"
    KEPT = "kept"
    CORRECTED = "corrected"


@dataclass(frozen=True)
class Done:
    """One thing, and what was done (or, in a dry run, would be) about it; `settings` are those that were written."""

    kind: str
    name: str
    outcome: Outcome
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One setting of a thing.

    Args:
        name: what people call it.
        read: gives its value, None where it is not set.
        wanted: gives the value that it should have, from the one it has.
        write: sets it.
        same: whether two values mean the same.
    """

    name: str
    read: Callable[[], Any]
    wanted: Callable[[Any], Any]
    write: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = lambda first, second: first == second


@dataclass
class Converger:
    """Applies settings and reports.

    Args:
        report: hears of each thing as soon as it is done.
        dry_run: write nothing.
    """

    report: Callable[[Done], None]
    dry_run: bool = False
    done: list[Done] = field(default_factory=list[Done])

    def settle(self, kind: str, name: str, settings: list[Setting], *, made: bool) -> None:
        """Write the settings that differ; `made` says that the thing is new (in a dry run: that there is none)."""
        written: list[str] = []
        for setting in settings:
            current = None if made and self.dry_run else setting.read()
            wanted = setting.wanted(current)
            if setting.same(current, wanted):
                continue
            written.append(setting.name)
            if not self.dry_run:
                setting.write(wanted)
        outcome = Outcome.MADE if made else Outcome.CORRECTED if written else Outcome.KEPT
        self.tell(Done(kind, name, outcome, tuple(written)))

    def tell(self, done: Done) -> None:
        """Report one thing."""
        self.done.append(done)
        self.report(done)


def read_or_none(code: str, read: Callable[[], Any]) -> Callable[[], Any]:
    """Return a reader that gives None where AWS answers with this code, which says that nothing is set."""

    def reader() -> Any:
        from botocore.exceptions import ClientError

        try:
            return read()
        except ClientError as error:
            if code_of(error) != code:
                raise
            return None

    return reader


def merged_tags(current: Any, ours: dict[str, str]) -> dict[str, str]:
    """Return the tags with ours; those of others stay."""
    tags: dict[str, str] = {}
    with suppress(TypeError):
        tags = dict(current)
    return {**tags, **ours}
