"""News of jobs: any order, any number of times, one end; and what they say of machines."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_runners.decisions import events, reconciling
from pavedpath_runners.decisions.model import Decision, Measure, Metric, Scene, Send
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.records import Breaker, Count, Delivery, Job, JobState, Once, Put, Runner, RunnerState

from .fakes import START, event, fleet, job_facts
from .test_decisions import a_job, a_runner

QUEUED = event(Action.QUEUED, job_facts(1))
RUNNING = event(Action.IN_PROGRESS, job_facts(1, status="in_progress", started_at=START + 30, runner="dev-1-1"))
ENDED = event(
    Action.COMPLETED,
    job_facts(
        1, status="completed", conclusion="success", started_at=START + 30, ended_at=START + 90, runner="dev-1-1"
    ),
)
APPROVAL = event(Action.WAITING, job_facts(1, status="waiting"))


def applied(scene: Scene, decision: Decision) -> Scene:
    """The records after a decision was written."""
    jobs, runners = dict(scene.jobs), dict(scene.runners)
    for change in decision.changes:
        if isinstance(change, Put) and isinstance(change.record, Job):
            jobs[change.record.id] = replace(change.record, version=change.record.version + 1)
        elif isinstance(change, Put) and isinstance(change.record, Runner):
            runners[change.record.name] = replace(change.record, version=change.record.version + 1)
    return replace(scene, jobs=jobs, runners=runners, now=scene.now + 1)


def told(news: Sequence[JobEvent], scene: Scene) -> Scene:
    for each in news:
        scene = applied(scene, events.decide(scene, each))
    return scene


def essence(scene: Scene) -> tuple[object, ...]:
    """What must not depend on the order: all but times of writing and counters."""
    jobs = [replace(each, changed_at=0, sent_at=0, version=0, not_before=0) for each in scene.jobs.values()]
    runners = [replace(each, changed_at=0, version=0) for each in scene.runners.values()]
    return jobs, runners


@given(st.lists(st.sampled_from([QUEUED, RUNNING, ENDED, APPROVAL]), min_size=1, max_size=9), st.booleans())
def test_all_orders_of_the_same_news_end_in_the_same_state(news: list[JobEvent], launched: bool) -> None:
    """The rank rule is commutative and idempotent: with duplicates, in any order."""
    waiting = a_job(state=JobState.REGISTERED, runner="dev-1-1", attempt=1)
    machine = a_runner(job=1, stored=True, online_at=START + 20)
    scene = Scene(fleet(), START, {1: waiting} if launched else {}, {"dev-1-1": machine} if launched else {})
    unique = [each for each in (QUEUED, RUNNING, ENDED) if each in news]
    after = told(news, scene)
    if RUNNING in news or ENDED in news:
        if APPROVAL in news:
            # When it was let go, only the order tells.
            after = replace(after, jobs={1: replace(after.jobs[1], queued_at=START)})
        assert essence(after) == essence(told(unique, scene))
    else:
        # A job is held back and let go any number of times: the last news counts.
        assert after.jobs[1].state is (JobState.REGISTERED if launched and APPROVAL not in news else JobState.QUEUED)
        assert bool(after.jobs[1].held_at) == (news[-1] is APPROVAL)


@pytest.mark.parametrize(
    "order", list(permutations([QUEUED, RUNNING, ENDED])), ids=lambda news: "-".join(e.action for e in news)
)
def test_completed_may_come_before_queued(order: tuple[JobEvent, ...]) -> None:
    job = told(order, Scene(fleet(), START)).jobs[1]
    assert (job.state, job.conclusion, job.started_at, job.ended_at) == (
        JobState.COMPLETED, "success", START + 30, START + 90,
    )  # fmt: skip
    assert (job.pool, job.queued_at) == ("small", START)


class TestHeldBack:
    """GitHub tells of a job whose environment has rules as queued, waiting, and queued again when it may run; or
    without the first."""

    def test_it_wants_no_machine(self) -> None:
        decision = events.decide(Scene(fleet(), START), APPROVAL, Delivery("g", START))
        job = applied(Scene(fleet(), START), decision).jobs[1]
        assert (job.state, job.held_at, job.queues) == (JobState.QUEUED, START, False)
        assert not [each for each in decision.effects if isinstance(each, Send)]

    @pytest.mark.parametrize("state", [JobState.INTENDED, JobState.LAUNCHING, JobState.REGISTERED])
    def test_the_machine_that_it_has_by_now_is_spare(self, state: JobState) -> None:
        machine = a_runner(state=RunnerState(state), job=1, idle_since=START)
        scene = Scene(fleet(), START, {1: a_job(state=state, runner="dev-1-1", attempt=1)}, {"dev-1-1": machine})
        after = told([APPROVAL], scene)
        assert (after.jobs[1].state, after.jobs[1].runner) == (JobState.QUEUED, "")
        assert after.jobs[1].losses == 0
        assert after.runners["dev-1-1"].spare
        assert told([APPROVAL, APPROVAL], scene).jobs[1].held_at == START

    def test_github_is_asked_about_it_a_minute_after_it_was_held_back_however_long_it_was_queued(self) -> None:
        scene = replace(told([QUEUED], Scene(fleet(), START)), now=START + 600)
        job = told([APPROVAL], scene).jobs[1]
        assert not reconciling.is_suspicious(job, None, START + 600 + 30)
        assert reconciling.is_suspicious(job, None, START + 600 + 90)
        asked = replace(job, checked_at=START + 690)
        assert not reconciling.is_suspicious(asked, None, START + 690 + 600)
        assert reconciling.is_suspicious(asked, None, START + 690 + 960)

    def test_it_is_sent_when_it_may_run_and_its_queue_time_begins_then(self) -> None:
        scene = replace(told([QUEUED, APPROVAL], Scene(fleet(), START)), now=START + 7200)
        decision = events.decide(scene, QUEUED)
        job = applied(scene, decision).jobs[1]
        assert [each.job for each in decision.effects if isinstance(each, Send)] == [1]
        assert (job.held_at, job.queued_at, job.is_due(START + 7200)) == (0.0, START + 7200, True)
        assert not events.decide(applied(scene, decision), QUEUED).changes

    def test_one_that_runs_or_has_ended_is_not_held_back(self) -> None:
        for news in ([QUEUED, RUNNING], [RUNNING], [ENDED], [APPROVAL, RUNNING], [APPROVAL, ENDED]):
            after = told(news, Scene(fleet(), START))
            assert not after.jobs[1].held_at
            assert not events.decide(after, APPROVAL).changes

    def test_no_queue_time_is_told_of_one_of_which_nobody_said_when_it_was_let_go(self) -> None:
        decision = events.decide(told([APPROVAL], Scene(fleet(), START)), RUNNING)
        assert not [each for each in decision.effects if isinstance(each, Measure) and each.metric == Metric.QUEUE_TIME]


def test_a_new_job_is_written_with_its_delivery_and_then_sent() -> None:
    decision = events.decide(Scene(fleet(), START), QUEUED, Delivery("g", START))
    assert decision.changes[0] == Once(Delivery("g", START))
    assert [type(each) for each in decision.changes] == [Once, Put]
    assert [each for each in decision.effects if isinstance(each, Send)] == [Send(1, "1-1")]


def test_a_refused_job_leaves_nothing_in_the_ledger() -> None:
    decision = events.decide(Scene(fleet(), START), event(Action.QUEUED, job_facts(1), public=True), Delivery("g", 0))
    assert not decision.changes
    assert Measure(Metric.REFUSED, dimensions={"policy": "public"}) in decision.effects


def test_what_runs_on_a_machine_of_the_fleet_is_its_job_whatever_the_policies_say() -> None:
    """GitHub gives a runner any job that fits; were that not noted, its machine would seem idle."""
    scene = Scene(fleet(), START, {}, {"dev-5-1": a_runner("dev-5-1", stored=True)})
    news = event(Action.IN_PROGRESS, job_facts(1, labels=("self-hosted",), runner="dev-5-1"), public=True)
    after = told([news], scene)
    assert after.jobs[1].state is JobState.RUNNING
    assert after.runners["dev-5-1"].state is RunnerState.BUSY
    assert after.runners["dev-5-1"].running == 1


def test_a_job_on_a_foreign_runner_has_none_here_and_its_machine_is_spare() -> None:
    scene = Scene(fleet(), START, {1: a_job(state=JobState.LAUNCHING, runner="dev-1-1")},
                  {"dev-1-1": a_runner(state=RunnerState.LAUNCHING, job=1)})  # fmt: skip
    after = told([replace(RUNNING, facts=replace(RUNNING.facts, runner="someone-elses"))], scene)
    assert (after.jobs[1].state, after.jobs[1].runner) == (JobState.RUNNING, "")
    assert after.runners["dev-1-1"].spare


# --- theft ---


def theft(own: RunnerState | None, **given: object) -> Scene:
    """Job 1 runs on the machine of job 2; its own machine is on its way, or there is none."""
    thief = a_job(1, state=JobState.REGISTERED if own else JobState.QUEUED, runner="dev-1-1" if own else "")
    host = a_job(2, state=JobState.REGISTERED, runner="dev-2-1")
    runners = {"dev-2-1": a_runner("dev-2-1", job=2, stored=True)}
    if own:
        runners["dev-1-1"] = replace(a_runner(state=own, job=1, registration=0), **given)  # pyright: ignore[reportArgumentType] - names of fields
    return Scene(fleet(), START, {1: thief, 2: host}, runners)


STOLEN = replace(RUNNING, facts=replace(RUNNING.facts, runner="dev-2-1"))


@pytest.mark.parametrize(
    ("own", "host_state"),
    [
        (RunnerState.INTENDED, JobState.INTENDED),
        (RunnerState.LAUNCHING, JobState.LAUNCHING),
        (RunnerState.REGISTERED, JobState.REGISTERED),
        (RunnerState.STOPPED, JobState.INTENDED),
    ],
    ids=["intended", "launching", "registered", "stopped"],
)
def test_a_stolen_machine_is_swapped_for_the_thiefs_own(own: RunnerState, host_state: JobState) -> None:
    decision = events.decide(theft(own), STOLEN)
    after = applied(theft(own), decision)
    assert (after.jobs[1].state, after.jobs[1].runner) == (JobState.RUNNING, "dev-2-1")
    assert (after.jobs[2].state, after.jobs[2].runner) == (host_state, "dev-1-1")
    assert (after.runners["dev-2-1"].state, after.runners["dev-2-1"].running) == (RunnerState.BUSY, 1)
    assert (after.runners["dev-1-1"].state, after.runners["dev-1-1"].job) == (own, 2)
    # Whoever brings the machine up still holds its lease.
    assert after.runners["dev-1-1"].changed_at == theft(own).runners["dev-1-1"].changed_at
    assert not [each for each in decision.changes if isinstance(each, Count)]


@pytest.mark.parametrize("given", [{"interrupted_at": START}, {"pool": "large"}, {"scope": "acme/other"}],
                         ids=["taken away", "other pool", "other repository"])  # fmt: skip
def test_a_machine_that_cannot_serve_is_not_swapped_in(given: dict[str, object]) -> None:
    after = told([STOLEN], theft(RunnerState.REGISTERED, **given))
    assert (after.jobs[2].state, after.jobs[2].runner) == (JobState.QUEUED, "")
    assert after.runners["dev-1-1"].job is None


def test_who_loses_his_machine_to_a_thief_without_one_is_sent_again_and_that_is_no_loss() -> None:
    decision = events.decide(theft(None), STOLEN)
    host = applied(theft(None), decision).jobs[2]
    assert (host.state, host.runner, host.losses) == (JobState.QUEUED, "", 0)
    assert Send(2, "2-1") in decision.effects


def test_the_end_of_a_theft_may_be_the_first_news_of_it() -> None:
    news = replace(ENDED, facts=replace(ENDED.facts, runner="dev-2-1"))
    after = told([news, STOLEN], theft(RunnerState.LAUNCHING))
    assert after.jobs[1].state is JobState.COMPLETED
    assert after.runners["dev-2-1"].state is RunnerState.DONE
    assert (after.jobs[2].runner, after.runners["dev-1-1"].job) == ("dev-1-1", 2)


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), max_size=4))
def test_no_order_of_thefts_leaves_a_job_without_a_machine_or_a_machine_with_two(
    order: list[int], again: list[int]
) -> None:
    """Four jobs run on one another's machines, all around the circle."""
    jobs = {each: a_job(each, state=JobState.REGISTERED, runner=f"dev-{each}-1") for each in range(4)}
    runners = {f"dev-{each}-1": a_runner(f"dev-{each}-1", job=each, stored=True) for each in range(4)}
    scene = Scene(fleet(), START, jobs, runners)
    for each in [*order, *again]:
        place = f"dev-{(each + 1) % 4}-1"
        scene = told([event(Action.IN_PROGRESS, job_facts(each, started_at=START, runner=place))], scene)
        for job in scene.jobs.values():
            if job.runner:
                assert scene.runners[job.runner].job == job.id
        standing = [each.job for each in scene.runners.values() if each.job is not None]
        assert len(standing) == len(set(standing))
    assert all(each.state is JobState.RUNNING for each in scene.jobs.values())
    assert {each.running for each in scene.runners.values()} == set(range(4))


