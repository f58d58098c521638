"""The four figures of software delivery performance, as pure functions over typed records.

Source of the definitions: DORA, "DORA's software delivery metrics: the four keys". What they leave open is decided
here, rule by rule in `_Lane`, and told to people in docs/commands/dora.md.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TypeAlias

_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)


class Outcome(StrEnum):
    """How a finished deployment ended. One that has not ended is no record yet."""

    SUCCESS = "success"
    FAILURE = "failure"


class Kind(StrEnum):
    """What a deployment brought."""

    CHANGE = "change"
    """A commit that did not run before."""
    REDEPLOYMENT = "redeployment"
    """The commit that runs already."""
    ROLLBACK = "rollback"
    """What ran before the commit that runs."""


@dataclass(frozen=True, slots=True)
class Change:
    """A commit that a deployment brought to the environment.

    Args:
        commit: its id.
        committed: when it was committed, with a time zone.
    """

    commit: str
    committed: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """A finished attempt to put a commit into an environment.

    Args:
        id: unique within application and environment.
        application: whose deployment it is.
        environment: where to.
        commit: what was to run; for a source without commits, whatever tells two contents apart.
        finished: when it had ended, with a time zone.
        outcome: how it ended.
        rollback: whether it was made to undo another. One that goes back to an earlier commit is seen as one anyway.
        changes: the commits since the last successful deployment; None where the source does not know them.
    """

    id: str
    application: str
    environment: str
    commit: str
    finished: datetime
    outcome: Outcome
    rollback: bool = False
    changes: tuple[Change, ...] | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """A failure in an environment that no deployment's own outcome tells.

    Args:
        id: unique within application and environment.
        application: what failed.
        environment: where.
        opened: when it began, with a time zone.
        resolved: when it ended; None while it lasts.
        deployment: id of the deployment that caused it. Default: the change that ran when it began.
    """

    id: str
    application: str
    environment: str
    opened: datetime
    resolved: datetime | None = None
    deployment: str | None = None


Record: TypeAlias = Deployment | Incident


@dataclass(frozen=True, slots=True)
class Window:
    """A period: `since` belongs to it, `until` does not. Both with a time zone."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        _aware(self.since, "the window's start")
        _aware(self.until, "the window's end")
        if self.until <= self.since:
            raise ValueError(f"The window ends ({self.until}) before it starts ({self.since}).")

    def __contains__(self, moment: datetime) -> bool:
        return self.since <= moment < self.until

    @property
    def days(self) -> float:
        """The length in days."""
        return (self.until - self.since) / _DAY


@dataclass(frozen=True, slots=True)
class Distribution:
    """A set of durations; `median` and `p90` are seconds, None where there is none.

    Percentiles interpolate linearly between the two nearest values, so that `median` is the usual one.
    """

    count: int
    median: float | None
    p90: float | None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Distribution":
        """Describe durations in seconds."""
        ordered = sorted(seconds)
        return cls(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.9))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which a share (0 to 1) of an ordered sequence lies; None of an empty one."""
    if not ordered:
        return None
    position = (len(ordered) - 1) * share
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


@dataclass(frozen=True, slots=True)
class Week:
    """Figures of the part of one week (Monday to Sunday, UTC) that lies in the window."""

    begins: datetime
    deployments: int
    successes: int
    failures: int
    lead_time: Distribution
    restore: Distribution


@dataclass(frozen=True, slots=True)
class Figures:
    """The four figures of a window, and what they were made of.

    Args:
        window: the period.
        deployments: finished deployments of changes; the whole of which `failures` are a part.
        successes: those of them that put their change to run.
        failures: those of them that failed, were rolled back or had an incident.
        redeployments: deployments of what ran already; in none of the figures.
        rollbacks: deployments of what had run before; they end an outage, and are in no other figure.
        per_day: deployment frequency: successes a day.
        lead_time: from a commit to the end of the first successful deployment that brought it.
        unknown_changes: successes whose commits the source does not know.
        skewed_changes: commits dated after their deployment; not in `lead_time`.
        change_failure_rate: failures / deployments, 0 to 1; None without deployments.
        restore: lengths of the outages that began in the window and are over.
        open: outages that began in the window and last.
        weeks: the same by week, in order and without gaps.
    """

    window: Window
    deployments: int
    successes: int
    failures: int
    redeployments: int
    rollbacks: int
    per_day: float
    lead_time: Distribution
    unknown_changes: int
    skewed_changes: int
    change_failure_rate: float | None
    restore: Distribution
    open: int
    weeks: tuple[Week, ...]


@dataclass(slots=True)
class Judged:
    """A deployment and what it turned out to be; `lead_times` are seconds, one a commit that it brought first."""

    deployment: Deployment
    kind: Kind
    failed: bool
    lead_times: tuple[float, ...] = ()
    skewed: int = 0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time during which an environment did not run what it should; `ended` is None while it lasts."""

    application: str
    environment: str
    began: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """All records, linked: each deployment judged, and the outages."""

    judged: Sequence[Judged]
    outages: Sequence[Outage]

    def of(self, application: str) -> "History":
        """Return one application's part."""
        return History(
            [each for each in self.judged if each.deployment.application == application],
            [each for each in self.outages if each.application == application],
        )

    @property
    def applications(self) -> list[str]:
        """Names of the applications, in order."""
        return sorted({each.deployment.application for each in self.judged} | {o.application for o in self.outages})


