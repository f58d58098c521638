"""Runs: a scenario, a seed, a policy, and what comes of it."""

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .engine import Entry
from .invariants import ViolationError, Watch
from .policy import Deployment
from .scenario import START, Arrival, Scenario, arrivals
from .world import SimulatedWorld

_LOOK = 30.0


@contextmanager
def _seldom_collected() -> Generator[None]:
    """Have the garbage collector come seldom. A run leaves next to nothing in cycles, and what it remembers grows: by
    default a long one spends a fifth of its time on going through all of that again and again."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True)
class Result:
    """What came of one run. All of it is simulated."""

    seed: int
    scenario: str
    policy: str
    jobs: int
    lost: int
    double_launches: int
    wasted_launches: int
    killed: int
    orphans: int
    starved: int
    forks_run: int
    stolen: int
    over_maximum: int
    launches: int
    queue_seconds: Sequence[float]
    """Of each job that started, from its queueing, sorted."""
    machine_seconds: float
    useful_seconds: float
    spend_usd: float
    calls: int
    """Calls to services."""
    events: int
    """Steps of the simulation."""
    faults: int
    """Calls that went wrong."""
    failures: int
    """Invocations that failed."""
    seconds: float
    """Simulated time."""

    @property
    def idle_seconds(self) -> float:
        """Machine time without a job."""
        return self.machine_seconds - self.useful_seconds

    def queued(self, share: float) -> float:
        """Percentile of queue time, in seconds; 0 if no job started."""
        times = self.queue_seconds
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


class Simulation:
    """One run. `timeline` is written only if `journal` is set; it does not change what happens."""

    def __init__(self, scenario: Scenario, seed: int, policy: Deployment, journal: bool = False) -> None:
        self.scenario, self.seed, self.policy = scenario, seed, policy
        self.world = SimulatedWorld(scenario, seed, policy, journal)
        self.watch = Watch(self.world)
        self.open_until = 0.0
        """Time before which the run is not over, since jobs may still come."""

    def run(self) -> Result:
        """Let everything happen until nothing is left to be done, an invariant breaks or the limit has come."""
        self.begin(arrivals(self.scenario, self.seed))
        self.advance(self.watch.limit())
        if not (self.policy.strict and self.watch.broken):
            self.watch.finish()
        return self._result()

    def begin(self, coming: Sequence[Arrival]) -> None:
        """Wire the world and let the jobs come."""
        world, watch = self.world, self.watch
        world.connect(watch.listeners(), watch.ears())
        world.dynamodb.on_write, world.dynamodb.on_expiry = watch.written, watch.expired
        world.begin(coming)
        self.open_until = START + max((each.at for each in coming), default=0.0)
        world.engine.after(_LOOK, self._look)

    def advance(self, until: float) -> None:
        """Let everything happen until a time, or until there is nothing left to be done or an invariant breaks."""
        with _seldom_collected():
            self.world.engine.run(until)

    def _look(self) -> None:
        self.watch.look()
        if self.world.engine.time > self.open_until and self.watch.settled():
            self.world.engine.stop()
        else:
            self.world.engine.after(_LOOK, self._look)

    @property
    def violation(self) -> tuple[str, int, str] | None:
        """(what, job, machine) of what went wrong, if the policy is held to the invariants."""
        if not self.policy.strict:
            return None
        if self.world.lambdas.defects:
            return f"a function ended with an error:\n{self.world.lambdas.defects[0]}", 0, ""
        return self.watch.broken

    def timeline(self, job: int = 0, machine: str = "") -> Sequence[Entry]:
        """What happened, in order; if a job or a machine is named, only what concerns it, and what befell those who
        had to do with it."""
        entries = self.world.engine.journal or []
        if not job and not machine:
            return entries
        names = self._related(job, machine)
        concerned = [(job and each.job == job) or each.machine in names for each in entries]
        actors = {each.actor for each, related in zip(entries, concerned, strict=True) if related}
        actors |= {"world", "invariant"}
        return [
            each
            for each, related in zip(entries, concerned, strict=True)
            if related or (not (each.job or each.machine) and each.actor in actors)
        ]

    def _related(self, job: int, machine: str) -> set[str]:
        """Instance ids and runners' names that have to do with a job or machine."""
        names = {machine} - {""}
        prefix = f"{self.scenario.fleet.name}-{job}-"
        for each in self.world.engine.journal or ():
            if job and each.machine.startswith(prefix):
                names.add(each.machine)
        for each in self.world.ec2.machines.values():
            if each.runner in names or each.id in names:
                names |= {each.runner, each.id}
        return names

    def _result(self) -> Result:
        counters, engine = self.watch.counters, self.world.engine
        return Result(
            seed=self.seed,
            scenario=self.scenario.name,
            policy=self.policy.name,
            jobs=len(self.world.arrivals),
            lost=self.watch.lost,
            double_launches=counters.double_launches,
            wasted_launches=counters.wasted_launches,
            killed=counters.killed,
            orphans=counters.orphans,
            starved=counters.starved,
            forks_run=counters.forks_run,
            stolen=counters.stolen,
            over_maximum=counters.over_maximum,
            launches=self.world.ec2.launches,
            queue_seconds=tuple(sorted(counters.queue_seconds)),
            machine_seconds=counters.machine_seconds,
            useful_seconds=counters.useful_seconds,
            spend_usd=counters.spend_usd,
            calls=sum(engine.calls.values()),
            events=engine.events,
            faults=engine.faults,
            failures=self.world.lambdas.failures,
            seconds=engine.time - START,
        )


def run(scenario: Scenario, seed: int, policy: Deployment) -> Result:
    """Run a scenario.

    Raises:
        ViolationError: an invariant did not hold; with the timeline of a second, identical run.
    """
    simulation = Simulation(scenario, seed, policy)
    result = simulation.run()
    if simulation.violation is None:
        return result
    again = Simulation(scenario, seed, policy, journal=True)
    again.run()
    what, job, machine = again.violation or simulation.violation
    raise ViolationError(seed, scenario.name, what, again.timeline(job, machine)[-120:])
