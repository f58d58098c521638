"""How records move: the one place where a job's or machine's state changes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.records import (
    TRANSITIONS,
    UNUSED,
    Breaker,
    Bucket,
    Change,
    Count,
    Cursor,
    Delivery,
    Job,
    JobState,
    Once,
    Put,
    Record,
    Runner,
    RunnerState,
)

from .model import WAITING, Effect, Measure, Metric, Say, Scene, Send

LOSS_BACKOFF = 15.0
"""Seconds that a job waits after its first loss; twice as long after each further one, up to `MOST_BACKOFF`."""
MOST_BACKOFF = 300.0

LONGEST = 30 * 24 * 60
"""Minutes that no machine lives: the end of its lifetime stands in its own user data, too."""

_MIRROR: Mapping[RunnerState, JobState] = {
    RunnerState.INTENDED: JobState.INTENDED,
    RunnerState.STOPPED: JobState.INTENDED,
    RunnerState.LAUNCHING: JobState.LAUNCHING,
    RunnerState.REGISTERED: JobState.REGISTERED,
}


class IllegalMoveError(Exception):
    """A decision would take a record where no record may go: a mistake in the program."""


class Draft:
    """Records as they will be. What differs from what was read is written, each record once."""

    def __init__(self, scene: Scene) -> None:
        self.fleet: Fleet = scene.fleet
        self.now = scene.now
        self._scene = scene
        self._jobs = dict(scene.jobs)
        self._runners = dict(scene.runners)
        self._others: list[Change] = []
        self.effects: list[Effect] = []

    def job(self, identity: int | None) -> Job | None:
        """A job as it will be, or None if it was not read."""
        return None if identity is None else self._jobs.get(identity)

    def runner(self, name: str) -> Runner | None:
        """A machine as it will be, or None if it was not read."""
        return self._runners.get(name)

    def put(self, record: Job | Runner) -> None:
        """Have a record stored as given. States are changed by `move` and `step`."""
        if isinstance(record, Job):
            self._jobs[record.id] = record
        else:
            self._runners[record.name] = record

    def also(self, *changes: Change) -> None:
        """Have something else written with it."""
        self._others.extend(changes)

    def store(self, record: Bucket | Breaker | Cursor) -> None:
        """Have a record of the fleet itself stored."""
        self._others.append(Put(record))

    def once(self, delivery: Delivery) -> None:
        """Have a delivery remembered; nothing is written if it is already."""
        self._others.insert(0, Once(delivery))

    def changes(self) -> list[Change]:
        """What is to be written."""
        before: list[Mapping[Any, Record]] = [self._scene.jobs, self._scene.runners]
        after: list[Mapping[Any, Record]] = [self._jobs, self._runners]
        put: list[Change] = [
            Put(record)
            for old, new in zip(before, after, strict=True)
            for key, record in new.items()
            if old.get(key) != record
        ]
        return self._others + put

    def tell(self, event: str, **fields: object) -> None:
        """Have a line written to the log, once the changes are."""
        self.effects.append(Say(event, fields))

    def measure(self, metric: Metric, value: float = 1.0, seconds: bool = False, **dimensions: str) -> None:
        """Have a metric reported, once the changes are written."""
        self.effects.append(Measure(metric, value, dimensions, seconds))

    def send(self, job: Job) -> None:
        """Have a job sent to the launch queue. Its version is in the key: a later sending is never taken for this."""
        job = replace(job, sent_at=self.now)
        self.put(job)
        self.effects.append(Send(job.id, f"{job.id}-{job.version + 1}"))


def move(job: Job, to: JobState, now: float, **fields: Any) -> Job:
    """Return the job in another state (or the same), with other fields.

    Raises:
        IllegalMoveError: `records.TRANSITIONS` has no such transition.
    """
    if to is job.state:
        return replace(job, **fields)
    if to not in TRANSITIONS[job.state]:
        raise IllegalMoveError(f"job {job.id}: from {job.state} to {to}")
    return replace(job, state=to, changed_at=now, **fields)


def step(runner: Runner, to: RunnerState, now: float, **fields: Any) -> Runner:
    """Return the machine in another state, or in the same with its lease renewed.

    Raises:
        IllegalMoveError: it is gone.
    """
    if runner.state is RunnerState.GONE:
        raise IllegalMoveError(f"machine {runner.name}: from gone to {to}")
    return replace(runner, state=to, changed_at=now, **fields)


def pool_of(fleet: Fleet, name: str) -> Pool:
    """A pool, or, if the configuration has it no more, one that takes nothing and whose idle machines go at once. A job
    that still runs there has the time that its machine gives itself."""
    absent = Pool(name, (), (), (), "", maximum=0, idle_minutes=0, lifetime_minutes=LONGEST)
    return fleet.pool(name) or absent


def follow(draft: Draft, runner: Runner) -> None:
    """Put a machine, and let the job that waits for it be where the machine is."""
    draft.put(runner)
    job = draft.job(runner.job)
    if job is not None and job.runner == runner.name and job.state in WAITING and runner.state in _MIRROR:
        draft.put(move(job, _MIRROR[runner.state], draft.now))


def waiting_job(scene: Scene, runner: Runner) -> Job | None:
    """The job that has not run yet and waits for a machine, if there is one."""
    job = scene.jobs.get(runner.job) if runner.job is not None else None
    return job if job is not None and job.runner == runner.name and job.state in WAITING else None


def backoff(first: float, times: int) -> float:
    """Seconds to wait: `first`, doubled so many times, and at most `MOST_BACKOFF`."""
    return min(MOST_BACKOFF, first * 2 ** min(times, 10))


def serves(runner: Runner, job: Job) -> bool:
    """Whether a machine that is not used yet can serve a job."""
    fits = runner.pool == job.pool and runner.scope in ("", job.repository)
    return fits and runner.state in UNUSED and not runner.interrupted_at


def give(draft: Draft, runner: Runner, job: Job) -> None:
    """Let a machine stand for a waiting job."""
    draft.put(move(job, job.state, draft.now, runner=runner.name))
    follow(draft, replace(runner, job=job.id, idle_since=0.0))


def requeue(draft: Draft, job: Job, lost: bool, why: str, delay: float = 0.0) -> None:
    """Let a job that has lost its machine wait for another; after too many losses it has failed.

    `lost`: whether it is the machine's fault, which counts. A loss delays the next launch, longer each time.
    """
    losses = job.losses + (1 if lost else 0)
    if lost and losses >= draft.fleet.attempts:
        reason = f"{losses} machines were lost, the last: {why}"
        fail(draft, replace(job, losses=losses), reason, lost=True)
        return
    if lost and losses > 1:
        delay = max(delay, backoff(LOSS_BACKOFF, losses - 2))
    waiting = move(job, JobState.QUEUED, draft.now, runner="", losses=losses, not_before=draft.now + delay)
    draft.measure(Metric.REQUEUED, pool=job.pool)
    draft.tell("job requeued", job=job.id, runner=job.runner, why=why, losses=losses)
    if delay > 0:
        # No message can be delayed in a FIFO queue: the reconciler sends it when it is due.
        draft.put(waiting)
    else:
        draft.send(waiting)


def fail(draft: Draft, job: Job, reason: str, lost: bool) -> None:
    """Give a job up. `lost`: it was accepted, and no policy refuses it."""
    draft.put(move(job, JobState.FAILED, draft.now, runner="", reason=reason, ended_at=draft.now))
    draft.measure(Metric.FAILED, pool=job.pool)
    if lost:
        draft.measure(Metric.LOST, pool=job.pool)
    draft.tell("job failed", job=job.id, repository=job.repository, reason=reason)


def release(draft: Draft, runner: Runner, lost: bool, why: str, delay: float = 0.0) -> Runner:
    """Return a machine that stands for no waiting job any more; that job waits for another."""
    job = draft.job(runner.job)
    if job is not None and job.runner == runner.name and job.state in WAITING:
        requeue(draft, job, lost, why, delay)
    return replace(runner, job=runner.running)


def _worked(runner: Runner, now: float) -> float:
    """Seconds that EC2 bills a machine for: none while it sleeps. The few minutes before its sleep are left out."""
    if runner.state is RunnerState.STOPPED:
        return 0.0
    return max(0.0, now - (runner.asked_at if runner.park else runner.created_at))


def drop(draft: Draft, runner: Runner, lost: bool, why: str, delay: float = 0.0) -> None:
    """A machine has come to its end: its record says so, its pool has one less, its waiting job waits on."""
    served = runner.running
    ended = release(draft, runner, lost, why, delay)
    draft.put(step(ended, RunnerState.GONE, draft.now, ended_at=draft.now, idle_since=0.0))
    draft.also(Count(runner.pool, -1))
    # Its job still runs by all that is known: GitHub is to be asked soon what became of it.
    job = draft.job(served)
    if job is not None and job.state is JobState.RUNNING:
        draft.put(replace(job, checked_at=0.0))
    if lost:
        draft.measure(Metric.RETIRED, pool=runner.pool)
    price = pool_of(draft.fleet, runner.pool).hourly_usd.get(runner.instance_type)
    if price is not None and runner.instance_id:
        hours = _worked(runner, draft.now) / 3600
        draft.measure(Metric.COST, price * hours, pool=runner.pool, use="idle" if served is None else "job")
    draft.tell("machine gone", runner=runner.name, instance=runner.instance_id, why=why, job=served)
