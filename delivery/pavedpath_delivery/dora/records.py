"""Records from a file of JSON lines, one record a line; so that any system's deployments can be measured."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pavedpath_delivery.dora.core import Change, Deployment, Incident, Outcome, Record
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.mistakes import mistakes

_LISTED = 10  # offenders that a message names; one wrong field name makes every line an offender
_Name = Annotated[str, Field(min_length=1)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Name
    application: _Name
    environment: _Name


class _Change(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: _Name
    committed: AwareDatetime


class _Deployment(_Line):
    type: Literal["deployment"]
    commit: _Name
    finished: AwareDatetime
    outcome: Outcome
    rollback: bool = False
    changes: list[_Change] | None = None

    def record(self) -> Deployment:
        changes = None if self.changes is None else tuple(Change(c.commit, c.committed) for c in self.changes)
        return Deployment(
            self.id,
            self.application,
            self.environment,
            self.commit,
            self.finished,
            self.outcome,
            self.rollback,
            changes,
        )


class _Incident(_Line):
    type: Literal["incident"]
    opened: AwareDatetime
    resolved: AwareDatetime | None = None
    deployment: str | None = None

    def record(self) -> Incident:
        return Incident(self.id, self.application, self.environment, self.opened, self.resolved, self.deployment)


_ADAPTER: TypeAdapter[_Deployment | _Incident] = TypeAdapter(
    Annotated[_Deployment | _Incident, Field(discriminator="type")]
)


def parse(lines: Iterable[str | bytes], name: str) -> Iterator[Record]:
    """Yield the record of each line; empty lines are skipped.

    Raises:
        DeliveryError: at the end, with the first offenders and how many there are.
    """
    problems = 0
    listed: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _ADAPTER.validate_json(line).record()
        except ValidationError as error:
            problems += 1
            if len(listed) < _LISTED:
                listed.append(f"line {number}: {', '.join(_mistakes(line, error))}")
    if problems:
        more = f" and {problems - _LISTED} more lines" if problems > _LISTED else ""
        raise DeliveryError(
            f"{name}: {'; '.join(listed)}{more}. Fix: see docs/commands/dora.md for the fields of a line.", Exit.USAGE
        )


def _mistakes(line: str | bytes, error: ValidationError) -> list[str]:
    try:
        return mistakes(error, json.loads(line))
    except (ValueError, RecursionError):
        return ["it is no JSON"]


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file.

    Raises:
        DeliveryError: it cannot be read, or lines are wrong; names the first of them.
    """
    try:
        with path.open("rb") as file:
            yield from parse(file, str(path))
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read ({error.strerror}).", Exit.USAGE) from None
