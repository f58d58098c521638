from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pavedpath_runners.functions.launch import RESERVE_SECONDS, handle
from pavedpath_runners.ports import ConflictError, NoCapacityError, UnavailableError

from tests.unit.runners.functions.lines import Lines


def message(identity: str, job: int, body: str | None = None) -> Mapping[str, Any]:
    held = body if body is not None else f'{{"job": {job}}}'
    return {"messageId": identity, "body": held, "attributes": {"MessageGroupId": str(job)}}


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
    assert failed(handle(messages, failing({}, launched), Lines(), lambda: 60.0)) == []
    assert launched == [7, 8, 7]


@pytest.mark.parametrize(
    "error", [UnavailableError("EC2"), ConflictError("changed"), NoCapacityError("none"), KeyError("x")]
)
def test_one_that_fails_comes_again_with_the_later_ones_of_its_job(error: Exception) -> None:
    launched: list[int] = []
    messages = [message("a", 7), message("b", 8), message("c", 7), message("d", 9)]
    assert failed(handle(messages, failing({7: error}, launched), Lines(), lambda: 60.0)) == ["a", "c"]
    assert launched == [7, 8, 9]


def test_only_defects_count_as_errors() -> None:
    lines = Lines()
    errors: dict[int, Exception] = {7: UnavailableError("EC2 CreateFleet: RequestLimitExceeded"), 8: KeyError("x")}
    handle([message("a", 7), message("b", 8)], failing(errors, []), lines, lambda: 60.0)
    assert lines.said == [
        ("launch_postponed", {"message": "a", "why": "UnavailableError: EC2 CreateFleet: RequestLimitExceeded"}),
        ("launch_failed", {"message": "b", "why": "KeyError: 'x'"}),
    ]
    assert lines.counted == [("LaunchErrors", {})]


def test_a_message_that_is_none_of_ours_goes_its_way_to_the_dead_letters() -> None:
    launched: list[int] = []
    answer = handle([message("a", 7, "{}"), message("b", 8)], failing({}, launched), Lines(), lambda: 60.0)
    assert (failed(answer), launched) == (["a"], [8])


def test_no_launch_begins_that_could_not_end() -> None:
    launched: list[int] = []
    times = iter([60.0, RESERVE_SECONDS, RESERVE_SECONDS - 0.1, 1.0])
    messages = [message(name, job) for name, job in (("a", 7), ("b", 8), ("c", 9), ("d", 10))]
    assert failed(handle(messages, failing({}, launched), Lines(), lambda: next(times))) == ["c", "d"]
    assert launched == [7, 8]