# --- ends ---


def test_a_job_cancelled_in_the_queue_leaves_its_machine_spare() -> None:
    scene = Scene(fleet(), START, {1: a_job(state=JobState.REGISTERED, runner="dev-1-1")}, {"dev-1-1": a_runner(job=1)})
    cancelled = replace(ENDED, facts=replace(ENDED.facts, runner="", conclusion="cancelled"))
    after = told([cancelled], scene)
    assert (after.jobs[1].state, after.jobs[1].runner) == (JobState.COMPLETED, "")
    assert after.runners["dev-1-1"].spare


def test_news_of_a_drained_machine_is_evidence_of_its_being_busy() -> None:
    scene = Scene(fleet(), START, {1: a_job()}, {"dev-1-1": a_runner(state=RunnerState.DRAINING)})
    assert told([RUNNING], scene).runners["dev-1-1"].state is RunnerState.BUSY


def test_a_job_that_was_given_up_may_still_run() -> None:
    scene = Scene(fleet(), START, {1: a_job(state=JobState.FAILED, reason="10 machines were lost")})
    assert told([RUNNING], scene).jobs[1].state is JobState.RUNNING
    assert told([QUEUED], scene).jobs[1].state is JobState.FAILED


# --- interruptions ---

BUSY = {"dev-1-1": a_runner(state=RunnerState.BUSY, job=1, running=1)}


