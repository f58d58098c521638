"""What a ledger is, as plain dictionaries, and random commits that show whether another one is the same.

Every adapter and every simulated table is held to this model: `agree` commits the same to both.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st
from pavedpath_runners.configuration import Market
from pavedpath_runners.ports import ConflictError, DuplicateDeliveryError, Ledger, PoolFullError
from pavedpath_runners.records import (
    Breaker,
    Bucket,
    Change,
    Count,
    Cursor,
    Delivery,
    Job,
    JobState,
    Once,
    PoolCount,
    Put,
    Record,
    Runner,
    RunnerState,
)

_R = TypeVar("_R", Job, Runner, Breaker, Bucket, Cursor)


class LedgerModel:
    """`ports.Ledger` in memory."""

    def __init__(self) -> None:
        self.records: dict[tuple[type, object], Record] = {}
        self.live: dict[str, int] = {}
        self.deliveries: dict[str, Delivery] = {}

    def job(self, identity: int) -> Job | None:
        return self._typed(Job, identity)

    def runner(self, name: str) -> Runner | None:
        return self._typed(Runner, name)

    def count(self, pool: str) -> PoolCount:
        return PoolCount(pool, self.live.get(pool, 0))

    def breaker(self, pool: str) -> Breaker:
        return self._typed(Breaker, pool) or Breaker(pool)

    def bucket(self, api: str) -> Bucket | None:
        return self._typed(Bucket, api)

    def cursor(self, name: str) -> Cursor:
        return self._typed(Cursor, name) or Cursor(name)

    def open_jobs(self) -> Sequence[Job]:
        found = [each for each in self.records.values() if isinstance(each, Job) and each.open]
        return sorted(found, key=lambda job: (job.queued_at, job.id))

    def queued_jobs(self) -> Iterator[Job]:
        return (each for each in self.open_jobs() if each.queues)

    def live_runners(self) -> Sequence[Runner]:
        found = [each for each in self.records.values() if isinstance(each, Runner) and each.live]
        return sorted(found, key=lambda each: (each.created_at, each.name))

    def spare_runners(self) -> Sequence[Runner]:
        return [each for each in self.live_runners() if each.spare]

    def commit(self, *changes: Change) -> None:
        refused = [change for change in changes if not self._fits(change)]
        if any(isinstance(change, Once) for change in refused):
            raise DuplicateDeliveryError
        if any(not (isinstance(change, Count) and change.by > 0) for change in refused):
            raise ConflictError
        if refused:
            raise PoolFullError
        for change in changes:
            match change:
                case Put(record):
                    self.records[identity_of(record)] = dataclasses.replace(record, version=record.version + 1)
                case Once(delivery):
                    self.deliveries[delivery.guid] = delivery
                case Count(pool=pool, by=by):
                    self.live[pool] = self.live.get(pool, 0) + by

    def version(self, record: Record) -> int:
        """The version under which the record of that identity is stored; 0 if none is."""
        held = self.records.get(identity_of(record))
        return held.version if held else 0

    def _fits(self, change: Change) -> bool:
        match change:
            case Put(record):
                return self.version(record) == record.version
            case Once(delivery):
                return delivery.guid not in self.deliveries
            case Count(pool=pool, by=by, maximum=maximum):
                after = self.live.get(pool, 0) + by
                return after <= maximum if by > 0 else after >= 0

    def _typed(self, kind: type[_R], identity: object) -> _R | None:
        held = self.records.get((kind, identity))
        return held if isinstance(held, kind) else None


def identity_of(record: Record) -> tuple[type, object]:
    """Type and key of a record."""
    match record:
        case Job(id=identity):
            return Job, identity
        case Runner(name=name) | Cursor(name=name):
            return type(record), name
        case Breaker(pool=pool):
            return Breaker, pool
        case Bucket(api=api):
            return Bucket, api


@dataclass(frozen=True)
class Step:
    """One commit. The records' versions are how far they are from what is stored: 0 fits."""

    changes: Sequence[Change]

    def made_for(self, model: LedgerModel) -> Sequence[Change]:
        """The changes with real versions."""
        return [
            Put(dataclasses.replace(each.record, version=max(0, model.version(each.record) + each.record.version)))
            if isinstance(each, Put)
            else each
            for each in self.changes
        ]


_JOBS, _RUNNERS, _POOLS = (7, 2**53 + 1), ("dev-7-1", "dev-warm-small-0"), ("small", "large")
_TIMES = st.sampled_from([0.0, 1.5, 1_790_000_000.123456, 1_790_000_001.0])
_STALE = st.sampled_from([0, 0, 0, 0, 0, -1, 1])


