import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.kit.errors import Exit
from pavedpath_delivery.smoke.probe import Answer, judge, smoke
from pavedpath_delivery.smoke.report import SmokeReport
from pavedpath_delivery.smoke.spec import STANDARD, Endpoint

from tests.unit.delivery.support import console
from tests.unit.delivery.virtual import VirtualClock

SECRET = "hunter22hunter22"


def endpoint(**settings: Any) -> Endpoint:
    return Endpoint.model_validate({"path": "/", **settings})


def answer(body: str = "", status: int = 200, seconds: float = 0.01, **headers: str) -> Answer:
    return Answer(status, {"content-type": "text/plain", **headers}, body.encode(), seconds)


@pytest.mark.parametrize(
    ("wanted", "given_", "problem"),
    [
        (endpoint(), answer(status=503), "status 503, not 200"),
        (endpoint(status=[200, 204]), answer(status=301), "status 301, not 200 or 204"),
        (endpoint(contains="up"), answer(SECRET), "does not contain 'up'"),
        (endpoint(matches="^up "), answer("x up 1"), "matches '^up '"),
        (endpoint(json={"$.a[0].b": 1}), answer("no"), "is no JSON"),
        (endpoint(json={"$.a[0].b": 1}), answer('{"a": []}'), "there is no $.a[0].b"),
        (endpoint(json={"$.a[0].b": 1}), answer('{"a": [{"b": true}]}'), "$.a[0].b is not 1"),
        (endpoint(json={"$.a": 1}), answer(json.dumps({"a": SECRET})), "$.a is not 1"),
        (endpoint(headers={"X-A": "b"}), answer(), "no header X-A"),
        (endpoint(headers={"X-A": "b"}), Answer(200, {"x-a": SECRET}), "X-A does not contain 'b'"),
        (endpoint(latency_ms=100), answer(seconds=0.2), "took 200 ms, more than 100"),
        (endpoint(), Answer(problem="no connection"), "no connection"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_repeated(wanted: Endpoint, given_: Answer, problem: str) -> None:
    (said,) = judge(wanted, given_)
    assert problem in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("wanted", "given_"),
    [
        (endpoint(json={"$": [1, {"a": None}]}), answer('[1, {"a": null}]')),
        (endpoint(headers={"Content-Type": "TEXT/plain"}), answer()),
        (STANDARD[2], answer('# TYPE http_requests_total counter\nhttp_requests_total{a="b"} 1\n')),
        (STANDARD[2], answer("http_requests_total 0\n")),
    ],
)
def test_what_is_good(wanted: Endpoint, given_: Answer) -> None:
    assert judge(wanted, given_) == []


def test_the_metric_itself_is_wanted_and_not_its_mention() -> None:
    assert judge(STANDARD[2], answer("# HELP http_requests_total all of them\nhttp_requests_total_other 1\n"))


def asking(clock: VirtualClock, answers: list[Answer], seconds: float = 0.1) -> Callable[[Endpoint, float], Answer]:
    left = list(answers)

    def ask(_: Endpoint, timeout: float) -> Answer:
        clock.sleep(min(seconds, timeout))
        return left.pop(0) if len(left) > 1 else left[0]

    return ask


def test_it_is_asked_again_with_growing_pauses() -> None:
    clock = VirtualClock()
    bad = answer(status=503)
    (outcome,) = smoke([endpoint(retries=5)], asking(clock, [bad, bad, bad, answer()]), clock, 60)
    assert outcome.ok
    assert outcome.attempts == 4
    assert clock.elapsed == pytest.approx(4 * 0.1 + 1 + 2 + 4)


def test_the_last_answer_counts_and_the_retries_end() -> None:
    clock = VirtualClock()
    (outcome,) = smoke([endpoint(retries=2, backoff_s=0)], asking(clock, [answer(status=500)]), clock, 60)
    assert (outcome.attempts, outcome.status, outcome.ok) == (3, 500, False)


@given(st.integers(1, 6), st.floats(0.5, 30), st.floats(0.01, 5), st.integers(0, 20))
def test_the_budget_is_kept_whatever_happens(count: int, budget: float, seconds: float, retries: int) -> None:
    clock = VirtualClock()
    endpoints = [endpoint(retries=retries)] * count
    outcomes = smoke(endpoints, asking(clock, [answer(status=503)], seconds), clock, budget)
    assert clock.elapsed <= budget + 1e-6
    assert len(outcomes) == count
    assert not any(each.ok for each in outcomes)


def test_an_endpoint_that_is_down_does_not_keep_the_others_from_being_asked() -> None:
    clock = VirtualClock()
    asked: list[str] = []

    def ask(each: Endpoint, _: float) -> Answer:
        asked.append(each.path)
        return answer(status=503 if each.path == "/down" else 200)

    down, up = smoke([endpoint(path="/down", retries=2), endpoint(path="/up")], ask, clock, 60)
    assert asked == ["/down", "/up", "/down", "/down"]
    assert (down.ok, up.ok) == (False, True)


def test_what_was_not_asked_is_red() -> None:
    clock = VirtualClock()
    first, second = smoke([endpoint(timeout_s=300)] * 2, asking(clock, [answer()], seconds=100), clock, 10)
    assert first.ok
    assert second.attempts == 0
    assert second.problems == ("not asked: the budget was used up before",)


def test_the_report() -> None:
    clock = VirtualClock()
    answers = [answer(status=503), answer(seconds=0.04)]
    outcomes = smoke([endpoint(retries=0), endpoint(path="/b|c")], asking(clock, answers), clock, 60)
    report = SmokeReport("shop.example", outcomes, 1.25)
    assert report.code is Exit.FAILED
    assert report.outputs() == {"ok": "false"}
    sink, out = console(100)
    report.show(sink)
    assert out.getvalue().splitlines() == [
        "✗ GET /     503  10 ms  1 attempt",
        "    status 503, not 200",
        "✓ GET /b|c  200  40 ms  1 attempt",
        "shop.example: 1 of 2 endpoints failed, 1.2 s",
    ]
    assert "| ✗ | `GET /` | 503 | 10 ms | 1 | status 503, not 200 |" in report.summary()
    assert json.loads(json.dumps(report.document()))["endpoints"][1]["latency_ms"] == 40


def test_what_is_not_asked_again_says_how_long_it_would_have_waited() -> None:
    clock = VirtualClock()
    bad = [answer(status=503)]
    (outcome,) = smoke([endpoint(retries=5, backoff_s=1)], asking(clock, bad, 0.1), clock, 3)
    assert (outcome.attempts, outcome.problems[1:]) == (
        2,
        ("not asked again: the next wait would have been 2.0 s, with 1.8 s left in the budget",),
    )
