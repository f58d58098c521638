"""One seed after the other, in one process or many."""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .invariants import ViolationError
from .pavedpath import PAVEDPATH
from .scenario import draw
from .simulation import Result, run


@dataclass(frozen=True)
class Failure:
    """A seed that broke an invariant."""

    seed: int
    told: str


def attempt(seed: int) -> Result | Failure:
    """Run one seed's scenario."""
    try:
        return run(draw(seed), seed, PAVEDPATH)
    except ViolationError as error:
        return Failure(seed, str(error))


def results(seeds: Sequence[int], jobs: int) -> Iterator[Result | Failure]:
    """Run seeds in so many processes; the results come in the order of the seeds."""
    if jobs == 1:
        yield from map(attempt, seeds)
        return
    # Not forked: greenlets and threads of the parent have no business in the children. These import what they call by
    # its module's name, which a package's `__main__` has not.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(attempt, seeds, chunksize=20)
