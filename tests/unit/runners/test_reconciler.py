"""A round of the reconciler where GitHub or AWS refuses a part of what it asks, and what it reports."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from pavedpath_runners.adapters.github import GitHubError
from pavedpath_runners.configuration import Level
from pavedpath_runners.events import Action
from pavedpath_runners.ports import Instance, JobFacts, Page, Registration
from pavedpath_runners.records import RunnerState

from .fakes import START, FakeWorld, LedgerModel, event, fleet, pool

REFUSED = "404 Not Found"


class Enduring(FakeWorld):
    """Rounds that end with errors are counted; as Lambda has it, the next one comes all the same."""

    failed: int = 0

    def guarded(self, act: Callable[[], None]) -> bool:
        try:
            return super().guarded(act)
        except* GitHubError:
            self.failed += 1
        return False


def refuse(world: FakeWorld, *repositories: str) -> Counter[str]:
    """Have GitHub refuse what concerns some repositories; returns how often each list of runners was asked for."""
    listed, waiting = world.forge.registrations, world.forge.waiting
    asked: Counter[str] = Counter()

    def registrations(scope: str, page: str = "") -> Page[Registration]:
        asked[scope] += 1
        if scope in repositories:
            raise GitHubError(f"GitHub GET /repos/{scope}/actions/runners: {REFUSED}")
        return listed(scope, page)

    def jobs(repository: str, choose: Callable[[Sequence[int]], Sequence[int]]) -> Sequence[JobFacts]:
        if repository in repositories:
            raise GitHubError(f"GitHub GET /repos/{repository}/actions/runs: {REFUSED}")
        return waiting(repository, choose)

    world.forge.registrations, world.forge.waiting = registrations, jobs
    return asked


def test_one_repository_that_is_refused_keeps_no_machine_from_being_looked_after() -> None:
    """The App is not installed there, say, or the repository is deleted."""
    world = Enduring(fleet(level=Level.REPOSITORY, repositories=("gone", "orders")))
    asked = refuse(world, "acme/gone")
    world.compute.broken = {"dev-1-1"}
    for identity in range(1, 4):
        world.push(identity, 60)
    world.advance(1800, world.settled)
    assert world.settled(), world.open_records()
    assert [len(each.runs) for each in world.forge.jobs.values()] == [1, 1, 1]
    assert LedgerModel.count(world.ledger, "small").live == 0
    rounds = int((world.clock.time - START) // 60)
    assert max(asked.values()) <= rounds, "each list is asked for once in a round"
    assert world.failed, "rounds tell that something is wrong"


def test_a_refused_list_is_an_error_of_the_round_and_asked_for_once() -> None:
    world = FakeWorld()
    for identity in range(1, 4):
        world.push(identity, 600)
    world.advance(300)
    asked: list[str] = []

    def denied(identity: str = "") -> Sequence[Instance]:
        asked.append(identity)
        raise PermissionError("ec2:DescribeInstances is denied")

    world.compute.instances = denied
    with pytest.raises(ExceptionGroup) as told:
        world.control.reconcile(world.clock.time + 50)
    assert [str(each) for each in told.value.exceptions] == ["ec2:DescribeInstances is denied"]
    assert asked == [""]
    assert {each.state for each in LedgerModel.live_runners(world.ledger)} == {RunnerState.BUSY}


def test_repositories_that_are_refused_keep_no_other_from_its_turn() -> None:
    """More of them one after the other than one round sweeps."""
    names = [f"gone-{number}" for number in range(7)]
    world = Enduring(fleet(repositories=(*names, "orders")))
    refuse(world, *(f"acme/{each}" for each in names))
    world.deliver = lambda _: ()
    world.push(1)
    world.advance(1200, world.settled)
    assert world.forge.jobs[1].facts.conclusion == "success"


# --- what is reported ---


def test_a_job_whose_machines_never_come_up_waits_all_the_same() -> None:
    """The alarm is at 15 minutes: machines on their way must not put it off."""
    world = FakeWorld()
    world.compute.broken = {f"dev-1-{number}" for number in range(1, 9)}
    world.push(1)
    world.advance(1200)
    oldest = world.telemetry.times["OldestWaiting"]
    assert oldest == sorted(oldest)
    assert max(oldest) > 1080


def test_a_job_that_runs_or_is_held_back_is_not_the_oldest_that_waits() -> None:
    world = FakeWorld()
    world.push(1, 3600)
    world.push(2)
    held = replace(world.forge.jobs[2].facts, status="waiting")
    world.forge.jobs[2].facts = held
    world.forge.events.append(event(Action.WAITING, held))
    world.advance(600)
    world.telemetry.times.clear()
    world.telemetry.counts.clear()
    world.advance(60)
    assert world.telemetry.times["OldestWaiting"] == [0.0]
    assert world.telemetry.counts["JobsWaiting"] == 0


# --- jobs that are held back ---


def test_a_sweep_finds_the_end_of_a_hold_whose_webhook_was_lost() -> None:
    world = FakeWorld(fleet(pool()))
    world.push(1)
    held = replace(world.forge.jobs[1].facts, status="waiting")
    world.forge.jobs[1].facts = held
    world.forge.events.append(event(Action.WAITING, held))
    world.advance(600)
    assert world.record(1).held_at
    world.deliver = lambda _: ()
    world.forge.jobs[1].facts = replace(held, status="queued")
    world.advance(70)
    assert not world.record(1).held_at
