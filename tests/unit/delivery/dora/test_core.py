"""The four figures: by hand, against a planned history of 100,000 deployments, and as properties."""

import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath_delivery.dora.core import (
    Band,
    Change,
    Deployment,
    Incident,
    Kind,
    Outcome,
    Record,
    Window,
    bands,
    figures,
    link,
    measure,
    percentile,
)

from tests.unit.delivery.dora.generator import Plan

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MONTH = Window(MONDAY, MONDAY + timedelta(days=28))
GOOD, BAD = Outcome.SUCCESS, Outcome.FAILURE


def at(hours: float) -> datetime:
    return MONDAY + timedelta(hours=hours)


def deployed(
    hours: float, commit: str, outcome: Outcome = GOOD, *, rollback: bool = False, age: float = 0
) -> Deployment:
    changes = (Change(commit, at(hours - age)),) if age else None
    return Deployment(f"at-{hours}", "shop", "prod", commit, at(hours), outcome, rollback, changes)


def kinds(*records: Deployment) -> list[tuple[Kind, bool]]:
    return [(each.kind, each.failed) for each in link(records).judged]


def test_a_small_table_by_hand() -> None:
    found = measure(
        [
            deployed(10, "a", age=4),
            deployed(20, "b", BAD, age=1),
            deployed(21, "c", age=3),  # one hour after b failed
            deployed(40, "d", age=10),
            deployed(44, "c"),  # back to c: d ran four hours
            deployed(45, "c"),  # c again
            Incident("1", "shop", "prod", at(50), at(52)),  # c's
            deployed(60, "e", age=20),
        ],
        MONTH,
    )
    assert (found.deployments, found.successes, found.failures) == (5, 4, 3)
    assert (found.redeployments, found.rollbacks, found.open) == (1, 1, 0)
    assert found.per_day == 4 / 28
    assert found.change_failure_rate == 3 / 5
    assert (found.lead_time.count, found.lead_time.median) == (4, 7 * 3600)
    assert found.lead_time.p90 == pytest.approx(17 * 3600)
    assert (found.restore.count, found.restore.median) == (3, 2 * 3600)
    assert [week.deployments for week in found.weeks] == [5, 0, 0, 0]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(seed=20260302).fill(100_000)


def test_a_hundred_thousand_deployments_have_the_figures_that_they_were_planned_with(plan: Plan) -> None:
    shuffled = list(plan.records)
    random.Random(1).shuffle(shuffled)  # noqa: S311  no secret
    found = measure(iter(shuffled), plan.window)
    assert found.deployments == plan.attempts
    assert (found.redeployments, found.rollbacks) == (plan.redeployments, plan.rollbacks)
    assert found.per_day == pytest.approx(plan.successes / plan.window.days)
    assert found.change_failure_rate == plan.failures / plan.attempts
    assert found.lead_time.count == len(plan.lead_times)
    assert found.lead_time.median == statistics.median(plan.lead_times)
    assert found.lead_time.p90 == pytest.approx(statistics.quantiles(plan.lead_times, n=10, method="inclusive")[-1])
    assert found.restore.count == len(plan.restores)
    assert found.restore.median == statistics.median(plan.restores)
    assert sum(week.successes for week in found.weeks) == found.successes


def test_the_time_grows_with_the_number_of_deployments_and_no_faster(plan: Plan) -> None:
    def cpu(records: Sequence[Record]) -> float:
        started = time.process_time()
        measure(records, plan.window)
        return time.process_time() - started

    cpu(plan.records[:5_000])
    assert cpu(plan.records) < 40 * cpu(plan.records[:10_000])


