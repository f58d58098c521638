"""The pure rooms: names, labels, budgets, markets, schedules."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pavedpath_runners.configuration import Budget, LabelMatch, Level, Market, Pool, WarmPool
from pavedpath_runners.decisions import budgets, capacity, launching, matching, naming, reconciling, warm
from pavedpath_runners.decisions.model import Check, Checked, Decision, Look, Removed, Scene, Seen, Sight, Terminate
from pavedpath_runners.decisions.moves import IllegalMoveError, move, step
from pavedpath_runners.events import Action
from pavedpath_runners.ports import Attempt, Registration
from pavedpath_runners.records import TRANSITIONS, Breaker, Bucket, Cursor, Job, JobState, Put, Runner, RunnerState

from .fakes import LABELS, START, event, fleet, job_facts, pool

IDS = st.integers(1, 2**63 - 1)
FLEETS = st.text("abc-1", min_size=1, max_size=70)


def a_job(identity: int = 1, **given: Any) -> Job:
    base = Job(identity, "acme/orders", 9, LABELS, "small", JobState.QUEUED, START, START)
    return replace(base, **given)


def a_runner(name: str = "dev-1-1", **given: Any) -> Runner:
    base = Runner(name, "small", RunnerState.REGISTERED, START, START, asked_at=START, instance_id="i-1")
    return replace(base, **given)


# --- names ---


@given(FLEETS, IDS, st.integers(1, 99), IDS, st.integers(1, 99))
def test_names_of_two_machines_differ_and_fit_github(fleet: str, one: int, a: int, two: int, b: int) -> None:
    first, second = naming.runner_name(fleet, one, a), naming.runner_name(fleet, two, b)
    assert (first == second) == ((one, a) == (two, b))
    assert max(len(first), len(second)) <= 64
    assert first.startswith(fleet[:43])


@given(FLEETS, st.text("ab-1", min_size=1, max_size=60), IDS, IDS, st.integers(1, 99))
def test_no_warm_machine_has_the_name_of_another(fleet: str, pool: str, number: int, job: int, attempt: int) -> None:
    name = naming.warm_name(fleet, pool, number)
    assert len(name) <= 64
    assert name != naming.runner_name(fleet, job, attempt)
    assert name != naming.warm_name(fleet, pool, number + 1)
    assert name != naming.warm_name(fleet, pool + "x", number)


# --- labels and policies ---

SMALL = pool(name="small", labels=("self-hosted", "linux", "arm64"))
LARGE = pool(name="large", labels=("self-hosted", "linux", "arm64", "large"))


@pytest.mark.parametrize(
    ("labels", "match", "expected"),
    [
        (("self-hosted", "linux"), LabelMatch.SUBSET, "small"),
        (("Self-Hosted", "LINUX", "large"), LabelMatch.SUBSET, "large"),
        (("self-hosted", "linux", "gpu"), LabelMatch.SUBSET, None),
        (("ubuntu-latest",), LabelMatch.SUBSET, None),
        ((), LabelMatch.SUBSET, None),
        (("self-hosted", "linux"), LabelMatch.EXACT, None),
        (("arm64", "linux", "self-hosted"), LabelMatch.EXACT, "small"),
    ],
    ids=["subset", "case", "unknown label", "github's own", "none", "exact misses", "exact"],
)
def test_labels_find_their_pool(labels: tuple[str, ...], match: LabelMatch, expected: str | None) -> None:
    held = fleet(replace(LARGE, match=match), replace(SMALL, match=match))
    found = matching.pool_for(held, labels)
    assert (found.name if found else None) == expected


@given(st.lists(st.sampled_from(["self-hosted", "linux", "arm64", "large", "gpu"])), st.permutations([SMALL, LARGE]))
def test_a_pool_takes_only_what_its_runners_offer(labels: list[str], pools: list[Pool]) -> None:
    held = fleet(*pools)
    found = matching.pool_for(held, labels)
    if found is not None:
        assert set(labels) <= set(found.labels)
        assert found == matching.pool_for(held, sorted(labels, reverse=True))
    else:
        assert "self-hosted" not in labels or "gpu" in labels


@pytest.mark.parametrize(
    ("given", "public", "policy"),
    [
        ({}, False, ""),
        ({"repository": "other/orders"}, False, "organization"),
        ({"repository": "acme/secret"}, False, "repository"),
        ({}, True, "public"),
        ({"labels": ("self-hosted", "gpu")}, False, "labels"),
    ],
    ids=["served", "organisation", "repository", "public", "labels"],
)
def test_policies_refuse_by_name(given: dict[str, Any], public: bool, policy: str) -> None:
    assert matching.refusal(fleet(), event(Action.QUEUED, job_facts(1, **given), public)) == policy


# --- budgets ---


@example([(-1.0, 1.0, False), (1.0, 1.0, False)], 1.0, 1.0, 0.0)
@given(
    st.lists(st.tuples(st.floats(-30, 100), st.floats(0.1, 5), st.booleans()), max_size=40),
    st.floats(1, 50),
    st.floats(0, 5),
    st.floats(0, 20),
)
def test_a_bucket_is_never_overdrawn(
    takes: list[tuple[float, float, bool]], capacity: float, rate: float, reserve: float
) -> None:
    budget, bucket, now = Budget(capacity, rate, reserve), None, START
    given, first, latest = 0.0, math.inf, START
    for passed, tokens, launch in takes:
        now += passed
        first, latest = min(first, now) if bucket is None else first, max(latest, now)
        left = budgets.take(budget, bucket, "ec2", now, tokens, launch)
        if left is None:
            continue
        given += tokens
        bucket = left
        assert 0 <= left.tokens <= capacity
        assert launch or left.tokens >= reserve
    # Whatever the clock does, it gives no more than its capacity and what has flowed in since its first use.
    assert given <= capacity + rate * max(0.0, latest - first) + 1e-6


def test_clean_up_leaves_the_reserve_to_launches() -> None:
    budget, bucket = Budget(10, 0, reserve=4), Bucket("ec2", 4.5, START)
    assert budgets.take(budget, bucket, "ec2", START, 1, launch=False) is None
    assert budgets.take(budget, bucket, "ec2", START, 1, launch=True) == Bucket("ec2", 3.5, START)


# --- markets ---


def breaker_of(*ages: float) -> Breaker:
    return Breaker("small", tuple((START - age, "c7g.large", f"zone-{number}") for number, age in enumerate(ages)))


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ((), Market.SPOT),
        ((10, 20), Market.SPOT),
        ((10, 20, 30), Market.ON_DEMAND),
        ((3590, 3595, 3599), Market.ON_DEMAND),
        ((3601, 3602, 3603), Market.SPOT),
        ((10, 2000, 3700), Market.SPOT),
        ((100, 3000, 3600), Market.ON_DEMAND),
    ],
    ids=["none", "few", "three", "nearly an hour", "an hour ago", "spread", "within an hour"],
)
def test_three_interruptions_within_an_hour_leave_spot_out_for_an_hour(
    ages: tuple[float, ...], expected: Market
) -> None:
    assert capacity.first_market(fleet(), pool(), breaker_of(*ages), START) is expected


def test_the_ladder_ends() -> None:
    assert capacity.next_market(pool(), Market.SPOT) is Market.ON_DEMAND
    assert capacity.next_market(pool(), Market.ON_DEMAND) is None
    assert capacity.next_market(pool(on_demand=False), Market.SPOT) is None
    only_spot = capacity.first_market(fleet(), pool(on_demand=False), breaker_of(1, 2, 3), START)
    assert only_spot is Market.SPOT


@given(st.lists(st.floats(1, 7000), max_size=6), st.floats(0, 3600))
def test_an_order_avoids_the_same_when_it_is_repeated(ages: list[float], later: float) -> None:
    breaker = breaker_of(*ages)
    first = capacity.avoided(breaker, START)
    again = capacity.interrupted(breaker, START + later + 1, "c7g.xlarge", "zone-x")
    assert capacity.avoided(again, START) == first


# --- the schedule ---


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NIGHT = WarmPool(hot=1, days=(4,), from_hour=22, to_hour=6)


@pytest.mark.parametrize(
    ("warm_pool", "time", "expected"),
    [
        (WarmPool(), "2026-11-20T06:00", True),
        (WarmPool(), "2026-11-20T05:59", False),
        (WarmPool(), "2026-11-20T20:00", False),
        (WarmPool(), "2026-11-21T12:00", False),
        (NIGHT, "2026-11-20T23:00", True),
        (NIGHT, "2026-11-21T05:59", True),
        (NIGHT, "2026-11-21T06:00", False),
        (NIGHT, "2026-11-21T23:00", False),
        (NIGHT, "2026-11-20T05:00", False),
        (WarmPool(days=(4,), from_hour=0, to_hour=24), "2026-11-20T23:59", True),
        (WarmPool(days=(4,), from_hour=8, to_hour=8), "2026-11-21T07:59", True),
    ],
    ids=["begin", "before", "end", "saturday", "night", "morning after", "over", "other night", "other morning",
         "whole day", "round the clock"],
)  # fmt: skip
def test_the_schedule_holds(warm_pool: WarmPool, time: str, expected: bool) -> None:
    assert warm.holds(warm_pool, at(time)) is expected


@given(st.sets(st.integers(0, 6)), st.integers(0, 23), st.integers(0, 24))
def test_every_scheduled_day_is_warm_as_long_as_it_says(days: set[int], begin: int, end: int) -> None:
    held = WarmPool(hot=1, days=tuple(days), from_hour=begin, to_hour=end)
    week = at("2026-11-16T00:00")
    hours = sum(warm.holds(held, week + 3600 * hour + 1) for hour in range(7 * 24))
    length = end - begin if end > begin else 24 - begin + end
    assert hours == len(days) * length


def warm_scene(level: Level = Level.ORGANIZATION) -> Scene:
    held = pool(warm=WarmPool(hot=2, stopped=1, days=tuple(range(7)), from_hour=0, to_hour=24))
    return Scene(fleet(held, level=level), START)


def test_the_warm_pool_is_filled_the_hot_ones_first_and_within_the_room() -> None:
    scene = warm_scene()
    held = scene.fleet.pools[0]
    idle = a_runner("dev-warm-small-1", warm=True)
    assert warm.missing(scene, held, [], 9, Cursor("warm-small")) == [False, False, True]
    assert warm.missing(scene, held, [idle], 9, Cursor("warm-small")) == [False, True]
    assert warm.missing(scene, held, [idle], 1, Cursor("warm-small")) == [False]
    assert warm.missing(scene, held, [], -3, Cursor("warm-small")) == []
    # The list may not show yet what was asked for a moment ago.
    assert warm.missing(scene, held, [], 9, Cursor("warm-small", at=START - 60, version=1)) == ()
    by_repository = warm_scene(Level.REPOSITORY)
    assert warm.missing(by_repository, held, [], 9, Cursor("warm-small")) == [True, True, True]


def test_idle_machines_stay_as_many_as_are_wanted_hot() -> None:
    scene = warm_scene()
    spares = [a_runner(f"dev-{each}-1", created_at=START - each) for each in range(1, 5)]
    assert warm.kept(scene, scene.fleet.pools[0], spares) == {"dev-1-1", "dev-2-1"}


# --- moves ---


@pytest.mark.parametrize("state", JobState)
def test_a_job_goes_only_where_the_table_says(state: JobState) -> None:
    for to in JobState:
        if to is state or to in TRANSITIONS[state]:
            assert move(a_job(state=state), to, START + 1).state is to
        else:
            with pytest.raises(IllegalMoveError):
                move(a_job(state=state), to, START + 1)


def test_a_machine_that_is_gone_stays_so() -> None:
    with pytest.raises(IllegalMoveError):
        step(a_runner(state=RunnerState.GONE), RunnerState.BUSY, START)


# --- waiting jobs ---

WAITING_JOBS = st.lists(
    st.builds(
        a_job,
        st.integers(1, 10_000),
        queued_at=st.floats(START - 500, START),
        not_before=st.sampled_from([0.0, START - 1, START + 50]),
        pool=st.sampled_from(["small", "large"]),
        state=st.sampled_from([JobState.QUEUED, JobState.RUNNING]),
    ),
    unique_by=lambda job: job.id,
    max_size=20,
)


@given(WAITING_JOBS, st.integers(0, 5), st.integers(0, 5), st.integers(0, 12))
def test_the_oldest_due_jobs_are_sent_and_no_more_than_fit(
    jobs: list[Job], small: int, large: int, launches: int
) -> None:
    free = {"small": small, "large": large}
    sent = reconciling.due(jobs, free, launches, START)
    assert len(sent) <= launches
    assert all(each.state is JobState.QUEUED and each.not_before <= START for each in sent)
    for name, room in free.items():
        mine = [each for each in sent if each.pool == name]
        assert len(mine) <= room
        passed_over = [
            each
            for each in jobs
            if each.pool == name and each.state is JobState.QUEUED and each.not_before <= START and each not in sent
        ]
        if mine and passed_over:
            assert max((each.queued_at, each.id) for each in mine) < min((o.queued_at, o.id) for o in passed_over)


@given(WAITING_JOBS, st.integers(0, 6))
def test_no_more_jobs_have_their_turn_than_there_is_room_for(jobs: list[Job], free: int) -> None:
    mine = [
        each for each in jobs if each.pool == "small" and each.state is JobState.QUEUED and each.not_before <= START
    ]
    jobs.sort(key=lambda each: each.queued_at)
    turns = [each for each in mine if reconciling.has_turn(each, jobs, free, START)]
    assert len(turns) == min(free, len(mine))


def test_whose_turn_it_is_is_read_no_further_than_needed() -> None:
    """Ten thousand may wait."""
    jobs = [a_job(identity, queued_at=START - 100 + identity) for identity in range(1, 9)]
    taken: list[int] = []
    lazy = (taken.append(each.id) or each for each in jobs)
    assert not reconciling.has_turn(jobs[6], lazy, 2, START)
    assert taken == [1, 2, 3]


@given(WAITING_JOBS, st.integers(-1, 6))
def test_room_that_becomes_free_calls_the_oldest_few(jobs: list[Job], free: int) -> None:
    jobs.sort(key=lambda each: (each.queued_at, each.id))
    called = reconciling.next_due("small", jobs, free, START)
    allowed = reconciling.due(jobs, {"small": max(0, free)}, 3, START)
    assert list(called) == [each for each in allowed if each.pool == "small"]


RUNS = st.lists(st.integers(1, 40), unique=True, max_size=40).map(sorted)


@given(RUNS, st.sets(st.integers(1, 40)), st.integers(0, 60))
def test_some_runs_are_asked_for_new_ones_and_known_ones(runs: list[int], known: set[int], minute: int) -> None:
    new = [each for each in runs if each not in known]
    old = [each for each in runs if each in known]
    asked = reconciling.worth_asking(runs, known, START + 60 * minute)
    assert len(asked) == len(set(asked)) == min(len(runs), reconciling.ASKED)
    assert set(asked) <= set(runs)
    assert len(known.intersection(asked)) >= min(3, len(old))
    assert len(set(asked) - known) >= min(7, len(new))


@pytest.mark.parametrize("every", [1, 2, 4])
def test_every_run_is_asked_for_sooner_or_later(every: int) -> None:
    """Also where a repository has its turn only every few minutes."""
    runs = range(1, 41)
    asked = [reconciling.worth_asking(runs, runs, START + 60 * minute) for minute in range(0, 60 * every, every)]
    assert {run for each in asked for run in each} == set(runs)


def test_runs_of_which_no_job_is_ours_keep_no_other_from_being_asked_for() -> None:
    """They look new for as long as they last, and may be the oldest."""
    foreign, late, known = range(1, 31), 31, 32
    asked = [reconciling.worth_asking([*foreign, late, known], {known}, START + 60 * minute) for minute in range(30)]
    assert any(late in each for each in asked)
    assert all(known in each for each in asked)


# --- deliveries that failed ---


LATE = START + 1
"""The list is complete up to there."""


def tries(*statuses: int, ago: float = 60.0, every: float = 60.0, guid: str = "guid") -> list[Attempt]:
    """Attempts at one delivery, the last so long ago."""
    first = START - ago - every * (len(statuses) - 1)
    return [Attempt(n + 1, guid, first + n * every, each, n > 0) for n, each in enumerate(statuses)]


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_a_delivery_that_failed_is_sent_again(status: int) -> None:
    held = tries(status)
    assert reconciling.to_redeliver(held, START, LATE) == (held, held[0].at)
    assert reconciling.backlog(held, 2) == held
    assert reconciling.backlog(held, 1) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_delivery_that_is_refused_is_not_sent_again(status: int) -> None:
    assert reconciling.to_redeliver(tries(status), START, LATE) == ([], LATE)
    assert reconciling.to_redeliver(tries(503, status), START, LATE) == ([], LATE)
    assert reconciling.backlog(tries(status), 9) == []


def test_a_delivery_that_arrived_once_is_not_sent_again() -> None:
    assert reconciling.to_redeliver(tries(503, 200, 503), START, LATE) == ([], LATE)
    assert reconciling.backlog(tries(503, 200, 503), 9) == []


def test_of_several_deliveries_the_last_attempts_are_sent_again_the_oldest_first() -> None:
    one, two = Attempt(1, "one", START - 500, 0), Attempt(2, "two", START - 400, 0)
    again = Attempt(3, "one", START - 300, 502, again=True)
    assert reconciling.to_redeliver([again, two, one], START, LATE) == ([two, again], START - 500)
    # Where pages are missing, the attempts that are seen may not be all.
    assert reconciling.backlog([again, two, one], 9) == [two]


@pytest.mark.parametrize(("attempts", "pause"), [(1, 0), (2, 60), (3, 120), (7, 1920), (8, None)])
def test_pauses_grow_until_a_delivery_is_given_up(attempts: int, pause: float | None) -> None:
    statuses = [503] * attempts
    if pause is None:
        given_up = tries(*statuses, ago=86400.0)
        assert reconciling.to_redeliver(given_up, START, LATE) == ([], LATE)
        assert reconciling.to_redeliver(given_up, START, given_up[-1].at) == ([], given_up[0].at)
        return
    held = tries(*statuses, ago=pause)
    assert reconciling.to_redeliver(held, START, LATE) == ([held[-1]], held[0].at)
    early = tries(*statuses, ago=pause - 1)
    assert reconciling.to_redeliver(early, START, LATE) == ([early[-1]] if not pause else [], early[0].at)


# --- spare machines ---


def test_the_spare_machine_that_is_soonest_ready_is_taken() -> None:
    scene = Scene(fleet(), START + 100)
    spares = [
        a_runner("a", state=RunnerState.INTENDED),
        a_runner("b", state=RunnerState.STOPPED, park=True, warm=True),
        a_runner("c", online_at=START + 50),
        a_runner("parking", state=RunnerState.LAUNCHING, park=True, warm=True),
        a_runner("taken", job=7),
        a_runner("other pool", pool="large"),
        a_runner("doomed", interrupted_at=START),
        a_runner("never came", asked_at=START - 3600),
        a_runner("old", asked_at=START - 361 * 60, online_at=START),
        a_runner("elsewhere", scope="acme/other"),
    ]
    assert [each.name for each in launching.fitting(scene, a_job(), spares)] == ["c", "b", "a"]


@example(START, 0.0)
@given(st.floats(START, START + 100), st.floats(0, 200))
def test_a_lease_is_over_only_after_its_holder_is_dead(changed: float, passed: float) -> None:
    over = launching.lease_is_over(a_runner(changed_at=changed), changed + passed)
    assert over == (changed + passed - changed > 90)


# --- machines that are given up, and may be at work all the same ---

GONE_QUIET = START + 10_000


def given_up(**given: Any) -> tuple[Runner, Job]:
    runner = a_runner(state=RunnerState.LAUNCHING, job=1, **given)
    return runner, a_job(state=JobState.LAUNCHING, runner=runner.name)


def scene_of(runner: Runner, *jobs: Job, now: float = GONE_QUIET) -> Scene:
    return Scene(fleet(), now, {each.id: each for each in jobs}, {runner.name: runner})


def written(decision: Decision) -> tuple[Job | None, Runner | None]:
    records = [change.record for change in decision.changes if isinstance(change, Put)]
    job = next((each for each in records if isinstance(each, Job)), None)
    return job, next((each for each in records if isinstance(each, Runner)), None)


def test_before_a_machine_without_a_registration_is_given_up_github_is_asked_for_it() -> None:
    """Who registered it may have died before he wrote that; its job, or another, may run on it."""
    runner, job = given_up()
    scene = scene_of(runner, job)
    assert reconciling.look(scene, runner.name, Sight()).effects == (Check(1),)
    assert reconciling.look(scene, runner.name, Sight(), Checked()).effects == (Look(runner.name, ""),)
    ended = reconciling.look(scene, runner.name, Sight(), Seen(None))
    assert Terminate(("i-1",)) in ended.effects
    waiting, gone = written(ended)
    assert waiting is not None
    assert waiting.state is JobState.QUEUED
    assert gone is not None
    assert gone.state is RunnerState.GONE


@pytest.mark.parametrize("online", [False, True])
def test_what_github_knows_goes_the_way_of_all_that_are_registered(online: bool) -> None:
    """Offline, too, may be old news: it is drained before it is ended."""
    runner, job = given_up()
    shown = Registration(7, runner.name, online, False)
    decision = reconciling.look(scene_of(runner, job), runner.name, Sight(), Seen(shown))
    followed = replace(job, state=JobState.REGISTERED, changed_at=GONE_QUIET)
    held = replace(runner, state=RunnerState.REGISTERED, registration=7, stored=True, changed_at=GONE_QUIET)
    assert written(decision) == (followed, held)
    assert not decision.effects


def test_a_machine_that_another_has_taken_on_meanwhile_is_not_given_up() -> None:
    runner, job = given_up(changed_at=GONE_QUIET - 5, asked_at=START)
    assert reconciling.look(scene_of(runner, job), runner.name, Sight(), Seen(None)) == Decision()


def test_a_job_keeps_a_machine_that_was_removed_until_github_is_asked_for_it_once_more() -> None:
    """GitHub lets a runner be removed by a `busy` that may be old; until no job can reach it any more, nobody knows
    whether its job runs there."""
    runner = a_runner(registration=7, stored=True, online_at=START + 30, job=1, interrupted_at=GONE_QUIET)
    job = a_job(state=JobState.REGISTERED, runner=runner.name)
    drained = reconciling.look(scene_of(runner, job), runner.name, Sight(), Removed())
    assert drained.effects[-1] == Check(1)
    assert written(drained) == (None, replace(runner, state=RunnerState.DRAINING, changed_at=GONE_QUIET))


def test_a_job_whose_machine_drains_waits_for_another_when_github_says_that_it_does_not_run() -> None:
    runner = a_runner(state=RunnerState.DRAINING, registration=7, stored=True, online_at=START + 30, job=1)
    job = a_job(state=JobState.REGISTERED, runner=runner.name)
    scene = scene_of(runner, job, now=START + 60)
    assert reconciling.look(scene, runner.name, Sight()) == Decision(effects=(Check(1),))
    waiting, spare = written(reconciling.look(scene, runner.name, Sight(), Checked()))
    assert waiting is not None
    assert (waiting.state, waiting.runner) == (JobState.QUEUED, "")
    assert spare == replace(runner, job=None)
    running = replace(job, state=JobState.RUNNING)
    assert reconciling.look(scene_of(runner, running, now=START + 60), runner.name, Sight(), Checked()) == Decision()


def test_the_function_for_interruptions_brings_nothing_up() -> None:
    """Its role hands no configuration over; a machine that is taken away needs none."""
    taken = {"interrupted_at": START + 200, "registration": 5, "created_at": START, "asked_at": START}
    for state in (RunnerState.LAUNCHING, RunnerState.REGISTERED):
        runner = a_runner("dev-warm-small-1", state=state, warm=True, instance_id="i-1", **taken)
        decision = reconciling.look(scene_of(runner, now=START + 200), runner.name, Sight())
        assert decision.effects == (Look(runner.name, ""),)
