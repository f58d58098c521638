"""Findings that someone decided to live with, for a while: the file of exceptions.

Its JSON Schema is `exceptions.schema.json` beside this module, for editors.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal, Protocol, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.scan.report import Finding

DEFAULT_DAYS = 90


class Expiring(Protocol):
    """An exception of whatever kind; its text names what it is about."""

    @property
    def expires(self) -> date:
        """The last day that it holds, in UTC."""
        ...


_File = TypeVar("_File", bound=BaseModel)


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


def parse_exceptions(text: str, today: date, days: int = DEFAULT_DAYS) -> tuple[Waiver, ...]:
    """Return the exceptions of a file. Pure.

    Args:
        text: the file.
        today: in UTC.
        days: how far ahead an exception may expire.

    Raises:
        DeliveryError: it is not of the format; every offender with its reason.
    """
    return parse_file(text, today, days, Waivers, lambda file: file.exceptions).exceptions


def parse_file(
    text: str, today: date, days: int, model: type[_File], entries: Callable[[_File], Sequence[Expiring]]
) -> _File:
    """Return a file of exceptions, of whatever kind `model` describes. Pure.

    Raises:
        DeliveryError: it is not of the format, or an exception is there twice or expires too late; every offender.
    """
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DeliveryError(f"The exceptions are no YAML: {error}", Exit.USAGE) from error
    try:
        file = model.model_validate(document)
    except ValidationError as error:
        raise DeliveryError(_problems(error.errors(), document), Exit.USAGE) from error
    waivers, latest = entries(file), today + timedelta(days=days)
    problems = [
        f"exceptions[{number}] ({each}): expires {each.expires}, in more than {days} days. Fix: {latest} at the latest"
        for number, each in enumerate(waivers)
        if each.expires > latest
    ]
    problems += [
        f"exceptions[{number}] ({each}): it is there twice. Fix: keep one"
        for number, each in enumerate(waivers)
        if any(str(each) == str(other) for other in waivers[:number])
    ]
    if problems:
        raise DeliveryError("\n".join(["The exceptions cannot be used:", *problems]), Exit.USAGE)
    return file


def _problems(errors: Sequence[Mapping[str, Any]], document: object) -> str:
    lines = ["The exceptions are not of the format (`version: 1` and `exceptions:`, a list):"]
    for each in errors:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in each["loc"]).lstrip(".")
        lines.append(f"{where or type(document).__name__}: {each['msg']}")
    return "\n".join(lines)
