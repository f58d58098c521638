"""How fast the simulator is, as plain numbers of this machine's time; what it simulates is virtual."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .engine import Rates
from .pavedpath import PAVEDPATH
from .scenario import Scenario, Shape, draw, everywhere, fleet, pool
from .simulation import Simulation, run


@dataclass(frozen=True)
class Speed:
    """One measurement."""

    jobs: int
    events: int
    calls: int
    """Calls to services."""
    seconds: float
    """Of this machine's time."""
    simulated_seconds: float

    @property
    def events_a_second(self) -> float:
        """Events of the simulation in a second of this machine's time."""
        return self.events / self.seconds

    @property
    def seconds_a_job(self) -> float:
        """Of this machine's time."""
        return self.seconds / self.jobs


def scale(jobs: int) -> Scenario:
    """Work of a busy fleet: jobs come steadily, one in two seconds, and faults are few."""
    busy = pool(maximum=400, idle_minutes=3)
    return Scenario(
        name="scale",
        fleet=fleet([busy]),
        jobs=jobs,
        arrival=Shape.STEADY,
        span=2.0 * jobs,
        durations=(20.0, 120.0),
        faults_until=2.0 * jobs,
        rates=everywhere(Rates(crash=0.0002, lost=0.0002, throttle=0.001)),
        page=1000,
    )


def measure(jobs: int, seed: int = 1) -> Speed:
    """Run `scale(jobs)`; `seconds_a_job` of 1,000 and of 100,000 jobs show whether the cost is linear.

    Raises:
        RuntimeError: an invariant did not hold.
    """
    simulation = Simulation(scale(jobs), seed, PAVEDPATH)
    began = time.perf_counter()
    result = simulation.run()
    seconds = time.perf_counter() - began
    if simulation.violation or result.lost:
        raise RuntimeError(f"{jobs} jobs, seed {seed}: {simulation.violation}")
    return Speed(result.jobs, result.events, result.calls, seconds, result.seconds)


def seeds(chosen: Sequence[int]) -> float:
    """Mean seconds of this machine's time for a drawn scenario."""
    began = time.perf_counter()
    for seed in chosen:
        run(draw(seed), seed, PAVEDPATH)
    return (time.perf_counter() - began) / len(chosen)
