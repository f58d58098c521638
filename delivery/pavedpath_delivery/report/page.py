"""What stands on the page, as plain data. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Unread:
    """A source that could not be read, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Part(Generic[Row]):
    """One section. It is empty only where everything was read and there was nothing.

    Attributes:
        rows: what was read, in the order that is shown.
        unread: what could not be read.
    """

    rows: tuple[Row, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True)
class Environment:
    """An environment of a repository, and what protects it."""

    repository: str
    name: str
    protection: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """One deployment as GitHub tells it.

    Attributes:
        outcome: success, failure, or the state of one that has not ended.
        kind: change, redeployment or rollback; empty for one that has not ended.
        url: the run that made it; empty if that is not told.
    """

    id: str
    repository: str
    environment: str
    when: datetime
    commit: str
    ref: str
    by: str
    outcome: str
    kind: str = ""
    url: str = ""


@dataclass(frozen=True)
class Release:
    """What runs of an application, as Helm tells it; `images` are those of its manifest."""

    environment: str
    namespace: str
    name: str
    chart: str
    version: str
    revision: int
    status: str
    since: datetime
    images: tuple[str, ...]


@dataclass(frozen=True)
class Running:
    """What is deployed in one environment: from Helm, from GitHub, or from both.

    Attributes:
        before: the environment before this one; empty for none.
        behind: commits that are in `before` and not here; None where that is not known.
    """

    environment: str
    application: str
    release: Release | None
    deployment: Attempt | None
    before: str = ""
    behind: int | None = None
    unread: bool = False
    """Whether what would say so could not be read."""

    @property
    def missing(self) -> bool:
        """Whether nothing is deployed there, for certain."""
        return not (self.release or self.deployment or self.unread)

    @property
    def since(self) -> datetime | None:
        """When it was deployed; by Helm, which knows it of every revision, before GitHub."""
        found = self.release or self.deployment
        if isinstance(found, Release):
            return found.since
        return found.when if found else None


@dataclass(frozen=True)
class Evidence:
    """What is recorded about an image: tested, scanned; and what looks like a record and is none."""

    image: str
    recorded: tuple[tuple[str, str], ...]
    """Kind and when, with the address of the run behind it if one is told."""
    invalid: int = 0


_RANKS = (
    ("dev", "development"),
    ("test", "qa", "integration"),
    ("staging", "stage", "preprod"),
    ("prod", "production"),
)


def rank(environment: str, order: Sequence[str] = ()) -> tuple[int, str]:
    """Return what environments are sorted by: the given order, then their usual names, then the rest by name."""
    if environment in order:
        return order.index(environment) - len(order), environment
    known = next((place for place, names in enumerate(_RANKS) if environment.lower() in names), None)
    # What has no usual name stands before production and behind what is tested.
    return (2 * known if known is not None else 5), environment


def current(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """Return the last successful deployment of each environment."""
    latest: dict[str, Attempt] = {}
    for each in attempts:
        held = latest.get(each.environment)
        if each.outcome == "success" and (held is None or (each.when, each.id) > (held.when, held.id)):
            latest[each.environment] = each
    return latest


def joined(
    deployments: Sequence[Attempt],
    releases: Sequence[Release],
    order: Sequence[str],
    expected: Mapping[tuple[str, str], bool] | None = None,
) -> list[Running]:
    """Return what runs where: a release and a repository of one name in one environment are one application.

    `expected` are environments and applications that have a row whatever runs there, and whether all that would say so
    was read.
    """
    known = expected or {}
    from_github = {(each.environment, each.repository.rpartition("/")[2]): each for each in deployments}
    from_helm = {(each.environment, each.name): each for each in releases}
    keys = sorted({*from_github, *from_helm, *known}, key=lambda key: (key[1], rank(key[0], order)))
    return [
        Running(key[0], key[1], from_helm.get(key), from_github.get(key), unread=not known.get(key, True))
        for key in keys
    ]


def plain(value: Any) -> Any:
    """Return data as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  any mapping
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]  any sequence
    return value


def part_document(part: Part[Any]) -> dict[str, Any]:
    """Return a section as a JSON document."""
    return plain(asdict(part))
