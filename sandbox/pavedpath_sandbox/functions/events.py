"""The events that Lambda's sources make, and what becomes of the answers. Pure functions of plain data."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl

from .model import EventSource, Function, Json, Outcome, Schedule

LARGEST_REQUEST = 6 * 1024 * 1024
_RATE = re.compile(r"rate\((?P<count>[1-9]\d*) (?P<unit>minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
_TEXT = re.compile(r"text/.*|application/(?:json|javascript|xml|.*\+(?:json|xml))")
# Connection's own headers; what a function says of them is not passed on.
_HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"})

Answer = tuple[int, list[tuple[str, str]], bytes]


def minutes(expression: str) -> int | None:
    """The period of `rate(N minutes)`, `hours` or `days`, in minutes; None for any other expression."""
    found = _RATE.fullmatch(expression)
    return int(found["count"]) * _MINUTES[found["unit"]] if found else None


def url_event(
    function: Function,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    request: str,
    now: float,
) -> Json:
    """The event of a function URL, payload format 2.0.

    `target` is path and query below the URL. Names of headers come in lower case, several of one name joined by
    commas; a body that is not text is in base64.
    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
    """
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    cookies = [each.strip() for each in joined.pop("cookie", "").split(";") if each.strip()]
    path, _, query = target.partition("?")
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    text = _text(joined.get("content-type", ""), body)
    event: Json = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path or "/",
        "rawQueryString": query,
        "headers": joined,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": function.url,
            "domainName": joined.get("host", ""),
            "domainPrefix": function.url,
            "http": {
                "method": method,
                "path": path or "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": joined.get("user-agent", ""),
            },
            "requestId": request,
            "routeKey": "$default",
            "stage": "$default",
            "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": text is None,
    }
    event |= {"cookies": cookies} if cookies else {}
    event |= {"queryStringParameters": parameters} if parameters else {}
    return event | ({"body": base64.b64encode(body).decode() if text is None else text} if body else {})


def _text(kind: str, body: bytes) -> str | None:
    if not body:
        return ""
    if not _TEXT.fullmatch(kind.partition(";")[0].strip().lower()):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def url_answer(outcome: Outcome) -> Answer:
    """What a function URL answers: status, headers, body."""
    if outcome.throttled:
        return _plain(429, {"Message": "Rate Exceeded."})
    if outcome.error:
        return _plain(502, {"message": "Internal Server Error"})
    value: object = json.loads(outcome.content)
    if not isinstance(value, dict) or "statusCode" not in value:
        return 200, [("Content-Type", "application/json")], outcome.content.encode()
    given = cast(Json, value)
    try:
        status, body = int(given["statusCode"]), given.get("body") or ""
        text = body if isinstance(body, str) else json.dumps(body)
        content = base64.b64decode(text) if given.get("isBase64Encoded") else text.encode()
        headers = [(str(name), str(each)) for name, each in cast(Json, given.get("headers") or {}).items()]
        headers += [("Set-Cookie", str(each)) for each in given.get("cookies") or ()]
    except (TypeError, ValueError, AttributeError):
        return _plain(502, {"message": "Internal Server Error"})
    if not 100 <= status < 600:
        return _plain(502, {"message": "Internal Server Error"})
    headers = [(name, each) for name, each in headers if name.lower() not in _HOP]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return status, headers, content


def _plain(status: int, body: Mapping[str, str]) -> Answer:
    return status, [("Content-Type", "application/json")], json.dumps(body).encode()


def queue_event(source: EventSource, messages: Sequence[Json]) -> Json:
    """The event of a batch of a queue's messages, as ReceiveMessage gave them."""
    return {
        "Records": [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each.get("Attributes") or {},
                "messageAttributes": _attributes(each.get("MessageAttributes") or {}),
                "md5OfBody": each["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": source.source,
                "awsRegion": source.region,
            }
            for each in messages
        ]
    }


def _attributes(given: Mapping[str, Any]) -> Json:
    fields = {"StringValue": "stringValue", "BinaryValue": "binaryValue", "DataType": "dataType"}
    return {name: {to: value[field] for field, to in fields.items() if field in value} for name, value in given.items()}


def handled(source: EventSource, messages: Sequence[Json], outcome: Outcome) -> list[Json]:
    """The messages of a batch that are done and are to be deleted; the others come back by their visibility.

    A report of failed items that names none of the batch, or nothing, fails all of it.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    if outcome.error or outcome.throttled:
        return []
    if not source.item_failures:
        return list(messages)
    failed = _failed(outcome.content)
    if failed is None or not failed <= {each["MessageId"] for each in messages}:
        return []
    return [each for each in messages if each["MessageId"] not in failed]


def _failed(content: str) -> set[object] | None:
    """The items that a report names; None if it is no report."""
    try:
        report: object = json.loads(content)
    except ValueError:
        return None
    if report is None:
        return set()
    found: object = (cast(Json, report).get("batchItemFailures") or []) if isinstance(report, dict) else None
    if not isinstance(found, list):
        return None
    items = cast(list[object], found)
    return {cast(Json, each).get("itemIdentifier") if isinstance(each, dict) else None for each in items}


def schedule_event(schedule: Schedule, identity: str, now: float) -> str:
    """What a schedule sends, as JSON: its input, or an event that names it."""
    if schedule.input:
        return schedule.input
    _, _, _, region, account, *_ = schedule.arn.split(":")
    return json.dumps(
        {
            "version": "0",
            "id": identity,
            "detail-type": "Scheduled Event",
            "source": schedule.source,
            "account": account,
            "time": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": region,
            "resources": [schedule.arn],
            "detail": "{}" if schedule.source == "aws.scheduler" else {},
        }
    )
