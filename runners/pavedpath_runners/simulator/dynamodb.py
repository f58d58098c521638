"""A model of DynamoDB at the level of boto3's low-level client: one table and its sparse index, which lags."""

import heapq
import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from .engine import Engine, Refusals
from .expressions import Scope, condition, update

_LATENCY = 0.008
_IDEMPOTENCY = 600.0
"""Seconds for which a transaction's token is known (DynamoDB, "TransactWriteItems": 10 minutes)."""
_FORGIVEN = 5 * 365 * 86400.0
"""Seconds after which an expiry is taken for a mistake, and deletes nothing (DynamoDB, "Time to Live": five years)."""
Attributes = Mapping[str, Mapping[str, Any]]
_Place = tuple[float, str]
"""An item's range key and `pk`."""


def client_error(operation: str, code: str, message: str, **more: Any) -> ClientError:
    """An error as botocore raises it."""
    response: Any = {"Error": {"Code": code, "Message": message}, **more}
    return ClientError(response, operation)


class AwsRefusals(Refusals):
    """How boto3 tells of throttling and lost answers."""

    def __init__(self, code: str) -> None:
        self._code = code

    def throttled(self, operation: str) -> Exception:
        """A ClientError of the service's own code for too many requests."""
        return client_error(operation, self._code, "Rate exceeded")

    def lost(self, operation: str) -> Exception:
        """The read time-out of the connection."""
        return ReadTimeoutError(endpoint_url=f"https://aws.invalid/{operation}")


