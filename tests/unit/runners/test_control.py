"""The control plane in a small world: what it does, and that a crash between any two calls changes nothing of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from pavedpath_runners.configuration import Budget, LabelMatch, Level, Market, Pool, WarmPool
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.ports import Attempt, Instance, Page, Registration, ThrottledError, UnavailableError
from pavedpath_runners.records import Cursor, Delivery, JobState, Put, Runner, RunnerState

from .fakes import START, Crash, FakeWorld, Fault, Faults, LedgerModel, event, fleet, job_facts, pool

Rerun = Callable[[str, int], None]
ALWAYS = WarmPool(hot=2, stopped=0, days=tuple(range(7)), from_hour=0, to_hour=24)


def done_once(world: FakeWorld) -> None:
    """All jobs ran once, all is over, and no machine or count is left."""
    assert {identity: len(work.runs) for identity, work in world.forge.jobs.items()} == dict.fromkeys(
        world.forge.jobs, 1
    )
    assert world.settled(), world.open_records()
    assert world.killed_busy == []
    assert all(LedgerModel.count(world.ledger, each.name).live == 0 for each in world.fleet.pools)
    assert all(world.record(each).state is JobState.COMPLETED for each in world.forge.jobs)


def machines_of(world: FakeWorld) -> list[str]:
    return sorted(each.instance.runner for each in world.compute.machines.values())


# --- the way of a job ---


def test_jobs_are_done_once_on_a_machine_each() -> None:
    world = FakeWorld()
    for identity in range(1, 9):
        world.push(identity)
    world.advance(3600, world.settled)
    done_once(world)
    assert machines_of(world) == [f"dev-{each}-1" for each in range(1, 9)]
    counts, times = world.telemetry.counts, world.telemetry.times
    assert (counts["JobsAccepted"], counts["JobsCompleted"], counts["Launches"], counts["JobsLost"]) == (8, 8, 8, 0)
    assert times["QueueTime"] == [45.0] * 8
    assert times["LaunchTime"] == [40.0] * 8


def test_a_configuration_is_in_no_log() -> None:
    world = FakeWorld()
    world.push(1)
    world.advance(600, world.settled)
    assert "secret-" not in repr(world.telemetry.lines)
    assert "secret-" not in repr(world.ledger.history)


def test_the_cost_of_a_job_is_reported() -> None:
    world = FakeWorld(fleet(pool(hourly_usd={"c7g.large": 3.6})))
    world.push(1, 600)
    world.advance(3600, world.settled)
    assert world.telemetry.counts["CostUSD"] == pytest.approx(0.7, abs=0.1)


def test_a_forks_job_gets_no_machine() -> None:
    world = FakeWorld()
    world.forge.forks.add(7)
    world.push(1, run=7)
    world.advance(300)
    assert (world.record(1).state, world.compute.orders) == (JobState.FAILED, [])
    assert "fork" in world.record(1).reason
    assert world.telemetry.counts["JobsLost"] == 0


def test_a_fleet_that_allows_forks_does_not_ask() -> None:
    world = FakeWorld(fleet(allow_forks=True))
    world.forge.forks.add(7)
    world.push(1, run=7)
    world.advance(600, world.settled)
    done_once(world)
    assert "forge.is_own" not in world.faults.names


def test_a_runner_is_registered_where_the_level_says() -> None:
    world = FakeWorld(fleet(level=Level.REPOSITORY))
    world.push(1, 100)
    world.advance(60)
    assert [each.scope for each in world.forge.runners.values()] == ["acme/orders"]
    world.advance(600, world.settled)
    done_once(world)


def test_the_pools_maximum_is_never_exceeded_and_the_surplus_waits() -> None:
    world = FakeWorld(fleet(pool(maximum=2)), lag=60)
    most = 0
    for identity in range(1, 8):
        world.push(identity, 30)

    def observe() -> bool:
        nonlocal most
        most = max(most, len(world.compute.living()))
        return world.settled()

    world.advance(7200, observe)
    done_once(world)
    assert most == 2


def test_the_place_of_a_machine_that_has_ended_is_used_at_once() -> None:
    """Not by the reconciler, which comes once a minute: it does not come here."""
    world = FakeWorld(fleet(pool(maximum=2)))
    world.stop_reconciling()
    for identity in range(1, 6):
        world.push(identity)
        world.advance(10)
    world.advance(300)
    assert machines_of(world) == ["dev-1-1", "dev-2-1"]
    assert [each.state for each in world.open_records()].count(JobState.QUEUED) == 3
    for identity in ("i-0001", "i-0002"):
        [machine] = world.compute.instances(identity)
        world.control.ended(machine)
        world.advance(5)
    assert machines_of(world) == ["dev-1-1", "dev-2-1", "dev-3-1", "dev-4-1"]
    world.control.ended(machine)
    world.advance(5)
    assert len(machines_of(world)) == 4


def test_the_end_of_a_machine_that_is_not_the_records_frees_nothing() -> None:
    world = FakeWorld()
    world.push(1, 600)
    world.advance(60)
    [machine] = world.compute.instances("i-0001")
    world.control.ended(replace(machine, id="i-other", state="terminated"))
    world.control.ended(replace(machine, runner="another", state="terminated"))
    assert world.machine("dev-1-1").live


def test_older_jobs_are_not_starved_by_newcomers() -> None:
    world = FakeWorld(fleet(pool(maximum=1)))
    world.push(1, 120)
    world.advance(20)
    world.push(2, 30)
    for identity in range(3, 14):
        world.advance(40)
        world.push(identity, 30)
    world.advance(3600 * 2, world.settled)
    done_once(world)
    # GitHub, here, gives a machine to the oldest job; what is the fleet's is for whom it launches.
    put = [each.record for each in world.ledger.history if isinstance(each, Put) and each.record.version == 0]
    started = [int(each.name.split("-")[1]) for each in put if isinstance(each, Runner)]
    assert started == sorted(started)


def test_jobs_beyond_the_budget_wait_for_it() -> None:
    budgets = {"ec2": Budget(2, 0.02), "jit": Budget(50, 5), "github": Budget(500, 5)}
    world = FakeWorld(fleet(budgets=budgets))
    for identity in range(1, 6):
        world.push(identity, 30)
    world.advance(30)
    assert len(world.compute.orders) == 2
    world.advance(7200, world.settled)
    done_once(world)


# --- capacity ---


def test_on_demand_is_taken_where_spot_has_none() -> None:
    world = FakeWorld()
    world.compute.dry = {Market.SPOT}
    world.push(1)
    world.advance(900, world.settled)
    done_once(world)
    assert [each.market for each in world.compute.orders] == [Market.SPOT, Market.ON_DEMAND]


def test_a_drought_makes_jobs_wait_and_fails_none() -> None:
    world = FakeWorld(fleet(attempts=2))
    world.compute.dry = {Market.SPOT, Market.ON_DEMAND}
    world.push(1)
    world.advance(3600)
    assert (world.record(1).state, world.record(1).losses) == (JobState.QUEUED, 0)
    assert LedgerModel.count(world.ledger, "small").live == 0
    world.compute.dry = set()
    world.advance(1800, world.settled)
    done_once(world)


def test_after_interruptions_spot_is_left_out() -> None:
    world = FakeWorld(fleet(interruptions=2))
    world.push(1, 600)
    world.push(2, 600)
    world.advance(60)
    for machine in list(world.compute.living()):
        world.control.interrupted(machine.instance.id)
        world.control.interrupted(machine.instance.id)
    world.push(3)
    world.advance(10)
    assert world.compute.orders[-1].market is Market.ON_DEMAND
    assert world.telemetry.counts["SpotInterruptions"] == 2


def test_an_interrupted_job_is_run_again_once_and_not_before_its_run_has_ended() -> None:
    world = FakeWorld()
    world.push(1, 3600)
    world.advance(60)
    world.forge.active_runs.add(1)
    world.control.interrupted("i-0001")
    world.control.interrupted("i-0001")
    world.compute.end("i-0001")
    world.advance(300)
    assert (world.record(1).conclusion, world.forge.reruns) == ("failure", [])
    world.forge.active_runs.clear()
    world.advance(300)
    assert world.forge.reruns == [1]
    world.advance(900)
    assert world.forge.reruns == [1]
    assert not world.open_records()


@pytest.mark.parametrize("told", ["machine's end", "reconciler"])
@pytest.mark.parametrize("news", ["before", "after"])
def test_a_job_is_run_again_whose_machine_was_taken_away_without_notice(told: str, news: str) -> None:
    """EC2 announces it at best effort. The news of the job's failure may come before that of the machine's end."""
    world = FakeWorld()
    world.push(1, 3600)
    world.advance(90)
    world.compute.end("i-0001", reclaimed=True)
    if news == "before":
        world.advance(5)
        assert world.record(1).state is JobState.COMPLETED
    if told == "machine's end":
        [machine] = world.compute.instances("i-0001")
        world.control.ended(machine)
        world.control.ended(machine)
    world.advance(400)
    assert world.record(1).interrupted
    assert world.forge.reruns == [1]
    assert world.telemetry.counts["SpotInterruptions"] == 1
    assert not world.open_records()


def test_a_job_is_run_again_whose_machines_notice_came_after_its_failure() -> None:
    """The notice alone says nothing of a job that has ended; that the machine was taken away does."""
    world = FakeWorld()
    world.push(1, 3600)
    world.advance(90)
    world.compute.end("i-0001", reclaimed=True)
    world.advance(5)
    world.control.interrupted("i-0001")
    assert (world.record(1).conclusion, world.record(1).interrupted) == ("failure", False)
    world.advance(400)
    assert world.forge.reruns == [1]
    assert world.telemetry.counts["SpotInterruptions"] == 1


def test_a_rerun_that_github_has_no_time_for_is_asked_for_again() -> None:
    """It did nothing, for certain; of an answer that is lost nobody knows, and nobody asks twice."""
    for error, reruns in ((ThrottledError("limited", 60.0), [1]), (UnavailableError("502"), [])):
        world = FakeWorld()
        world.push(1, 3600)
        world.advance(90)
        real, errors = world.forge.rerun, [error]

        def refusing(
            repository: str, identity: int, errors: list[UnavailableError] = errors, real: Rerun = real
        ) -> None:
            if errors:
                raise errors.pop()
            real(repository, identity)

        world.forge.rerun = refusing
        world.control.interrupted("i-0001")
        world.compute.end("i-0001", reclaimed=True)
        world.advance(900)
        assert world.forge.reruns == reruns
        assert not world.open_records()


def test_a_job_that_fails_of_itself_is_not_run_again() -> None:
    world = FakeWorld()
    world.push(1, conclusion="failure")
    world.advance(900, world.settled)
    assert (world.record(1).conclusion, world.record(1).interrupted, world.forge.reruns) == ("failure", False, [])


def test_an_idle_machine_that_is_taken_away_is_removed_before_a_job_reaches_it() -> None:
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=1))))
    world.advance(300)
    name = world.forge.runners[1].name
    world.control.interrupted("i-0001")
    assert world.forge.runners == {}
    assert world.machine(name).state is RunnerState.DRAINING


def test_an_unknown_machine_may_be_taken_away() -> None:
    FakeWorld().control.interrupted("i-none")


# --- machines that fail ---


def test_a_machine_that_never_registers_is_replaced() -> None:
    world = FakeWorld()
    world.compute.broken = {"dev-1-1"}
    world.push(1)
    world.advance(3600, world.settled)
    done_once(world)
    assert machines_of(world) == ["dev-1-1", "dev-1-2"]
    assert world.telemetry.counts["MachinesRetired"] == 1


def test_a_job_that_loses_one_machine_after_another_is_given_up_with_its_reason() -> None:
    world = FakeWorld(fleet(attempts=2))
    world.compute.broken = {"dev-1-1", "dev-1-2"}
    world.push(1)
    world.advance(7200)
    assert world.record(1).state is JobState.FAILED
    assert world.record(1).reason == "2 machines were lost, the last: it never came online"
    assert world.telemetry.counts["JobsLost"] == 1
    assert world.compute.living() == []


def test_a_machine_that_dies_before_its_job_is_replaced() -> None:
    world = FakeWorld()
    world.compute.boot_seconds = 300
    world.push(1)
    world.advance(30)
    world.compute.end("i-0001")
    world.compute.boot_seconds = 40
    world.advance(1200, world.settled)
    done_once(world)


def test_a_runner_that_github_gives_no_job_is_replaced() -> None:
    world = FakeWorld()
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(3600, world.settled)
    done_once(world)
    assert machines_of(world) == ["dev-1-1", "dev-1-2"]


def test_a_machine_that_does_not_end_itself_is_terminated() -> None:
    world = FakeWorld()
    world.compute.hanging = {"dev-1-1"}
    world.push(1)
    world.advance(3600, world.settled)
    done_once(world)
    assert world.compute.terminated[0] == "i-0001"


def test_a_machine_ends_with_its_lifetime_busy_or_not() -> None:
    world = FakeWorld(fleet(pool(lifetime_minutes=20)))
    world.push(1, 86_400)
    world.advance(1500)
    assert world.compute.living() == []
    assert world.telemetry.counts["LifetimeEnded"] >= 1


def test_a_pool_that_is_configured_no_more_fails_its_jobs_and_ends_its_machines() -> None:
    world = FakeWorld()
    world.push(1, 60)
    world.advance(20)
    other = pool(name="other", labels=("self-hosted", "gpu"), match=LabelMatch.EXACT)
    world.fleet = fleet(other)
    world.control = world.new_process()
    world.advance(3600, world.settled)
    assert world.compute.living() == []
    assert not world.open_records()


# --- news that never comes ---


def test_a_job_whose_webhook_is_lost_is_found() -> None:
    world = FakeWorld()
    world.deliver = lambda news: () if news.action is Action.QUEUED else (0.0,)
    world.push(1)
    world.advance(900, world.settled)
    done_once(world)
    assert world.telemetry.counts["JobsDiscovered"] == 1


def test_a_sweep_finds_a_lost_job_among_many_at_a_bounded_cost() -> None:
    """One of them is of a run whose other job is known."""
    world = FakeWorld(fleet(pool(maximum=1)))
    for identity in range(1, 61):
        world.push(identity, 600, run=identity)
    world.advance(10)
    world.deliver = lambda _: ()
    world.push(61, 600, run=30)
    world.push(62, 600, run=62)
    world.advance(130)
    assert world.record(62)
    assert len(world.forge.listed) <= 10 * 3
    began = world.clock.time
    world.advance(3600, until=lambda: LedgerModel.job(world.ledger, 61) is not None)
    assert world.record(61)
    assert len(world.forge.listed) <= 10 * (4 + (world.clock.time - began) / 60)


def test_a_long_list_of_failed_deliveries_is_worked_off_over_several_passes() -> None:
    """Each request takes a second, and a pass has 45."""
    world = FakeWorld()
    world.forge.page = 10
    forge, clock, now = world.forge, world.clock, world.clock.time
    world.ledger.commit(Put(Cursor("deliveries", at=now - 7 * 86400.0)))
    forge.tried = [Attempt(n, f"g-{n}", now - 3 * 3600 + n, 503) for n in range(2, 302)]
    forge.tried.insert(0, Attempt(1, "forgotten", now - 4 * 86400.0, 503))
    listed, sent = forge.attempts, forge.redeliver

    def slow_list(scope: str, since: float, page: str = "") -> Page[Attempt]:
        clock.time += 1
        return listed(scope, since, page)

    def slow_send(attempt: Attempt) -> None:
        clock.time += 1
        sent(attempt)
        forge.tried.append(Attempt(1000 + len(forge.tried), attempt.guid, clock.time, 200, again=True))

    forge.attempts, forge.redeliver = slow_list, slow_send
    for _ in range(20):
        deadline = clock.time + 45
        world.control.reconcile(deadline)
        assert clock.time <= deadline + 1
        clock.time = deadline + 15
    assert sorted(each.guid for each in forge.redelivered) == sorted(f"g-{n}" for n in range(2, 302))
    moved = LedgerModel.cursor(world.ledger, "deliveries")
    assert moved.position == ""
    assert moved.at >= now - 300


def test_a_list_that_fails_half_way_is_gone_on_with() -> None:
    """What has been sent is not sent again, though GitHub refuses the rest of it each time."""
    world = FakeWorld()
    world.forge.page = 2
    forge, now = world.forge, world.clock.time
    forge.tried = [Attempt(n, f"g-{n}", now - 1000 + n, 503) for n in range(1, 61)]
    real, left = forge.redeliver, [0]

    def limited(attempt: Attempt) -> None:
        if not left[0]:
            raise ThrottledError("limited", 60.0)
        left[0] -= 1
        real(attempt)

    forge.redeliver = limited
    for _ in range(12):
        left[0] = 7
        world.control.reconcile(world.clock.time + 50)
    assert [each.id for each in forge.redelivered[:60]] == list(range(60, 0, -1))


def test_a_delivery_that_always_fails_is_given_up() -> None:
    world = FakeWorld(fleet(repositories=()))

    def refuses(delivery: Delivery, event: JobEvent) -> None:
        raise UnavailableError(f"{delivery.guid}: {event.action}")

    world.control.take = refuses
    world.push(1)
    world.advance(6 * 3600)
    assert world.telemetry.counts["DeliveriesRedelivered"] == 7


def test_many_repositories_have_their_turn_at_a_bounded_cost() -> None:
    """Each has a webhook and registrations of its own."""
    names = ("orders", *(f"r-{n}" for n in range(79)))
    budgets = {"github": Budget(1400, 1.0, 200)}
    hooks = dict.fromkeys(names, 1)
    world = FakeWorld(fleet(level=Level.REPOSITORY, repositories=names, repository_hooks=hooks, budgets=budgets))
    world.push(1, 3600)
    world.advance(60)
    asked: list[str] = []
    real = world.forge.attempts

    def attempts(scope: str, since: float, page: str = "") -> Page[Attempt]:
        asked.append(scope)
        return real(scope, since, page)

    world.forge.attempts = attempts
    world.faults.names.clear()
    world.advance(600)
    assert set(asked) == {f"acme/{name}" for name in names}
    sent = Counter(each for each in world.faults.names if each.startswith("forge."))
    assert sent["forge.attempts"] == 100
    assert sent["forge.registrations"] == 20
    assert sent.total() < 300
    bucket = LedgerModel.bucket(world.ledger, "github")
    assert bucket is not None
    assert bucket.tokens > 1300


def test_a_sweep_that_does_not_know_a_repository_to_be_private_takes_nothing() -> None:
    world = FakeWorld()
    world.deliver = lambda _: ()
    world.forge.public = None
    world.push(1)
    world.advance(300)
    assert LedgerModel.job(world.ledger, 1) is None


def test_a_job_that_ran_while_its_news_was_lost_gets_no_second_machine() -> None:
    world = FakeWorld()
    world.deliver = lambda news: (0.0,) if news.action is Action.QUEUED else ()
    world.push(1, 20)
    world.advance(3600, world.settled)
    done_once(world)
    assert machines_of(world) == ["dev-1-1"]


def test_a_job_that_github_forgot_is_given_up() -> None:
    world = FakeWorld()
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(60)
    del world.forge.jobs[1]
    world.advance(3600)
    assert world.record(1).reason == "GitHub knows it no more"
    assert world.compute.living() == []


def test_a_job_cancelled_in_the_queue_leaves_no_machine() -> None:
    world = FakeWorld()
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(60)
    world.forge.end(world.forge.jobs[1], "cancelled")
    world.advance(3600, world.settled)
    assert world.settled()
    assert world.killed_busy == []
    assert world.telemetry.counts["IdleRemoved"] == 1


def test_a_spare_machine_serves_the_next_job() -> None:
    world = FakeWorld()
    world.forge.asleep = {"dev-1-1"}
    world.push(1)
    world.advance(60)
    world.forge.end(world.forge.jobs[1], "cancelled")
    world.advance(10)
    world.forge.asleep = set()
    world.push(2)
    world.advance(1200, world.settled)
    assert world.forge.jobs[2].runs == ["dev-1-1"]
    assert machines_of(world) == ["dev-1-1"]


# --- what nobody claims ---


def test_ghosts_and_orphans_are_removed_and_others_left_alone() -> None:
    world = FakeWorld()
    world.push(1)
    world.advance(300, world.settled)
    gone = Registration(90, "dev-1-1", False, False)
    foreign = Registration(91, "dev-eu-1-1", False, False)
    world.forge.runners |= {90: gone, 91: foreign}
    orphan = replace(world.compute.machines["i-0001"].instance, id="i-orphan", runner="dev-77-1")
    machine = replace(world.compute.machines["i-0001"], instance=orphan, ended_at=0.0, states=[(START, "running")])
    machine = replace(machine, registration=0, broken=True)
    world.compute.machines["i-orphan"] = machine
    world.advance(240)
    assert world.compute.terminated == []
    world.forge.runners |= {90: gone}
    world.advance(900)
    assert world.compute.terminated == ["i-orphan"]
    assert world.forge.runners == {91: foreign}


# --- the warm pool ---


def test_hot_machines_stand_ready_and_are_filled_up_again() -> None:
    world = FakeWorld(fleet(pool(warm=ALWAYS)), lag=60)
    world.advance(600)
    assert len([each for each in world.forge.runners.values() if each.online]) == 2
    world.push(1, 60)
    world.advance(10)
    assert world.forge.jobs[1].runs == ["dev-warm-small-2"]
    world.advance(900)
    assert len(world.compute.living()) == 2
    assert "dev-1-1" not in machines_of(world)
    assert world.killed_busy == []


def test_sleeping_machines_are_woken_before_new_ones_are_bought_and_go_with_the_schedule() -> None:
    warm = replace(ALWAYS, hot=0, stopped=2)
    world = FakeWorld(fleet(pool(warm=warm)))
    world.advance(600)
    assert [each.states[-1][1] for each in world.compute.living()] == ["stopped", "stopped"]
    assert {each.instance.market for each in world.compute.living()} == {Market.ON_DEMAND}
    world.push(1)
    world.advance(120)
    assert world.forge.jobs[1].runs == ["dev-warm-small-1"]
    assert world.telemetry.times["QueueTime"][0] <= 25
    world.fleet = fleet(pool())
    world.control = world.new_process()
    world.advance(1200, world.settled)
    done_once(world)


def test_warm_machines_that_cannot_be_listed_are_not_taken_for_missing() -> None:
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=1))))
    world.advance(600)
    world.faults.only, world.faults.kind = "ledger.live_runners", Fault.FAIL_BEFORE
    world.faults.calls, world.faults.at = 0, 1
    world.advance(300)
    assert world.faults.calls > 1
    assert len(world.compute.machines) == 1


def test_a_machine_that_cannot_be_woken_is_replaced_at_once() -> None:
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=0, stopped=1))))
    world.advance(600)
    world.compute.end("i-0001")
    world.push(1)
    world.advance(100)
    assert world.forge.jobs[1].runs == ["dev-1-1"]


def test_jobs_come_before_warm_machines() -> None:
    world = FakeWorld(fleet(pool(maximum=3, warm=replace(ALWAYS, hot=2))))
    for identity in range(1, 7):
        world.push(identity, 100)
    world.advance(90)
    assert not [each for each in machines_of(world) if "warm" in each]


# --- crashes ---


def three_jobs(faults: Faults, lag: float) -> FakeWorld:
    world = FakeWorld(faults=faults, lag=lag)
    for identity in (1, 2, 3):
        world.push(identity)
    world.advance(3 * 3600, world.settled)
    return world


@pytest.mark.parametrize("lag", [0.0, 60.0], ids=["fresh lists", "stale lists"])
@pytest.mark.parametrize("kind", Fault, ids=lambda kind: str(kind).replace(" ", "-"))
def test_a_fault_at_any_call_costs_no_job_and_buys_no_second_machine(kind: Fault, lag: float) -> None:
    """For every k: the k-th call of the control plane crashes, before or after its effect, or its answer is lost."""
    calls = three_jobs(Faults(), lag).faults.calls
    assert calls > 100
    for k in range(1, calls + 1):
        world = three_jobs(Faults(at=k, kind=kind), lag)
        try:
            done_once(world)
            # Whose they are may differ: a job whose news was lost may have run on another's.
            assert len(set(machines_of(world))) == len(machines_of(world)) == 3
        except AssertionError as error:
            error.add_note(f"call {k} {kind}: {world.faults.names[k - 1]}")
            raise


def test_a_process_that_dies_at_every_other_call_still_gets_there() -> None:
    """Crash upon crash: the n-th process dies at its n-th call or so, until one gets through."""
    world = FakeWorld()
    world.push(1)
    for k in range(1, 40):
        world.faults.calls, world.faults.at, world.faults.kind = 0, k, Fault.CRASH_AFTER
        world.advance(100)
    world.faults.at = 0
    world.advance(3600, world.settled)
    done_once(world)


# --- several at once ---


def interleaved(calls: str, other: Callable[[FakeWorld], None]) -> FakeWorld:
    """A job is launched while, right after each call of that name, another executor does something, once."""
    world = FakeWorld()
    world.push(1)
    real, entered = world.faults.call, False

    def call(name: str, act: Callable[[], object]) -> object:
        nonlocal entered
        result = real(name, act)
        if name == calls and not entered:
            entered = True
            world.clock.time += 1
            other(world)
        return result

    world.faults.call = call  # pyright: ignore[reportAttributeAccessIssue] - generic, as the one that it replaces
    world.advance(1800, world.settled)
    assert entered
    return world


@pytest.mark.parametrize(
    "calls",
    ["ledger.job", "ledger.commit", "queue.send", "forge.is_own", "compute.launch", "forge.register", "handover.put"],
)
@pytest.mark.parametrize("what", ["launch", "reconcile"])
def test_two_executors_at_once_do_it_once(calls: str, what: str) -> None:
    def other(world: FakeWorld) -> None:
        if what == "launch":
            world.control.launch(1)
        else:
            world.control.reconcile(world.clock.now() + 50)

    world = interleaved(calls, other)
    done_once(world)
    assert machines_of(world) == ["dev-1-1"]
    assert world.faults.names.count("forge.register") == 1
    assert len(world.compute.orders) == 1


def test_a_cancelled_job_in_the_middle_of_its_launch_costs_no_registration() -> None:
    def cancel(world: FakeWorld) -> None:
        ended = job_facts(1, status="completed", conclusion="cancelled", ended_at=world.clock.now())
        world.forge.jobs[1].facts = ended
        world.control.take(Delivery("cancel", world.clock.now()), event(Action.COMPLETED, ended))

    world = interleaved("compute.launch", cancel)
    world.advance(1800, world.settled)
    assert world.settled()
    assert world.faults.names.count("forge.register") == 0
    assert world.compute.terminated == ["i-0001"]


# --- the reconciler as such ---


def test_the_reconciler_ends_at_its_deadline() -> None:
    world = FakeWorld()
    world.push(1)
    world.advance(20)
    before = world.faults.calls
    world.control.reconcile(world.clock.now())
    assert world.faults.calls == before


def test_one_thing_that_is_not_understood_keeps_no_other_from_being_looked_after() -> None:
    world = FakeWorld()
    world.push(1)
    world.advance(20)
    real = world.ledger.cursor

    def cursor(name: str) -> object:
        if name == "repositories":
            raise RuntimeError("a mistake")
        return real(name)

    world.ledger.cursor = cursor  # pyright: ignore[reportAttributeAccessIssue] - one that fails for one name
    world.forge.tried.append(Attempt(9, "guid-9", world.clock.now(), 503))
    with pytest.raises(ExceptionGroup, match="reconciliation"):
        world.control.reconcile(world.clock.now() + 50)
    assert [each.guid for each in world.forge.redelivered] == ["guid-9"]


def test_a_crash_is_none_of_the_errors_that_are_put_off() -> None:
    world = FakeWorld(faults=Faults(at=1))
    with pytest.raises(Crash):
        world.control.reconcile(world.clock.now() + 50)


# --- what a look may conclude ---


def nothing_shown(identity: str = "") -> list[Instance]:
    """What EC2 may answer for a while."""
    del identity
    return []


def test_a_list_without_a_machine_proves_nothing() -> None:
    """DescribeInstances may leave one out; a job has run on it for hours."""
    world = FakeWorld()
    world.push(1, 3 * 3600)
    world.advance(3600)
    real = world.compute.instances
    world.compute.instances = nothing_shown
    world.advance(60)
    assert world.machine("dev-1-1").missing_since
    world.compute.instances = real
    world.advance(60)
    assert not world.machine("dev-1-1").missing_since
    world.advance(4 * 3600, world.settled)
    done_once(world)


def test_a_machine_that_is_never_shown_again_is_gone() -> None:
    world = FakeWorld()
    world.push(1, 3 * 3600)
    world.advance(3600)
    world.compute.instances = nothing_shown
    world.advance(360)
    assert world.machine("dev-1-1").state is RunnerState.GONE


def test_a_job_has_half_of_a_lifetime_for_itself_wherever_its_machine_comes_from() -> None:
    """A hot one that has idled for hours is replaced; one that has slept is as good as new."""
    for warm_pool, idle in ((replace(ALWAYS, hot=1), 7 * 3600), (replace(ALWAYS, hot=0, stopped=1), 11 * 3600)):
        world = FakeWorld(fleet(pool(warm=warm_pool, lifetime_minutes=720)))
        world.advance(idle)
        world.push(1, int(5.5 * 3600))
        world.advance(6 * 3600)
        assert world.record(1).conclusion == "success"
        assert world.killed_busy == []


def test_a_pool_that_is_configured_no_more_lets_its_long_jobs_end() -> None:
    world = FakeWorld(fleet(pool(lifetime_minutes=7200)))
    world.push(1, 20 * 3600)
    world.advance(600)
    world.fleet = fleet(pool(name="another"))
    world.control = world.new_process()
    world.advance(24 * 3600, world.settled)
    assert (world.record(1).conclusion, world.killed_busy) == ("success", [])


def test_while_no_runner_can_be_registered_no_job_is_lost_and_few_machines_are_bought() -> None:
    world = FakeWorld()
    world.push(1)
    real, down = world.forge.register, True

    def register(runner: str, pool: Pool, scope: str) -> tuple[int, str]:
        if down:
            raise UnavailableError("503")
        return real(runner, pool, scope)

    world.forge.register = register
    world.advance(6 * 3600)
    assert world.record(1).state is not JobState.FAILED
    assert len(world.compute.orders) < 6 * 5
    down = False
    world.advance(3600, world.settled)
    assert (world.record(1).conclusion, len(world.forge.jobs[1].runs)) == ("success", 1)


def test_what_cannot_be_listed_is_not_reported_as_none() -> None:
    world = FakeWorld()
    world.faults.only, world.faults.kind, world.faults.at = "ledger.open_jobs", Fault.FAIL_BEFORE, 1
    world.control.reconcile(world.clock.time + 50)
    assert "OldestWaiting" not in world.telemetry.times
    assert world.telemetry.counts["JobsLost"] == 0
    world.control.reconcile(world.clock.time + 50)
    assert world.telemetry.times["OldestWaiting"] == [0.0]


def test_slow_machines_leave_time_for_all_else() -> None:
    """Each look takes ten seconds; the pass has fifty."""
    world = FakeWorld(fleet(pool(maximum=20)))
    for identity in range(1, 11):
        world.push(identity, 7200)
    world.advance(3600)
    looked: list[str] = []

    def slow(name: str) -> Runner | None:
        looked.append(name)
        world.clock.time += 10
        return LedgerModel.runner(world.ledger, name)

    world.ledger.runner = slow
    world.compute.instances = nothing_shown
    world.forge.tried.append(Attempt(1, "g", world.clock.time - 60, 503))
    world.control.reconcile(world.clock.time + 50)
    assert 0 < len(looked) < 10
    assert [each.guid for each in world.forge.redelivered] == ["g"]
    assert world.telemetry.times["OldestWaiting"]


def test_a_ghost_that_turns_out_busy_is_left_to_its_job() -> None:
    """The list that showed it idle and offline was old."""
    world = FakeWorld()
    world.push(1)
    world.advance(900, world.settled)
    world.push(2, 3600)
    world.advance(30)
    world.forge.runners[99] = Registration(99, "dev-1-1", online=False, busy=False)
    world.forge.jobs[1].facts = replace(world.forge.jobs[1].facts, status="in_progress", runner="dev-1-1")
    world.forge.remember()
    world.control.reconcile(world.clock.time + 50)
    assert 99 in world.forge.runners
    assert "GhostsRemoved" not in world.telemetry.counts
    assert ("ghost is busy", {"runner": "dev-1-1"}) in world.telemetry.lines


# --- jobs that an environment holds back ---


def hold(world: FakeWorld, identity: int) -> None:
    """GitHub holds a queued job back until somebody approves it."""
    work = world.forge.jobs[identity]
    work.facts = replace(work.facts, status="waiting")
    world.forge.events.append(event(Action.WAITING, work.facts))


def approve(world: FakeWorld, identity: int, told: bool = True) -> None:
    work = world.forge.jobs[identity]
    work.facts = replace(work.facts, status="queued")
    if told:
        world.forge.events.append(event(Action.QUEUED, work.facts))


@pytest.mark.parametrize("seconds", [0, 10, 30, 120])
def test_a_job_that_waits_for_hours_for_an_approval_costs_a_machine_at_most(seconds: float) -> None:
    """GitHub says queued first, and a moment later that it waits."""
    world = FakeWorld()
    world.forge.asleep = {"dev-1-1"}  # it may be held back before its machine gets it
    world.push(1)
    world.advance(seconds)
    hold(world, 1)
    world.advance(6 * 3600)
    assert (world.record(1).state, world.record(1).losses) == (JobState.QUEUED, 0)
    assert len(world.compute.machines) <= 1
    assert not world.compute.living()
    world.forge.asleep = set()
    approve(world, 1)
    world.advance(3600, world.settled)
    done_once(world)
    assert world.telemetry.counts["JobsLost"] == 0
    # From its approval on: the hours before are no delay of the fleet's.
    assert max(world.telemetry.times["QueueTime"]) < 120


def test_an_approval_whose_webhook_is_lost_is_found() -> None:
    world = FakeWorld()
    world.push(1)
    hold(world, 1)
    world.advance(3 * 3600)
    approve(world, 1, told=False)
    world.advance(20 * 60, world.settled)
    done_once(world)


def test_a_job_that_is_held_back_by_late_news_alone_is_let_go_within_minutes() -> None:
    """It was approved, and the news that it waits came after those."""
    world = FakeWorld()
    world.push(1)
    world.deliver = lambda news: (10.0,) if news.action is Action.WAITING else (0.0,)
    hold(world, 1)
    approve(world, 1)
    world.advance(5)
    world.forge.asleep = {"dev-1-1"}
    world.advance(15)
    assert world.record(1).held_at
    world.forge.asleep = set()
    world.advance(300, lambda: not world.record(1).held_at)
    assert not world.record(1).held_at
    world.advance(1800, world.settled)
    done_once(world)


def test_a_rejected_job_ends() -> None:
    world = FakeWorld()
    world.push(1)
    hold(world, 1)
    world.advance(3600)
    world.forge.end(world.forge.jobs[1], "failure")
    world.advance(600, world.settled)
    assert world.settled()
    assert world.record(1).state is JobState.COMPLETED


# --- sleepers ---


def test_sleepers_of_a_pool_that_is_configured_no_more_are_ended() -> None:
    warm = replace(ALWAYS, hot=0, stopped=2)
    other = pool(name="other", labels=("self-hosted", "gpu"))
    world = FakeWorld(fleet(pool(warm=warm), other))
    world.advance(1800)
    assert {each.states[-1][1] for each in world.compute.machines.values()} == {"stopped"}
    world.fleet = fleet(other)
    world.control = world.new_process()
    world.advance(300)
    assert not world.compute.living()
    assert world.settled()


def test_sleep_costs_nothing() -> None:
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=0, stopped=1), hourly_usd={"c7g.large": 1.0})))
    world.advance(8 * 3600)
    world.push(1, 600)
    world.advance(1800)
    assert 600 / 3600 <= world.telemetry.counts["CostUSD"] < 0.5


def test_a_sleeper_that_is_never_woken_costs_nothing_when_it_goes() -> None:
    other = pool(name="other", labels=("self-hosted", "gpu"))
    world = FakeWorld(fleet(pool(warm=replace(ALWAYS, hot=0, stopped=1), hourly_usd={"c7g.large": 1.0}), other))
    world.advance(1800)
    world.fleet = fleet(replace(pool(hourly_usd={"c7g.large": 1.0}), maximum=1), other)
    world.control = world.new_process()
    world.advance(1800)
    assert not world.compute.living()
    assert world.telemetry.counts.get("CostUSD", 0.0) == 0.0


def test_a_woken_machine_stands_where_it_was_registered_though_its_job_has_gone() -> None:
    """At repository level a machine serves the one that it is registered with, whatever happened meanwhile."""
    asleep = replace(ALWAYS, hot=0, stopped=1)
    world = FakeWorld(fleet(pool(warm=asleep), level=Level.REPOSITORY, repositories=("orders", "billing")))
    world.advance(600)
    facts = job_facts(1, world.clock.time)
    made = world.forge.register

    def meanwhile(runner: str, pool: Pool, scope: str) -> tuple[int, str]:
        answer = made(runner, pool, scope)
        cancelled = replace(facts, status="completed", conclusion="cancelled", ended_at=world.clock.time)
        world.new_process().take(Delivery("cancelled", START), event(Action.COMPLETED, cancelled))
        return answer

    world.forge.register = meanwhile
    world.control.take(Delivery("queued", START), event(Action.QUEUED, facts))
    world.control.launch(1)
    machine = world.machine("dev-warm-small-1")
    assert machine.job is None
    assert (machine.state, machine.scope) == (RunnerState.REGISTERED, "acme/orders")


def test_a_job_that_never_ran_and_is_not_there_is_told_as_lost() -> None:
    """The App may see its repository no more, and then it waits on GitHub for ever."""
    world = FakeWorld(fleet(pool(maximum=1)))
    world.push(1, 7200)
    world.push(2)
    world.advance(120)
    waiting = next(each for each in (1, 2) if world.record(each).state is JobState.QUEUED)
    known = world.forge.job
    world.forge.job = lambda repository, identity: None if identity == waiting else known(repository, identity)
    world.advance(1500)
    assert (world.record(waiting).state, world.record(waiting).reason) == (JobState.FAILED, "GitHub knows it no more")
    assert world.telemetry.counts["JobsLost"] == 1
