"""Each guard of the control plane by itself. `test_mutations` takes them out, one by one, and looks for who notices."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.decisions import idling
from pavedpath_runners.decisions.model import LEASE, Deregister, Scene
from pavedpath_runners.events import Action
from pavedpath_runners.ports import (
    ConflictError,
    DuplicateDeliveryError,
    Failure,
    Instance,
    Order,
    PoolFullError,
    Registration,
)
from pavedpath_runners.records import Count, Delivery, Job, JobState, Once, PoolCount, Put, Runner, RunnerState
from pavedpath_runners.simulator.dynamodb import DynamoDB
from pavedpath_runners.simulator.engine import Engine, Rates
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import Scenario, Shape, everywhere, fleet, pool
from pavedpath_runners.simulator.simulation import run

from tests.unit.runners import fakes
from tests.unit.runners.fakes import START, FakeWorld, Fault, Faults
from tests.unit.runners.ledger_model import LedgerModel

IDLE = Runner(
    name="dev-1-1",
    pool="small",
    state=RunnerState.REGISTERED,
    changed_at=START,
    created_at=START,
    asked_at=START,
    instance_id="i-1",
    registration=5,
    stored=True,
    online_at=START + 60,
)


def stored() -> TableLedger:
    """The production ledger on the simulator's table."""
    engine = Engine(seed=1, start=START)
    return TableLedger(DynamoDB(engine), "ledger", engine)  # pyright: ignore[reportArgumentType]  # a model of boto3's


def a_job(**given: object) -> Job:
    base = Job(1, fakes.REPOSITORY, 7, fakes.LABELS, "small", JobState.QUEUED, START, START)
    return replace(base, **given)  # pyright: ignore[reportArgumentType]  # names of fields, by the tests' own hand


# Deliveries


def test_a_repeated_delivery_writes_nothing() -> None:
    world = FakeWorld()
    queued = fakes.event(Action.QUEUED, fakes.job_facts(1))
    world.control.take(Delivery("one", START), queued)
    before = list(world.ledger.history)
    assert Once(Delivery("one", START)) in before
    world.control.take(Delivery("one", START), fakes.event(Action.COMPLETED, fakes.job_facts(1, conclusion="success")))
    assert world.ledger.history == before
    assert world.record(1).state is JobState.QUEUED


def test_the_table_takes_a_delivery_once() -> None:
    ledger = stored()
    ledger.commit(Once(Delivery("one", START)))
    with pytest.raises(DuplicateDeliveryError):
        ledger.commit(Once(Delivery("one", START)))


# Launches


class Watched(FakeWorld):
    """A world that notes what stands in the ledger whenever a machine is asked for."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults=faults)
        self.written: list[tuple[RunnerState | None, int]] = []
        launch = self.compute.launch

        def noted(order: Order) -> Instance:
            held = LedgerModel.runner(self.ledger, order.runner)
            self.written.append((held.state if held else None, LedgerModel.count(self.ledger, "small").live))
            return launch(order)

        self.compute.launch = noted


def test_an_intent_is_written_before_a_machine_is_asked_for() -> None:
    world = Watched()
    world.push(1)
    world.advance(60)
    assert world.written == [(RunnerState.INTENDED, 1)]


def test_nobody_works_at_a_machine_while_another_may() -> None:
    world = Watched(Faults(at=1, kind=Fault.CRASH_AFTER, only="compute.launch"))
    world.push(1)
    world.advance(60, until=lambda: world.crashes == 1)
    world.clock.time += LEASE / 2
    world.control.launch(1)
    assert len(world.compute.orders) == 1, "whoever asked for it may still be at work"
    world.clock.time += LEASE + 5
    world.control.launch(1)
    assert len(world.compute.orders) == 2, "now he is dead"
    assert len(world.compute.machines) == 1


CRASHES = Scenario(
    "crashes",
    fleet([pool(maximum=6)]),
    jobs=15,
    arrival=Shape.BURST,
    rates=everywhere(Rates(crash=0.06, lost=0.04, stall=0.01)),
    twice=0.1,
)


def test_a_launch_that_is_repeated_after_a_crash_is_one_machine() -> None:
    _hold(CRASHES, range(3))


def test_a_pool_never_has_more_machines_than_its_maximum() -> None:
    """However old the count is that a launch was decided on."""
    world = FakeWorld(fakes.fleet(fakes.pool(maximum=1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.ledger, "count", PoolCount)
        world.push(1, seconds=1000)
        world.push(2)
        world.advance(60)
    assert len(world.compute.machines) == 1


def _hold(scenario: Scenario, seeds: Sequence[int]) -> None:
    """Run a scenario; the first invariant that does not hold is a ViolationError, which is an AssertionError."""
    for seed in seeds:
        run(scenario, seed, PAVEDPATH)


def test_the_table_counts_no_further_than_the_maximum() -> None:
    ledger = stored()
    ledger.commit(Count("small", 1, 1))
    with pytest.raises(PoolFullError):
        ledger.commit(Count("small", 1, 1))


def test_what_has_changed_since_it_was_read_is_not_overwritten() -> None:
    ledger = stored()
    ledger.commit(Put(a_job()))
    one, other = ledger.job(1), ledger.job(1)
    assert one is not None
    assert other is not None
    ledger.commit(Put(replace(one, state=JobState.COMPLETED)))
    with pytest.raises(ConflictError):
        ledger.commit(Put(replace(other, state=JobState.INTENDED)))
    with pytest.raises(ConflictError):
        ledger.commit(Put(a_job()))


# Removal


def test_a_machine_stays_until_every_look_over_the_grace_window_saw_it_idle() -> None:
    online = Registration(5, "dev-1-1", online=True, busy=False)
    waits = fakes.fleet(fakes.pool(idle_minutes=1), grace_seconds=180)
    for seconds, goes in ((0.0, False), (90.0, False), (179.0, False), (180.0, True)):
        runner = replace(IDLE, idle_since=START + 100)
        scene = Scene(waits, START + 100 + seconds, runners={runner.name: runner})
        asked = idling.saw(scene, runner, online, keep=False).effects
        assert any(isinstance(each, Deregister) for each in asked) == goes, seconds


def test_a_machine_loses_its_registration_before_its_life() -> None:
    world = FakeWorld(fakes.fleet(fakes.pool(idle_minutes=1)))
    world.compute.hanging.add("dev-1-1")
    world.forge.asleep.add("dev-1-1")
    world.push(1)
    world.advance(150, until=lambda: any(each.online for each in world.forge.runners.values()))
    work = world.forge.jobs[1]
    world.forge.end(work, "cancelled")
    world.advance(3600, until=lambda: bool(world.compute.terminated) or bool(world.forge.removed))
    assert (world.forge.removed, world.compute.terminated) == (["dev-1-1"], [])
    world.advance(500)
    assert world.compute.terminated == [], "it may still end itself"
    world.advance(300)
    assert world.compute.terminated == ["i-0001"]


# Sweeps


def test_a_webhook_that_failed_while_nobody_looked_is_sent_again() -> None:
    world = FakeWorld(fakes.fleet(repositories=(), hook_id=7))
    _reconcile(world)
    missed = Failure(1, "guid", world.clock.time + 600)
    world.forge.failed.append(missed)
    # Longer than a first look goes back, and in the end another process.
    world.clock.time += 3 * 3600
    world.control = world.new_process()
    _reconcile(world)
    assert world.forge.redelivered == [missed]


def _reconcile(world: FakeWorld) -> None:
    world.control.reconcile(world.clock.time + 50)
