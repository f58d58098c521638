import logging
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from pavedpath_sandbox.aws.attempts import Answers, Attempt, attempt_of
from pavedpath_sandbox.aws.control import Answer
from pavedpath_sandbox.aws.journal import parse

Start = Callable[..., AbstractContextManager[Any]]
DONE: Answer = ("200 OK", [("Content-Type", "text/xml")], b"<done/>")


def attempt(number: int, invocation: str = "a", account: str = "111111111111") -> Attempt:
    return Attempt(account, invocation, number)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"HTTP_AMZ_SDK_REQUEST": "attempt=2; max=25"}, None, id="no-invocation"),
        pytest.param({"HTTP_AMZ_SDK_INVOCATION_ID": "a"}, None, id="no-number"),
        pytest.param({"HTTP_AMZ_SDK_INVOCATION_ID": "a", "HTTP_AMZ_SDK_REQUEST": "attempt=x"}, None, id="no-decimal"),
        pytest.param(
            {"HTTP_AMZ_SDK_INVOCATION_ID": "a", "HTTP_AMZ_SDK_REQUEST": "attempt=2; max=25"},
            attempt(2, account=""),
            id="go",
        ),
        pytest.param(
            {
                "HTTP_AMZ_SDK_INVOCATION_ID": "a",
                "HTTP_AMZ_SDK_REQUEST": "ttl=20261121T230000Z; attempt=3; max=3",
                "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=111111111111/20261121/us-east-1/iam/aws4_request",
            },
            attempt(3),
            id="boto-of-an-account",
        ),
    ],
)
def test_what_sdks_say_of_an_attempt(headers: Mapping[str, object], expected: Attempt | None) -> None:
    assert attempt_of(headers) == expected


def test_a_later_attempt_of_the_same_call_in_the_same_account_is_given_the_answer() -> None:
    answers = Answers()
    answers.keep(attempt(1), "iam CreateRole", DONE, 100.0)
    assert answers.given(attempt(2), "iam CreateRole", 101.0) == DONE
    assert answers.given(attempt(3), "iam CreateRole", 699.0) == DONE
    assert answers.given(attempt(1), "iam CreateRole", 101.0) is None
    assert answers.given(attempt(2, "b"), "iam CreateRole", 101.0) is None
    assert answers.given(attempt(2, account="222222222222"), "iam CreateRole", 101.0) is None
    assert answers.given(attempt(2), "iam DeleteRole", 101.0) is None
    assert answers.given(attempt(2), "iam CreateRole", 700.0) is None


def test_no_more_than_a_thousand_answers_and_none_that_is_old_or_long_is_kept() -> None:
    answers = Answers()
    for number in range(1001):
        answers.keep(attempt(1, str(number)), "x", DONE, 100.0)
    assert answers.given(attempt(2, "0"), "x", 100.0) is None
    assert answers.given(attempt(2, "1"), "x", 100.0) == DONE
    answers.keep(attempt(1, "new"), "x", DONE, 700.0)
    assert len(answers._kept) == 1  # pyright: ignore[reportPrivateUsage]  # that memory is given free shows nowhere else
    answers.keep(attempt(1, "long"), "x", (*DONE[:2], b"x" * 100_000), 700.0)
    assert answers.given(attempt(2, "long"), "x", 700.0) is None


def sent_as(client: Any, number: int, invocation: str = "1b671a64-40d5-491e-99b0-da01ff1f3341") -> Any:
    """Make a client's requests attempts of one call."""

    def say(request: Any, **_: object) -> None:
        request.headers["amz-sdk-invocation-id"] = invocation
        request.headers["amz-sdk-request"] = f"attempt={number}; max=25"

    client.meta.events.register("before-send.*.*", say)
    return client


def create(client: Any) -> Any:
    return client.create_instance_profile(InstanceProfileName="machine")["InstanceProfile"]["InstanceProfileId"]


def test_a_call_whose_answer_was_lost_is_not_carried_out_twice(
    start_aws: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with start_aws(tmp_path / "j") as aws:
        made = create(sent_as(aws.client("iam"), 1))
        with caplog.at_level(logging.WARNING):
            assert create(sent_as(aws.client("iam"), 2)) == made
        assert "iam CreateInstanceProfile: attempt 2" in caplog.text
        with pytest.raises(ClientError, match="already exists"):
            create(sent_as(aws.client("iam"), 1, "another-call"))
        with pytest.raises(ClientError, match="already exists"):
            create(sent_as(aws.client("iam"), 2, "a-first-attempt-that-never-came"))
    assert [entry.status for entry in parse((tmp_path / "j").read_bytes()).entries] == [200, 409, 409]


def test_an_attempt_waits_for_the_one_before(aws: Any) -> None:
    from moto.iam.models import IAMBackend

    original, entered, found = IAMBackend.create_instance_profile, threading.Event(), list[str]()

    def slow(*args: Any, **named: Any) -> Any:
        entered.set()
        time.sleep(0.3)
        return original(*args, **named)

    with mock.patch.object(IAMBackend, "create_instance_profile", slow):
        first = threading.Thread(target=lambda: found.append(create(sent_as(aws.client("iam"), 1))))
        first.start()
        assert entered.wait(120)
        found.append(create(sent_as(aws.client("iam"), 2)))
        first.join()
    assert found[0] == found[1]


def test_what_failed_is_tried_again(aws: Any, caplog: pytest.LogCaptureFixture) -> None:
    with (
        mock.patch("moto.iam.models.IAMBackend.create_instance_profile", side_effect=KeyError("inside")),
        pytest.raises(ClientError, match="moto failed with KeyError"),
        caplog.at_level(logging.WARNING),
    ):
        create(sent_as(aws.client("iam"), 1))
    assert "iam CreateInstanceProfile failed" in caplog.text
    assert create(sent_as(aws.client("iam"), 2))


def test_a_read_is_done_again(aws: Any) -> None:
    client = aws.client("iam")
    client.create_user(UserName="a")
    sent_as(client, 2)
    assert len(client.list_users()["Users"]) == 1
    client = sent_as(aws.client("iam"), 1, "other")
    client.create_user(UserName="b")
    assert len(sent_as(client, 2).list_users()["Users"]) == 2


def test_a_change_whose_client_is_gone_is_named(aws: Any, caplog: pytest.LogCaptureFixture) -> None:
    from moto.iam.models import IAMBackend

    original, entered, hung_up = IAMBackend.create_user, threading.Event(), threading.Event()

    def slow(*args: Any, **named: Any) -> Any:
        entered.set()
        assert hung_up.wait(120)
        return original(*args, **named)

    body = b"Action=CreateUser&Version=2010-05-08&UserName=a"
    scope = "Authorization: AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/iam/aws4_request"
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n{scope}\r\n"
    with caplog.at_level(logging.WARNING), mock.patch.object(IAMBackend, "create_user", slow):
        with socket.create_connection(("127.0.0.1", aws.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert entered.wait(120)
        hung_up.set()
        deadline = time.monotonic() + 120
        while "its client may have no answer" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "iam CreateUser: its client may have no answer" in caplog.text
    assert urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/_sandbox/health", timeout=120).status == 200
