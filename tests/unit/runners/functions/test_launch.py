from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pavedpath_runners.decisions.model import LEASE
from pavedpath_runners.functions.launch import KILLED_SECONDS, RESERVE_SECONDS, handle
from pavedpath_runners.ports import ConflictError, NoCapacityError, UnavailableError

from tests.unit.runners.functions.lines import Lines


def message(identity: str, job: int, body: str | None = None, receives: int = 1) -> Mapping[str, Any]:
    held = body if body is not None else f'{{"job": {job}}}'
    attributes = {"MessageGroupId": identity, "ApproximateReceiveCount": str(receives)}
    return {"messageId": identity, "receiptHandle": f"receipt {identity}", "body": held, "attributes": attributes}


def freely(receipt: str, seconds: float) -> None:
    """Put it off."""


def failing(errors: Mapping[int, Exception], launched: list[int]) -> Callable[[int], None]:
    def launch(job: int) -> None:
        launched.append(job)
        if job in errors:
            raise errors[job]

    return launch


def failed(answer: Mapping[str, Any]) -> list[str]:
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_all_jobs_of_a_batch_are_launched() -> None:
    launched: list[int] = []
    messages = [message("a", 7), message("b", 8), message("c", 7)]
    assert failed(handle(messages, failing({}, launched), freely, Lines(), lambda: 60.0)) == []
    assert launched == [7, 8, 7]


@pytest.mark.parametrize(
    "error", [UnavailableError("EC2"), ConflictError("changed"), NoCapacityError("none"), KeyError("x")]
)
def test_one_that_fails_comes_again_and_keeps_no_other_back(error: Exception) -> None:
    launched: list[int] = []
    messages = [message("a", 7), message("b", 8), message("c", 7), message("d", 9)]
    assert failed(handle(messages, failing({7: error}, launched), freely, Lines(), lambda: 60.0)) == ["a", "c"]
    assert launched == [7, 8, 7, 9]


def test_only_defects_count_as_errors() -> None:
    lines = Lines()
    errors: dict[int, Exception] = {7: UnavailableError("EC2 CreateFleet: RequestLimitExceeded"), 8: KeyError("x")}
    handle([message("a", 7), message("b", 8)], failing(errors, []), freely, lines, lambda: 60.0)
    assert lines.said == [
        (
            "launch_postponed",
            {"message": "a", "receives": 1, "why": "UnavailableError: EC2 CreateFleet: RequestLimitExceeded"},
        ),
        ("launch_failed", {"message": "b", "why": "KeyError: 'x'"}),
    ]
    assert lines.counted == [("LaunchErrors", {})]


@pytest.mark.parametrize(
    ("receives", "wanted", "seconds"),
    [(1, 0.0, 5.0), (2, 0.0, 10.0), (3, 0.0, 20.0), (1, 60.0, 60.0), (1, 900.0, 120.0)],
)
def test_what_a_service_prevented_comes_again_soon_or_when_that_says(
    receives: int, wanted: float, seconds: float
) -> None:
    put_off: list[tuple[str, float]] = []
    error = UnavailableError("GitHub", retry_after=wanted)
    answer = handle(
        [message("a", 7, receives=receives)],
        failing({7: error}, []),
        lambda receipt, after: put_off.append((receipt, after)),
        Lines(),
        lambda: 60.0,
    )
    assert (failed(answer), put_off) == (["a"], [("receipt a", KILLED_SECONDS), ("receipt a", seconds)])


def test_the_message_of_a_function_that_is_killed_comes_again_when_its_lease_is_over() -> None:
    class KilledError(BaseException):
        """As the time-out, which no code sees."""

    def killed(job: int) -> None:
        raise KilledError

    put_off: list[float] = []
    with pytest.raises(KilledError):
        handle([message("a", 7)], killed, lambda _, after: put_off.append(after), Lines(), lambda: 60.0)
    assert len(put_off) == 1
    # The lease counts from the last write before the kill, which is seconds after the message's receive.
    assert LEASE + 5 < put_off[0] < LEASE + 60


def test_a_message_whose_time_cannot_be_moved_is_worked_at_all_the_same() -> None:
    def unserved(receipt: str, seconds: float) -> None:
        raise UnavailableError("SQS ChangeMessageVisibility: ThrottlingException")

    launched: list[int] = []
    assert failed(handle([message("a", 7)], failing({}, launched), unserved, Lines(), lambda: 60.0)) == []
    assert launched == [7]


def test_an_outage_leaves_no_dead_letters() -> None:
    """The ledger has the job, and the reconciler looks at it each minute."""
    lines = Lines()
    answer = handle(
        [message("a", 7, receives=4)], failing({7: UnavailableError("EC2")}, []), freely, lines, lambda: 60.0
    )
    assert failed(answer) == []
    assert [event for event, _ in lines.said] == ["launch_postponed"]


def test_a_message_that_cannot_be_put_off_comes_when_its_time_is_over() -> None:
    def unserved(receipt: str, seconds: float) -> None:
        raise UnavailableError("SQS ChangeMessageVisibility: ThrottlingException")

    answer = handle([message("a", 7)], failing({7: ConflictError("JOB#7")}, []), unserved, Lines(), lambda: 60.0)
    assert failed(answer) == ["a"]


def test_a_message_that_is_none_of_ours_goes_its_way_to_the_dead_letters() -> None:
    launched: list[int] = []
    answer = handle([message("a", 7, "{}"), message("b", 8)], failing({}, launched), freely, Lines(), lambda: 60.0)
    assert (failed(answer), launched) == (["a"], [8])


def test_no_launch_begins_that_could_not_end() -> None:
    launched: list[int] = []
    times = iter([60.0, RESERVE_SECONDS, RESERVE_SECONDS - 0.1, 1.0])
    messages = [message(name, job) for name, job in (("a", 7), ("b", 8), ("c", 9), ("d", 10))]
    assert failed(handle(messages, failing({}, launched), freely, Lines(), lambda: next(times))) == ["c", "d"]
    assert launched == [7, 8]
