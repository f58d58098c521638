"""Which secrets are due: their ages against a policy. Pure but `load`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pavedpath_delivery.kit import written

DEFAULT_DAYS = 90
"""Source: AWS Security Hub, control SecretsManager.4."""
_Days = Annotated[int, Field(ge=1, le=3650, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Override(_Model):
    """Another age for some secrets."""

    secrets: Annotated[str, Field(min_length=1)]
    """Glob of ids, for example etc/helm_values/*/prod.secrets.yaml#secrets.SESSION_KEY; the first that fits counts."""
    max_age_days: _Days


class Policy(_Model):
    """How old a secret may get."""

    version: Literal[1]
    max_age_days: _Days = DEFAULT_DAYS
    overrides: tuple[Override, ...] = ()

    def limit(self, secret: str) -> timedelta:
        """Return how old a secret may get."""
        fitting = (each.max_age_days for each in self.overrides if fnmatchcase(secret, each.secrets))
        return timedelta(days=next(fitting, self.max_age_days))


def load(path: Path) -> Policy:
    """Return the policy of a file.

    Raises:
        DeliveryError: it is none; names every offender.
    """
    return written.load(path, Policy, "policy", "begin it with version: 1, then max_age_days and overrides.")


@dataclass(frozen=True)
class Secret:
    """A secret and when it got its value.

    Args:
        id: FILE#NAME, or aws:NAME.
        since: when; None where nobody knows.
        exact: whether it is known exactly; if not, it got its value then or before.
        note: what else is to be known.
    """

    id: str
    since: datetime | None
    exact: bool = True
    note: str = ""


@dataclass(frozen=True)
class Due:
    """A secret, its age and how old it may get."""

    secret: Secret
    age: timedelta | None
    limit: timedelta

    @property
    def due(self) -> bool:
        """Whether it must get a new value: one of unknown age, too."""
        return self.age is None or self.age >= self.limit


def plan(secrets: Iterable[Secret], policy: Policy, now: datetime) -> Sequence[Due]:
    """Return all secrets, those that are due first, the oldest of them first."""
    judged = [Due(each, None if each.since is None else now - each.since, policy.limit(each.id)) for each in secrets]
    return sorted(
        judged, key=lambda each: (not each.due, each.age is not None, -(each.age or timedelta()), each.secret.id)
    )
