"""The table that `make demo-fleet` shows while it runs; lines where there is no terminal."""

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from pavedpath_runners.records import Job, JobState, Runner, RunnerState
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_LINE_SECONDS = 10.0
_HOOKS = ("sent", "lost", "duplicated", "redelivered")
_JOBS: Mapping[str, frozenset[JobState]] = {
    "waiting": frozenset({JobState.QUEUED}),
    "machine on its way": frozenset({JobState.INTENDED, JobState.LAUNCHING, JobState.REGISTERED}),
    "running": frozenset({JobState.RUNNING}),
    "ended": frozenset({JobState.COMPLETED}),
    "refused": frozenset({JobState.FAILED}),
}
_MACHINES: Mapping[str, frozenset[RunnerState]] = {
    "being launched": frozenset({RunnerState.INTENDED, RunnerState.LAUNCHING, RunnerState.STOPPED}),
    "registered": frozenset({RunnerState.REGISTERED}),
    "busy": frozenset({RunnerState.BUSY}),
    "ending": frozenset({RunnerState.DONE, RunnerState.DRAINING}),
}


@dataclass(frozen=True)
class Moment:
    """What is shown: one look at the fleet."""

    elapsed: float
    """Seconds since the first job."""
    done: int
    work: int
    """Of so many jobs."""
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
            self._live.update(screen(moment))
        elif time.monotonic() - self._said_at >= _LINE_SECONDS:
            self._said_at = time.monotonic()
            self.console.print(f"  {line(moment)}", markup=False)

    def say(self, text: str) -> None:
        """Tell what happens; it stays above the table."""
        self.console.print(f"  {text}", markup=False)


def screen(moment: Moment) -> Group:
    """Return a look for a terminal of 80 columns and 24 lines."""
    bar = Table.grid(padding=(0, 2))
    progress = ProgressBar(total=moment.work, completed=moment.done, width=40)
    bar.add_row(progress, f"{moment.done} of {moment.work} done", f"{moment.elapsed:.0f} s")
    below = Table.grid(padding=(0, 2))
    below.add_row("webhooks", _hooks(moment))
    below.add_row("queue", f"{moment.queue[0]} messages wait, {moment.queue[1]} in flight")
    if moment.unheard:
        below.add_row("unheard", f"{moment.unheard} jobs that the ledger does not know yet")
    if moment.note:
        below.add_row("now", Text(moment.note, style="yellow"))
    return Group(Text(), *(Padding(each, (0, 2)) for each in (bar, table(moment), below)))


def table(moment: Moment) -> Table:
    """Return jobs and machines by state, a column for each pool."""
    jobs = Counter[tuple[str, StrEnum]]((each.pool or "-", each.state) for each in moment.jobs)
    machines = Counter[tuple[str, StrEnum]]((each.pool, each.state) for each in moment.runners)
    pools = sorted({pool for pool, _ in [*jobs, *machines]})
    shown = Table(box=None, padding=(0, 2, 0, 0))
    shown.add_column()
    shown.add_column()
    for name in (*pools, "all"):
        shown.add_column(name, justify="right", min_width=6)
    groups: Sequence[tuple[str, str, Mapping[str, Collection[StrEnum]], Counter[tuple[str, StrEnum]]]]
    groups = (("jobs", "cyan", _JOBS, jobs), ("machines", "green", _MACHINES, machines))
    for what, style, rows, counts in groups:
        for number, (row, states) in enumerate(rows.items()):
            each = [sum(counts[pool, state] for state in states) for pool in pools]
            figures = [Text(str(count) if count else "·", style=style if count else "dim") for count in each]
            total = Text(str(sum(each)), style="bold")
            shown.add_row("" if number else what, row, *figures, total, end_section=number + 1 == len(rows))
    return shown


def _hooks(moment: Moment) -> str:
    return ", ".join(f"{moment.hooks.get(name, 0)} {name}" for name in _HOOKS)


def line(moment: Moment) -> str:
    """Return a look in one line."""
    jobs = _counted(_JOBS, (each.state for each in moment.jobs))
    machines = _counted(_MACHINES, (each.state for each in moment.runners))
    told = [
        f"{moment.elapsed:4.0f} s: {moment.done} of {moment.work} done",
        f"jobs: {moment.unheard} unheard of, {jobs}",
        f"machines: {machines}",
        f"queue: {moment.queue[0]} + {moment.queue[1]} in flight",
        f"webhooks: {_hooks(moment)}",
    ]
    return "; ".join([*told, *([moment.note] if moment.note else [])])


def _counted(rows: Mapping[str, Collection[StrEnum]], states: Iterable[StrEnum]) -> str:
    counts = Counter(states)
    return ", ".join(f"{sum(counts[state] for state in wanted)} {row}" for row, wanted in rows.items())
