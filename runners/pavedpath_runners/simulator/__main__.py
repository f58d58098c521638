"""The command: `python -m pavedpath_runners.simulator run | show | compare`."""

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .baseline_comparison import POLICIES, compare, table
from .invariants import line
from .pavedpath import PAVEDPATH
from .policy import Deployment
from .scenario import KINDS, draw
from .seeds import Failure
from .seeds import results as run_seeds
from .simulation import Result, Simulation

SIMULATED = "SIMULATED: virtual time, models of the services; no measurement of any real one"


def seeds_of(text: str) -> Sequence[int]:
    """Read `7`, `0..99` (both ends included) or a list of such, with commas.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        if not first.isdecimal() or (dots and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"{part!r} is neither a seed nor a range such as 0..99")
        if int(last or first) < int(first):
            raise argparse.ArgumentTypeError(f"{part!r} holds no seed: write {last}..{first}")
        found += range(int(first), int(last or first) + 1)
    return found


def _natural(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: a number from 0 on")
    return int(text)


def _run(console: Console, seeds: Sequence[int], jobs: int, most: int) -> int:
    began = time.monotonic()
    results: list[Result] = []
    failures: list[Failure] = []
    for number, each in enumerate(run_seeds(seeds, jobs), start=1):
        if isinstance(each, Failure):
            failures.append(each)
            console.print(each.told, markup=False, highlight=False, soft_wrap=True)
            if len(failures) >= most:
                console.print(f"Stopped after {most} failing seeds, {number} of {len(seeds)} run.")
                break
        else:
            results.append(each)
    console.print(_by_kind(results))
    seconds = time.monotonic() - began
    events = sum(each.events for each in results)
    console.print(
        f"{len(results)} of {len(results) + len(failures)} seeds held; {events:,} events, {seconds:.1f} s. {SIMULATED}."
    )
    return 1 if failures else 0


def _by_kind(results: Sequence[Result]) -> Table:
    table = Table(title="By kind of scenario (simulated)")
    for name in ("kind", "seeds", "jobs", "launches", "calls", "of them failed", "p50 queue s", "p95", "idle share"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in KINDS:
        some = [each for each in results if each.scenario == kind]
        if not some:
            continue
        times = sorted(value for each in some for value in each.queue_seconds)
        machine = sum(each.machine_seconds for each in some)
        table.add_row(
            kind,
            f"{len(some)}",
            f"{sum(each.jobs for each in some):,}",
            f"{sum(each.launches for each in some):,}",
            f"{sum(each.calls for each in some):,}",
            f"{sum(each.faults for each in some):,}",
            *(f"{_share(times, share):.0f}" for share in (0.5, 0.95)),
            f"{sum(each.idle_seconds for each in some) / machine:.0%}" if machine else "-",
        )
    return table


def _share(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


def _show(console: Console, seed: int, job: int, machine: str, policy: Deployment) -> int:
    simulation = Simulation(draw(seed), seed, policy, journal=True)
    result = simulation.run()
    styles = {"invariant": "bold red", "github": "cyan", "ec2": "yellow", "machine": "green", "world": "magenta"}
    if job and job not in (jobs := sorted(simulation.world.github.jobs)):
        console.print(
            f"seed {seed} has no job {job}; it has {jobs[0]} to {jobs[-1]}", style="bold red", highlight=False
        )
        return 2
    for entry in simulation.timeline(job, machine):
        console.print(line(entry), style=styles.get(entry.actor, ""), markup=False, highlight=False, soft_wrap=True)
    console.print(f"seed {seed}, {result.scenario}, {result.policy}: {result.jobs} jobs. {SIMULATED}.")
    if simulation.violation:
        console.print(simulation.violation[0], style="bold red", markup=False, soft_wrap=True)
    return 1 if simulation.violation else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 if a seed broke an invariant."""
    parser = argparse.ArgumentParser(prog="python -m pavedpath_runners.simulator", description=SIMULATED)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="hold seeds to the invariants")
    running.add_argument("--jobs", type=_natural, default=1, help="processes (default 1)")
    running.add_argument("--most", type=_natural, default=3, help="failing seeds after which to stop (default 3)")
    comparing = commands.add_parser("compare", help="ours and terraform-aws-github-runner's policy on the same seeds")
    for each in (running, comparing):
        each.add_argument("--seeds", type=seeds_of, default=seeds_of("0..99"), help="7, 0..99, 1,5,8..9")
    showing = commands.add_parser("show", help="the timeline of one seed")
    showing.add_argument("seed", type=_seed)
    showing.add_argument("--job", type=int, default=0, help="only what concerns this job")
    showing.add_argument("--machine", default="", help="only what concerns this instance or runner")
    names = {each.name: each for each in (*POLICIES[1:], PAVEDPATH)}
    showing.add_argument("--policy", choices=names, default=PAVEDPATH.name)
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if given.command == "run":
        return _run(console, given.seeds, given.jobs, given.most)
    if given.command == "compare":
        console.print(table(compare(given.seeds)))
        return 0
    return _show(console, given.seed, given.job, given.machine, names[given.policy])


if __name__ == "__main__":
    sys.exit(main())
