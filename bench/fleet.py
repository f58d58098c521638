"""What the runner fleet's decisions and its simulator cost."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from pavedpath_runners.configuration import Budget, Fleet, Pool
from pavedpath_runners.decisions import budgets, matching
from pavedpath_runners.records import Bucket
from pavedpath_runners.simulator.benchmark import Speed, measure
from rich.console import Console
from rich.table import Table

SIZES = (1_000, 10_000, 100_000)
"""Jobs of a simulated fleet."""
POOLS = 50


def simulated() -> dict[int, Speed]:
    """Run the simulator at each size, each in a process of its own, so that its memory is its own, too."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        return dict(zip(SIZES, processes.map(measure, SIZES), strict=True))


def simulator_table(found: dict[int, Speed]) -> Table:
    """Build the table of the simulator's speed; the cost of a job against the smallest size is 1 if it is linear."""
    made = Table(title="Simulated runner fleet, this machine's processor", title_justify="left")
    for column in ("jobs", "seconds", "events a second", "milliseconds a job", "against the smallest", "MiB"):
        made.add_column(column, justify="right")
    base = found[min(found)].seconds_a_job
    for jobs, speed in found.items():
        each = speed.seconds_a_job
        made.add_row(
            f"{jobs:,}",
            f"{speed.seconds:.1f}",
            f"{speed.events_a_second:,.0f}",
            f"{each * 1000:.2f}",
            f"{each / base:.2f}",
            f"{speed.memory_bytes / 2**20:,.0f}",
        )
    return made


def decision_rows() -> list[tuple[str, float, str, float]]:
    """Seconds of 10,000 decisions, each beside the least that a program could do for it."""
    pools = [Pool(f"p{n}", ("self-hosted", f"l{n}"), ("m7g.large",), ("s",), "lt", 1) for n in range(POOLS)]
    fleet = Fleet("dev", "acme", tuple(pools))
    index = {frozenset(pool.labels): pool for pool in pools}
    labels = ("self-hosted", f"l{POOLS - 1}")
    budget, bucket = Budget(100, 10), Bucket("ec2", 50, 0)
    rows = [
        (f"labels to a pool of {POOLS}", lambda: matching.pool_for(fleet, labels), "a look into a dictionary"),
        ("a token of a budget", lambda: budgets.take(budget, bucket, "ec2", 1.0, 1.0, launch=True), "a subtraction"),
    ]
    least: list[Callable[[], object]] = [lambda: index.get(frozenset(labels)), lambda: bucket.tokens - 1.0 >= 0]
    return [
        (f"{what}, 10,000 times", _seconds(work), name, _seconds(bare))
        for (what, work, name), bare in zip(rows, least, strict=True)
    ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(10_000):
        work()
    return time.perf_counter() - start


if __name__ == "__main__":
    Console().print(simulator_table(simulated()))
