"""What moto works out anew for every request, or by looking through all that there is: worked out once, or looked up.

Its answers stay what they are. A fleet of runners asks for its machines and records thousands of times, and moto
answers one request at a time.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from moto import backends
from moto.core import responses
from moto.core.serialize import AttributePicker, XFormedAttributePicker
from moto.dynamodb.comparisons import OpDefault
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import RESULT_SIZE_LIMIT, Table
from moto.ec2.models.tags import TagBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

from .determinism import require

_WILD = frozenset("*?[]\\")
_NAMES = "pavedpath_possible_names"


def install() -> None:
    """Put the shortcuts in place.

    Raises:
        MotoChangedError: moto has other ways by now.
    """
    # It lists its folder for each request, to see whether the request's host is the name of a service.
    modules = _function(backends, "list_of_moto_modules")
    cast("Any", backends).list_of_moto_modules = functools.cache(lambda: frozenset(modules()))
    # Of the class that serves a request, for each request.
    methods = _function(responses, "method_names_from_class")
    cast("Any", responses).method_names_from_class = functools.cache(methods)
    _possible_names()
    replace(TagBackend, "describe_tags", ["self", "filters"], tags)
    replace(Table, "query", ["self", "hash_key", *_QUERY, "filter_kwargs"], query)


def _function(module: Any, name: str) -> Callable[..., list[str]]:
    found = getattr(module, name, None)
    require(callable(found), f"{module.__name__}.{name} is gone")
    return cast("Callable[..., list[str]]", found)


def replace(owner: type[Any], name: str, parameters: Sequence[str], shortcut: Callable[..., Any]) -> None:
    """Put `shortcut(self, original, …)` in the place of a method, which stays as its `__wrapped__`.

    Raises:
        MotoChangedError: there is no such method, or it takes something else.
    """
    original = getattr(owner, name, None)
    require(callable(original), f"{owner.__name__}.{name} is gone")
    found = list(inspect.signature(cast("Any", original)).parameters)
    require(found == list(parameters), f"{owner.__name__}.{name} takes {', '.join(found)}")

    @functools.wraps(cast("Any", original))
    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        return shortcut(self, original, *args, **kwargs)

    setattr(owner, name, replaced)


def _possible_names() -> None:
    """The names by which an object may have a member of a shape follow from its class and the shape; moto asks six
    classes for them at each member of each object, 150 members for an instance of EC2's."""
    for kind in (AttributePicker, XFormedAttributePicker):
        replace(kind, "get_possible_keys", ["self", "context"], _remembered(kind.__name__))


def _remembered(kind: str) -> Callable[[Any, Callable[..., Iterator[str]], Any], Sequence[str]]:
    def names(self: Any, original: Callable[..., Iterator[str]], context: Any) -> Sequence[str]:
        if context.shape is None:
            return list(original(self, context))
        # With the shape itself, which botocore's model keeps: it and its parent are part of the question.
        held = cast("dict[str, dict[object, Sequence[str]]]", vars(context.shape)).setdefault(_NAMES, {})
        question = (kind, cast("type[object]", type(context.obj)), context.key)
        if question not in held:
            held[question] = tuple(dict.fromkeys(original(self, context)))
        return held[question]

    return names


def tags(
    self: Any, original: Callable[..., Any], filters: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, str]]:
    """The tags of one resource, by its id; moto looks through those of all, for each resource that it shows."""
    if filters is None or list(filters) != ["resource-id"] or len(filters["resource-id"]) != 1:
        return original(self, filters)
    (resource,) = filters["resource-id"]
    if _WILD & set(resource):
        return original(self, filters)
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource), "")
    return [
        {"resource_id": resource, "key": key, "value": value, "resource_type": kind}
        for key, value in self.tags.get(resource, {}).items()
    ]


_QUERY = (
    "range_comparison",
    "range_objs",
    "limit",
    "exclusive_start_key",
    "scan_index_forward",
    "projection_expressions",
    "index_name",
    "consistent_read",
    "filter_expression",
    "hash_key_conditions",
    "range_key_conditions",
)

# What the shortcut for a query knows. Of all others it is none; `OpDefault` is moto's filter that filters nothing.
_TAKEN = frozenset(
    {"hash_key", "index_name", "hash_key_conditions", "scan_index_forward", "limit", "exclusive_start_key"}
)


def query(self: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a global index has under one key; moto sorts the whole table first and copies what it answers.

    Every other query, and one whose page is limited by its size, is left to it.
    """
    given = dict(zip(("hash_key", *_QUERY), args, strict=False)) | kwargs
    found = _all_under(self, given)
    if found is None:
        return original(self, *args, **kwargs)
    page = found[: given.get("limit") or len(found)]
    more = len(page) < len(found)
    return page, len(page), self._get_last_evaluated_key(page[-1], given["index_name"]) if more else None


def _all_under(table: Any, given: dict[str, Any]) -> list[Item] | None:
    conditions = cast("list[tuple[str, Any]]", given.get("hash_key_conditions") or [])
    indexes = cast("list[Any]", table.global_indexes or [])
    index = next((each for each in indexes if each.name == given.get("index_name")), None)
    if index is None or len(conditions) != 1 or index.projection != {"ProjectionType": "ALL"}:
        return None
    if any(value for name, value in given.items() if name not in _TAKEN and not isinstance(value, OpDefault)):
        return None
    ranges = [str(each["AttributeName"]) for each in index.schema if each["KeyType"] == "RANGE"]
    if len(ranges) != 1 or table.range_key_attr:
        return None
    (hashed, wanted), (ranged,) = conditions[0], ranges
    found: list[Any] = []
    for each in cast("dict[Any, Any]", table.items).values():
        value = each.attrs.get(hashed)
        if value is not None and value.value == wanted.value and value.type == wanted.type and ranged in each.attrs:
            found.append(each)
    kinds = {(each.attrs[ranged].type, each.hash_key.type) for each in found}
    if len(kinds) > 1 or not kinds <= {("N", "S"), ("S", "S")}:
        return None
    if sum(each.size() for each in found) > RESULT_SIZE_LIMIT:
        return None
    number = Decimal if ("N", "S") in kinds else str
    backwards = given.get("scan_index_forward") is False
    placed = [((number(each.attrs[ranged].value), str(each.hash_key.value)), each) for each in found]
    if start := cast("dict[str, dict[str, str]] | None", given.get("exclusive_start_key")):
        (at,), (key,) = start[ranged].values(), start[table.hash_key_attr].values()
        after = (number(at), key)
        placed = [each for each in placed if (each[0] < after if backwards else each[0] > after)]
    placed.sort(key=lambda each: each[0], reverse=backwards)
    return [each for _, each in placed]
