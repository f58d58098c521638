"""The baseline does what it is written down to do, its known defects included, and is compared on equal terms."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pavedpath_runners.configuration import Market
from pavedpath_runners.simulator.baseline import ADVISED, DEFAULTS, Inputs, Module, deployment
from pavedpath_runners.simulator.baseline_comparison import LEFT_OUT, POLICIES, Sum, compare, table
from pavedpath_runners.simulator.ec2 import Drought
from pavedpath_runners.simulator.engine import Rates
from pavedpath_runners.simulator.github import WorkflowJob
from pavedpath_runners.simulator.policy import Hook, Message
from pavedpath_runners.simulator.scenario import Scenario, draw, everywhere, fleet, pool
from pavedpath_runners.simulator.simulation import Simulation
from pavedpath_runners.simulator.world import SimulatedWorld
from rich.console import Console

CHECKED = replace(DEFAULTS, enable_job_queued_check=True)


class Stage:
    """A world in which nothing happens by itself, and the module in it."""

    def __init__(self, inputs: Inputs = DEFAULTS, maximum: int = 10, **more: Any) -> None:
        scenario = Scenario("stage", fleet([pool(maximum=maximum)]), **more)
        self.world = SimulatedWorld(scenario, 1, deployment("module", inputs))
        self.world.engine.rates = scenario.rates
        self.pool = scenario.fleet.pools[0]
        self.module = Module(self.world.services, inputs)
        self.hooks: list[Hook] = []
        self.world.github.send = lambda hook, _: self.hooks.append(hook)
        self.world.queue.on_ready = lambda: None  # no poller

    def job(self, identity: int, status: str = "queued") -> Message:
        """A job on GitHub, and the message that asks for its machine."""
        job = WorkflowJob(identity, "acme/app", identity, self.pool.labels, 60.0)
        self.world.github.queue(job)
        job.status = status
        return self.message(identity)

    def message(self, identity: int, retries: int = -1, check: bool = False) -> Message:
        body = {"id": identity, "repository": "acme/app", "pool": "default", "retryCounter": retries, "check": check}
        return Message(f"m-{identity}", json.dumps(body), 1)

    def pass_time(self, minutes: float) -> None:
        """Let what is due happen (EC2's lists, say), and the clock go on."""
        until = self.world.engine.time + 60 * minutes
        self.world.engine.at(until, lambda: None)
        while self.world.engine.time < until:
            self.world.engine.step()

    @property
    def machines(self) -> Sequence[str]:
        return [each.id for each in self.world.ec2.machines.values() if each.live]

    @property
    def waiting(self) -> Sequence[dict[str, Any]]:
        """The messages that come into the queue within the next quarter of an hour."""
        self.pass_time(15)
        found = self.world.queue.receive(100)
        for each in found:
            self.world.queue.delete(each)
        return [json.loads(each.body) for each in found]


def test_a_machine_gets_the_configuration_that_is_named_after_it() -> None:
    stage = Stage()
    assert stage.module.messages([stage.job(1), stage.job(2)]) == []
    assert len(stage.machines) == 2
    assert {each.name for each in stage.world.github.registrations.values()} == set(stage.machines)
    assert {name.rpartition("/")[2] for name in stage.world.ssm.parameters} == set(stage.machines)


def test_the_same_job_twice_is_two_machines() -> None:
    stage = Stage(CHECKED)
    stage.module.messages([stage.job(1)])
    stage.module.messages([stage.message(1)])
    assert len(stage.machines) == 2


def test_at_the_maximum_the_wrong_message_is_retried() -> None:
    stage = Stage(CHECKED, maximum=1)
    batch = [stage.job(1, "in_progress"), stage.job(2), stage.job(3)]
    # One of the two that are queued fits. The first of the batch is retried, though it runs; the third is forgotten.
    assert stage.module.messages(batch) == ["m-1"]
    assert len(stage.machines) == 1


def test_without_the_check_what_does_not_fit_is_retried() -> None:
    stage = Stage(maximum=1)
    batch = [stage.job(1), stage.job(2), stage.job(3)]
    assert stage.module.messages(batch) == ["m-1", "m-2"]
    assert len(stage.machines) == 1


def test_want_of_spot_is_retried_and_with_failover_bought_on_demand() -> None:
    dry = [Drought(0.0, 3600.0, market=Market.SPOT)]
    stage = Stage(droughts=dry)
    assert stage.module.messages([stage.job(1)]) == ["m-1"]
    assert stage.machines == []
    errors = ("InsufficientInstanceCapacity", "UnfulfillableCapacity", "MaxSpotInstanceCountExceeded")
    stage = Stage(replace(DEFAULTS, enable_on_demand_failover_for_errors=errors), droughts=dry)
    assert stage.module.messages([stage.job(1)]) == []
    assert [each.market for each in stage.world.ec2.machines.values()] == [Market.ON_DEMAND]


class Throttled:
    """A service that wants to be left alone."""

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: Any, **__: Any) -> Any:
            raise RuntimeError("throttled")

        return refuse


@pytest.mark.parametrize("service", ["ec2", "github"])
def test_any_other_error_drops_the_batch(service: str) -> None:
    stage = Stage(CHECKED)
    batch = [stage.job(1), stage.job(2)]
    changed: dict[str, Any] = {service: Throttled()}
    module = Module(replace(stage.world.services, **changed), CHECKED)
    assert module.messages(batch) == [], "both are acknowledged"
    assert stage.machines == []


