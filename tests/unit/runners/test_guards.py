"""Each guard of the control plane by its name: a test that fails when the guard is gone. `mutations` says which one
belongs to which guard, and `test_mutations` takes the guards away. Who sent a delivery is `test_receiver`'s.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.configuration import Market
from pavedpath_runners.decisions import idling, launching, reconciling
from pavedpath_runners.decisions.model import (
    LEASE,
    Decision,
    Deregister,
    Go,
    Occupied,
    Registered,
    Removed,
    Scene,
    Sight,
)
from pavedpath_runners.events import Action
from pavedpath_runners.ports import (
    ConflictError,
    DuplicateDeliveryError,
    Instance,
    Order,
    Page,
    PoolFullError,
    Registration,
    UnavailableError,
)
from pavedpath_runners.records import Change, Count, Delivery, Job, JobState, Once, Put, RunnerState
from pavedpath_runners.simulator.dynamodb import DynamoDB
from pavedpath_runners.simulator.engine import Engine, Rates
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import Scenario, Shape, everywhere
from pavedpath_runners.simulator.scenario import fleet as simulated_fleet
from pavedpath_runners.simulator.scenario import pool as simulated_pool
from pavedpath_runners.simulator.simulation import run

from .fakes import START, FakeWorld, Fault, Faults, LedgerModel, event, fleet, job_facts, pool
from .test_control import ALWAYS, done_once, interleaved, machines_of
from .test_decisions import a_job, a_runner

# --- deliveries ---


def test_guard_dedup_a_delivery_counts_once() -> None:
    """A captured delivery, sent again: whatever it says now, and even when its job's record has expired."""
    world = FakeWorld(fleet(delivery_days=90))
    news, delivery = event(Action.QUEUED, job_facts(1)), Delivery("captured", START)
    world.control.take(delivery, news)
    before = list(world.ledger.history)
    assert Once(delivery) in before
    world.control.take(delivery, event(Action.COMPLETED, job_facts(1, conclusion="success")))
    assert (world.ledger.history, world.record(1).state) == (before, JobState.QUEUED)
    del world.ledger.records[Job, 1]
    world.control.take(delivery, news)
    assert LedgerModel.job(world.ledger, 1) is None
    assert [each for each, _ in world.telemetry.lines] == ["job accepted", "delivery repeated", "delivery repeated"]


def test_guard_held_back_nobody_launches_for_what_may_not_run() -> None:
    world = FakeWorld()
    world.control.take(Delivery("1", START), event(Action.WAITING, job_facts(1, status="waiting")))
    world.control.launch(1)
    world.control.reconcile(START + 50)
    assert (world.compute.orders, world.queue.messages) == ([], [])


def test_guard_dedup_the_table_takes_a_delivery_once() -> None:
    ledger = table()
    ledger.commit(Once(Delivery("one", START)))
    with pytest.raises(DuplicateDeliveryError):
        ledger.commit(Once(Delivery("one", START)))


def test_guard_dedup_a_job_told_twice_is_launched_once() -> None:
    """The same delivery thrice, and once more under another id, which no memory of ids can see."""
    world = FakeWorld()
    world.deliver = lambda _: (0.0, 0.0, 40.0)
    world.push(1)
    world.advance(50)
    world.control.take(Delivery("another id", START), event(Action.QUEUED, job_facts(1)))
    assert world.record(1).state is JobState.RUNNING
    world.advance(1800, world.settled)
    done_once(world)
    assert len(world.compute.orders) == 1


def table() -> TableLedger:
    """The production ledger on the simulator's table."""
    engine = Engine(seed=1, start=START)
    return TableLedger(DynamoDB(engine), "ledger", engine)  # pyright: ignore[reportArgumentType]  # a model of boto3's


# --- intents, leases ---


