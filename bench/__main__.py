"""`make bench`: how long things take, each compared with a baseline of the same run.

The baseline of the program is `bench/baseline`: the same resources written by hand. Both are driven by plain
`pulumi up` and `pulumi preview` without the policy pack, so it is neither measured nor copied. Numbers are wall-clock
seconds of this machine; the ratio is what carries to another one.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import yaml
from pavedpath_sandbox.sandbox import Sandbox
from rich.console import Console
from rich.table import Table

from bench import delivery, fleet, fleet_receiver, growth, registration
from bench.sample import without_services

ROOT = Path(__file__).resolve().parent.parent
STACKS = ("shared", "dev")
REPEATS = 3


def timed(work: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def copy(destination: Path) -> Path:
    """Copy what the programs read, so that editing a value touches no file of the checkout."""
    destination.mkdir(exist_ok=True)
    for name in ("stacks", "charts", "etc", "bench"):
        shutil.copytree(ROOT / name, destination / name, ignore=shutil.ignore_patterns("__pycache__"))
    shared = yaml.safe_load((ROOT / "Pulumi.shared.yaml").read_text())["config"]
    for path in ROOT.glob("Pulumi*.yaml"):
        document = yaml.safe_load(path.read_text())
        if "config" in document:
            document["config"] = without_services(shared, document["config"])
        (destination / path.name).write_text(yaml.safe_dump(document, sort_keys=False))
    (destination / ".venv").symlink_to(ROOT / ".venv")
    return destination


class Program:
    """One Pulumi project, driven by the plain engine so that both sides pay the same."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = environment

    def pulumi(self, *arguments: str) -> None:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"pulumi {' '.join(arguments)} in {self.directory} failed:\n{done.stdout}\n{done.stderr}")

    def each(self, *arguments: str) -> None:
        for stack in STACKS:
            self.pulumi(*arguments, "--stack", stack)

    def create(self) -> None:
        for stack in STACKS:
            self.pulumi("stack", "init", stack)

    def up(self) -> None:
        self.each("up", "--yes", "--skip-preview")

    def preview(self) -> None:
        self.each("preview", "--expect-no-changes")


@contextmanager
def sandbox() -> Generator[tuple[Sandbox, list[float], float]]:
    """Yield a fresh sandbox, the ready times of its parts and how long all of them took together."""
    with tempfile.TemporaryDirectory(prefix="pavedpath-bench-") as directory:
        made = Sandbox(Path(directory) / "sandbox")
        try:
            start = time.perf_counter()
            results = made.up()
            whole = time.perf_counter() - start
            yield made, [result.seconds for result in results], whole
        finally:
            made.reset()


def measure(project: str) -> tuple[dict[str, float], list[float], float]:
    """Bring a project up in a fresh sandbox and time each step a user meets."""
    with sandbox() as (made, parts, whole), tempfile.TemporaryDirectory(prefix="pavedpath-bench-") as directory:
        root = copy(Path(directory))
        program = Program(root / project, {**os.environ, **made.environment()})
        program.create()
        times = {"first up": timed(program.up)}
        times["no-op up"] = statistics.median(timed(program.up) for _ in range(REPEATS))
        times["preview"] = statistics.median(timed(program.preview) for _ in range(REPEATS))
    return times, parts, whole


def overhead(project: Path, stack: str) -> float:
    """Return the seconds of a program without providers: interpreter, imports, registration under mocks."""
    command = [sys.executable, "-c", f"from bench.overhead import run; run({str(project)!r}, {stack!r})"]

    def once() -> None:
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{stack} of {project} failed:\n{done.stderr}")

    return statistics.median(timed(once) for _ in range(REPEATS))


def table(title: str, rows: list[tuple[str, float, str, float]]) -> Table:
    """Build one table of measured and baseline seconds and their ratio."""
    made = Table(title=title, title_justify="left")
    for column in ("what", "seconds", "baseline", "seconds", "ratio"):
        made.add_column(column, justify="left" if column in ("what", "baseline") else "right")
    for what, seconds, baseline, base in rows:
        made.add_row(what, f"{seconds:.2f}", baseline, f"{base:.2f}", f"{seconds / base:.2f}")
    return made


def registration_table(found: Mapping[str, tuple[int, float, float]]) -> Table:
    """Build the table of what a resource costs through a component and through the SDK's own class."""
    made = Table(title="Registration of one resource, milliseconds", title_justify="left")
    for column in ("component", "resources", "through it", "through the SDK", "ratio"):
        made.add_column(column, justify="left" if column == "component" else "right")
    for name, (resources, ours, bare) in found.items():
        made.add_row(name, str(resources), f"{ours:.2f}", f"{bare:.2f}", f"{ours / bare:.2f}")
    return made


def growth_table(found: Mapping[str, dict[int, float]]) -> Table:
    """Build the table of what one more repository or application costs, for each step of growth."""
    made = Table(title="Growth of the program without providers", title_justify="left")
    for column in ("what", "from", "to", "seconds then", "milliseconds each"):
        made.add_column(column, justify="left" if column == "what" else "right")
    for what, times in found.items():
        for small, large, each in growth.steps(times):
            made.add_row(what, str(small), str(large), f"{times[large]:.2f}", f"{each:.1f}")
    return made


def main() -> None:
    """Measure everything and print the tables; with an argument, write the numbers to that file as JSON too."""
    console = Console(width=100)
    with console.status("the program in a fresh sandbox"):
        ours, parts, whole = measure(".")
    with console.status("the same resources written by hand, in another one"):
        by_hand, _, _ = measure("bench/baseline")
    with console.status("the program without providers"):
        rows = [
            (
                f"program without providers, {stack}",
                overhead(ROOT, stack),
                "written by hand",
                overhead(ROOT / "bench/baseline", stack),
            )
            for stack in STACKS
        ]
    with console.status("the command, and the workflows of many repositories"):
        delivered = delivery.help_rows() + delivery.render_rows()
    with console.status("registration, and growth"):
        registered = registration.measure()
        with tempfile.TemporaryDirectory(prefix="pavedpath-bench-") as directory:
            grown = {what: growth.seconds(copy(Path(directory) / what), what, overhead) for what in growth.SIZES}
    with console.status("the runner fleet: its receiver, its decisions, its simulator"):
        received = fleet_receiver.measure()
        decided = fleet.decision_rows()
        simulated = fleet.simulated()
    console.print(
        table("Sandbox", [("cold start, all parts together", whole, "sum of its parts' own times", sum(parts))])
    )
    console.print(table("Stacks shared and dev", [(k, ours[k], "written by hand", by_hand[k]) for k in ours]))
    console.print(table("Overhead", rows))
    console.print(table("Delivery", delivered))
    console.print(registration_table(registered))
    console.print(growth_table(grown))
    console.print(fleet_receiver.table(received))
    console.print(table("Decisions of the runner fleet", decided))
    console.print(fleet.simulator_table(simulated))
    if len(sys.argv) > 1:
        numbers = {"sandbox": {"cold": whole, "parts": parts}, "program": ours, "by hand": by_hand, "overhead": rows}
        numbers |= {"registration": registered, "growth": grown, "delivery": delivered}
        numbers |= {"receiver": {name: asdict(each) for name, each in received.items()}, "decisions": decided}
        numbers |= {"simulator": {jobs: asdict(each) for jobs, each in simulated.items()}}
        Path(sys.argv[1]).write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
