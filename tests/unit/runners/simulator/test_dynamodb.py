"""The model of DynamoDB against moto and against the ledger's model, by the ledger's own requests."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.simulator.dynamodb import DynamoDB
from pavedpath_runners.simulator.engine import Engine
from pavedpath_runners.simulator.expressions import ExpressionError, Scope, condition, update

from tests.unit.runners.adapters.test_dynamodb import table
from tests.unit.runners.ledger_model import Step, agree, steps

OPEN_JOBS: Mapping[str, Any] = {
    "IndexName": "open",
    "KeyConditionExpression": "#o = :k",
    "ExpressionAttributeNames": {"#o": "open"},
    "ExpressionAttributeValues": {":k": {"S": "JOB"}},
}


class Twins:
    """Sends every request to both, and holds their answers against each other."""

    def __init__(self, real: Any, model: DynamoDB) -> None:
        self._real = real
        self._model = model
        self.compared = 0

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        def call(**request: Any) -> dict[str, Any]:
            real, model = (
                _outcome(getattr(self._real, operation), request),
                _outcome(getattr(self._model, operation), request),
            )
            self.compared += 1
            assert _shape(model) == _shape(real), f"{operation} {request}"
            if isinstance(model, ClientError):
                raise model
            return model

        return call


def _outcome(call: Callable[..., dict[str, Any]], request: Mapping[str, Any]) -> dict[str, Any] | ClientError:
    try:
        return call(**request)
    except ClientError as error:
        return error


def _shape(outcome: dict[str, Any] | ClientError) -> object:
    if isinstance(outcome, ClientError):
        response = cast(Mapping[str, Any], outcome.response)
        reasons = [each.get("Code") for each in response.get("CancellationReasons", [])]
        return response["Error"]["Code"], reasons
    items = sorted(outcome.get("Items", []), key=lambda each: each["pk"]["S"])
    return outcome.get("Item"), items


def model(**more: Any) -> DynamoDB:
    return DynamoDB(Engine(1, 1_790_000_000.0), lag=0.0, **more)


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield cast(Any, boto3).client("dynamodb", region_name="eu-west-1")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps())
def test_it_answers_as_moto_does(moto: Any, taken: Sequence[Step]) -> None:
    engine = Engine(1, 1_790_000_000.0)
    twins: Any = Twins(moto, DynamoDB(engine, lag=0.0))
    agree(TableLedger(twins, table(moto), engine), taken)
    assert twins.compared or not taken


@settings(max_examples=60, deadline=None)
@given(taken=steps(), page=st.integers(1, 3))
def test_it_is_the_ledger_of_the_model_in_pages_of_any_size(taken: Sequence[Step], page: int) -> None:
    engine = Engine(1, 1_790_000_000.0)
    client: Any = DynamoDB(engine, lag=0.0, page=page)
    agree(TableLedger(client, "ledger", engine), taken)


@settings(max_examples=40, deadline=None)
@given(taken=steps(), lag=st.floats(0.1, 50))
def test_the_index_has_caught_up_when_its_lag_is_over(taken: Sequence[Step], lag: float) -> None:
    engine = Engine(1, 1_790_000_000.0)
    client: Any = DynamoDB(engine, lag=lag)

    def wait() -> None:
        engine.time += 2 * lag

    agree(TableLedger(client, "ledger", engine), taken, wait)


def test_the_index_lags() -> None:
    engine = Engine(1, 1_790_000_000.0)
    client = DynamoDB(engine, lag=10.0)
    item = {"pk": {"S": "JOB#1"}, "open": {"S": "JOB"}, "at": {"N": "1"}}
    client.transact_write_items(TransactItems=[{"Put": {"Item": item}}])
    assert client.query(**OPEN_JOBS)["Items"] == []
    engine.time += 20
    assert client.query(**OPEN_JOBS)["Items"] == [item]


def test_what_has_expired_is_deleted_and_the_index_with_it() -> None:
    engine = Engine(1, 1_790_000_000.0)
    client = DynamoDB(engine, lag=10.0)
    expired: list[str] = []
    client.on_expiry = expired.append

    def put(key: str, expires: float, **more: Any) -> None:
        item = {"pk": {"S": key}, "expires": {"N": str(int(expires))}, **more}
        client.transact_write_items(TransactItems=[{"Put": {"Item": item}}])

    put("JOB#1", engine.time + 60, open={"S": "JOB"}, at={"N": "1"})
    put("JOB#2", engine.time + 60)
    put("JOB#2", engine.time + 600)
    put("DELIVERY#mistaken", 1.0)
    engine.time += 61
    put("JOB#3", engine.time + 60)
    assert expired == ["JOB#1"]
    assert client.item("JOB#1") is None
    assert client.item("JOB#2")
    assert client.item("DELIVERY#mistaken"), "it would be older than five years"
    assert client.query(**OPEN_JOBS)["Items"] == []
    assert not client.open


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_the_index_is_in_order_however_it_came_about(page: int) -> None:
    client = model(page=page)
    for number in (5, 3, 4, 1, 2, 6):
        item = {"pk": {"S": f"JOB#{number}"}, "open": {"S": "JOB"}, "at": {"N": str(number // 2)}}
        client.transact_write_items(TransactItems=[{"Put": {"Item": item}}])
    for number, place in ((1, "JOB"), (4, "RUNNER"), (6, "")):
        item = {"pk": {"S": f"JOB#{number}"}, "at": {"N": "9"}, **({"open": {"S": place}} if place else {})}
        client.transact_write_items(TransactItems=[{"Put": {"Item": item}}])
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        answer = client.query(
            IndexName="open",
            KeyConditionExpression="open = :k",
            ExpressionAttributeValues={":k": {"S": "JOB"}},
            **more,
        )
        found += [each["pk"]["S"] for each in answer["Items"]]
        if "LastEvaluatedKey" not in answer:
            break
        more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
    assert found == ["JOB#2", "JOB#3", "JOB#5", "JOB#1"]


def test_the_same_token_writes_once() -> None:
    client = model()
    add = {
        "Update": {
            "Key": {"pk": {"S": "POOL#a"}},
            "UpdateExpression": "ADD live :by",
            "ExpressionAttributeValues": {":by": {"N": "1"}},
        }
    }
    for _ in range(2):
        client.transact_write_items(TransactItems=[add], ClientRequestToken="one")
    assert client.item("POOL#a") == {"pk": {"S": "POOL#a"}, "live": {"N": "1"}}
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        client.transact_write_items(TransactItems=[add, add], ClientRequestToken="one")


def test_contention_refuses_all_of_a_transaction() -> None:
    client = model(contention=1.0)
    with pytest.raises(ClientError) as caught:
        client.transact_write_items(TransactItems=[{"Put": {"Item": {"pk": {"S": "JOB#1"}}}}])
    response = cast(Mapping[str, Any], caught.value.response)
    assert [each["Code"] for each in response["CancellationReasons"]] == ["TransactionConflict"]
    assert client.item("JOB#1") is None


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("attribute_not_exists(a)", False),
        ("attribute_exists(a) AND NOT attribute_exists(b)", True),
        ("b = :one OR a >= :one", True),
        ("(a < :one OR a > :two) AND a = a", False),
        ("#n <> :two", True),
        ("b <> :two", True),
        ("b < :two", False),
        ("a = :text", False),
    ],
)
def test_conditions(expression: str, holds: bool) -> None:
    values = {":one": {"N": "1"}, ":two": {"N": "2"}, ":text": {"S": "1"}}
    assert condition(expression)(Scope({"a": {"N": "1.0"}}, {"#n": "a"}, values)) is holds


@pytest.mark.parametrize("expression", ["a", "a = ", "a ~ :b", "(a = :b", "attribute_exists a", "a = :b c"])
def test_what_is_no_condition_is_an_error(expression: str) -> None:
    with pytest.raises(ExpressionError):
        condition(expression)


def test_updates() -> None:
    scope = Scope({"a": {"N": "1"}, "b": {"S": "x"}}, {"#b": "b"}, {":n": {"N": "-2"}, ":s": {"S": "y"}})
    assert update("ADD a :n, c :n SET #b = :s")(scope) == {"a": {"N": "-1"}, "b": {"S": "y"}, "c": {"N": "-2"}}
    with pytest.raises(ExpressionError, match="ADD and SET"):
        update("REMOVE a")
