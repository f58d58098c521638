"""The load of `make demo-fleet`: which workflow runs begin when, in bursts and quiet times, from a seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

REPOSITORIES = ("invoices", "payments")
"""Those that examples/runner-fleet serves."""
_LARGEST_RUN = 8
_FEW = 25
"""For so many jobs there is one run of a fork, and one that is cancelled."""
_EARLY = 0.7
"""Forks' runs and cancelled ones begin in this part of the time, so that a machine that they leave over finds work."""


class Kind(StrEnum):
    """What is to become of a run."""

    WORK = "work"
    """All of its jobs are done, each once."""
    FORK = "fork"
    """A fork's code: no job of it may run."""
    CANCELLED = "cancelled"
    """Somebody cancels it soon after it began."""


@dataclass(frozen=True)
class PlannedRun:
    """A workflow run."""

    at: float
    """Seconds after the beginning."""
    repository: str
    kind: Kind
    pools: Sequence[str]
    """Pool of each job, by its labels."""
    cancel_after: float = 0.0
    """Seconds; only of those that are cancelled."""


def plan(jobs: int, pools: Sequence[str], seconds: float, seed: int) -> Sequence[PlannedRun]:
    """Return the runs in the order of their beginning.

    Args:
        jobs: number of those that are to be done; forks' and cancelled ones come on top.
        pools: their names; the first gets two thirds of the jobs.
        seconds: all runs begin within it.
        seed: the same one makes the same runs.

    Raises:
        ValueError: there is no job or no pool.
    """
    if jobs < 1 or not pools:
        raise ValueError(f"{jobs} jobs over {len(pools)} pools: at least one of each is needed")
    # Not for secrets: the same load must come again.
    dice = random.Random(seed)  # noqa: S311
    times = _Times(dice, seconds)
    runs = [_run(dice, times.any(), Kind.WORK, size, pools) for size in _sizes(dice, jobs)]
    others = max(1, jobs // _FEW)
    runs += [_run(dice, times.early(), Kind.FORK, 1, pools) for _ in range(others)]
    runs += [_run(dice, times.early(), Kind.CANCELLED, dice.randint(1, 2), pools) for _ in range(others)]
    return sorted(runs, key=lambda each: each.at)


class _Times:
    """Two thirds come in bursts of a second, the rest whenever it likes; between is quiet."""

    def __init__(self, dice: random.Random, seconds: float) -> None:
        self._dice, self._seconds = dice, seconds
        self._bursts = [0.0, *sorted(dice.uniform(0, max(0.0, seconds - 1)) for _ in range(5))]

    def any(self) -> float:
        if self._dice.random() < 2 / 3:
            return min(self._seconds, self._dice.choice(self._bursts) + self._dice.random())
        return self._dice.uniform(0, self._seconds)

    def early(self) -> float:
        return self._dice.uniform(0, _EARLY * self._seconds)


def _sizes(dice: random.Random, jobs: int) -> Iterator[int]:
    while jobs > 0:
        size = min(jobs, dice.randint(1, _LARGEST_RUN))
        yield size
        jobs -= size


def _run(dice: random.Random, at: float, kind: Kind, size: int, pools: Sequence[str]) -> PlannedRun:
    weights = [2 * max(1, len(pools) - 1), *[1] * (len(pools) - 1)]
    return PlannedRun(
        at=round(at, 3),
        repository=dice.choice(REPOSITORIES),
        kind=kind,
        pools=tuple(dice.choices(pools, weights, k=size)),
        cancel_after=round(dice.uniform(0.5, 8.0), 3) if kind is Kind.CANCELLED else 0.0,
    )