def test_figures_that_can_be_said_without_a_program() -> None:
    """One deployment an hour, each tenth fails and the next one heals it; the n-th commit is n seconds old."""
    records = [
        Deployment(
            str(n), "shop", "prod", f"c{n}", at(n), BAD if n % 10 == 9 else GOOD,
            changes=() if n % 10 == 9 else (Change(f"c{n}", at(n) - timedelta(seconds=n)),),
        )
        for n in range(1001)
    ]  # fmt: skip  # a line a deployment
    found = measure(records, Window(at(0), at(1008)))
    assert found.per_day == 901 / 42
    assert found.change_failure_rate == 100 / 1001
    assert (found.restore.count, found.restore.median) == (100, 3600)
    assert found.lead_time.median == 500


@pytest.mark.parametrize(
    ("history", "judged"),
    [
        # The same commit again is no change, whether it works or not.
        ([deployed(1, "a"), deployed(2, "a"), deployed(3, "a", BAD)],
         [(Kind.CHANGE, False), (Kind.REDEPLOYMENT, False), (Kind.REDEPLOYMENT, False)]),
        # Trying a failed commit again is a change: it did not run yet.
        ([deployed(1, "a"), deployed(2, "b", BAD), deployed(3, "b")],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.CHANGE, False)]),
        # A rollback condemns what ran, and nothing in between.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "c"), deployed(4, "a")],
         [(Kind.CHANGE, False), (Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.ROLLBACK, False)]),
        # A second rollback condemns what the first one brought back, not the first one.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "c"), deployed(4, "b"), deployed(5, "a")],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.CHANGE, True), (Kind.ROLLBACK, False),
          (Kind.ROLLBACK, False)]),
        # Helm rolls a failed upgrade back by itself: what ran before is innocent.
        ([deployed(1, "a"), deployed(2, "b", BAD), deployed(3, "a", rollback=True)],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.ROLLBACK, False)]),
        # The same from a source that writes the failed commit into the rollback.
        ([deployed(1, "a"), deployed(2, "b", BAD), deployed(3, "b", rollback=True)],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.ROLLBACK, False)]),
        # A rollback that carries the commit it undoes.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "b", rollback=True), deployed(4, "a")],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.ROLLBACK, False), (Kind.REDEPLOYMENT, False)]),
        # A rollback past what ran condemns it although the latest deployment failed, too.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "c", BAD), deployed(4, "a")],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.CHANGE, True), (Kind.ROLLBACK, False)]),
        # What was rolled back and comes again is a new attempt.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "a"), deployed(4, "b")],
         [(Kind.CHANGE, False), (Kind.CHANGE, True), (Kind.ROLLBACK, False), (Kind.CHANGE, False)]),
        # A rollback before anything is known.
        ([deployed(1, "a", rollback=True), deployed(2, "b")], [(Kind.ROLLBACK, False), (Kind.CHANGE, False)]),
        # A rollback that fails is no change, and condemns nothing.
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "a", BAD)],
         [(Kind.CHANGE, False), (Kind.CHANGE, False), (Kind.ROLLBACK, False)]),
    ],
)  # fmt: skip  # a history and its verdict side by side
def test_what_a_deployment_is(history: list[Deployment], judged: list[tuple[Kind, bool]]) -> None:
    assert kinds(*history) == judged


def outages(*records: Record) -> list[tuple[float, float | None]]:
    return [
        ((each.began - MONDAY) / timedelta(hours=1), each.ended and (each.ended - MONDAY) / timedelta(hours=1))
        for each in link(records).outages
    ]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([deployed(1, "a"), deployed(2, "b", BAD), deployed(5, "c", BAD), deployed(9, "a")], [(2, 9)]),
        ([deployed(1, "a"), deployed(2, "b", BAD)], [(2, None)]),
        ([deployed(1, "a"), deployed(2, "b"), deployed(3, "c", BAD), deployed(6, "a")], [(2, 6)]),
        ([deployed(1, "a"), Incident("1", "shop", "prod", at(3), at(9)), Incident("2", "shop", "prod", at(4), at(5))],
         [(3, 9)]),
        # One that is forgotten does not swallow the next.
        ([deployed(1, "a"), Incident("1", "shop", "prod", at(2)), Incident("2", "shop", "prod", at(4), at(5))],
         [(2, None), (4, 5)]),
        # Two that touch are two.
        ([deployed(1, "a"), deployed(2, "b", BAD), deployed(4, "c"), deployed(7, "a")], [(2, 4), (4, 7)]),
        # Another environment's success ends nothing.
        ([deployed(2, "b", BAD), Deployment("x", "shop", "dev", "b", at(3), GOOD)], [(2, None)]),
    ],
)  # fmt: skip
def test_when_an_outage_begins_and_ends(history: list[Record], expected: list[tuple[float, float | None]]) -> None:
    assert outages(*history) == expected


