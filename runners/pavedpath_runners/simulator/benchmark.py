"""How fast the simulator is, as plain numbers of this machine's time; what it simulates is virtual."""

import resource
import sys
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
    """Of a processor of this machine; waiting for one is not among them."""
    simulated_seconds: float
    memory_bytes: int
    """Most that the process has had until now."""

    @property
    def events_a_second(self) -> float:
        """Events of the simulation in a second of a processor."""
        return self.events / self.seconds

    @property
    def seconds_a_job(self) -> float:
        """Of a processor."""
        return self.seconds / self.jobs


_EVERY = 4.0
"""Seconds between two jobs. GitHub gives an app's installation 5,000 requests an hour at the least, and a job costs
about five of them: one in two seconds is more than a fleet can serve, and would measure how its queue grows."""


def scale(jobs: int) -> Scenario:
    """Work of a busy fleet: jobs come steadily, one in four seconds, and faults are few.

    More jobs are a longer time and no busier fleet, so that a job should cost the same however many there are: what
    grows with the time alone is what makes the difference. 100,000 jobs are 111 hours. About 30 machines live at once.
    What has ended is remembered for a day.
    """
    busy = pool(maximum=100, idle_minutes=3)
    return Scenario(
        name="scale",
        fleet=fleet([busy], record_days=1, delivery_days=1),
        jobs=jobs,
        arrival=Shape.STEADY,
        span=_EVERY * jobs,
        durations=(20.0, 120.0),
        faults_until=_EVERY * jobs,
        rates=everywhere(Rates(crash=0.0002, lost=0.0002, throttle=0.001)),
        page=1000,
    )


def measure(jobs: int, seed: int = 1) -> Speed:
    """Run `scale(jobs)`; `seconds_a_job` of 1,000 and of 100,000 jobs show whether the cost is linear.

    Raises:
        RuntimeError: an invariant did not hold.
    """
    simulation = Simulation(scale(jobs), seed, PAVEDPATH)
    began = time.process_time()
    result = simulation.run()
    seconds = time.process_time() - began
    if simulation.violation or result.lost:
        raise RuntimeError(f"{jobs} jobs, seed {seed}: {simulation.violation}")
    # Linux tells it in KiB, macOS in bytes.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Speed(result.jobs, result.events, result.calls, seconds, result.seconds, memory)


def seeds(chosen: Sequence[int]) -> float:
    """Mean seconds of a processor for a drawn scenario."""
    began = time.process_time()
    for seed in chosen:
        run(draw(seed), seed, PAVEDPATH)
    return (time.process_time() - began) / len(chosen)