def test_guard_intent_a_machine_whose_launch_was_forgotten_is_asked_for_by_the_same_order() -> None:
    """The process dies after EC2 gave a machine and before that is written."""
    world = FakeWorld(faults=Faults(at=1, kind=Fault.CRASH_AFTER, only="compute.launch"))
    world.push(1)
    world.advance(1800, world.settled)
    done_once(world)
    first, again = world.compute.orders
    assert first == again
    assert machines_of(world) == ["dev-1-1"]


def test_guard_intent_is_written_before_the_request() -> None:
    world = FakeWorld()
    seen: list[tuple[JobState, RunnerState, int]] = []
    real = world.compute.launch

    def launch(order: Order) -> Instance:
        machine = LedgerModel.runner(world.ledger, order.runner)
        assert machine is not None, "EC2 is asked for a machine that nobody would know after a crash"
        seen.append((world.record(1).state, machine.state, LedgerModel.count(world.ledger, "small").live))
        return real(order)

    world.compute.launch = launch
    world.push(1)
    world.advance(60)
    assert seen == [(JobState.INTENDED, RunnerState.INTENDED, 1)]
    assert world.machine("dev-1-1").job == 1


def test_guard_token_a_request_that_is_repeated_after_a_crash_is_one_machine() -> None:
    """EC2, SQS and Lambda as the simulator has them; its invariants are assertions."""
    crashes = everywhere(Rates(crash=0.06, lost=0.04, stall=0.01))
    pools = simulated_fleet([simulated_pool(maximum=6)])
    scenario = Scenario("crashes", pools, jobs=15, arrival=Shape.BURST, rates=crashes, twice=0.1)
    for seed in range(3):
        run(scenario, seed, PAVEDPATH)


def test_guard_token_an_old_order_is_looked_for_and_not_repeated() -> None:
    """EC2 forgets client tokens; an order of more than an hour ago could be a second machine."""
    for age, expected in ((3599, "Launch"), (3601, "Find")):
        runner = a_runner(state=RunnerState.INTENDED, changed_at=START, asked_at=START - age, job=1, instance_id="")
        scene = Scene(fleet(), START, {1: a_job(state=JobState.INTENDED, runner="dev-1-1")}, {"dev-1-1": runner})
        effects = launching.bring_up(scene, "dev-1-1", Go(), START).effects
        assert [type(each).__name__ for each in effects] == [expected]


# --- the grace window ---


def idle_for(seconds: float, **given: float) -> Decision:
    """What one look decides about a machine that every look has seen idle for so long."""
    runner = a_runner(stored=True, registration=7, online_at=START - 5000, idle_since=START - seconds)
    runner = replace(runner, created_at=START - 6000, **given)
    scene = Scene(fleet(pool(idle_minutes=1), grace_seconds=180), START, {}, {"dev-1-1": runner})
    seen = Registration(7, "dev-1-1", online=True, busy=False)
    instance = Instance("i-1", "dev-1-1", "running", "c7g.large", "a", START - 6000, Market.SPOT)
    return reconciling.look(scene, "dev-1-1", Sight(instance, True, seen, True))


def test_guard_grace_window_one_look_removes_nothing() -> None:
    """`busy` is stale for a minute and more: idle, again and again, over the whole window, whatever the pool says."""
    assert idle_for(179) == Decision()
    assert idle_for(180) == Decision(effects=(Deregister(7, ""),))


def test_guard_grace_window_a_look_that_saw_it_busy_starts_it_anew() -> None:
    busy = Registration(7, "dev-1-1", online=True, busy=True)
    runner = a_runner(stored=True, registration=7, online_at=START - 5000, idle_since=START - 170)
    scene = Scene(fleet(), START, {}, {"dev-1-1": runner})
    decision = idling.saw(scene, runner, busy, keep=False)
    assert [each.record.idle_since for each in decision.changes] == [0.0]  # pyright: ignore - one Put of a runner


