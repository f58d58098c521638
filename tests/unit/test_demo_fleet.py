"""The demo of the fleet: its load is what was asked for, and its checks find what is wrong with a run."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_runners.configuration import Market
from pavedpath_runners.records import Job, JobState, Runner, RunnerState
from rich.console import Console

from demo.fleet_checks import Attempt, Facts, Machine, began, ledger_line, percentile, problems, summary
from demo.fleet_load import Kind, plan
from demo.fleet_view import Moment, View, line, screen

POOLS = ("small", "large")
WORK, FORK, CANCELLED = 1, 2, 3  # runs
TYPE = "m7g.medium"


def job(identity: int, state: JobState = JobState.COMPLETED, **more: object) -> Job:
    held = Job(identity, "acme/invoices", WORK, ("self-hosted",), "small", state, 100.0, 110.0, attempt=1)
    return replace(held, conclusion="success" if state is JobState.COMPLETED else "", **more)  # pyright: ignore[reportArgumentType]  # the fields of a job


def attempt(identity: int, run: int, name: str, runner: str, conclusion: str = "success", started: float = 110.0):
    return Attempt(identity, run, name, "completed", conclusion, runner, 100.0, started)


def runner(name: str, instance: str, state: RunnerState = RunnerState.GONE) -> Runner:
    return Runner(name, "small", state, 120.0, 100.0, 100.0, instance_id=instance, instance_type=TYPE, ended_at=1000.0)


def machine(identity: str, name: str, state: str = "terminated") -> Machine:
    return Machine(identity, name, state, TYPE)


@pytest.fixture
def good() -> Facts:
    """Two jobs that were done, one of them after an interruption; one of a fork; one that was cancelled."""
    return Facts(
        runs={WORK: Kind.WORK, FORK: Kind.FORK, CANCELLED: Kind.CANCELLED},
        attempts=[
            attempt(11, WORK, "a", "dev-11-1"),
            attempt(12, WORK, "b", "dev-12-1", "failure"),
            attempt(13, WORK, "a", "dev-11-1"),  # GitHub's copy of it, in the second attempt
            attempt(14, WORK, "b", "dev-14-1", started=300.0),
            Attempt(21, FORK, "c", "queued", "", "", 100.0, 100.0),
            attempt(31, CANCELLED, "d", "", "cancelled"),
        ],
        jobs={
            11: job(11),
            12: job(12, interrupted=True, rerun=True),
            14: job(14),
            21: job(21, JobState.FAILED, attempt=0, reason="a fork's"),
            31: job(31, attempt=0),
        },
        runners=[runner("dev-11-1", "i-1"), runner("dev-12-1", "i-2"), runner("dev-14-1", "i-3")],
        counts={"small": 0},
        machines=[machine("i-1", "dev-11-1"), machine("i-2", "dev-12-1"), machine("i-3", "dev-14-1")],
        began={"i-1": [11], "i-2": [12], "i-3": [14]},
        registrations=[],
        messages={"launch": 0, "dead": 0},
        prices={TYPE: 0.04},
    )


def test_nothing_is_wrong_with_a_good_run(good: Facts) -> None:
    assert problems(good) == []
    told = summary(good)
    assert (told.done, told.refused, told.cancelled, told.rerun) == (2, 1, 1, 1)
    assert (told.launched, told.terminated, told.markets) == (3, 3, {str(Market.SPOT): 3})
    assert (told.queue_p50, told.queue_max) == (10.0, 10.0)
    assert told.machine_hours == pytest.approx(3 * 900 / 3600)
    assert told.cost == pytest.approx(3 * 900 / 3600 * 0.04)


def changed_attempt(facts: Facts, identity: int, **change: object) -> Sequence[Attempt]:
    changed = [replace(each, **change) if each.id == identity else each for each in facts.attempts]  # pyright: ignore[reportArgumentType]  # the fields of an attempt
    assert changed != list(facts.attempts)
    return changed


BAD: dict[str, tuple[Callable[[Facts], Facts], str]] = {
    "lost": (
        lambda facts: replace(facts, attempts=changed_attempt(facts, 14, status="queued", conclusion="", runner="")),
        "job b of run 1 was not done",
    ),
    "twice": (
        lambda facts: replace(facts, attempts=changed_attempt(facts, 12, conclusion="success")),
        "job b of run 1 was done 2 times, on dev-12-1, dev-14-1",
    ),
    "killed": (
        lambda facts: replace(facts, jobs={**facts.jobs, 12: job(12)}),
        "job b of run 1 ended as failure on dev-12-1, uninterrupted",
    ),
    "fork-began": (
        lambda facts: replace(facts, began={**facts.began, "i-4": [21]}),
        "job c of run 2 is a fork's, and began on",
    ),
    "fork-done": (
        lambda facts: replace(facts, attempts=changed_attempt(facts, 21, conclusion="success")),
        "job c of run 2 is a fork's, and was not refused",
    ),
    "fork-launched": (
        lambda facts: replace(facts, jobs={**facts.jobs, 21: job(21, JobState.FAILED)}),
        "job c of run 2 is a fork's, and was not refused",
    ),
    "cancelled-runs": (
        lambda facts: replace(facts, attempts=changed_attempt(facts, 31, status="in_progress", conclusion="")),
        "job d of run 3 was cancelled, and is in_progress",
    ),
    "two-jobs": (
        lambda facts: replace(facts, attempts=changed_attempt(facts, 14, runner="dev-11-1")),
        "runner dev-11-1 ran 2 jobs: a of 1, b of 1",
    ),
    "two-begun": (
        lambda facts: replace(facts, began={**facts.began, "i-3": [14, 15]}),
        "instance i-3 began 2 jobs: 14, 15",
    ),
    "begun-twice": (
        lambda facts: replace(facts, began={**facts.began, "i-2": [14]}),
        "job 14 began on i-2, i-3. ledger: job 14 completed",
    ),
    "two-machines": (
        lambda facts: replace(facts, machines=[*facts.machines, machine("i-4", "dev-14-1")]),
        "runner dev-14-1 was launched 2 times",
    ),
    "unknown": (
        lambda facts: replace(facts, jobs={key: each for key, each in facts.jobs.items() if key != 14}),
        "job b of run 1 has not ended for the fleet. ledger: job 14 is not in it",
    ),
    "open": (
        lambda facts: replace(facts, jobs={**facts.jobs, 14: job(14, JobState.RUNNING, runner="dev-14-1")}),
        "has not ended for the fleet. ledger: job 14 running, attempt 1, losses 0, version 0, pool small, runner",
    ),
    "runner": (
        lambda facts: replace(facts, runners=[*facts.runners, runner("dev-9-1", "i-9", RunnerState.BUSY)]),
        "ledger: runner dev-9-1 is still busy (i-9)",
    ),
    "count": (lambda facts: replace(facts, counts={"small": 1}), "ledger: pool small counts 1 machines"),
    "alive": (
        lambda facts: replace(facts, machines=[machine("i-1", "dev-11-1", "running"), *facts.machines[1:]]),
        "instance i-1 of runner dev-11-1 is running, not terminated",
    ),
    "orphan": (
        lambda facts: replace(facts, machines=[*facts.machines, machine("i-9", "dev-9-1")]),
        "instance i-9 of runner dev-9-1 is in no record of the ledger",
    ),
    "ghost": (lambda facts: replace(facts, registrations=["dev-1-1"]), "runner dev-1-1 is still registered"),
    "dead": (lambda facts: replace(facts, messages={"dead": 2}), "queue dead has 2 messages that wait"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told(good: Facts, name: str) -> None:
    change, told = BAD[name]
    found = problems(change(good))
    assert any(told in each for each in found), found


@given(jobs=st.integers(1, 700), seed=st.integers(0, 1000), seconds=st.floats(1, 200))
def test_a_plan_has_the_jobs_that_were_asked_for(jobs: int, seed: int, seconds: float) -> None:
    runs = plan(jobs, POOLS, seconds, seed)
    assert sum(len(each.pools) for each in runs if each.kind is Kind.WORK) == jobs
    assert {each.kind for each in runs} == set(Kind)
    assert [each.at for each in runs] == sorted(each.at for each in runs)
    assert all(0 <= each.at <= seconds + 0.001 for each in runs)
    assert all((each.cancel_after > 0) == (each.kind is Kind.CANCELLED) for each in runs)
    assert runs == plan(jobs, POOLS, seconds, seed)


def test_a_plan_has_bursts_and_quiet_times() -> None:
    runs = plan(500, POOLS, 120.0, 1)
    a_second = Counter(int(each.at) for each in runs)
    assert max(a_second.values()) > 5 * len(runs) / 120
    assert len(a_second) < 120
    pools = Counter(pool for each in runs for pool in each.pools)
    assert pools["small"] > 1.5 * pools["large"] > 0


@pytest.mark.parametrize(("jobs", "pools"), [(0, POOLS), (1, ())], ids=["no jobs", "no pools"])
def test_a_plan_of_nothing_is_refused(jobs: int, pools: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        plan(jobs, pools, 10.0, 1)


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(each) for each in range(1, 101)]
    assert [percentile(values, each) for each in (0, 50, 95, 100)] == [1.0, 50.0, 95.0, 100.0]
    assert percentile([7.0], 95) == 7.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def moment() -> Moment:
    live = runner("dev-11-1", "i-1", RunnerState.BUSY)
    jobs = [job(11, JobState.RUNNING), job(12), job(13, JobState.QUEUED), job(14, JobState.LAUNCHING)]
    return Moment(61.0, 1, 60, jobs, [live], 2, (3, 1), {"sent": 9, "lost": 1}, "no spot for large")


def test_a_line_tells_all() -> None:
    assert line(moment()) == (
        "  61 s: 1 of 60 done; jobs: 2 unheard of, 1 waiting, 1 machine on its way, 1 running, 1 ended, 0 refused;"
        " machines: 0 being launched, 0 registered, 1 busy, 0 ending; queue: 3 + 1 in flight;"
        " webhooks: 9 sent, 1 lost, 0 duplicated, 0 redelivered; no spot for large"
    )


def test_every_state_has_its_row() -> None:
    jobs = [job(number, state) for number, state in enumerate(JobState)]
    machines = [runner(f"dev-{each}", "i-1", each) for each in RunnerState if each is not RunnerState.GONE]
    told = line(replace(moment(), jobs=jobs, runners=machines)).split(";")
    assert sum(int(each.split()[0]) for each in told[1].removeprefix(" jobs: ").split(", ")[1:]) == len(jobs)
    assert sum(int(each.split()[0]) for each in told[2].removeprefix(" machines: ").split(", ")) == len(machines)


def test_a_terminal_gets_a_screen_that_fits_it(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(width=80, height=24)
    console.print(screen(moment()))
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) < 20  # what happens is told above it
    assert "…" not in "".join(shown)
    assert [each.split() for each in shown if "waiting" in each or "busy" in each] == [
        ["jobs", "waiting", "1", "1"],
        ["busy", "1", "1"],
    ]
    for told in ("1 of 60 done", "61 s", "9 sent, 1 lost", "3 messages wait", "no spot for large", "2 jobs that"):
        assert any(told in each for each in shown), told


def test_a_file_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = View(Console(force_terminal=False, width=200))
    with view.open():
        view.show(moment())
        view.show(moment())
        view.say("something happens")
    lines = capsys.readouterr().out
    assert lines.count("61 s:") == 1, "a line comes every ten seconds"
    assert "something happens" in lines


def test_a_terminals_table_stays_below_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    view = View(Console(force_terminal=True, width=80, height=24))
    with view.open():
        view.show(moment())
        view.say("something happens")
    shown = capsys.readouterr().out
    assert shown.rindex("something happens") < shown.rindex("1 of 60 done")


def test_what_began_is_read_from_what_the_machines_tell() -> None:
    lines = ['{"event": "boots", "instance": "i-1"}', '{"event": "runs", "instance": "i-1", "job": 7}']
    assert began(lines) == {"i-1": [7]}


def test_the_copy_of_an_interrupted_job_is_no_problem(good: Facts) -> None:
    """Two machines of one run are taken away: the re-run of the first job copies the second as it was."""
    copy = replace(next(each for each in good.attempts if each.id == 12), id=15)
    assert problems(replace(good, attempts=[*good.attempts, copy])) == []
    stranger = replace(copy, runner="dev-99-1")
    (told,) = problems(replace(good, attempts=[*good.attempts, stranger]))[:1]
    assert "ended as failure on dev-99-1, uninterrupted" in told


def test_a_fork_that_was_given_and_ended_at_once_is_no_problem(good: Facts) -> None:
    given = changed_attempt(good, 21, status="completed", conclusion="failure", runner="dev-9-1")
    ended = {**good.jobs, 21: job(21, attempt=0)}
    assert problems(replace(good, attempts=given, jobs=ended)) == []


def test_a_line_of_the_ledger_has_the_reason() -> None:
    told = ledger_line(job(1, JobState.FAILED, reason="no pool", interrupted=True, rerun=True), 1)
    assert told.startswith("ledger: job 1 failed, attempt 1")
    assert told.endswith("interrupted, run again, reason: no pool")