@pytest.mark.parametrize("notice_first", [True, False])
@pytest.mark.parametrize(("conclusion", "wanted"), [("failure", True), ("success", False), ("cancelled", False)])
def test_a_job_that_fails_after_an_interruption_is_run_again(notice_first: bool, conclusion: str, wanted: bool) -> None:
    idle = {"dev-1-1": a_runner(job=1, stored=True)}
    scene = Scene(fleet(), START, {1: a_job(state=JobState.REGISTERED, runner="dev-1-1")}, idle)
    if not notice_first:
        scene = told([RUNNING], scene)
    scene = applied(scene, events.interrupted(scene, "dev-1-1", Breaker("small")))
    decision = events.decide(told([RUNNING], scene), replace(ENDED, facts=replace(ENDED.facts, conclusion=conclusion)))
    job = applied(told([RUNNING], scene), decision).jobs[1]
    assert (job.rerun_wanted, job.open) == (wanted, wanted)
    assert bool([each for each in decision.effects if isinstance(each, Send)]) == wanted


def test_the_policy_may_be_never_to_run_again() -> None:
    interrupted = a_job(state=JobState.RUNNING, runner="dev-1-1", interrupted=True)
    scene = Scene(fleet(rerun_interrupted=False), START, {1: interrupted}, BUSY)
    failed = replace(ENDED, facts=replace(ENDED.facts, conclusion="failure"))
    assert not told([failed], scene).jobs[1].open