def test_guard_grace_window_late_news_saves_a_busy_runner() -> None:
    """GitHub shows a busy runner as idle, and would even remove it; its news is two and a half minutes late."""
    world = FakeWorld(fleet(pool(idle_minutes=0), repositories=()))
    world.deliver = lambda news: (150.0,) if news.facts.id == 2 and news.action is not Action.COMPLETED else (0.0,)
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(50)
    world.forge.end(world.forge.jobs[1], "cancelled")
    world.advance(75)
    stale_forge(world)
    world.forge.asleep = set()
    world.push(2, 600)
    world.advance(1800, world.settled)
    assert world.killed_busy == []
    assert world.forge.jobs[2].runs == ["dev-1-1"]


def stale_forge(world: FakeWorld) -> None:
    """From now on all busy flags are stale: in the list, and when a runner is to be removed."""
    forge = world.forge
    real = forge.registrations

    def registrations(scope: str, page: str = "") -> Page[Registration]:
        shown = real(scope, page)
        return replace(shown, found=[replace(each, busy=False) for each in shown.found])

    def remove(identity: int, scope: str) -> None:
        forge.runners.pop(identity, None)

    forge.registrations, forge.remove = registrations, remove


def test_guard_busy_what_github_refuses_to_remove_stays() -> None:
    runner = a_runner(stored=True, registration=7, online_at=START - 5000, idle_since=START - 1000)
    scene = Scene(fleet(), START, {}, {"dev-1-1": runner})
    refused = idling.remove(scene, "dev-1-1", Occupied())
    assert [(each.record.state, each.record.idle_since) for each in refused.changes] == [  # pyright: ignore - a runner
        (RunnerState.REGISTERED, 0.0)
    ]
    assert not refused.effects


def test_guard_busy_a_removed_machine_gets_time_before_it_is_terminated() -> None:
    """Even after its registration is gone: first it drains, and news of a job stops the end."""
    runner = a_runner(stored=True, registration=7, online_at=START - 5000, idle_since=START - 1000)
    scene = Scene(fleet(), START, {}, {"dev-1-1": runner})
    drained = idling.remove(scene, "dev-1-1", Removed())
    assert [each.record.state for each in drained.changes] == [RunnerState.DRAINING]  # pyright: ignore - a runner
    assert "Terminate" not in [type(each).__name__ for each in drained.effects]
    for age, effects in ((599, 0), (601, 2)):
        runner = replace(runner, state=RunnerState.DRAINING, changed_at=START - age)
        seen = reconciling.look(Scene(fleet(), START, {}, {"dev-1-1": runner}), "dev-1-1", Sight())
        assert len(seen.effects) == effects


def test_guard_busy_a_machine_loses_its_registration_before_its_life() -> None:
    world = FakeWorld(fleet(pool(idle_minutes=1)))
    world.compute.hanging.add("dev-1-1")
    world.forge.asleep.add("dev-1-1")
    world.push(1)
    world.advance(150, until=lambda: any(each.online for each in world.forge.runners.values()))
    world.forge.end(world.forge.jobs[1], "cancelled")
    world.advance(3600, until=lambda: bool(world.compute.terminated) or bool(world.forge.removed))
    assert (world.forge.removed, world.compute.terminated) == (["dev-1-1"], [])
    world.advance(500)
    assert world.compute.terminated == [], "it may still end itself"
    world.advance(300)
    assert world.compute.terminated == ["i-0001"]


def test_guard_busy_a_machine_that_a_job_counts_on_stays() -> None:
    """However long it is idle: GitHub may give it that job at any moment."""
    runner = a_runner(stored=True, registration=7, online_at=START - 5000, idle_since=START - 4000, job=1)
    counts = a_job(state=JobState.REGISTERED, runner="dev-1-1")
    for job, may_go in ((counts, False), (replace(counts, runner="dev-1-2"), True)):
        assert idling.may_go(Scene(fleet(), START, {1: job}, {"dev-1-1": runner}), runner) is may_go


