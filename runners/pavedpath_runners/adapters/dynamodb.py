"""The ledger as one DynamoDB table.

| item | key `pk` | attributes |
|---|---|---|
| job, runner, breaker, bucket, cursor | `JOB#<id>`, `RUNNER#<name>`, … | `body` (the record as JSON), `version` |
| an open job | | also the index's keys `open` (`QUEUED`: it has no machine; `JOB`) and `at` |
| a live runner | | also the index's keys `open` (`SPARE`: no job has it; `RUNNER`) and `at` |
| a job that has ended, a runner that is gone | | also `expires`, the time after which DynamoDB deletes it |
| pool | `POOL#<name>` | `live` |
| delivery | `DELIVERY#<guid>` | `at`, `expires` |

The index `open` projects all attributes and lags, as every global index does; a record that was read from it and has
changed since loses its commit.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import ClientError

from pavedpath_runners.configuration import Market
from pavedpath_runners.ports import Clock, ConflictError, DuplicateDeliveryError, PoolFullError, UnavailableError
from pavedpath_runners.records import (
    Breaker,
    Bucket,
    Change,
    Count,
    Cursor,
    Delivery,
    Job,
    JobState,
    Once,
    PoolCount,
    Put,
    Record,
    Runner,
    RunnerState,
)

from .aws import calling, code_of

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_DAY = 86400.0
_UNWELL = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded"})
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_Item = dict[str, Any]
_R = TypeVar("_R", Job, Runner, Breaker, Bucket, Cursor)
_L = TypeVar("_L", Job, Runner)
_PAGE = 50
"""Items that a lazy list reads at a time."""


class TableLedger:
    """`ports.Ledger` on a DynamoDB table.

    Args:
        client: boto3's DynamoDB client. Its own retries repeat a write under the same token, so that a write whose
            answer was lost is not taken for a conflict with itself.
        table: the table's name.
        clock: tells when ended records expire.
        record_days: days that they are kept.
        delivery_days: days that deliveries are remembered.
        token: makes the token of one write. It must never come twice: DynamoDB answers a second write of the same
            token and content with success, and two executors would both believe that they had won.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        clock: Clock,
        record_days: int = 30,
        delivery_days: int = 7,
        token: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._client, self._table, self._clock, self._token = client, table, clock, token
        self._record_days, self._delivery_days = record_days, delivery_days

    def job(self, identity: int) -> Job | None:
        """The record of a job, or None."""
        item = self._get(f"JOB#{identity}")
        return _read(Job, item) if item else None

    def runner(self, name: str) -> Runner | None:
        """The record of a machine, or None."""
        item = self._get(f"RUNNER#{name}")
        return _read(Runner, item) if item else None

    def count(self, pool: str) -> PoolCount:
        """How many machines of a pool live."""
        item = self._get(f"POOL#{pool}")
        return PoolCount(pool, int(item["live"]["N"]) if item else 0)

    def breaker(self, pool: str) -> Breaker:
        """A pool's interruptions."""
        item = self._get(f"BREAKER#{pool}")
        return _read(Breaker, item) if item else Breaker(pool)

    def bucket(self, api: str) -> Bucket | None:
        """A budget's tokens, or None."""
        item = self._get(f"BUCKET#{api}")
        return _read(Bucket, item) if item else None

    def cursor(self, name: str) -> Cursor:
        """How far a sweep has come."""
        item = self._get(f"CURSOR#{name}")
        return _read(Cursor, item) if item else Cursor(name)

    def open_jobs(self) -> Sequence[Job]:
        """All jobs that have not ended, the oldest first."""
        return sorted(self._either(Job, "QUEUED", "JOB"), key=lambda each: (each.queued_at, each.id))

    def queued_jobs(self) -> Iterator[Job]:
        """Those that have no machine, the oldest first, in pages."""
        return (_read(Job, item) for item in self._open("QUEUED", _PAGE))

    def live_runners(self) -> Sequence[Runner]:
        """All machines that are not gone, the oldest first."""
        return sorted(self._either(Runner, "SPARE", "RUNNER"), key=lambda each: each.created_at)

    def spare_runners(self) -> Sequence[Runner]:
        """Those that no job has, the oldest first."""
        return [_read(Runner, item) for item in self._open("SPARE")]

    def commit(self, *changes: Change) -> None:
        """Write all or nothing; see `ports.Ledger.commit`. At most 100 changes, DynamoDB's limit.

        A delivery that was taken before is told before any other conflict, and a full pool after all others: that
        one holds for whoever has read anew, too.
        """
        if not changes:
            return
        items = [self._written(change) for change in changes]
        try:
            with calling("DynamoDB TransactWriteItems"):
                self._client.transact_write_items(TransactItems=cast(Any, items), ClientRequestToken=self._token())
        except ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            raise _refusal(changes, error) from error

    def _get(self, key: str) -> _Item | None:
        with calling("DynamoDB GetItem"):
            answer = self._client.get_item(TableName=self._table, Key={"pk": {"S": key}}, ConsistentRead=True)
        return cast("_Item | None", answer.get("Item"))

    def _either(self, kind: type[_L], one: str, other: str) -> Sequence[_L]:
        # What changes its place in the index meanwhile, in either direction, is seen in one of the three.
        newest: dict[str, _L] = {}
        for each in (_read(kind, item) for place in (one, other, one) for item in self._open(place)):
            key = _key(each)
            if key not in newest or each.version > newest[key].version:
                newest[key] = each
        return list(newest.values())

    def _open(self, kind: str, page: int = 0) -> Iterator[_Item]:
        more: dict[str, Any] = {"Limit": page} if page else {}
        while True:
            with calling("DynamoDB Query"):
                answer = self._client.query(
                    TableName=self._table,
                    IndexName="open",
                    KeyConditionExpression="#open = :kind",
                    ExpressionAttributeNames={"#open": "open"},  # a reserved word of DynamoDB's
                    ExpressionAttributeValues={":kind": {"S": kind}},
                    **more,
                )
            yield from cast("list[_Item]", answer["Items"])
            last = answer.get("LastEvaluatedKey")
            if not last:
                return
            more["ExclusiveStartKey"] = last

    def _written(self, change: Change) -> _Item:
        match change:
            case Put(record):
                return {"Put": self._put(record)}
            case Once(delivery):
                return {"Put": self._once(delivery)}
            case Count():
                return {"Update": self._count(change)}

    def _put(self, record: Record) -> _Item:
        item: _Item = {
            "pk": {"S": _key(record)},
            "body": {"S": _body(record)},
            "version": {"N": str(record.version + 1)},
        }
        match record:
            case Job() if record.open:
                kind = "QUEUED" if record.queues else "JOB"
                item |= {"open": {"S": kind}, "at": {"N": repr(float(record.queued_at))}}
            case Runner() if record.live:
                kind = "SPARE" if record.spare else "RUNNER"
                item |= {"open": {"S": kind}, "at": {"N": repr(float(record.created_at))}}
            case Job() | Runner():
                item["expires"] = self._expiry(self._clock.now(), self._record_days)
            case _:
                pass
        written: _Item = {"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        if record.version:
            written["ConditionExpression"] = "version = :version"
            written["ExpressionAttributeValues"] = {":version": {"N": str(record.version)}}
        return written

    def _once(self, delivery: Delivery) -> _Item:
        item = {
            "pk": {"S": f"DELIVERY#{delivery.guid}"},
            "at": {"N": repr(float(delivery.at))},
            "expires": self._expiry(delivery.at, self._delivery_days),
        }
        return {"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}

    def _count(self, change: Count) -> _Item:
        values = {":by": {"N": str(change.by)}}
        if change.by > 0:
            # The number of machines from which on `by` more would be too many. A pool that may have none has no item.
            values[":maximum"] = {"N": str(change.maximum - change.by + 1)}
            fits = "attribute_not_exists(live) OR live < :maximum"
            condition = fits if change.by <= change.maximum else "live < :maximum"
        else:
            values[":zero"] = {"N": str(-change.by - 1)}  # 0 for one machine: of n, n - 1 must be exceeded
            condition = "live > :zero"
        return {
            "TableName": self._table,
            "Key": {"pk": {"S": f"POOL#{change.pool}"}},
            "UpdateExpression": "ADD live :by",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }

    @staticmethod
    def _expiry(since: float, days: int) -> _Item:
        return {"N": str(int(since + days * _DAY))}


def _key(record: Record) -> str:
    match record:
        case Job(id=identity):
            return f"JOB#{identity}"
        case Runner(name=name):
            return f"RUNNER#{name}"
        case Breaker(pool=pool):
            return f"BREAKER#{pool}"
        case Bucket(api=api):
            return f"BUCKET#{api}"
        case Cursor(name=name):
            return f"CURSOR#{name}"


def _body(record: Record) -> str:
    held = {name: getattr(record, name) for name in _FIELDS[type(record)]}  # records are flat
    return _ENCODER.encode(held)


_TYPED: Mapping[type, Mapping[str, Callable[[Any], Any]]] = {
    Job: {"labels": tuple, "state": JobState},
    Runner: {"state": RunnerState, "market": Market},
    Breaker: {"interruptions": lambda held: tuple(tuple(each) for each in held)},
    Bucket: {},
    Cursor: {},
}


# Looked up once: a sweep reads hundreds of records, and `dataclasses` is slow at each.
_FIELDS: Mapping[type, Sequence[str]] = {
    kind: tuple(each.name for each in dataclasses.fields(kind) if each.name != "version") for kind in _TYPED
}
_KNOWN: Mapping[type, frozenset[str]] = {kind: frozenset(names) for kind, names in _FIELDS.items()}


def _read(kind: type[_R], item: _Item) -> _R:
    return cast(_R, _parsed(kind, item["body"]["S"], item["version"]["N"]))


# A record is a value, and most that are read have not changed since they were read before.
@lru_cache(maxsize=2048)
def _parsed(kind: type[Any], text: str, version: str) -> Any:
    body: dict[str, Any] = json.loads(text)
    # Fields that are unknown were written by a later version, which was rolled back.
    for unknown in [name for name in body if name not in _KNOWN[kind]]:
        del body[unknown]
    for name, made in _TYPED[kind].items():
        if name in body:
            body[name] = made(body[name])
    return kind(**body, version=int(version))


def _refusal(changes: Sequence[Change], error: ClientError) -> Exception:
    reasons = cast("list[dict[str, Any]]", cast(dict[str, Any], error.response).get("CancellationReasons", []))
    codes = [str(each.get("Code", "None")) for each in reasons]
    failed = [change for change, code in zip(changes, codes, strict=False) if code == "ConditionalCheckFailed"]
    for change in failed:
        if isinstance(change, Once):
            return DuplicateDeliveryError(f"delivery {change.delivery.guid} was taken before")
    others = [change for change in failed if not (isinstance(change, Count) and change.by > 0)]
    if others or "TransactionConflict" in codes:
        named = ", ".join(_name(change) for change in others) or "a record is being written by another"
        return ConflictError(f"changed since it was read: {named}")
    if failed:
        return PoolFullError(f"full: {', '.join(_name(change) for change in failed)}")
    if _UNWELL & set(codes):
        return UnavailableError(f"DynamoDB TransactWriteItems: {', '.join(sorted(_UNWELL & set(codes)))}")
    return error


def _name(change: Change) -> str:
    match change:
        case Put(record):
            return _key(record)
        case Once(delivery):
            return f"DELIVERY#{delivery.guid}"
        case Count(pool=pool):
            return f"POOL#{pool}"
