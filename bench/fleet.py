"""What the runner fleet's decisions and its simulator cost."""

import time
from collections.abc import Callable

from pavedpath_runners.configuration import Budget, Fleet, Pool
from pavedpath_runners.decisions import budgets, matching
from pavedpath_runners.records import Bucket
from pavedpath_runners.simulator.benchmark import Speed, measure
from rich.table import Table

SIZES = (1_000, 10_000, 100_000)
"""Jobs of a simulated fleet."""
POOLS = 50


def simulated() -> dict[int, Speed]:
    """Run the simulator at each size."""
    return {jobs: measure(jobs) for jobs in SIZES}


def simulator_table(found: dict[int, Speed]) -> Table:
    """Build the table of the simulator's speed; the cost of a job against the smallest size is 1 if it is linear."""
    made = Table(title="Simulated runner fleet, this machine's time", title_justify="left")
    for column in ("jobs", "seconds", "events a second", "milliseconds a job", "against the smallest"):
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