def test_guard_busy_news_between_the_look_and_the_write_saves_it() -> None:
    world = FakeWorld(fleet(pool(idle_minutes=0)))
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(60)
    world.forge.end(world.forge.jobs[1], "cancelled")
    real = world.forge.remove

    def remove(identity: int, scope: str) -> None:
        facts = job_facts(2, status="in_progress", started_at=world.clock.now(), runner="dev-1-1")
        world.control.take(Delivery("just now", world.clock.now()), event(Action.IN_PROGRESS, facts))
        world.forge.remove = real

    world.forge.remove = remove
    world.advance(600)
    assert world.machine("dev-1-1").state is RunnerState.BUSY
    assert world.compute.terminated == []


# --- conditional writes, leases, counts ---


def at_the_first_commit(world: FakeWorld, other: Callable[[], None]) -> None:
    """Another executor writes between the read and the write of the next one."""
    real, entered = world.ledger.commit, False

    def commit(*changes: Change) -> None:
        nonlocal entered
        if not entered:
            entered = True
            world.clock.time += 1
            other()
        real(*changes)

    world.ledger.commit = commit


def taken(world: FakeWorld, *jobs: int) -> None:
    for identity in jobs:
        facts = job_facts(identity, START + identity)
        world.control.take(Delivery(f"of {identity}", START), event(Action.QUEUED, facts))


def test_guard_conditional_write_of_two_who_intend_one_launches() -> None:
    world = FakeWorld()
    taken(world, 1)
    at_the_first_commit(world, lambda: world.control.launch(1))
    world.control.launch(1)
    assert len(world.compute.orders) == 1
    assert world.faults.names.count("forge.register") == 1


def test_guard_conditional_write_news_that_meets_another_write_is_not_lost() -> None:
    """The news that a job runs is decided anew on what another has written meanwhile."""
    world = FakeWorld()
    taken(world, 1)
    at_the_first_commit(world, lambda: world.control.launch(1))
    facts = job_facts(1, status="in_progress", started_at=START + 9, runner="dev-1-1")
    world.control.take(Delivery("running", START), event(Action.IN_PROGRESS, facts))
    assert (world.record(1).state, world.record(1).runner) == (JobState.RUNNING, "dev-1-1")
    assert world.machine("dev-1-1").state is RunnerState.BUSY


def test_guard_lease_nobody_works_at_what_another_works_at() -> None:
    """A second executor comes while the first waits for GitHub's answer."""
    world = interleaved("forge.register", lambda world: world.control.launch(1))
    done_once(world)
    assert world.faults.names.count("forge.register") == 1
    assert world.faults.names.count("handover.put") == 1


def test_guard_lease_ends_with_its_holder() -> None:
    """Who asked for the machine has died; whether he has, nobody can know before his time is over."""
    world = FakeWorld(faults=Faults(at=1, kind=Fault.CRASH_AFTER, only="compute.launch"))
    world.push(1)
    world.advance(60, until=lambda: world.crashes == 1)
    for passed, orders in ((LEASE / 2, 1), (LEASE + 5, 2)):
        world.clock.time += passed
        world.control.launch(1)
        assert len(world.compute.orders) == orders
    assert machines_of(world) == ["dev-1-1"]


def test_guard_lease_who_lost_his_leaves_it() -> None:
    runner = a_runner(state=RunnerState.LAUNCHING, changed_at=START, registration=0, job=1)
    scene = Scene(fleet(), START, {1: a_job(state=JobState.LAUNCHING, runner="dev-1-1")}, {"dev-1-1": runner})
    configured = Registered(7, "secret")
    assert launching.bring_up(scene, "dev-1-1", configured, START - 100) == Decision()
    assert launching.bring_up(scene, "dev-1-1", configured, START).changes


def test_guard_lease_only_its_holder_gives_it_back() -> None:
    """Who was slow does not end the lease of whoever has taken the machine on since."""
    runner = a_runner(state=RunnerState.LAUNCHING, changed_at=START, job=1)
    scene = Scene(fleet(), START, {}, {"dev-1-1": runner})
    assert launching.give_back(scene, "dev-1-1", START - 100) == Decision()
    assert launching.give_back(scene, "dev-1-1", START).changes


