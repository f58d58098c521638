"""JSON documents of a shape that others decide, narrowed where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

Json: TypeAlias = Any
Properties: TypeAlias = Mapping[str, Json]


def fields(value: Json) -> Properties:
    """Return an object of a JSON document; empty for what is none."""
    return cast("Properties", value) if isinstance(value, Mapping) else {}


def objects(value: Json) -> list[Properties]:
    """Return the objects of a list in a JSON document; empty for what is none."""
    return [fields(item) for item in cast("list[Json]", value)] if isinstance(value, list) else []


def texts(value: Json) -> list[str]:
    """Return the items of a list in a JSON document as text; empty for what is none."""
    return [str(item) for item in cast("list[Json]", value)] if isinstance(value, list) else []
