"""DynamoDB's transactions at the price of what they touch: moto copies whole tables before each, for a roll-back."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, cast

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

from .determinism import require

_light: list[bool] = [False]


def install() -> None:
    """Let a table be its own copy while a transaction here keeps what it touches.

    Raises:
        MotoChangedError: moto's tables copy themselves by now.
    """
    kind = cast("Any", Table)
    require(not hasattr(kind, "__deepcopy__"), "Table.__deepcopy__ is there")
    kind.__deepcopy__ = _copied


def _copied(self: Any, memo: dict[int, Any]) -> Any:
    if _light[0]:
        return self
    made = cast("Any", object.__new__(Table))
    memo[id(self)] = made
    cast("dict[str, Any]", vars(made)).update(copy.deepcopy(cast("dict[str, Any]", vars(self)), memo))
    return made


def transact(self: Any, original: Callable[..., Any], transact_items: list[dict[str, Any]]) -> Any:
    """TransactWriteItems: what it touched is as before if it is cancelled."""
    touched = _touched(self, transact_items)
    if touched is None:
        return original(self, transact_items)
    before = [copy.deepcopy(_held(table, key)) for table, key in touched]
    _light[0] = True
    try:
        return original(self, transact_items)
    except BaseException:
        for (table, key), item in zip(touched, before, strict=True):
            _restore(table, key, item)
        raise
    finally:
        _light[0] = False


def _touched(backend: Any, transact_items: list[dict[str, Any]]) -> list[tuple[Any, tuple[Any, Any]]] | None:
    """Tables and keys of the items; None leaves the transaction to moto: it is wrong, or its changes are streamed."""
    found: list[tuple[Any, tuple[Any, Any]]] = []
    for each in transact_items:
        operation = cast("dict[str, Any]", next(iter(each.values())))
        table = backend.tables.get(operation.get("TableName"))
        given = cast("dict[str, Any]", operation.get("Item") or operation.get("Key") or {})
        if table is None or table.stream_shard is not None or table.hash_key_attr not in given:
            return None
        ranged = given.get(table.range_key_attr) if table.range_key_attr else None
        if table.range_key_attr and ranged is None:
            return None
        found.append((table, (DynamoType(given[table.hash_key_attr]), DynamoType(ranged) if ranged else None)))
    return found


def _held(table: Any, key: tuple[Any, Any]) -> Any:
    first, second = key
    if first not in table.items:  # asking the default dictionary would make an entry
        return None
    return table.items[first].get(second) if table.has_range_key else table.items[first]


def _restore(table: Any, key: tuple[Any, Any], item: Any) -> None:
    first, second = key
    if table.has_range_key:
        if item is not None:
            table.items[first][second] = item
        elif first in table.items:
            table.items[first].pop(second, None)
    elif item is not None:
        table.items[first] = item
    else:
        table.items.pop(first, None)


def plain(self: Any, original: Callable[..., Any], action_result: Any) -> Any:
    """GetItem's and Query's answers are JSON as they are; moto's serializer takes half a millisecond for each item."""
    result = action_result.result
    if isinstance(result, dict) and self._get_action() in {"GetItem", "Query"}:
        told = {name: value for name, value in cast("dict[str, object]", result).items() if value is not None}
        try:
            body = json.dumps(told)
        except TypeError:  # a set or bytes in it
            return original(self, action_result)
        return 200, {"Content-Type": "application/x-amz-json-1.0", **self.response_headers}, body
    return original(self, action_result)