@pytest.mark.parametrize("call", ["compute.launch", "forge.register", "handover.put"])
@pytest.mark.parametrize("kind", [Fault.FAIL_BEFORE, Fault.FAIL_AFTER])
def test_who_was_not_served_keeps_nobody_waiting(kind: Fault, call: str) -> None:
    """A throttled step is taken again by whoever comes next, at once, and still leads to one machine."""
    world = FakeWorld(faults=Faults(at=1, kind=kind, only=call))
    taken(world, 1)
    with pytest.raises(UnavailableError):
        world.control.launch(1)
    world.control.launch(1)
    assert world.machine("dev-1-1").stored
    assert machines_of(world) == ["dev-1-1"]


def test_guard_maximum_holds_though_two_saw_the_same_room() -> None:
    world = FakeWorld(fleet(pool(maximum=1), budgets={}), lag=60)
    taken(world, 1, 2)
    at_the_first_commit(world, lambda: world.control.launch(2))
    world.control.launch(1)
    assert [each.runner for each in world.compute.orders] == ["dev-2-1"]
    assert world.record(1).state is JobState.QUEUED


def test_guard_maximum_the_table_counts_no_further() -> None:
    ledger = table()
    ledger.commit(Count("small", 1, 1))
    with pytest.raises(PoolFullError):
        ledger.commit(Count("small", 1, 1))


def test_guard_conditional_write_what_has_changed_since_it_was_read_is_not_overwritten() -> None:
    ledger = table()
    ledger.commit(Put(a_job()))
    one, other = ledger.job(1), ledger.job(1)
    assert one is not None
    assert other is not None
    ledger.commit(Put(replace(one, state=JobState.COMPLETED)))
    with pytest.raises(ConflictError):
        ledger.commit(Put(replace(other, state=JobState.INTENDED)))


def test_guard_conditional_write_nothing_is_made_twice() -> None:
    """Of two that intend the same machine at once, one has it."""
    ledger = table()
    ledger.commit(Put(a_runner()))
    with pytest.raises(ConflictError):
        ledger.commit(Put(a_runner()))


# --- what never arrived ---


def test_guard_cursor_deliveries_that_failed_while_nothing_ran_are_sent_again() -> None:
    """Hours without a reconciler: the durable cursor knows since when. No sweep may help here."""
    world = FakeWorld(fleet(repositories=()))
    world.advance(120)
    world.control = Broken()  # pyright: ignore[reportAttributeAccessIssue] - it fails at everything
    world.push(1)
    world.advance(3 * 3600)
    world.control = world.new_process()
    world.advance(1800, world.settled)
    done_once(world)
    assert world.telemetry.counts["DeliveriesRedelivered"] == 1


class Broken:
    """A control plane that is down."""

    def take(self, delivery: object, news: object) -> None:
        raise UnavailableError("down")

    def reconcile(self, deadline: float) -> None:
        pass


def test_guard_cursor_a_crash_between_two_redeliveries_forgets_none() -> None:
    world = FakeWorld(fleet(repositories=()))
    world.advance(120)
    world.faults.only, world.faults.kind = "forge.redeliver", Fault.CRASH_BEFORE
    world.faults.calls, world.faults.at = 0, 2
    real = world.control
    world.control = Broken()  # pyright: ignore[reportAttributeAccessIssue] - it fails at everything
    for identity in (1, 2, 3):
        world.push(identity)
        world.advance(10)
    world.control = real
    world.advance(3600, world.settled)
    assert world.crashes == 1
    done_once(world)


# --- jobs ---


def test_guard_late_news_a_job_that_may_have_run_is_asked_for_before_it_is_launched_again() -> None:
    """A short job: its machine has come and gone before the first news of its running arrives."""
    world = FakeWorld()
    world.deliver = lambda news: (0.0,) if news.action is Action.QUEUED else (400.0,)
    world.push(1, 10)
    world.advance(1800, world.settled)
    done_once(world)
    assert machines_of(world) == ["dev-1-1"]