def test_a_notice_that_comes_twice_counts_once() -> None:
    scene = Scene(fleet(), START, {1: a_job(state=JobState.RUNNING, runner="dev-1-1")}, BUSY)
    first = events.interrupted(scene, "dev-1-1", Breaker("small"))
    assert [each.record for each in first.changes if isinstance(each, Put) and isinstance(each.record, Breaker)] == [
        Breaker("small", ((START, "", ""),))
    ]
    again = events.interrupted(applied(scene, first), "dev-1-1", Breaker("small"))
    assert not again.changes
    assert not again.effects


@pytest.mark.parametrize("state", [RunnerState.GONE, RunnerState.DRAINING])
def test_a_job_whose_machine_was_taken_away_before_anyone_knew_of_it_is_run_again(state: RunnerState) -> None:
    """The notice comes first, then the machine's end, and at last the news of the job that GitHub had given it."""
    runner = a_runner(state=state, interrupted_at=START - 60)
    scene = Scene(fleet(), START, {1: a_job()}, {runner.name: runner})
    facts = job_facts(1, status="completed", conclusion="failure", runner=runner.name, ended_at=START)
    decision = events.decide(scene, event(Action.COMPLETED, facts))
    [job] = [each.record for each in decision.changes if isinstance(each, Put) and isinstance(each.record, Job)]
    assert (job.interrupted, job.rerun_wanted) == (True, True)
    assert [each.job for each in decision.effects if isinstance(each, Send)] == [1]


def test_what_is_a_rerun_is_not_run_again() -> None:
    """A re-run has an id of its own, so its record knows of none; once is once."""
    scene = Scene(fleet(), START, {}, {"dev-1-1": a_runner(state=RunnerState.BUSY, interrupted_at=START - 60)})
    for attempt, again in ((1, True), (2, False)):
        facts = job_facts(1, status="completed", conclusion="failure", runner="dev-1-1", run_attempt=attempt)
        decision = events.decide(scene, event(Action.COMPLETED, facts))
        [job] = [each.record for each in decision.changes if isinstance(each, Put) and isinstance(each.record, Job)]
        assert (job.interrupted, job.rerun_wanted, job.run_attempt) == (True, again, attempt)