def test_an_incident_counts_against_what_ran_unless_it_names_its_cause() -> None:
    history = [deployed(1, "a"), deployed(3, "b")]
    ran = link([*history, Incident("1", "shop", "prod", at(2), at(9))])
    named = link([*history, Incident("1", "shop", "prod", at(2), at(9), deployment="at-3")])
    none = link([*history, Incident("1", "shop", "prod", at(0), at(9))])
    assert [[each.failed for each in found.judged] for found in (ran, named, none)] == [
        [True, False],
        [False, True],
        [False, False],
    ]


def test_a_commit_counts_once_and_when_it_first_ran() -> None:
    changes = (Change("a", at(0)),)
    records = [
        Deployment("1", "shop", "prod", "b", at(2), BAD, changes=changes),
        Deployment("2", "shop", "prod", "c", at(5), GOOD, changes=(*changes, Change("late", at(6)))),
        Deployment("3", "shop", "prod", "d", at(9), GOOD, changes=changes),
        deployed(10, "e"),
    ]
    found = measure(records, MONTH)
    assert (found.lead_time.count, found.lead_time.median) == (1, 5 * 3600)
    assert (found.skewed_changes, found.unknown_changes) == (1, 1)


def test_only_what_ended_in_the_window_counts_but_all_of_it_explains() -> None:
    window = Window(at(10), at(20))
    records = [deployed(5, "a"), deployed(10, "b"), deployed(19, "c"), deployed(20, "d"), deployed(30, "c")]
    found = measure(records, window)
    assert (found.deployments, found.failures) == (2, 0)
    # d was found out later, and is outside; a rollback of c would change this window's past.
    assert measure([*records, deployed(31, "b")], window).failures == 1


def test_the_same_moment_in_another_time_zone_is_the_same() -> None:
    tokyo = timezone(timedelta(hours=9))
    records = [deployed(1, "a", age=2), deployed(2, "b", BAD), deployed(3, "c", age=2)]
    moved = [
        Deployment(
            each.id, each.application, each.environment, each.commit, each.finished.astimezone(tokyo), each.outcome,
            each.rollback, each.changes,
        )
        for each in records
    ]  # fmt: skip
    assert measure(moved, MONTH) == measure(records, MONTH)


def test_contradictions_are_named_all_at_once() -> None:
    naive = datetime(2026, 3, 2)  # noqa: DTZ001  what must be refused
    with pytest.raises(
        ValueError, match=r"at-1 is there twice; .*x has a time without.*; .*i was resolved before"
    ) as error:
        link(
            [
                *(deployed(1, "a"), deployed(1, "b")),
                Deployment("x", "shop", "prod", "a", naive, GOOD),
                Incident("i", "shop", "prod", at(3), at(2)),
            ]
        )
    assert "shop in prod" in str(error.value)
    with pytest.raises(ValueError, match="ends"):
        Window(at(1), at(1))


def test_nothing_deployed_has_no_rate_and_no_times() -> None:
    found = measure([], MONTH)
    assert (found.per_day, found.change_failure_rate, found.lead_time.median, found.restore.p90) == (
        0,
        None,
        None,
        None,
    )
    assert len(found.weeks) == 4
    assert bands(found).deployment_frequency is Band.LOW
    assert bands(found).lead_time is None


