"""Hundreds of jobs over a fleet of runners, with all that goes wrong on the way: `make demo-fleet`.

The engine deploys examples/runner-fleet into a sandbox of its own. Its functions run as they are: against moto, behind
the queue and the function URL that the component made, with webhooks that the sandbox's GitHub signs, loses and sends
twice. In the middle their host is killed. At the end every job must have been done once and nothing may be left.
"""

import argparse
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import psutil
from botocore.exceptions import BotoCoreError, ClientError
from pavedpath_runners.configuration import Fleet
from pavedpath_sandbox import supervisor
from pavedpath_sandbox.layout import DIRECTORY_VARIABLE, Layout
from pavedpath_sandbox.sandbox import Sandbox, SandboxError
from rich.console import Console
from rich.markup import escape

from demo import fleet_checks
from demo.fleet_load import Kind, PlannedRun, plan
from demo.fleet_view import Moment, View
from demo.fleet_world import Aws, Deployed, GitHub, SandboxRefusedError, Watch, gather, program_outputs

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "runner-fleet"
SANDBOX = ROOT / ".venv/bin/pavedpath-sandbox"
GROUPS = ("aws", "github", "functions")
HOST = "functions"
"""The part of the sandbox that runs the fleet's functions."""
MARK = "PAVEDPATH_DEMO_FLEET"
"""Variable by which the next run finds the processes that a killed one left."""
SCHEDULE = {"SANDBOX_SCHEDULE_SECONDS": "10"}
"""How long a minute of the reconciler's schedule takes here."""
FAULTS = {"lose_every": 20, "duplicate_every": 10, "at_once": 6}
"""Of the webhooks, every one of so many; and how many are under way together, so that they overtake each other."""
MACHINES = ("--boot", "2", "--job", "3")
POOLS = {"maximum": 40, "boot_minutes": 1, "idle_minutes": 1}
"""What every pool has here: fewer machines than the bursts want, so that jobs wait, and little patience with one that
does not come up or finds no job."""
GRACE_SECONDS = 30
BEGIN_PER_SECOND = 2.0
"""Jobs that GitHub queues, on average. It lets an App spend 900 points a minute, and a launch takes 6 of them."""
KILL_AFTER = 0.25
"""The host is killed when this part of the jobs is done."""
DOWN_SECONDS = 3.0
PATIENCE_SECONDS = 900.0
"""After the last job was queued."""
_LOOK_SECONDS = 3.0


