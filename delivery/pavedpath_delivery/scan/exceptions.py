"""Findings that someone decided to live with, for a while: the file of exceptions.

Its JSON Schema is `exceptions.schema.json` beside this module, for editors.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pavedpath_delivery.kit import written
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.scan.report import Finding

DEFAULT_DAYS = 90


class Expiring(Protocol):
    """An exception of whatever kind; its text names what it is about."""

    @property
    def expires(self) -> date:
        """The last day that it holds, in UTC."""
        ...


ExpiringT = TypeVar("ExpiringT", bound=Expiring)


class Waiver(BaseModel):
    """One finding that does not stop a delivery until a day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, description="The finding's id, for example CVE-2026-0001.")
    package: str = Field(default="", description="Only in this package; in every one without it.")
    reason: str = Field(min_length=10, description="Why it can be lived with; for who reviews it.")
    expires: date = Field(description="The last day that it holds, in UTC.")

    def covers(self, finding: Finding) -> bool:
        """Whether it is about a finding, expired or not."""
        return self.id == finding.id and self.package in ("", finding.package)

    def __str__(self) -> str:
        return f"{self.id}{f' in {self.package}' if self.package else ''}"


class Waivers(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Exceptions of `pavedpath scan gate`")

    version: Literal[1] = Field(description="Of this format.")
    exceptions: tuple[Waiver, ...]


FIX = "write `version: 1`, then `exceptions:`, a list."
"""What to do about a file that is not of the format."""


def load(path: Path, today: date, days: int = DEFAULT_DAYS) -> tuple[Waiver, ...]:
    """Return the exceptions of a file.

    Args:
        path: the file.
        today: in UTC.
        days: how far ahead an exception may expire.

    Raises:
        DeliveryError: it cannot be read, or cannot be used; every offender with its reason.
    """
    return usable(written.load(path, Waivers, "file of exceptions", FIX).exceptions, path, today, days)


def usable(found: tuple[ExpiringT, ...], path: Path, today: date, days: int) -> tuple[ExpiringT, ...]:
    """Return the exceptions of a file, of whatever kind, as they are. Pure.

    Raises:
        DeliveryError: one is there twice or expires too late; every offender.
    """
    latest = today + timedelta(days=days)
    problems = [
        f"  exceptions.{number} ({each}): expires {each.expires}, in more than {days} days. Fix: {latest} at the latest"
        for number, each in enumerate(found)
        if each.expires > latest
    ]
    problems += [
        f"  exceptions.{number} ({each}): it is there twice. Fix: keep one"
        for number, each in enumerate(found)
        if any(str(each) == str(other) for other in found[:number])
    ]
    if problems:
        raise DeliveryError("\n".join([f"{path} cannot be used:", *problems]), Exit.USAGE)
    return found
