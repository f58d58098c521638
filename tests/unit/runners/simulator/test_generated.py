"""Worlds that Hypothesis makes up and makes smaller when they fail: whole scenarios, and events one by one."""

import dataclasses
import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pavedpath_runners.configuration import Fleet, Market
from pavedpath_runners.simulator.ec2 import Drought
from pavedpath_runners.simulator.engine import Rates
from pavedpath_runners.simulator.github import Habits
from pavedpath_runners.simulator.machines import Wear
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import START, ZONES, Arrival, Scenario, Shape, everywhere, fleet, pool
from pavedpath_runners.simulator.simulation import Simulation, run
from pavedpath_runners.simulator.world import FIRST_JOB

few, many = st.floats(0, 0.05), st.floats(0, 0.5)
rates = st.builds(Rates, crash=few, lost=few, throttle=st.floats(0, 0.2), stall=st.floats(0, 0.01))
habits = st.builds(Habits, lost=many, unrecorded=st.floats(0, 0.2), duplicate=many, late=many, stale=st.floats(0, 1))
wear = st.builds(Wear, slow=few, never=st.floats(0, 0.3), hangs=st.floats(0, 0.3), interruptions=st.floats(0, 20))
droughts = st.builds(
    Drought,
    start=st.floats(0, 300),
    end=st.floats(0, 900),
    zone=st.sampled_from(["", *ZONES.values()]),
    market=st.sampled_from([None, *Market]),
)


def _fleet(maximum: int, spot: bool, idle: int) -> Fleet:
    return fleet([pool(maximum=maximum, spot=spot, idle_minutes=idle)])


fleets = st.builds(
    _fleet,
    st.integers(1, 6),
    st.booleans(),
    st.integers(1, 5),
)
scenarios = st.builds(
    Scenario,
    name=st.just("generated"),
    fleet=fleets,
    jobs=st.integers(1, 6),
    arrival=st.sampled_from(Shape),
    span=st.floats(1, 300),
    durations=st.tuples(st.floats(1, 30), st.floats(30, 400)),
    cancelled=many,
    approvals=many,
    together=st.integers(1, 3),
    faults_until=st.floats(0, 600),
    rates=rates.map(everywhere),
    habits=habits,
    wear=wear,
    droughts=st.lists(droughts, max_size=2),
    twice=st.floats(0, 0.2),
    notices_lost=st.sampled_from([0.0, 0.5]),
    index_lag=st.floats(0, 5),
    contention=few,
    page=st.integers(1, 10),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenario=scenarios, seed=st.integers(0, 2**32))
def test_any_world(scenario: Scenario, seed: int) -> None:
    run(scenario, seed, PAVEDPATH)


MOST = 12
"""Jobs of one run of the rules."""


class FleetMachine(RuleBasedStateMachine):
    """One fleet; Hypothesis plays the users, EC2 and the weather."""

    @initialize(maximum=st.integers(1, 4), seed=st.integers(0, 1000))
    def begin(self, maximum: int, seed: int) -> None:
        scenario = Scenario("stateful", fleet([pool(maximum=maximum, idle_minutes=1)]), jobs=MOST, durations=(10, 300))
        self.simulation = Simulation(scenario, seed, PAVEDPATH)
        self.world = self.simulation.world
        self.jobs = 0
        self.simulation.begin([])
        self.world.github.reserve(FIRST_JOB + MOST)  # a job that is run again is given an id after those of the rules
        self.simulation.open_until = math.inf

    def _arrival(self, seconds: float, held: float, queued_first: bool) -> Arrival:
        each = self.world.scenario.fleet.pools[0]
        labels = tuple(each.labels)
        return Arrival(0.0, "acme/app", 1000 + self.jobs, labels, each.name, seconds, True, held, 0.0, queued_first)

    @precondition(lambda self: self.jobs < MOST)
    @rule(seconds=st.floats(1, 300), held=st.just(0.0) | st.floats(0.1, 900), queued_first=st.booleans())
    def a_job_comes(self, seconds: float, held: float, queued_first: bool) -> None:
        self.jobs += 1
        self.world.arrive(FIRST_JOB + self.jobs, self._arrival(seconds, held, queued_first))

    @rule(number=st.integers(1, MOST))
    def a_user_cancels(self, number: int) -> None:
        job = self.world.github.jobs.get(FIRST_JOB + number)
        if job is not None:
            self.world.github.cancel(job)

    @rule(seconds=st.floats(0.1, 400))
    def time_passes(self, seconds: float) -> None:
        self.simulation.advance(self.world.engine.time + seconds)

    @rule(drawn=rates)
    def services_fail(self, drawn: Rates) -> None:
        self.world.engine.rates = everywhere(drawn)

    @rule(drawn=habits)
    def github_misbehaves(self, drawn: Habits) -> None:
        self.world.github.habits = drawn

    @rule(number=st.integers(0, 5))
    def ec2_takes_a_machine(self, number: int) -> None:
        spot = [each.machine for each in self.world.machines.agents.values() if each.machine.market is Market.SPOT]
        if number < len(spot):
            self.world.machines.interrupt(spot[number])

    @rule(number=st.integers(0, 5))
    def a_machine_dies(self, number: int) -> None:
        agents = list(self.world.machines.agents.values())
        if number < len(agents):
            self.world.ec2.change(agents[number].machine, "terminated", "EC2")

    @rule()
    def a_lambda_environment_is_recycled(self) -> None:
        self.world.lambdas.recycle()

    @invariant()
    def all_invariants_hold(self) -> None:
        if hasattr(self, "simulation"):
            assert self.simulation.violation is None

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        now = self.world.engine.time
        self.world.calm()
        self.simulation.open_until = now
        self.simulation.advance(now + self.simulation.watch.limit() - START)
        if self.simulation.violation is None:
            self.simulation.watch.finish()
        assert self.simulation.violation is None


FleetMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestFleet = FleetMachine.TestCase


def test_a_scenario_is_a_value() -> None:
    assert dataclasses.replace(Scenario("one", fleet([pool()]))) == Scenario("one", fleet([pool()]))
