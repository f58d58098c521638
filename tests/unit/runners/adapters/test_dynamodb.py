import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.ports import ConflictError, DuplicateDeliveryError, PoolFullError, UnavailableError
from pavedpath_runners.records import Breaker, Count, Cursor, Delivery, Job, JobState, Once, Put, Runner, RunnerState

from tests.unit.runners.ledger_model import Step, agree, steps

JOB = Job(7, "acme/orders", 1, ("linux",), "small", JobState.QUEUED, queued_at=10.0, changed_at=10.0)
MACHINE = Runner("dev-7-1", "small", RunnerState.INTENDED, changed_at=10.0, created_at=10.0, job=7)
NUMBERS = count()


def table(client: Any) -> str:
    """A new table, as the component makes it."""
    name = f"ledger-{next(NUMBERS)}"
    keys = {"pk": "S", "open": "S", "at": "N"}
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "open",
                "KeySchema": [
                    {"AttributeName": "open", "KeyType": "HASH"},
                    {"AttributeName": "at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return name


@pytest.fixture
def client(aws: Any) -> Any:
    return aws("dynamodb")


@pytest.fixture
def ledger(client: Any, clock: Any) -> TableLedger:
    return TableLedger(client, table(client), clock)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps())
def test_it_is_the_ledger_of_the_model(client: Any, clock: Any, taken: Sequence[Step]) -> None:
    agree(TableLedger(client, table(client), clock), taken)


def test_one_commit_is_all_or_nothing(ledger: TableLedger) -> None:
    ledger.commit(Put(JOB))
    with pytest.raises(ConflictError, match="JOB#7"):
        ledger.commit(Put(JOB), Put(MACHINE), Count("small", 1, 3))
    assert ledger.runner("dev-7-1") is None
    assert ledger.count("small").live == 0


def test_a_delivery_is_taken_once_whatever_else_is_in_the_commit(ledger: TableLedger) -> None:
    ledger.commit(Once(Delivery("guid", 10.0)), Put(JOB))
    with pytest.raises(DuplicateDeliveryError, match="guid"):
        ledger.commit(Once(Delivery("guid", 11.0)), Put(JOB), Count("small", 1, 0))


@pytest.mark.parametrize(
    ("live", "by", "maximum", "fits"),
    [(0, 1, 0, False), (2, 1, 3, True), (3, 1, 3, False), (2, 2, 3, False), (1, 2, 3, True)],
)
def test_a_pool_never_has_more_than_its_maximum(
    ledger: TableLedger, live: int, by: int, maximum: int, fits: bool
) -> None:
    for _ in range(live):
        ledger.commit(Count("small", 1, 3))
    if fits:
        ledger.commit(Count("small", by, maximum))
    else:
        with pytest.raises(PoolFullError, match="POOL#small"):
            ledger.commit(Count("small", by, maximum))
    assert ledger.count("small").live == live + by * fits


def test_an_open_record_is_in_the_index_and_an_ended_one_expires(client: Any, ledger: TableLedger, clock: Any) -> None:
    ledger.commit(Put(JOB), Put(MACHINE))
    assert [job.id for job in ledger.open_jobs()] == [7]
    assert [runner.name for runner in ledger.live_runners()] == ["dev-7-1"]
    job, machine = ledger.job(7), ledger.runner("dev-7-1")
    assert job
    assert machine
    ended = Put(replaced(job, state=JobState.COMPLETED)), Put(replaced(machine, state=RunnerState.GONE))
    ledger.commit(*ended)
    assert (ledger.open_jobs(), ledger.live_runners()) == ([], [])
    [items] = [client.scan(TableName=f"ledger-{next(NUMBERS) - 1}")["Items"]]
    assert {item["expires"]["N"] for item in items} == {str(int(clock.time + 30 * 86400))}


def replaced(record: Any, **changes: object) -> Any:
    import dataclasses

    return dataclasses.replace(record, **changes)


def test_a_spare_machine_is_listed_until_a_job_has_it(ledger: TableLedger) -> None:
    spare = replaced(MACHINE, job=None, state=RunnerState.REGISTERED)
    ledger.commit(Put(spare))
    assert [each.name for each in ledger.spare_runners()] == ["dev-7-1"]
    assert [each.name for each in ledger.live_runners()] == ["dev-7-1"]
    ledger.commit(Put(replaced(spare, job=8, version=1)))
    assert ledger.spare_runners() == []
    assert [each.job for each in ledger.live_runners()] == [8]


class Between(TableLedger):
    """A ledger whose record changes its place in the index between two reads of that."""

    def __init__(self, ledger: TableLedger, at: int, change: Put) -> None:
        self.__dict__.update(ledger.__dict__)
        self.reads, self.at, self.change = 0, at, change

    def _open(self, kind: str, page: int = 0) -> Iterator[Any]:
        if self.reads == self.at:
            self.commit(self.change)
        self.reads += 1
        return super()._open(kind, page)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(("before", "after"), [(None, 8), (8, None)], ids=["taken", "spared"])
def test_no_live_machine_is_missed_while_it_changes_hands(
    ledger: TableLedger, at: int, before: int | None, after: int | None
) -> None:
    ledger.commit(Put(replaced(MACHINE, job=before)))
    moving = Between(ledger, at, Put(replaced(MACHINE, job=after, version=1)))
    assert [each.name for each in moving.live_runners()] == ["dev-7-1"]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(("before", "after"), [("queued", "intended"), ("intended", "queued")])
def test_no_open_job_is_missed_while_it_gets_or_loses_a_machine(
    ledger: TableLedger, at: int, before: str, after: str
) -> None:
    ledger.commit(Put(replaced(JOB, state=JobState(before))))
    moving = Between(ledger, at, Put(replaced(JOB, state=JobState(after), version=1)))
    assert [each.id for each in moving.open_jobs()] == [JOB.id]


def test_queued_jobs_are_read_no_further_than_they_are_taken(ledger: TableLedger, client: Any) -> None:
    for at in range(130, 0, -1):
        ledger.commit(Put(replaced(JOB, id=at, queued_at=float(at), state=JobState.QUEUED)))
    ledger.commit(Put(replaced(JOB, id=500, queued_at=0.5, state=JobState.RUNNING)))
    pages: list[int] = []

    def answered(parsed: Mapping[str, Any], **_: object) -> None:
        pages.append(parsed["Count"])

    client.meta.events.register("after-call.dynamodb.Query", answered)
    assert [job.id for job, _ in zip(ledger.queued_jobs(), range(3), strict=False)] == [1, 2, 3]
    assert pages == [50]
    assert [job.id for job in ledger.queued_jobs()] == list(range(1, 131))


def test_deliveries_expire_after_their_days(client: Any, clock: Any) -> None:
    name = table(client)
    TableLedger(client, name, clock, delivery_days=2).commit(Once(Delivery("guid", 1000.0)))
    [item] = client.scan(TableName=name)["Items"]
    assert item["expires"]["N"] == str(1000 + 2 * 86400)


def test_many_open_jobs_are_read_in_pages_the_oldest_first(ledger: TableLedger) -> None:
    # A page of a query is 1 MB; a job with many labels makes it short.
    labels = tuple("x" * 100 + str(each) for each in range(200))
    for at in (3, 1, 2, *range(60, 4, -1)):
        ledger.commit(Put(replaced(JOB, id=at, queued_at=float(at), labels=labels)))
    assert [job.id for job in ledger.open_jobs()] == [1, 2, 3, *range(5, 61)]


def test_fields_of_a_later_version_are_left_alone(client: Any, clock: Any) -> None:
    name = table(client)
    body = json.dumps({"name": "deliveries", "at": 5.0, "invented": True})
    item = {"pk": {"S": "CURSOR#deliveries"}, "body": {"S": body}, "version": {"N": "4"}}
    client.put_item(TableName=name, Item=item)
    assert TableLedger(client, name, clock).cursor("deliveries") == Cursor("deliveries", 5.0, version=4)


class Failing:
    """A client whose every call fails, or passes with what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.tokens = error, list[str]()

    def transact_write_items(self, **arguments: Any) -> None:
        self.tokens.append(arguments["ClientRequestToken"])
        if self.error:
            raise self.error

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        if self.error:
            raise self.error
        return {}


def refused(code: str, *reasons: str, status: int = 400) -> ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": "no"},
        "CancellationReasons": [{"Code": each} for each in reasons],
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "TransactWriteItems")


CANCELED = "TransactionCanceledException"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused("ProvisionedThroughputExceededException"), UnavailableError),
        (refused("TransactionInProgressException"), UnavailableError),
        (refused("", status=503), UnavailableError),
        (ReadTimeoutError(endpoint_url="https://there"), UnavailableError),
        (refused(CANCELED, "None", "ThrottlingError"), UnavailableError),
        (refused(CANCELED, "TransactionConflict", "None"), ConflictError),
        (refused(CANCELED, "ThrottlingError", "ConditionalCheckFailed"), PoolFullError),
        (refused(CANCELED, "TransactionConflict", "ConditionalCheckFailed"), ConflictError),
        (refused(CANCELED, "ConditionalCheckFailed", "ConditionalCheckFailed"), ConflictError),
        (refused(CANCELED, "ValidationError", "None"), ClientError),
        (refused("AccessDeniedException"), ClientError),
    ],
    ids=lambda value: None if isinstance(value, Exception) else value.__name__,
)
def test_errors_are_told_as_the_ports_say(clock: Any, error: Exception, told: type[Exception]) -> None:
    client: Any = Failing(error)
    with pytest.raises(told) as caught:
        TableLedger(client, "ledger", clock).commit(Put(JOB), Count("small", 1, 3))
    assert caught.type is told


def test_reads_are_told_the_same(clock: Any) -> None:
    client: Any = Failing(refused("ThrottlingException"))
    with pytest.raises(UnavailableError, match="GetItem: ThrottlingException"):
        TableLedger(client, "ledger", clock).job(7)


def test_every_write_has_a_token_of_its_own(clock: Any) -> None:
    """Two executors that write the same in the same moment must not both be told that they have won."""
    client: Any = Failing()
    for _ in range(2):
        TableLedger(client, "ledger", clock).commit(Put(Breaker("small")))
    assert len(set(client.tokens)) == 2


def test_nothing_is_written_without_changes(clock: Any) -> None:
    client: Any = Failing()
    TableLedger(client, "ledger", clock).commit()
    assert client.tokens == []