class _Lane:
    """One application in one environment: its deployments in the order in which they ended."""

    def __init__(self) -> None:
        self._running: list[Judged] = []
        """Successful changes that were not rolled back, oldest first; the last one runs."""
        self._place: dict[str, int] = {}
        """Place of a commit in `_running`."""
        self._brought: set[str] = set()
        """Commits that ran at some time."""
        self._failing_since: datetime | None = None
        """The first failed change since the last success."""
        self._timeline: list[tuple[datetime, Judged | None]] = []
        """Which change ran from when on."""
        self._by_id: dict[str, Judged] = {}
        self.judged: list[Judged] = []
        self.outages: list[tuple[datetime, datetime | None]] = []

    def judge(self, deployment: Deployment) -> None:
        """Take the next deployment."""
        if deployment.outcome is Outcome.FAILURE:
            judged = self._failure(deployment)
        else:
            judged = self._success(deployment)
            if self._failing_since is not None:
                self.outages.append((self._failing_since, deployment.finished))
                self._failing_since = None
        self.judged.append(judged)
        self._by_id[deployment.id] = judged

    def _failure(self, deployment: Deployment) -> Judged:
        kind = self._kind(deployment)
        if kind is Kind.CHANGE and self._failing_since is None:
            self._failing_since = deployment.finished
        return Judged(deployment, kind, failed=kind is Kind.CHANGE)

    def _success(self, deployment: Deployment) -> Judged:
        kind = self._kind(deployment)
        judged = Judged(deployment, kind, failed=False)
        if kind is Kind.ROLLBACK:
            self._roll_back(deployment)
        elif kind is Kind.CHANGE:
            self._place[deployment.commit] = len(self._running)
            self._running.append(judged)
        self._timeline.append((deployment.finished, self._running[-1] if self._running else None))
        self._measure(judged)
        return judged

    def _kind(self, deployment: Deployment) -> Kind:
        if deployment.rollback:
            return Kind.ROLLBACK
        place = self._place.get(deployment.commit)
        if place is None:
            return Kind.CHANGE
        return Kind.REDEPLOYMENT if place == len(self._running) - 1 else Kind.ROLLBACK

    def _roll_back(self, deployment: Deployment) -> None:
        """Condemn the change that ran: only it, not those between it and the target, of which nothing is known.

        A rollback that names no earlier commit either ends a failed deployment, whose change never ran (then what runs
        is innocent), or undoes what runs. Some sources can only name the commit whose workflow did the rollback.
        """
        if not self._running:
            return
        target = self._place.get(deployment.commit)
        earlier = target is not None and target < len(self._running) - 1
        if not earlier and self._failing_since is not None:
            return
        condemned = self._running[-1]
        condemned.failed = True
        self.outages.append((condemned.deployment.finished, deployment.finished))
        keep = target + 1 if target is not None and earlier else len(self._running) - 1
        for gone in self._running[keep:]:
            del self._place[gone.deployment.commit]
        del self._running[keep:]

    def _measure(self, judged: Judged) -> None:
        seconds: list[float] = []
        for change in judged.deployment.changes or ():
            if change.commit not in self._brought:
                self._brought.add(change.commit)
                seconds.append((judged.deployment.finished - change.committed).total_seconds())
        judged.lead_times = tuple(each for each in seconds if each >= 0)
        judged.skewed = len(seconds) - len(judged.lead_times)

    def blame(self, incident: Incident) -> None:
        """Count an incident against the deployment that it names, or the change that ran when it began."""
        self.outages.append((incident.opened, incident.resolved))
        if incident.deployment is not None:
            guilty = self._by_id.get(incident.deployment)
        else:
            before = bisect_right(self._timeline, incident.opened, key=lambda each: each[0])
            guilty = self._timeline[before - 1][1] if before else None
        if guilty is not None and guilty.kind is Kind.CHANGE:
            guilty.failed = True

    def end(self) -> None:
        """Take what is unfinished as lasting."""
        if self._failing_since is not None:
            self.outages.append((self._failing_since, None))