def test_each_level_ends_at_its_bound() -> None:
    daily = measure([deployed(24 * day + 1, f"c{day}", age=24) for day in range(28)], MONTH)
    assert bands(daily).deployment_frequency is Band.ELITE
    assert bands(daily).lead_time is Band.ELITE
    slower = measure([deployed(24 * day + 1, f"c{day}", age=24.1) for day in range(27)], MONTH)
    assert bands(slower).deployment_frequency is Band.HIGH
    assert bands(slower).lead_time is Band.HIGH


def test_one_application_can_be_looked_at_alone() -> None:
    other = Deployment("1", "billing", "prod", "z", at(4), BAD)
    history = link([deployed(1, "a"), other])
    assert history.applications == ["billing", "shop"]
    assert figures(history.of("shop"), MONTH).change_failure_rate == 0
    assert figures(history.of("billing"), MONTH).open == 1


@given(st.lists(st.floats(0, 1e6), min_size=2))
def test_percentiles_are_the_usual_ones(values: list[float]) -> None:
    ordered = sorted(values)
    assert percentile(ordered, 0.5) == pytest.approx(statistics.median(ordered))
    deciles = statistics.quantiles(ordered, n=10, method="inclusive")
    assert percentile(ordered, 0.9) == pytest.approx(deciles[-1])


def _history(rows: Sequence[tuple[int, str, Outcome, bool, int]]) -> list[Deployment]:
    return [deployed(hours, commit, outcome, rollback=back, age=age) for hours, commit, outcome, back, age in rows]


_ROW = st.tuples(
    st.integers(0, 600), st.sampled_from("abcdef"), st.sampled_from(Outcome), st.booleans(), st.integers(0, 9)
)
_HISTORIES = st.lists(_ROW, unique_by=lambda each: each[0], max_size=30).map(_history)
_INCIDENTS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 60)), max_size=5).map(
    lambda rows: [
        Incident(str(n), "shop", "prod", at(opened), at(opened + length)) for n, (opened, length) in enumerate(rows)
    ]
)


@given(_HISTORIES, _INCIDENTS, st.randoms(use_true_random=False))
def test_the_order_of_the_records_does_not_matter(
    history: list[Deployment], incidents: list[Incident], shuffle: random.Random
) -> None:
    records: list[Record] = [*history, *incidents]
    expected = measure(records, MONTH)
    shuffle.shuffle(records)
    assert measure(records, MONTH) == expected


@given(_HISTORIES, _INCIDENTS)
def test_one_more_good_change_never_raises_the_failure_rate(
    history: list[Deployment], incidents: list[Incident]
) -> None:
    window = Window(at(0), at(700))
    before = measure([*history, *incidents], window)
    after = measure([*history, *incidents, deployed(690, "new")], window)
    assert (after.change_failure_rate or 0) <= (before.change_failure_rate or 0)
    assert after.successes == before.successes + 1
    assert after.open == 0


@given(_HISTORIES, _INCIDENTS)
@settings(max_examples=200)
def test_the_parts_fit_the_whole(history: list[Deployment], incidents: list[Incident]) -> None:
    found = measure([*history, *incidents], MONTH)
    linked = link([*history, *incidents])
    assert found.deployments + found.redeployments + found.rollbacks == len(history)
    assert 0 <= (found.change_failure_rate or 0) <= 1
    assert found.failures >= found.deployments - found.successes
    assert found.restore.count + found.open == len(linked.outages)
    closed = sorted((each.began, each.ended) for each in linked.outages if each.ended)
    assert all(first[1] <= second[0] for first, second in pairwise(closed))
    for name in ("deployments", "successes", "failures"):
        assert sum(getattr(week, name) for week in found.weeks) == getattr(found, name)
    assert sum(week.restore.count for week in found.weeks) == found.restore.count
