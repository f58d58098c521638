"""DynamoDB's answers, which leave moto's serializer aside, are what it would have written."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pavedpath_sandbox.aws.transactions import plain


def handler(action: str) -> Any:
    return SimpleNamespace(_get_action=lambda: action, response_headers={"x-kept": "1"})


def never(*_: object) -> None:
    pytest.fail("moto's serializer was asked")


@pytest.mark.parametrize("action", ["GetItem", "Query"])
def test_json_is_written_as_it_is_without_what_is_not_there(action: str) -> None:
    result = {"Items": [{"pk": {"S": "a"}, "at": {"N": "1.5"}}], "LastEvaluatedKey": None}
    status, headers, body = plain(handler(action), never, SimpleNamespace(result=result))
    assert (status, headers["x-kept"]) == (200, "1")
    assert json.loads(body) == {"Items": [{"pk": {"S": "a"}, "at": {"N": "1.5"}}]}


@pytest.mark.parametrize(
    ("action", "result"),
    [("Scan", {"Items": []}), ("Query", {"Item": {"b": {"B": b"x"}}}), ("GetItem", ValueError("none"))],
    ids=["another action", "bytes", "an error"],
)
def test_everything_else_is_motos(action: str, result: object) -> None:
    answer = SimpleNamespace(result=result)
    assert plain(handler(action), lambda *given: given[1] is answer and "moto's", answer) == "moto's"
