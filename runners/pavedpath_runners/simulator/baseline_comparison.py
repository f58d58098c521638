"""The same seeds under several policies, side by side. All numbers are simulated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.table import Table

from .baseline import ADVISED, DEFAULTS, deployment
from .pavedpath import PAVEDPATH
from .policy import Deployment
from .scenario import draw
from .simulation import Result, Simulation

LEFT_OUT = ("repository level", "warm pool")
"""Kinds of scenario that the baseline has not been written for."""
POLICIES = (
    replace(PAVEDPATH, strict=False),
    deployment("terraform-aws-github-runner, defaults", DEFAULTS),
    deployment("terraform-aws-github-runner, as advised", ADVISED),
)
"""None of them is held to the invariants: all are counted with one measure."""


@dataclass
class Sum:
    """What a policy did over all seeds of a kind of scenario."""

    runs: int = 0
    jobs: int = 0
    lost: int = 0
    double_launches: int = 0
    wasted_launches: int = 0
    killed: int = 0
    launches: int = 0
    idle_usd: float = 0.0
    """Spend on machines while no job ran on them."""
    queue_seconds: list[float] = field(default_factory=list[float])
    """Of the jobs that started."""

    def add(self, result: Result) -> None:
        """Add one run."""
        self.runs += 1
        self.jobs += result.jobs
        self.lost += result.lost
        self.double_launches += result.double_launches
        self.wasted_launches += result.wasted_launches
        self.killed += result.killed
        self.launches += result.launches
        if result.machine_seconds:
            self.idle_usd += result.spend_usd * result.idle_seconds / result.machine_seconds
        self.queue_seconds += result.queue_seconds

    def queued(self, share: float) -> float:
        """Percentile of queue time in seconds, over the jobs that started; 0 if none did."""
        times = sorted(self.queue_seconds)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0

    def started_within(self, seconds: float) -> float:
        """Share of the jobs that started so soon, of all that started or were lost; 1 if there was none."""
        whole = len(self.queue_seconds) + self.lost
        return sum(each <= seconds for each in self.queue_seconds) / whole if whole else 1.0


Sums = Mapping[str, Mapping[str, Sum]]
"""By kind of scenario (the last is `all`), by policy."""


def compare(seeds: Iterable[int], policies: Sequence[Deployment] = POLICIES) -> Sums:
    """Run every seed under every policy, in the same world: jobs, durations, faults and prices are the seed's.

    The draws of a run are one sequence, so two policies that ask differently meet the same rates of faults, though not
    the same faults. Seeds of `LEFT_OUT` are passed over.
    """
    found: dict[str, dict[str, Sum]] = {}
    for seed in seeds:
        scenario = draw(seed)
        if scenario.name in LEFT_OUT:
            continue
        for policy in policies:
            result = Simulation(scenario, seed, policy).run()
            for kind in (scenario.name, "all"):
                found.setdefault(kind, {}).setdefault(policy.name, Sum()).add(result)
    return dict(sorted(found.items(), key=lambda each: (each[0] == "all", each[0])))


_COLUMNS = (
    "jobs",
    "lost",
    "launched twice",
    "launched in vain",
    "busy killed",
    "in 5 min",
    "p50 s",
    "p95 s",
    "idle USD",
)


def table(sums: Sums, kinds: Sequence[str] | None = None) -> Table:
    """Build the table of some kinds of scenario (all of them by default)."""
    made = Table(
        title="Simulated, on no real AWS or GitHub: the same seeds under each policy",
        caption=(
            "Twice: for a job that had a live machine. In vain: for a job that ran, had ended or was held back."
            " p50 and p95 are queue times of the jobs that started: a lost job has none. In 5 min: share of the started"
            " and the lost that started within 5 minutes."
        ),
        title_justify="left",
        caption_justify="left",
    )
    made.add_column("scenario (runs)")
    made.add_column("policy")
    for column in _COLUMNS:
        made.add_column(column, justify="right")
    for kind, policies in sums.items():
        if kinds is not None and kind not in kinds:
            continue
        for number, (policy, each) in enumerate(policies.items()):
            head = f"{kind} ({each.runs})" if number == 0 else ""
            made.add_row(head, policy, *_cells(each), end_section=number == len(policies) - 1)
    return made


def _cells(held: Sum) -> Sequence[str]:
    counts = (held.jobs, held.lost, held.double_launches, held.wasted_launches, held.killed)
    times = (
        f"{held.started_within(300):.0%}",
        f"{held.queued(0.5):.0f}",
        f"{held.queued(0.95):.0f}",
        f"{held.idle_usd:.2f}",
    )
    return [*(str(each) for each in counts), *times]
