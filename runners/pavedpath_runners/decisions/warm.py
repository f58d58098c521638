"""The warm pool: machines that stand ready before a job asks, while the schedule holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from pavedpath_runners.configuration import Level, Pool, WarmPool
from pavedpath_runners.records import Count, Cursor, Put, Runner, RunnerState

from .launching import warm_runner
from .model import Decision, Say, Scene

QUIET = 180.0
"""Seconds after a pool's warm machines were last asked for in which nothing is asked for again: the list of machines
may not show them yet."""


@dataclass(frozen=True)
class Wanted:
    """How many warm machines there should be now."""

    hot: int
    stopped: int


def wanted(scene: Scene, pool: Pool) -> Wanted:
    """Return what the schedule wants now. A runner that stands registered needs the organisation: which repository the
    next job comes from, nobody knows; at the repository level hot machines are therefore kept asleep."""
    if not holds(pool.warm, scene.now):
        return Wanted(0, 0)
    if scene.fleet.level is Level.REPOSITORY:
        return Wanted(0, pool.warm.hot + pool.warm.stopped)
    return Wanted(pool.warm.hot, pool.warm.stopped)


def holds(warm: WarmPool, now: float) -> bool:
    """Whether the schedule holds. Hours from one to another that is not later go on into the next day."""
    at = datetime.fromtimestamp(now, UTC)
    today, hour = at.weekday(), at.hour
    if warm.from_hour < warm.to_hour:
        return today in warm.days and warm.from_hour <= hour < warm.to_hour
    yesterday = (at - timedelta(days=1)).weekday()
    return (today in warm.days and hour >= warm.from_hour) or (yesterday in warm.days and hour < warm.to_hour)


def kept(scene: Scene, pool: Pool, spares: Sequence[Runner]) -> frozenset[str]:
    """Return the names of the idle machines that stay: the youngest, as many as are wanted hot."""
    idle = [each for each in spares if each.pool == pool.name and each.state is RunnerState.REGISTERED]
    idle.sort(key=lambda each: (-each.created_at, each.name))
    return frozenset(each.name for each in idle[: wanted(scene, pool).hot])


def surplus(scene: Scene, pool: Pool, spares: Sequence[Runner]) -> Sequence[str]:
    """Return the names of the sleeping machines that are not wanted, the oldest first."""
    asleep = [each for each in spares if each.pool == pool.name and each.state is RunnerState.STOPPED]
    asleep.sort(key=lambda each: (each.created_at, each.name))
    return [each.name for each in asleep[: max(0, len(asleep) - wanted(scene, pool).stopped)]]


def cursor_name(pool: Pool) -> str:
    """Name of the cursor that counts a pool's warm machines."""
    return f"warm-{pool.name}"


def missing(scene: Scene, pool: Pool, spares: Sequence[Runner], room: int, cursor: Cursor) -> Sequence[bool]:
    """Return what is to be launched: for each machine, whether it is to be stopped; the hot ones come first.

    `room` is what the pool's maximum leaves, and jobs come before warm machines.
    """
    if cursor.version and scene.now - cursor.at < QUIET:
        return ()
    want = wanted(scene, pool)
    mine = [each for each in spares if each.pool == pool.name]
    parked = sum(1 for each in mine if each.park)
    hot = max(0, want.hot - (len(mine) - parked))
    stopped = max(0, want.stopped - parked)
    return ([False] * hot + [True] * stopped)[: max(0, room)]


def intend(scene: Scene, pool: Pool, cursor: Cursor, park: bool) -> tuple[Decision, Runner]:
    """Return the intent of one warm machine. The cursor moves in the same write, so that of two reconcilers at once
    only one launches."""
    number = int(cursor.position or "0") + 1
    runner = warm_runner(scene.fleet, pool, number, scene.now, park)
    moved = replace(cursor, at=scene.now, position=str(number))
    line = Say("warm machine intended", {"runner": runner.name, "park": park})
    return Decision((Count(pool.name, 1, pool.maximum), Put(moved), Put(runner)), (line,)), runner
