import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from pavedpath_sandbox.functions import events
from pavedpath_sandbox.functions.model import EventSource, Outcome, Schedule

from tests.unit.sandbox.functions.deployed import ARN, FUNCTION

SOURCE = EventSource("1", "123456789012", "us-east-1", ARN, "arn:aws:sqs:us-east-1:1:q.fifo", True, 10, 0, None, True)
MESSAGES = [
    {"MessageId": name, "ReceiptHandle": f"r-{name}", "Body": name, "MD5OfBody": "x", "Attributes": {"A": "1"}}
    for name in ("a", "b")
]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("rate(1 minute)", 1),
        ("rate(5 minutes)", 5),
        ("rate(2 hours)", 120),
        ("rate(1 day)", 1440),
        ("rate(0 minutes)", None),
        ("rate(1 week)", None),
        ("cron(0 * * * ? *)", None),
    ],
)
def test_the_period_of_a_rate(expression: str, wanted: int | None) -> None:
    assert events.minutes(expression) == wanted


def asked(body: bytes, kind: str, target: str = "/x", *more: tuple[str, str]) -> dict[str, Any]:
    headers = [("Content-Type", kind), ("Host", "h"), ("User-Agent", "u"), *more]
    return events.url_event(FUNCTION, "POST", target, headers, body, "request", 1_790_000_000.0)


def test_a_url_event() -> None:
    event = asked(
        b'{"a": 1}',
        "application/json; charset=utf-8",
        "/p%20q?b=1&b=2&c=",
        ("Cookie", "k=v; l=w"),
        ("X", "1"),
        ("x", "2"),
    )
    assert (event["rawPath"], event["rawQueryString"]) == ("/p%20q", "b=1&b=2&c=")
    assert event["queryStringParameters"] == {"b": "1,2", "c": ""}
    assert (event["cookies"], event["headers"]["x"]) == (["k=v", "l=w"], "1,2")
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"a": 1}', False)
    assert event["requestContext"]["http"] == {
        "method": "POST",
        "path": "/p%20q",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "u",
    }
    assert "body" not in asked(b"", "application/json", "")


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"a=b", "application/x-www-form-urlencoded"), (b"\xff", "application/json"), (b"x", ""), (b"x", "image/png")],
)
def test_what_is_no_text_is_in_base64(body: bytes, kind: str) -> None:
    event = asked(body, kind)
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == body


def test_what_a_function_answers_at_its_url() -> None:
    def answer(value: object, **more: Any) -> Any:
        return events.url_answer(Outcome(json.dumps(value), **more))

    status, headers, body = answer(
        {"statusCode": 202, "headers": {"X-A": 1, "Content-Length": "9"}, "cookies": ["a=b"]}
    )
    assert (status, body) == (202, b"")
    assert headers == [("X-A", "1"), ("Set-Cookie", "a=b"), ("Content-Type", "application/json")]
    assert answer({"statusCode": "200", "body": "/w==", "isBase64Encoded": True})[2] == b"\xff"
    assert answer({"a": 1}) == (200, [("Content-Type", "application/json")], b'{"a": 1}')
    assert answer("text")[2] == b'"text"'
    for wrong in ({"statusCode": "x"}, {"statusCode": 99}, {"statusCode": 200, "headers": [1]}):
        assert answer(wrong)[0] == 502
    assert answer({}, error="Unhandled")[0] == 502
    assert answer({}, throttled=True)[0] == 429


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("null", ["a", "b"]),
        ("{}", ["a", "b"]),
        ('{"batchItemFailures": []}', ["a", "b"]),
        ('{"batchItemFailures": null}', ["a", "b"]),
        ('{"batchItemFailures": [{"itemIdentifier": "a"}]}', ["b"]),
        ('{"batchItemFailures": [{"itemIdentifier": "other"}]}', []),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', []),
        ('{"batchItemFailures": [{}]}', []),
        ('{"batchItemFailures": {}}', ["a", "b"]),
        ('{"batchItemFailures": "a"}', []),
        ('"text"', []),
        ("", []),
    ],
)
def test_what_of_a_batch_is_done(content: str, wanted: list[str]) -> None:
    assert [each["MessageId"] for each in events.handled(SOURCE, MESSAGES, Outcome(content))] == wanted


def test_a_batch_is_done_or_not_where_items_are_not_reported() -> None:
    whole = replace(SOURCE, item_failures=False)
    assert events.handled(whole, MESSAGES, Outcome('{"batchItemFailures": [{"itemIdentifier": "a"}]}')) == MESSAGES
    for failed in (Outcome("{}", error="Unhandled"), Outcome("{}", throttled=True)):
        assert events.handled(whole, MESSAGES, failed) == []
        assert events.handled(SOURCE, MESSAGES, failed) == []


def test_a_batch_of_messages() -> None:
    first, _ = events.queue_event(SOURCE, MESSAGES)["Records"]
    assert first == {
        "messageId": "a",
        "receiptHandle": "r-a",
        "body": "a",
        "attributes": {"A": "1"},
        "messageAttributes": {},
        "md5OfBody": "x",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:1:q.fifo",
        "awsRegion": "us-east-1",
    }


def test_what_a_schedule_sends() -> None:
    arn = "arn:aws:scheduler:us-east-1:123456789012:schedule/default/each"
    schedule = Schedule(arn, "aws.scheduler", "rate(1 minute)", True, ARN, "")
    event = json.loads(events.schedule_event(schedule, "id", 1_790_000_000.0))
    assert (event["resources"], event["account"], event["region"]) == ([arn], "123456789012", "us-east-1")
    assert events.schedule_event(replace(schedule, input='{"a": 1}'), "id", 0) == '{"a": 1}'