def test_a_machine_without_a_configuration_is_ended_and_its_message_retried() -> None:
    stage = Stage()
    module = Module(replace(stage.world.services, ssm=Throttled()), DEFAULTS)
    assert module.messages([stage.job(1)]) == ["m-1"]
    assert stage.world.ec2.launches == 1
    assert stage.machines == []


def test_scale_down_believes_the_busy_flag() -> None:
    stage = Stage()
    stage.module.messages([stage.job(1), stage.job(2)])
    stage.pass_time(4)
    stage.module.tick()
    assert len(stage.machines) == 2, "they have had no time yet"
    first, second = stage.world.github.registrations.values()
    first.shown = second.shown = (True, True)
    stage.pass_time(2)
    stage.module.tick()
    assert len(stage.machines) == 2, "both are shown as busy"
    first.job, first.shown = stage.world.github.jobs[1], (True, False)
    stage.module.tick()
    assert stage.machines == [second.name], "the first runs a job, but is not shown so"


def test_an_unknown_machine_is_marked_and_ended_at_the_next_look() -> None:
    stage = Stage()
    stage.module.messages([stage.job(1)])
    stage.world.github.registrations.clear()
    stage.pass_time(6)
    stage.module.tick()
    assert len(stage.machines) == 1
    stage.module.tick()
    assert stage.machines == []


def test_job_retry_looks_again_once() -> None:
    stage = Stage(ADVISED)
    stage.module.messages([stage.job(1)])
    (check,) = stage.waiting
    assert (check["check"], check["retryCounter"]) == (True, 0)
    stage.module.messages([stage.message(1, 0, check=True)])
    (again,) = stage.waiting
    assert (again["check"], again["retryCounter"]) == (False, 0)
    stage.module.messages([stage.message(1, 0)])
    assert len(stage.machines) == 2
    assert stage.waiting == [], "it was the last attempt"


def test_a_job_that_runs_is_not_looked_after_any_more() -> None:
    stage = Stage(ADVISED)
    stage.job(1, "in_progress")
    stage.module.messages([stage.message(1, 0, check=True)])
    assert stage.waiting == []


def test_the_webhook_takes_what_is_queued_signed_and_fits() -> None:
    stage = Stage()
    stage.job(1)
    stage.pass_time(1)
    (hook,) = stage.hooks
    assert stage.module.webhook(Hook({**hook.headers, "x-hub-signature-256": "sha256=0"}, hook.body)) == 401
    assert stage.module.webhook(hook) == 201
    assert stage.module.webhook(hook) == 201, "it knows no deliveries"
    assert [each["id"] for each in stage.waiting] == [1, 1]


def test_a_calm_world_is_served() -> None:
    """Where nothing goes wrong and there is room, the module loses nothing: it is not made to look bad."""
    calm = Scenario("calm", fleet([pool(maximum=30)]), jobs=20)
    for inputs in (DEFAULTS, ADVISED):
        result = Simulation(calm, 3, deployment("module", inputs)).run()
        assert (result.lost, result.killed, result.double_launches, result.launches) == (0, 0, 0, 20)
        assert len(result.queue_seconds) == 20


def test_faults_lose_jobs() -> None:
    rough = Scenario("rough", fleet([pool(maximum=30)]), jobs=20, rates=everywhere(Rates(throttle=0.2)))
    assert Simulation(rough, 3, deployment("module", DEFAULTS)).run().lost > 0


# The comparison


def test_all_policies_meet_the_same_jobs_and_are_counted_with_one_measure() -> None:
    assert not any(policy.strict for policy in POLICIES)
    seeds = (6, 7, 13)  # lost webhooks, stale flags, and a kind that is left out
    sums = compare(seeds)
    assert set(sums).isdisjoint(LEFT_OUT)
    assert list(sums)[-1] == "all"
    for policies in sums.values():
        assert [each.jobs for each in policies.values()] == [next(iter(policies.values())).jobs] * len(POLICIES)
        assert [each.runs for each in policies.values()] == [next(iter(policies.values())).runs] * len(POLICIES)
    assert sums == compare(seeds), "the same seeds give the same numbers"
    ours = sums["all"]["pavedpath"]
    assert (ours.lost, ours.killed) == (0, 0)


def test_a_sum_is_the_sum_of_its_runs() -> None:
    policy = POLICIES[1]
    runs = [Simulation(draw(seed), seed, policy).run() for seed in (0, 1)]
    whole = Sum()
    for each in runs:
        whole.add(each)
    assert (whole.jobs, whole.lost, whole.killed) == tuple(
        sum(getattr(each, name) for each in runs) for name in ("jobs", "lost", "killed")
    )
    assert whole.queued(0.0) == min(runs[0].queue_seconds[0], runs[1].queue_seconds[0])
    assert whole.queued(1.0) == max(runs[0].queue_seconds[-1], runs[1].queue_seconds[-1])


def test_a_lost_job_has_not_started_in_time() -> None:
    held = Sum(lost=1, queue_seconds=[10.0, 299.0, 301.0])
    assert held.started_within(300) == 0.5
    assert Sum().started_within(300) == 1.0


def test_the_table_says_that_it_is_simulated() -> None:
    console = Console(width=160, record=True, quiet=False, file=io.StringIO())
    console.print(table({"all": {"one": Sum(runs=2, jobs=7, lost=1, queue_seconds=[3.0, 5.0])}}))
    text = console.export_text()
    assert "Simulated" in text
    assert "all (2)" in text