def _united(spans: Iterable[tuple[datetime, datetime | None]]) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield spans with those that overlap made one.

    One that lasts stands alone: a forgotten incident would else swallow all that comes after it.
    """
    closed: list[tuple[datetime, datetime]] = []
    for began, ended in spans:
        if ended is None:
            yield began, None
        else:
            closed.append((began, ended))
    current: tuple[datetime, datetime] | None = None
    for began, ended in sorted(closed):
        if current is not None and began < current[1]:
            current = (current[0], max(current[1], ended))
            continue
        if current is not None:
            yield current
        current = (began, ended)
    if current is not None:
        yield current


def link(records: Iterable[Record]) -> History:
    """Judge each deployment by what happened before and after it. The order of the records does not matter.

    Raises:
        ValueError: a time without a zone, an incident that ends before it begins, two records with one id; names all.
    """
    deployments: defaultdict[tuple[str, str], list[Deployment]] = defaultdict(list)
    incidents: list[Incident] = []
    for record in records:
        if isinstance(record, Deployment):
            deployments[record.application, record.environment].append(record)
        else:
            incidents.append(record)
    problems = [*_problems(deployments), *_incident_problems(incidents)]
    if problems:
        raise ValueError("; ".join(problems))
    lanes = defaultdict[tuple[str, str], _Lane](_Lane)
    for key, listed in deployments.items():
        # Of two at the same moment the one with the lower number comes first: 9 before 10.
        listed.sort(key=lambda each: (each.finished, len(each.id), each.id))
        for each in listed:
            lanes[key].judge(each)
    for incident in incidents:
        lanes[incident.application, incident.environment].blame(incident)
    judged: list[Judged] = []
    outages: list[Outage] = []
    for (application, environment), lane in sorted(lanes.items()):
        lane.end()
        judged += lane.judged
        outages += [Outage(application, environment, *span) for span in _united(lane.outages)]
    return History(judged, outages)


def _problems(lanes: Mapping[tuple[str, str], Sequence[Deployment]]) -> Iterator[str]:
    for (application, environment), listed in lanes.items():
        where = f"{application} in {environment}"
        ids: set[str] = set()
        for each in listed:
            if each.id in ids:
                yield f"{where}: the deployment {each.id} is there twice"
            ids.add(each.id)
            if each.finished.tzinfo is None or any(change.committed.tzinfo is None for change in each.changes or ()):
                yield f"{where}: the deployment {each.id} has a time without a time zone"


def _incident_problems(incidents: Iterable[Incident]) -> Iterator[str]:
    ids: set[tuple[str, str, str]] = set()
    for each in incidents:
        key = (each.application, each.environment, each.id)
        where = f"{each.application} in {each.environment}: the incident {each.id}"
        if key in ids:
            yield f"{where} is there twice"
        ids.add(key)
        if each.opened.tzinfo is None or (each.resolved is not None and each.resolved.tzinfo is None):
            yield f"{where} has a time without a time zone"
        elif each.resolved is not None and each.resolved < each.opened:
            yield f"{where} was resolved before it was opened"


def _aware(moment: datetime, what: str) -> None:
    if moment.tzinfo is None:
        raise ValueError(f"{what} has no time zone: {moment}")


def _week_edges(window: Window) -> list[datetime]:
    first = window.since.astimezone(UTC)
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    edges = [midnight - _DAY * midnight.weekday()]
    while edges[-1] < window.until:
        edges.append(edges[-1] + _WEEK)
    return edges


def figures(history: History, window: Window) -> Figures:
    """Return the figures of a window of a linked history.

    What lies outside the window decides what a deployment in it is (a redeployment, a failure found out later), and
    is counted nowhere: a past period's figures change when a change of it turns out bad.
    """
    within = [each for each in history.judged if each.deployment.finished in window]
    changes = [each for each in within if each.kind is Kind.CHANGE]
    outages = [each for each in history.outages if each.began in window]
    successes = sum(each.deployment.outcome is Outcome.SUCCESS for each in changes)
    failures = sum(each.failed for each in changes)
    return Figures(
        window=window,
        deployments=len(changes),
        successes=successes,
        failures=failures,
        redeployments=sum(each.kind is Kind.REDEPLOYMENT for each in within),
        rollbacks=sum(each.kind is Kind.ROLLBACK for each in within),
        per_day=successes / window.days,
        lead_time=Distribution.of(seconds for each in within for seconds in each.lead_times),
        unknown_changes=sum(each.deployment.changes is None and _ran(each) for each in changes),
        skewed_changes=sum(each.skewed for each in within),
        change_failure_rate=failures / len(changes) if changes else None,
        restore=Distribution.of(_lengths(outages)),
        open=sum(each.ended is None for each in outages),
        weeks=_weeks(within, outages, window),
    )


def _ran(judged: Judged) -> bool:
    return judged.deployment.outcome is Outcome.SUCCESS


def _lengths(outages: Iterable[Outage]) -> Iterator[float]:
    return ((each.ended - each.began).total_seconds() for each in outages if each.ended is not None)


def _weeks(within: Iterable[Judged], outages: Iterable[Outage], window: Window) -> tuple[Week, ...]:
    edges = _week_edges(window)
    judged: list[list[Judged]] = [[] for _ in edges]
    began: list[list[Outage]] = [[] for _ in edges]
    for each in within:
        judged[bisect_right(edges, each.deployment.finished) - 1].append(each)
    for outage in outages:
        began[bisect_right(edges, outage.began) - 1].append(outage)
    weeks: list[Week] = []
    for place, (begin, _) in enumerate(pairwise(edges)):
        changes = [each for each in judged[place] if each.kind is Kind.CHANGE]
        weeks.append(
            Week(
                begins=begin,
                deployments=len(changes),
                successes=sum(map(_ran, changes)),
                failures=sum(each.failed for each in changes),
                lead_time=Distribution.of(seconds for each in judged[place] for seconds in each.lead_times),
                restore=Distribution.of(_lengths(began[place])),
            )
        )
    return tuple(weeks)


def measure(records: Iterable[Record], window: Window) -> Figures:
    """Return the figures of a window.

    Raises:
        ValueError: records that contradict themselves; see `link`.
    """
    return figures(link(records), window)


class Band(StrEnum):
    """A level of performance."""

    ELITE = "elite"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Bands:
    """The level of each figure; None where there is no figure."""

    deployment_frequency: Band | None
    lead_time: Band | None
    change_failure_rate: Band | None
    restore: Band | None


# Source: DORA, "Accelerate State of DevOps Report 2023", the last one with four levels whose failure rates rise from
# level to level. A level's bound is the worst that still is of that level; whatever is worse than medium is low.
_LEVELS = (Band.ELITE, Band.HIGH, Band.MEDIUM, Band.LOW)
_HOUR_S, _DAY_S, _WEEK_S, _MONTH_S = 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0
_DAYS_BETWEEN_DEPLOYMENTS = (1.0, 7.0, 30.0)
_LEAD_TIME_S = (_DAY_S, _WEEK_S, _MONTH_S)
_FAILURE_RATE = (0.05, 0.10, 0.15)
_RESTORE_S = (_HOUR_S, _DAY_S, _WEEK_S)


def bands(found: Figures) -> Bands:
    """Return the level of each figure; durations by their median."""

    def level(value: float | None, bounds: Sequence[float]) -> Band | None:
        return None if value is None else _LEVELS[bisect_left(bounds, value)]

    return Bands(
        level(1 / found.per_day, _DAYS_BETWEEN_DEPLOYMENTS) if found.per_day else Band.LOW,
        level(found.lead_time.median, _LEAD_TIME_S),
        level(found.change_failure_rate, _FAILURE_RATE),
        level(found.restore.median, _RESTORE_S),
    )
