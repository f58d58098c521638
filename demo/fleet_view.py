"""The table that `make demo-fleet` shows while it runs; lines where there is no terminal."""

import time
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pavedpath_runners.records import Job, JobState, Runner, RunnerState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.fleet_checks import jobs_by_state

_LINE_SECONDS = 10.0
_HOOKS = ("sent", "lost", "duplicated", "redelivered")


@dataclass(frozen=True)
class Moment:
    """What is shown: one look at the fleet."""

    elapsed: float
    """Seconds since the first job."""
    jobs: Sequence[Job]
    runners: Sequence[Runner]
    unheard: int
    """Jobs that GitHub queued, and that the ledger does not know."""
    queue: tuple[int, int]
    """Messages that wait, and in flight."""
    hooks: Mapping[str, int]
    """Webhooks so far."""
    note: str
    """What goes on."""


@dataclass
class View:
    """Shows moments, and says what happens between them."""

    console: Console
    _live: Live | None = None
    _said_at: float = field(default=float("-inf"))

    @contextmanager
    def open(self) -> Generator[None]:
        """Show a table that changes in place, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def show(self, moment: Moment) -> None:
        """Show a look."""
        if self._live:
            self._live.update(Group(table(moment), Text(line(moment), style="dim")))
        elif time.monotonic() - self._said_at >= _LINE_SECONDS:
            self._said_at = time.monotonic()
            self.console.print(f"  {line(moment)}", markup=False)

    def say(self, text: str) -> None:
        """Tell what happens; it stays above the table."""
        self.console.print(f"  {text}", markup=False)


def table(moment: Moment) -> Table:
    """Return jobs and machines by state, a row for each pool."""
    shown = Table(title="jobs and machines by state, as the ledger has them", title_justify="left", title_style="bold")
    shown.add_column("pool")
    job_states, machine_states = list(JobState), [each for each in RunnerState if each is not RunnerState.GONE]
    for state in job_states:
        shown.add_column(str(state), justify="right", style="cyan")
    for state in machine_states:
        shown.add_column(f"⚙ {state}", justify="right", style="green")
    jobs = jobs_by_state(moment.jobs)
    machines: defaultdict[str, Counter[RunnerState]] = defaultdict(Counter)
    for each in moment.runners:
        machines[each.pool][each.state] += 1
    for pool in sorted(jobs.keys() | machines.keys()):
        numbers = [jobs[pool][state] if pool in jobs else 0 for state in job_states]
        numbers += [machines[pool][state] for state in machine_states]
        shown.add_row(pool, *(str(number or "") for number in numbers))
    return shown


def line(moment: Moment) -> str:
    """Return a look in one line."""
    jobs = Counter(each.state for each in moment.jobs)
    machines = Counter(each.state for each in moment.runners)
    on_the_way = sum(jobs[each] for each in (JobState.INTENDED, JobState.LAUNCHING, JobState.REGISTERED))
    told = [
        f"{moment.elapsed:4.0f} s",
        f"jobs: {moment.unheard} unheard of, {jobs[JobState.QUEUED]} queued, {on_the_way} with a machine on its way,"
        f" {jobs[JobState.RUNNING]} running, {jobs[JobState.COMPLETED]} completed, {jobs[JobState.FAILED]} refused",
        f"machines: {sum(machines.values())}, {machines[RunnerState.BUSY]} busy",
        f"queue: {moment.queue[0]} + {moment.queue[1]} in flight",
        "webhooks: " + ", ".join(f"{moment.hooks.get(name, 0)} {name}" for name in _HOOKS),
    ]
    return "; ".join([*told, *([moment.note] if moment.note else [])])