class DynamoDB:
    """One table with the hash key `pk`, and the sparse index `open` (hash `open`, range `at`, all attributes).

    Writes are serial and atomic, as a transaction's; a contended one may be refused with TransactionConflict instead.
    The index sees a write `lag` seconds later, drawn for each, and never an older one after a newer one. What has
    `expires` is deleted as soon as it may be, by the first write after that time: DynamoDB promises only "within a few
    days".
    """

    def __init__(self, engine: Engine, lag: float = 0.2, page: int = 100, contention: float = 0.0) -> None:
        self._engine = engine
        self._lag = lag
        self._page = page
        self._contention = contention
        self._items: dict[str, Attributes] = {}
        self._index: dict[str, dict[_Place, Attributes]] = {}
        """By the index's hash key, by the place within."""
        self._order: dict[str, list[_Place]] = {}
        """By the index's hash key: the places in their order."""
        self._shown: dict[str, tuple[int, str, _Place | None]] = {}
        """By `pk`: number of the write that the index has seen last, its hash key there, and its place."""
        self._behind: list[tuple[float, int, str, Attributes | None]] = []
        self.on_write: Callable[[str, Attributes | None, Attributes], None] = lambda _key, _old, _new: None
        """Called with the key, what was stored and what is stored now."""
        self.open: dict[str, str] = {}
        """Key of the index by `pk`, as it will show when it has caught up; in the order of writing."""
        self.on_expiry: Callable[[str], None] = lambda _key: None
        """Called with the key of an item that has expired and was deleted."""
        self._expiring: list[tuple[float, str]] = []
        self._writes = 0
        self._tokens: dict[str, tuple[float, Any]] = {}
        self._refusals = AwsRefusals("ProvisionedThroughputExceededException")
        self._cancellations = AwsRefusals("ThrottlingException")

    def item(self, key: str) -> Attributes | None:
        """What is stored now, for those who watch the simulation."""
        return self._items.get(key)

    def get_item(self, **request: Any) -> dict[str, Any]:
        """GetItem, always consistent."""
        return self._engine.call("dynamodb", "GetItem", _LATENCY, lambda: self._get(request), self._refusals)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        """TransactWriteItems of Put, Update and Delete."""
        return self._engine.call(
            "dynamodb", "TransactWriteItems", 2 * _LATENCY, lambda: self._transact(request), self._cancellations
        )

    def query(self, **request: Any) -> dict[str, Any]:
        """Query of the index, in the order of its range key, in pages."""
        return self._engine.call("dynamodb", "Query", _LATENCY, lambda: self._query(request), self._refusals)

    def _get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if not request.get("ConsistentRead"):
            raise client_error("GetItem", "ValidationException", "the model knows consistent reads only")
        item = self._items.get(request["Key"]["pk"]["S"])
        return {} if item is None else {"Item": item}

    def _transact(self, request: Mapping[str, Any]) -> dict[str, Any]:
        token = request.get("ClientRequestToken")
        if token in self._tokens:
            if self._tokens[token][1] != request["TransactItems"]:
                raise client_error("TransactWriteItems", "IdempotentParameterMismatch", "other content, same token")
            return {}
        self._write_all(request)
        if token:
            self._remember(token, request["TransactItems"])
        return {}

    def _remember(self, token: str, content: Any) -> None:
        self._tokens[token] = (self._engine.time, content)
        while True:
            oldest = next(iter(self._tokens))
            if self._tokens[oldest][0] + _IDEMPOTENCY > self._engine.time:
                return
            del self._tokens[oldest]

    def _write_all(self, request: Mapping[str, Any]) -> None:
        writes: list[tuple[str, Attributes | None]] = []
        reasons: list[dict[str, str]] = []
        keys: set[str] = set()
        for each in request["TransactItems"]:
            ((action, inner),) = each.items()
            key, changed, reason = self._prepare(action, inner)
            if key in keys:
                raise client_error(
                    "TransactWriteItems",
                    "ValidationException",
                    "Transaction request cannot include multiple operations on one item",
                )
            keys.add(key)
            writes.append((key, changed))
            reasons.append(reason)
        if all(each["Code"] == "None" for each in reasons) and self._contended():
            reasons[0] = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
        if any(each["Code"] != "None" for each in reasons):
            codes = ", ".join(each["Code"] for each in reasons)
            raise client_error(
                "TransactWriteItems",
                "TransactionCanceledException",
                f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
                CancellationReasons=reasons,
            )
        for key, changed in writes:
            self._write(key, changed)

    def _contended(self) -> bool:
        return self._contention > 0 and self._engine.random.random() < self._contention

    def _prepare(self, action: str, request: Mapping[str, Any]) -> tuple[str, Attributes | None, dict[str, str]]:
        key = (request["Item"] if action == "Put" else request["Key"])["pk"]["S"]
        old = self._items.get(key)
        scope = Scope(old, request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {}))
        wanted = request.get("ConditionExpression")
        if wanted and not condition(wanted)(scope):
            return key, None, {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        if action == "Put":
            return key, request["Item"], {"Code": "None"}
        if action == "Delete":
            return key, None, {"Code": "None"}
        if action != "Update":
            raise client_error("TransactWriteItems", "ValidationException", f"the model knows no {action}")
        return key, {**update(request["UpdateExpression"])(scope), "pk": {"S": key}}, {"Code": "None"}

    def _write(self, key: str, item: Attributes | None) -> None:
        if self._engine.journal is not None:
            self._tell(key, item)
        old = self._items.get(key)
        if item is None:
            self._items.pop(key, None)
        else:
            self._items[key] = item
            self.on_write(key, old, item)
            if "expires" in item and (expiry := float(item["expires"]["N"])) > self._engine.time - _FORGIVEN:
                heapq.heappush(self._expiring, (expiry, key))
        self._expire()
        if item is not None and "open" in item:
            self.open[key] = item["open"]["S"]
        else:
            self.open.pop(key, None)
        if key not in self._shown and (item is None or "open" not in item):
            return
        self._writes += 1
        self._shown.setdefault(key, (0, "", None))
        shown_at = self._engine.time + (self._engine.random.random() * 2 * self._lag if self._lag else 0.0)
        heapq.heappush(self._behind, (shown_at, self._writes, key, item))

    def _expire(self) -> None:
        while self._expiring and self._expiring[0][0] < self._engine.time:
            at, key = heapq.heappop(self._expiring)
            item = self._items.get(key)
            if item is not None and "expires" in item and float(item["expires"]["N"]) == at:
                self._delete(key)

    def _delete(self, key: str) -> None:
        del self._items[key]
        self.open.pop(key, None)
        _, kind, place = self._shown.pop(key, (0, "", None))
        if place is not None:
            self._take_out(kind, place)
        self.on_expiry(key)

    def _tell(self, key: str, item: Attributes | None) -> None:
        kind, _, name = key.partition("#")
        body: dict[str, Any] = json.loads(item["body"]["S"]) if item and "body" in item else {}
        job = int(name) if kind == "JOB" else body.get("job") or body.get("running") or 0
        machine = name if kind == "RUNNER" else str(body.get("runner", ""))
        told = ("state", "attempt", "runner", "instance_id", "market", "registration", "stored", "job", "running")
        shown = ", ".join(f"{each} {body[each]}" for each in told if body.get(each) not in (None, "", 0, False))
        live = item["live"]["N"] if item and "live" in item else ""
        self._engine.say(self._engine.actor, f"writes {key}", job, machine, shown or live)

    def _catch_up(self) -> None:
        while self._behind and self._behind[0][0] <= self._engine.time:
            _, number, key, item = heapq.heappop(self._behind)
            seen, kind, place = self._shown.get(key, (number + 1, "", None))
            if number < seen:  # or it has expired meanwhile
                continue
            if place is not None:
                self._take_out(kind, place)
            kind, place = "", None
            if item is not None and "open" in item:
                kind, place = item["open"]["S"], _place(item)
                self._index.setdefault(kind, {})[place] = item
                insort(self._order.setdefault(kind, []), place)
            self._shown[key] = (number, kind, place)

    def _take_out(self, kind: str, place: _Place) -> None:
        del self._index[kind][place]
        order = self._order[kind]
        del order[bisect_left(order, place)]

    def _query(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("IndexName") != "open":
            raise client_error("Query", "ValidationException", "The table does not have the specified index")
        self._catch_up()
        sign, _, placeholder = request["KeyConditionExpression"].partition("=")
        if request.get("ExpressionAttributeNames", {}).get(sign.strip(), sign.strip()) != "open":
            raise client_error("Query", "ValidationException", "Query condition missed key schema element: open")
        hash_key = request["ExpressionAttributeValues"][placeholder.strip()]["S"]
        order, items = self._order.get(hash_key, []), self._index.get(hash_key, {})
        after = request.get("ExclusiveStartKey")
        start = bisect_right(order, _place(after)) if after else 0
        end = start + min(request.get("Limit", self._page), self._page)
        found = [items[each] for each in order[start:end]]
        answer: dict[str, Any] = {"Items": found, "Count": len(found)}
        if len(order) > end:
            answer["LastEvaluatedKey"] = _index_key(found[-1])
        return answer


def _index_key(item: Attributes) -> Attributes:
    return {name: item[name] for name in ("open", "at", "pk")}


def _place(item: Attributes) -> _Place:
    return float(item["at"]["N"]), item["pk"]["S"]