class DemoError(Exception):
    """It cannot go on, or something is not as it must be."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    jobs: int = 500
    seed: int = 1
    never: float = 0.02
    """Chance of a machine to boot and never register."""
    interrupt: float = 0.02
    """Chance of a spot machine to be taken away in the middle of its job."""
    keep: bool = False
    verbose: bool = False


@dataclass
class Load:
    """Begins the planned runs at their times, in a thread of its own."""

    github: GitHub
    planned: Sequence[PlannedRun]
    labels: Mapping[str, Sequence[str]]
    runs: dict[int, PlannedRun] = field(default_factory=dict[int, PlannedRun])
    """By the id that GitHub gave."""
    jobs: set[int] = field(default_factory=set[int])
    problem: Exception | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @contextmanager
    def under_way(self) -> Generator[None]:
        """Begin; stop at the end of the block."""
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    @property
    def over(self) -> bool:
        """Whether all runs have begun. Raises what has kept them from it."""
        if self.problem:
            raise self.problem
        return self._thread is not None and not self._thread.is_alive()

    def _work(self) -> None:
        began = time.monotonic()
        steps: list[tuple[float, PlannedRun, int]] = [(each.at, each, 0) for each in reversed(self.planned)]
        try:
            while steps and not self._stop.is_set():
                at, planned, run = steps.pop()
                self._stop.wait(max(0.0, began + at - time.monotonic()))
                if run:
                    self.github.cancel(planned.repository, run)
                elif not self._stop.is_set():
                    run = self._begin(planned)
                    if planned.kind is Kind.CANCELLED:
                        now = time.monotonic() - began
                        steps.append((now + planned.cancel_after, planned, run))
                        steps.sort(key=lambda step: -step[0])
        except (SandboxRefusedError, httpx.HTTPError) as error:
            self.problem = error

    def _begin(self, planned: PlannedRun) -> int:
        run = self.github.begin(planned, self.labels)
        self.runs[run] = planned
        # In one step: the main thread reads it meanwhile.
        self.jobs = self.jobs | {each.id for each in self.github.attempts(planned.repository, run)}
        return run


@dataclass
class Stage:
    """The fleet as it was deployed, and what plays with it."""

    options: Options
    view: View
    layout: Layout
    sandbox: Sandbox
    aws: Aws
    github: GitHub
    deployed: Deployed
    fleet: Fleet
    planned: Sequence[PlannedRun]

    @property
    def machines_log(self) -> Path:
        """What the machines tell."""
        return self.layout.root / "demo" / "machines.log"

    @property
    def work(self) -> int:
        """How many jobs are to be done."""
        return sum(len(each.pools) for each in self.planned if each.kind is Kind.WORK)


def prepare(options: Options, console: Console, layout: Layout) -> Stage:
    """Start the sandbox and deploy the fleet."""
    began = time.monotonic()
    sandbox = Sandbox(layout=layout, groups=GROUPS, keep=True)
    sandbox.reset()
    sandbox.up()
    console.print(f"  sandbox ready after {time.monotonic() - began:.0f} s", markup=False)
    variables = {**os.environ, **sandbox.environment(), DIRECTORY_VARIABLE: str(layout.root)}
    with console.status("the engine is at work"):
        deployed = deploy(layout.root / "demo" / EXAMPLE.name, variables)
    aws, github = Aws(variables), GitHub(variables)
    aws.keep_secret(deployed.key_secret, _run([str(SANDBOX), "app-key"], ROOT, variables))
    fleet = hastened(aws.fleet(deployed.configuration))
    aws.configure(deployed.configuration, fleet)
    kill_host(sandbox)  # a function keeps what it has read of the configuration for five minutes
    sandbox.up()
    pools = [each.name for each in fleet.pools]
    planned = plan(options.jobs, pools, options.jobs / BEGIN_PER_SECOND, options.seed)
    console.print(f"  examples/runner-fleet is deployed after {time.monotonic() - began:.0f} s", markup=False)
    return Stage(options, View(console), layout, sandbox, aws, github, deployed, fleet, planned)


def hastened(fleet: Fleet) -> Fleet:
    """Return the fleet with times that nobody minds to wait for here."""
    return replace(fleet, grace_seconds=GRACE_SECONDS, pools=tuple(replace(each, **POOLS) for each in fleet.pools))


def deploy(directory: Path, variables: Mapping[str, str]) -> Deployed:
    """Have the engine make what the example describes."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(EXAMPLE, directory, ignore=shutil.ignore_patterns("__pycache__", ".venv", "Pulumi.*.yaml"))
    (directory / ".venv").symlink_to(ROOT / ".venv")
    _run(["pulumi", "stack", "init", "dev"], directory, variables)
    _run(["pulumi", "config", "set", "--secret", "webhookSecret"], directory, variables, secrets.token_hex(32))
    _run(["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"], directory, variables)
    return program_outputs(_run(["pulumi", "stack", "output", "--json"], directory, variables))


