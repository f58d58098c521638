"""What a fleet is made of: its pools, its limits and its policies, as typed values that the component and the
functions share. The component writes them as JSON into one SSM parameter; the functions read it at their start."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Any, Self, cast, get_args, get_origin, get_type_hints


class Level(StrEnum):
    """Where a fleet's runners are registered."""

    ORGANIZATION = "organization"
    """With the organisation, in a runner group that only chosen repositories may use."""
    REPOSITORY = "repository"
    """With each repository by itself; GitHub's Free plan has no runner groups."""


class LabelMatch(StrEnum):
    """Which jobs a pool takes."""

    EXACT = "exact"
    """Those that name all of its labels and no other."""
    SUBSET = "subset"
    """Those that name some of its labels and no other."""


class Market(StrEnum):
    """How a machine is bought."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"


@dataclass(frozen=True)
class WarmPool:
    """Machines that stand ready before a job asks, while the schedule holds."""

    hot: int = 0
    """Runners that are registered and idle."""
    stopped: int = 0
    """Machines that have booted once and were stopped: they start faster than new ones and cost their disk alone."""
    days: Sequence[int] = (0, 1, 2, 3, 4)
    """Days of the week, Monday is 0."""
    from_hour: int = 6
    """Hour of the day, UTC, from which on."""
    to_hour: int = 20
    """Hour of the day, UTC, up to which; one that is not later than `from_hour` is on the next day."""


@dataclass(frozen=True)
class Pool:
    """Machines of one kind, for the jobs whose labels fit."""

    name: str
    labels: Sequence[str]
    """All labels of its runners, `self-hosted` and the system's included."""
    instance_types: Sequence[str]
    """EC2 types that serve alike, the most wanted first."""
    subnet_ids: Sequence[str]
    """Subnets, one or more a zone."""
    launch_template_id: str
    maximum: int
    """Most machines at once; jobs beyond it wait."""
    match: LabelMatch = LabelMatch.SUBSET
    spot: bool = True
    """Whether spot is tried before on-demand."""
    on_demand: bool = True
    """Whether on-demand is taken where spot has nothing."""
    boot_minutes: int = 10
    """How long a machine may take until its runner is online; later it is replaced."""
    idle_minutes: int = 5
    """How long a runner may be without a job before it is removed."""
    lifetime_minutes: int = 720
    """How long a machine may live, busy or not."""
    warm: WarmPool = WarmPool()
    hourly_usd: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    """Price of an hour by instance type, for the cost of a job; without one no cost is reported."""


@dataclass(frozen=True)
class Budget:
    """A token bucket: requests that one API is given."""

    capacity: float
    per_second: float
    reserve: float = 0.0
    """Tokens that only launches may take; clean-up leaves them."""


DEFAULT_BUDGETS: Mapping[str, Budget] = {
    # GitHub, "Rate limits for the REST API": 5000 an hour for an app's installation at the least. What is not used is
    # kept for bursts; no hour takes more than capacity + 3600 x per_second.
    "github": Budget(capacity=1400, per_second=1.0, reserve=200),
    # The same page, "secondary rate limits": 900 points a minute, 5 for each that writes. A launch is one such and a
    # question: 20 + 60 x 2 of them are 840 points. (terraform-aws-github-runner measured the ceiling: 180 a minute.)
    "jit": Budget(capacity=20, per_second=2.0),
    # AWS, "Request throttling for the Amazon EC2 API": mutating calls have a bucket of 50 at the least, 5 a second.
    "ec2": Budget(capacity=50, per_second=4, reserve=20),
}


