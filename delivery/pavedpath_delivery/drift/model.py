"""A difference, what could not be looked at, and what someone accepted. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pavedpath_delivery.kit.documents import Json


class Severity(StrEnum):
    """How much harm a difference can do."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


_ORDER = {severity: place for place, severity in enumerate(Severity)}


_LONGEST = 200


def shown(value: Json) -> str:
    """Return a value as a finding writes it: one line, not too long."""
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


@dataclass(frozen=True)
class Finding:
    """One difference. No field holds a secret.

    Attributes:
        rule: its kind, for example `force-push`; what an exception names.
        where: repository, stack or release, and the part of it.
        found: what is.
        wanted: what should be.
        why: the source of the rule, or who declared it.
        fix: the setting or the API path that mends it.
    """

    rule: str
    where: str
    found: str
    wanted: str
    why: str
    fix: str
    severity: Severity

    @property
    def key(self) -> tuple[int, str, str, str, str]:
        """What findings are sorted by: the worst first."""
        return _ORDER[self.severity], self.where, self.rule, self.found, self.wanted


@dataclass(frozen=True, order=True)
class Unchecked:
    """What could not be looked at, and so is neither right nor wrong; `whole` for a repository, stack or release."""

    where: str
    reason: str
    whole: bool = False


@dataclass(frozen=True, order=True)
class Note:
    """What is worth knowing and no difference."""

    where: str
    text: str


@dataclass(frozen=True)
class Audit:
    """What was found."""

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    notes: tuple[Note, ...] = ()


class Accepted(BaseModel):
    """A difference that someone decided to live with until a day."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Exception")

    rule: str = Field(min_length=1, description="The finding's rule, for example webhook-secret.")
    where: str = Field(default="", description="Only at this place, as the finding writes it; everywhere without it.")
    reason: str = Field(min_length=10, description="Why it can be lived with; for who reviews it.")
    expires: date = Field(description="The last day that it holds, in UTC.")

    def covers(self, finding: Finding) -> bool:
        """Whether it is about a finding, expired or not."""
        return self.rule == finding.rule and self.where in ("", finding.where)

    def __str__(self) -> str:
        return f"{self.rule}{f' at {self.where}' if self.where else ''}"


class Exceptions(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Exceptions of `pavedpath drift`")

    version: Literal[1] = Field(description="Of this format.")
    exceptions: tuple[Accepted, ...]


@dataclass(frozen=True)
class Drift:
    """What was found, with the exceptions laid over it. All in stable order.

    Attributes:
        findings: what nobody accepted.
        accepted: what someone accepted, with the exception.
        expired: exceptions that do not hold any more, whether they are about something or not.
        unused: exceptions that are about nothing.
    """

    findings: tuple[Finding, ...] = ()
    accepted: tuple[tuple[Finding, Accepted], ...] = ()
    expired: tuple[Accepted, ...] = ()
    unused: tuple[Accepted, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    notes: tuple[Note, ...] = field(default=())


def conclude(audits: Iterable[Audit], exceptions: Sequence[Accepted], today: date) -> Drift:
    """Return everything that was found, each once and sorted, with the exceptions that hold today laid over it."""
    seen = tuple(audits)
    holding = [each for each in exceptions if each.expires >= today]
    findings = sorted({finding for audit in seen for finding in audit.findings}, key=lambda each: each.key)
    covered = {
        finding: exception
        for finding in findings
        for exception in reversed(holding)  # the first one wins
        if exception.covers(finding)
    }
    return Drift(
        findings=tuple(each for each in findings if each not in covered),
        accepted=tuple((each, covered[each]) for each in findings if each in covered),
        expired=tuple(each for each in exceptions if each.expires < today),
        unused=tuple(each for each in holding if not any(each.covers(finding) for finding in findings)),
        unchecked=tuple(sorted({each for audit in seen for each in audit.unchecked})),
        notes=tuple(sorted({each for audit in seen for each in audit.notes})),
    )