def jobs() -> st.SearchStrategy[Job]:
    """Any record of a few jobs."""
    return st.builds(
        Job,
        id=st.sampled_from(_JOBS),
        repository=st.sampled_from(["acme/orders", "acme/übung"]),
        run_id=st.integers(1, 2**53),
        labels=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        pool=st.sampled_from(["", *_POOLS]),
        state=st.sampled_from(JobState),
        queued_at=_TIMES,
        changed_at=_TIMES,
        attempt=st.integers(0, 9),
        runner=st.sampled_from(["", *_RUNNERS]),
        own=st.sampled_from([None, True, False]),
        reason=st.text(max_size=10),
        rerun_wanted=st.booleans(),
        version=_STALE,
    )


def runners() -> st.SearchStrategy[Runner]:
    """Any record of a few machines."""
    return st.builds(
        Runner,
        name=st.sampled_from(_RUNNERS),
        pool=st.sampled_from(_POOLS),
        state=st.sampled_from(RunnerState),
        changed_at=_TIMES,
        created_at=_TIMES,
        job=st.sampled_from([None, *_JOBS]),
        market=st.sampled_from(Market),
        stored=st.booleans(),
        online_at=_TIMES,
        version=_STALE,
    )


def _others() -> st.SearchStrategy[Record]:
    interruptions = st.lists(st.tuples(_TIMES, st.just("c7g.large"), st.just("eu-west-1a")), max_size=3).map(tuple)
    return st.one_of(
        st.builds(Breaker, pool=st.sampled_from(_POOLS), interruptions=interruptions, version=_STALE),
        st.builds(Bucket, api=st.just("github"), tokens=st.floats(0, 200), at=_TIMES, version=_STALE),
        st.builds(Cursor, name=st.just("deliveries"), at=_TIMES, position=st.text(max_size=5), version=_STALE),
    )


def _item_of(change: Change) -> object:
    match change:
        case Put(record):
            return identity_of(record)
        case Once(delivery):
            return delivery.guid
        case Count(pool=pool):
            return Count, pool


def steps() -> st.SearchStrategy[Sequence[Step]]:
    """Random commits, some of which conflict; none touches an item twice, which DynamoDB refuses."""
    guids = st.integers(0, 30).map(str)
    by, most = st.sampled_from([1, 1, 1, 2, -1, -1, -2]), st.sampled_from([0, 1, 2, 3, 9, 9])
    change = st.one_of(
        st.builds(Put, st.one_of(jobs(), runners(), _others())),
        st.builds(Once, st.builds(Delivery, guids, _TIMES)),
        st.builds(Count, st.sampled_from(_POOLS), by, most),
    )
    commit = st.lists(change, min_size=1, max_size=3, unique_by=_item_of).map(Step)
    # Conflicts of versions need records that have been written again and again, and a list is short by itself.
    return st.one_of(st.lists(commit, max_size=6), st.lists(commit, min_size=15, max_size=30))


def agree(ledger: Ledger, taken: Sequence[Step], after: Callable[[], None] = lambda: None) -> None:
    """Commit the same to a new, empty ledger and to the model: the same refusals, and in the end the same records.

    Args:
        ledger: the one that is judged.
        taken: the commits.
        after: is called after every commit.
    """
    model = LedgerModel()
    for number, step in enumerate(taken):
        changes = step.made_for(model)
        expected, found = _outcome(model, changes), _outcome(ledger, changes)
        assert found == expected, f"commit {number}, {changes}: {found}, not {expected}"
        after()
    assert contents(ledger) == contents(model)


def _outcome(ledger: Ledger, changes: Sequence[Change]) -> type[ConflictError] | None:
    try:
        ledger.commit(*changes)
    except ConflictError as error:
        return type(error)
    return None


def contents(ledger: Ledger) -> Mapping[str, object]:
    """All that can be read of the few items that `steps` writes."""
    return {
        "jobs": [ledger.job(each) for each in _JOBS],
        "runners": [ledger.runner(each) for each in _RUNNERS],
        "counts": [ledger.count(each) for each in _POOLS],
        "breakers": [ledger.breaker(each) for each in _POOLS],
        "bucket": ledger.bucket("github"),
        "cursor": ledger.cursor("deliveries"),
        # The order of two of the same time is nobody's promise.
        "open": sorted(ledger.open_jobs(), key=lambda job: (job.queued_at, job.id)),
        "oldest first": [job.queued_at for job in ledger.open_jobs()],
        "queued": sorted(ledger.queued_jobs(), key=lambda job: (job.queued_at, job.id)),
        "oldest queued first": [job.queued_at for job in ledger.queued_jobs()],
        "spare": sorted(ledger.spare_runners(), key=lambda each: (each.created_at, each.name)),
        "live": sorted(ledger.live_runners(), key=lambda each: (each.created_at, each.name)),
    }