@dataclass(frozen=True)
class Fleet:
    """One environment's fleet."""

    name: str
    """The environment; part of every name and tag."""
    organization: str
    pools: Sequence[Pool]
    repositories: Sequence[str] = ()
    """Names of the repositories that it serves; jobs of others are refused. Empty: all that GitHub lets in."""
    level: Level = Level.ORGANIZATION
    runner_group_id: int = 1
    """GitHub's id of the runner group; 1 is every organisation's default group."""
    app_id: int = 0
    installation_id: int = 0
    api_url: str = "https://api.github.com"
    hook_id: int = 0
    """GitHub's id of the webhook, whose failed deliveries are sent again; 0: no webhook is looked after."""
    repository_hooks: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    """At repository level, where each repository has a webhook of its own: its id by the repository's name."""
    zones: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Availability zone by subnet id; without it no zone is avoided after interruptions."""
    allow_forks: bool = False
    """Whether a pull request from a fork may run here."""
    attempts: int = 10
    """Machines that are launched for one job, one after another, before it has failed."""
    rerun_interrupted: bool = True
    """Whether a job whose spot machine was taken away is run again, once."""
    delivery_days: int = 7
    """Days that webhook deliveries are remembered, against replays."""
    record_days: int = 30
    """Days that ended jobs and gone runners are remembered."""
    grace_seconds: int = 180
    """How long a runner must be seen idle, again and again, before anything is removed: GitHub's `busy` is stale for a
    minute and more."""
    orphan_minutes: int = 15
    """How old a machine or registration that no record claims may get."""
    interruptions: int = 3
    """Spot interruptions within an hour that open a pool's circuit breaker: on-demand alone then, for an hour."""
    budgets: Mapping[str, Budget] = dataclasses.field(default_factory=lambda: dict(DEFAULT_BUDGETS))

    def pool(self, name: str) -> Pool | None:
        """The pool of that name, or None if the configuration has it no more."""
        return next((each for each in self.pools if each.name == name), None)

    def to_json(self) -> str:
        """Return it as JSON without what is default, since an SSM parameter holds 4 KB (8 KB in the advanced tier)."""
        return json.dumps(_written(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str, ignored: Callable[[str], None] = lambda _: None) -> Self:
        """Read what `to_json` wrote, be it of a later version: configuration and code are not deployed at one moment.

        Args:
            text: the JSON.
            ignored: is told each field that this version does not know, by its place: `fleet.pools[0].new`.

        Raises:
            ValueError: it is no JSON object, or has a field that is missing or of the wrong type.
        """
        return cast(Self, _read(cls, json.loads(text), "fleet", ignored))


def _written(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            each.name: _written(getattr(value, each.name))
            for each in dataclasses.fields(value)
            if getattr(value, each.name) != _default(each)
        }
    if isinstance(value, Mapping):
        return {key: _written(each) for key, each in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_written(each) for each in cast(Sequence[Any], value)]
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _read(kind: Any, value: Any, place: str, ignored: Callable[[str], None]) -> Any:
    origin = get_origin(kind)
    if origin is UnionType:
        return None if value is None else _read(get_args(kind)[0], value, place, ignored)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = get_args(kind)[1]
        given = _object(value, place)
        return {key: _read(inner, each, f"{place}.{key}", ignored) for key, each in given.items()}
    if origin is not None:
        if not isinstance(value, list):
            raise ValueError(f"{place}: a list is needed, got {value!r}")
        inner = get_args(kind)[0]
        given = cast(list[Any], value)
        return tuple(_read(inner, each, f"{place}[{at}]", ignored) for at, each in enumerate(given))
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, _object(value, place), place, ignored)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    wanted: tuple[type, ...] = (int, float) if kind is float else (cast(type, kind),)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place}: {kind.__name__} is needed, got {value!r}")
    return kind(value)


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: an object is needed, got {value!r}")
    return cast(dict[str, Any], value)


def _read_object(kind: Any, given: dict[str, Any], place: str, ignored: Callable[[str], None]) -> Any:
    hints = get_type_hints(kind)
    fields = {each.name: each for each in dataclasses.fields(kind)}
    wrong = [
        f"{place}.{name} is missing"
        for name, each in fields.items()
        if name not in given and _default(each) is dataclasses.MISSING
    ]
    if wrong:
        raise ValueError("; ".join(wrong))
    for name in given.keys() - fields.keys():
        ignored(f"{place}.{name}")
    known = {name: each for name, each in given.items() if name in fields}
    return kind(**{name: _read(hints[name], each, f"{place}.{name}", ignored) for name, each in known.items()})