def test_guard_turn_a_newcomer_does_not_take_the_room_of_an_older_job() -> None:
    """There is room for one; the older job waits for the reconciler's message, the newcomer's is here."""
    world = FakeWorld(fleet(pool(maximum=1)))
    taken(world, 1, 2)
    world.control.launch(2)
    assert world.compute.orders == []
    world.control.launch(1)
    assert [each.runner for each in world.compute.orders] == ["dev-1-1"]


def test_guard_rerun_is_asked_for_once_though_the_process_dies() -> None:
    """The mark is written before the question: a crash between them loses the re-run and never doubles it."""
    for kind, expected in ((Fault.CRASH_AFTER, [1]), (Fault.CRASH_BEFORE, []), (Fault.FAIL_AFTER, [1])):
        world = FakeWorld(faults=Faults(at=1, kind=kind, only="forge.rerun"))
        world.push(1, 3600)
        world.advance(60)
        world.control.interrupted("i-0001")
        world.compute.end("i-0001")
        world.advance(1200)
        assert world.forge.reruns == expected
        assert world.record(1).rerun
        assert not world.record(1).open


def test_guard_rerun_a_machine_that_was_taken_away_without_notice_is_seen() -> None:
    """EC2 announces it at best effort; nobody tells of the machine's end either."""
    world = FakeWorld()
    world.push(1, 3600)
    world.advance(90)
    world.compute.end("i-0001", reclaimed=True)
    world.advance(400)
    assert (world.record(1).interrupted, world.forge.reruns) == (True, [1])


def test_guard_forks_a_forks_job_is_given_up_before_anything_is_bought() -> None:
    world = FakeWorld()
    world.forge.forks.add(7)
    world.push(1, run=7)
    world.advance(300)
    assert world.record(1).state is JobState.FAILED
    assert (world.compute.orders, world.faults.names.count("forge.register")) == ([], 0)


def test_guard_ghosts_registrations_that_the_ledger_does_not_know_are_left_alone() -> None:
    """Another fleet's name may begin alike."""
    foreign = Registration(1, "dev-eu-1-1", False, False)
    assert not reconciling.is_ghost(foreign, None)
    assert reconciling.is_ghost(foreign, a_runner(state=RunnerState.GONE))
    assert not reconciling.is_ghost(foreign, a_runner(state=RunnerState.DONE))


def test_guard_orphans_are_given_the_time_that_a_record_may_take() -> None:
    young = Instance("i-9", "dev-9-1", "running", "c7g.large", "a", START - 60, Market.SPOT)
    old = replace(young, launched_at=START - 16 * 60)
    assert not reconciling.is_orphan(fleet(), young, None, START)
    assert reconciling.is_orphan(fleet(), old, None, START)
    assert not reconciling.is_orphan(fleet(), old, a_runner(instance_id="i-9"), START)
    assert not reconciling.is_orphan(fleet(), old, a_runner(instance_id=""), START)
    assert reconciling.is_orphan(fleet(), young, a_runner(state=RunnerState.GONE), START)
    assert reconciling.is_orphan(fleet(), old, a_runner(instance_id="i-8"), START)


def test_guard_warm_two_reconcilers_at_once_fill_the_pool_once() -> None:
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=1))), lag=60)
    real: Callable[[str], object] = world.ledger.cursor
    entered = False

    def cursor(name: str) -> object:
        nonlocal entered
        found = real(name)
        if name.startswith("warm") and not entered:
            entered = True
            world.control.reconcile(world.clock.now() + 50)
        return found

    world.ledger.cursor = cursor  # pyright: ignore[reportAttributeAccessIssue] - as it was, and another in between
    world.advance(600)
    assert entered
    assert len(world.compute.machines) == 1