def _run(command: Sequence[str], directory: Path, variables: Mapping[str, str], given: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=directory, env=variables, input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


@dataclass
class Machines:
    """The instances of EC2, played by a process of its own."""

    stage: Stage
    _process: "subprocess.Popen[bytes] | None" = None

    @contextmanager
    def played(self) -> Generator[None]:
        """Begin; end it with the block."""
        variables = {**os.environ, DIRECTORY_VARIABLE: str(self.stage.layout.root)}
        options = self.stage.options
        chances = ["--never", str(options.never), "--interrupt", str(options.interrupt), "--seed", str(options.seed)]
        command = [str(SANDBOX), "machines", *MACHINES, *chances]
        with (
            self.stage.machines_log.open("w") as out,
            subprocess.Popen(command, env=variables, stdout=out, stderr=out) as process,
        ):
            self._process = process
            try:
                yield
            finally:
                process.terminate()

    def check(self) -> None:
        """Raise DemoError if it has ended."""
        if self._process and self._process.poll() is not None:
            told = self.stage.machines_log.read_text()[-2000:]
            raise DemoError(f"pavedpath-sandbox machines ended with {self._process.returncode}: {told}")


def kill_host(sandbox: Sandbox) -> int:
    """Kill the function host and all that it runs, without a warning; return how many processes that were."""
    family = [psutil.Process(each.pid) for each in sandbox.status() if each.part == HOST and each.pid]
    family += [child for parent in family for child in parent.children(recursive=True)]
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    if not family:
        raise DemoError(f"the part {HOST} of the sandbox does not run")
    return len(family)


@dataclass
class Story:
    """What happens besides the load: spot lacks at first, the host is killed in the middle."""

    stage: Stage
    note: str = ""
    _lacking: Sequence[str] = ()
    _killed: bool = False

    def begin(self) -> None:
        """Set the faults."""
        stage = self.stage
        stage.github.faults(**FAULTS)
        self._lacking = stage.fleet.pools[-1].instance_types
        stage.aws.spot(self._lacking, available=False)
        self.note = f"no spot for {stage.fleet.pools[-1].name}"

    def go_on(self, done: int) -> None:
        """Do what is due when so many jobs are done."""
        if self._killed or done < KILL_AFTER * self.stage.work:
            return
        self._killed = True
        count = kill_host(self.stage.sandbox)
        self.stage.view.say(f"kill -9 of the function host, {count} processes, with {done} jobs done")
        time.sleep(DOWN_SECONDS)  # webhooks of this time fail
        self.stage.sandbox.up()
        self.stage.aws.spot(self._lacking, available=True)
        self.note = ""
        pool = self.stage.fleet.pools[-1].name
        self.stage.view.say(f"the function host is up again, and spot for {pool} is back")


def play(stage: Stage) -> tuple[Mapping[int, PlannedRun], float]:
    """Let all jobs come and be done; return the runs, and how many seconds it took."""
    labels = {each.name: each.labels for each in stage.fleet.pools}
    load = Load(stage.github, stage.planned, labels)
    watch = Watch.of(stage.aws, stage.deployed.table)
    story, machines = Story(stage), Machines(stage)
    story.begin()
    began = time.monotonic()
    patience = began + stage.planned[-1].at + PATIENCE_SECONDS
    with stage.view.open(), machines.played(), load.under_way():
        while True:
            machines.check()
            over = load.over
            watch.expected |= load.jobs
            watch.look()
            done = sum(each.conclusion == "success" for each in watch.ended.values())
            story.go_on(done)
            stage.view.show(
                Moment(
                    elapsed=time.monotonic() - began,
                    done=done,
                    work=stage.work,
                    jobs=[*watch.open.values(), *watch.ended.values()],
                    runners=watch.runners,
                    unheard=watch.unheard,
                    queue=stage.aws.depth(stage.deployed.queue),
                    hooks=stage.github.faults(),
                    note=story.note,
                )
            )
            if (over and watch.settled and not sum(stage.aws.messages().values())) or time.monotonic() > patience:
                return load.runs, time.monotonic() - began
            time.sleep(_LOOK_SECONDS)


def report(stage: Stage, runs: Mapping[int, PlannedRun], seconds: float) -> bool:
    """Check all that was recorded, and tell; return whether all is as it must be."""
    console = stage.view.console
    facts = gather(stage.aws, stage.github, stage.deployed, stage.fleet, runs, stage.machines_log)
    if wrong := fleet_checks.problems(facts):
        console.print(f"\n[red]{len(wrong)} things are not as they must be:[/red]")
        for each in wrong if stage.options.verbose else wrong[:20]:
            console.print(f"  ✗ {each}", markup=False)
        return False
    told = fleet_checks.summary(facts)
    markets = ", ".join(f"{count} {name}" for name, count in told.markets.items())
    hooks = stage.github.faults()
    lines = (
        f"{told.done} jobs done, each once, each on a machine of its own, in {seconds:.0f} s",
        f"{told.rerun} run again after an interruption; besides, {told.refused} jobs of forks refused,"
        f" {told.cancelled} cancelled",
        f"queue time: p50 {told.queue_p50:.0f} s, p95 {told.queue_p95:.0f} s, max {told.queue_max:.0f} s",
        f"instances: {told.launched} launched ({markets}), {told.terminated} terminated, 0 left; 0 registrations left",
        "webhooks: " + ", ".join(f"{hooks[name]} {name}" for name in ("sent", "lost", "duplicated", "redelivered")),
        f"ledger: all {len(facts.jobs)} jobs have ended, all {len(facts.runners)} runners are gone; no message waits",
        f"cost: {told.machine_hours:.2f} machine hours, at most {told.cost:.4f} USD, {told.cost / told.done:.5f} a job"
        " (an estimate: the example's on-demand prices times the time of these machines, which are played)",
    )
    console.print()
    for each in lines:
        console.print(f"  ✓ {each}", markup=False)
    return True


def end_strays(root: Path) -> None:
    """End what a demo that was killed has left running."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(root):
                found.append(process)
    supervisor.end(found)


@contextmanager
def alone(root: Path) -> Generator[None]:
    """Hold the directory.

    Raises:
        DemoError: another demo runs in it.
    """
    (root / "demo").mkdir(parents=True, exist_ok=True)
    with (root / "demo" / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"another demo-fleet is at work in {root}; let it end, or end it") from error
        end_strays(root)
        os.environ.update({MARK: str(root), **SCHEDULE})
        yield


def run(options: Options) -> int:
    """Play it all; return the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does, and stops what it has started
    # Beside the sandbox of `make up`, which it leaves alone.
    layout = Layout.find(Layout.find().root / "fleet")
    sandbox = Sandbox(layout=layout, groups=GROUPS)
    good = False
    try:
        with alone(layout.root):
            try:
                console.print("[bold]1  The engine deploys the fleet[/bold]")
                stage = prepare(options, console, layout)
                console.print(f"[bold]2  {stage.work} jobs, and what goes wrong with them[/bold]")
                runs, seconds = play(stage)
                console.print("[bold]3  What was recorded[/bold]")
                good = report(stage, runs, seconds)
            finally:
                if not options.keep:
                    sandbox.reset() if good else sandbox.down()
    except KeyboardInterrupt:
        left = f"its sandbox still runs in {layout.root}; " if options.keep else ""
        console.print(f"\ninterrupted; {left}the next run starts fresh")
        return 130
    except (DemoError, SandboxError, SandboxRefusedError, httpx.HTTPError, BotoCoreError, ClientError) as error:
        console.print(f"\n[red]It ends here:[/red] {escape(str(error))}")
    if not good:
        console.print(f"logs: {layout.root / 'logs'}, {layout.root / 'demo' / 'machines.log'}", markup=False)
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make demo-fleet", description=__doc__)
    parser.add_argument(
        "--jobs", type=int, default=Options.jobs, help="jobs that are to be done [default: %(default)s]"
    )
    parser.add_argument("--seed", type=int, default=Options.seed, help="of the load and the faults")
    chances = {"never": "that a machine boots and never registers", "interrupt": "that a spot machine is taken away"}
    for name, what in chances.items():
        parser.add_argument(f"--{name}", type=float, default=getattr(Options, name), help=f"chance {what}, 0 to 1")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running")
    parser.add_argument("--verbose", action="store_true", help="list everything that is wrong")
    given = parser.parse_args()
    if given.jobs < 1:
        parser.error("--jobs must be at least 1")
    if wrong := [f"--{name}" for name in chances if not 0 <= getattr(given, name) <= 1]:
        parser.error(f"{' and '.join(wrong)} must be from 0 to 1")
    sys.exit(run(Options(**vars(given))))
