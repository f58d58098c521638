"""GitHub's own description of the served operations, and which operation a path means."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from pavedpath_sandbox.github.errors import DOCUMENTATION
from pavedpath_sandbox.github.store import Json

METHODS = {"get", "put", "post", "patch", "delete"}
PATH_OF_DESCRIPTION = Path(__file__).with_name("openapi.json")

# Parameters that take the rest of the path when they come last: they may hold slashes.
_REST_OF_PATH = {"path", "ref", "branch", "basehead"}


@dataclass(frozen=True)
class Parameter:
    """A path or query parameter and its schema."""

    name: str
    location: str
    required: bool
    schema: Json


@dataclass(frozen=True)
class Operation:
    """One operation; `body` and the values of `responses` are schemas, None where there is no JSON body."""

    id: str
    method: str
    path: str
    documentation_url: str
    parameters: tuple[Parameter, ...]
    body: Json | None
    body_required: bool
    responses: Mapping[int, Json | None]


_End = tuple[str, tuple[str, ...]]
"""An operation's id and the names of its path parameters."""


class _Node:
    """A place in the tree of paths: what follows it, and the operations by method that end here."""

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.rest: dict[str, _End] = {}
        self.ends: dict[str, _End] = {}


@dataclass(frozen=True)
class Match:
    """What a method and path mean: an operation's id and the path's parameters, or only other methods."""

    operation: str
    parameters: dict[str, str]


class Router:
    """Finds operations by path. A segment is decoded after the path is split: `%2F` is part of a name."""

    def __init__(self, operations: Mapping[str, str]) -> None:
        """`operations` maps "METHOD /path/{template}" to an id."""
        self._root = _Node()
        for endpoint, identity in operations.items():
            method, path = endpoint.split(" ", 1)
            node, names = self._root, list[str]()
            segments = path.strip("/").split("/")
            for position, segment in enumerate(segments):
                if not segment.startswith("{") or not segment.endswith("}"):
                    node = node.literal.setdefault(segment, _Node())
                    continue
                names.append(segment[1:-1])
                if names[-1] in _REST_OF_PATH and position == len(segments) - 1:
                    node.rest[method] = identity, tuple(names)
                    break
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node.ends[method] = identity, tuple(names)

    def match(self, method: str, raw_path: str) -> Match | None:
        """The operation, literal segments preferred to variable ones."""
        segments = [unquote(segment) for segment in raw_path.strip("/").split("/")]
        found = self._walk(self._root, method, segments, ())
        if found is None:
            return None
        (identity, names), values = found
        return Match(identity, dict(zip(names, values, strict=True)))

    def _walk(
        self, node: _Node, method: str, segments: list[str], values: tuple[str, ...]
    ) -> tuple[_End, tuple[str, ...]] | None:
        if not segments:
            if method in node.ends:
                return node.ends[method], values
            return (node.rest[method], (*values, "")) if method in node.rest else None
        head, tail = segments[0], segments[1:]
        if head in node.literal and (found := self._walk(node.literal[head], method, tail, values)):
            return found
        if node.variable and head and (found := self._walk(node.variable, method, tail, (*values, head))):
            return found
        return (node.rest[method], (*values, "/".join(segments))) if method in node.rest else None


@dataclass(frozen=True)
class Description:
    """The parsed description: operations by id, component schemas, and the routers of what is and is not served."""

    operations: Mapping[str, Operation]
    schemas: Mapping[str, Json]
    served: Router
    unserved: Router


def _resolved(document: Json, node: Json) -> Json:
    reference = node.get("$ref")
    if reference is None:
        return node
    _, _, group, name = reference.split("/")
    return cast(Json, document["components"][group][name])


def _json_schema(content: Json | None) -> Json | None:
    if not content:
        return None
    for media_type in ("application/json", "application/scim+json"):
        if media_type in content:
            return cast(Json, content[media_type].get("schema", {}))
    return None


def _operation(document: Json, method: str, path: str, node: Json) -> Operation:
    parameters = [_resolved(document, parameter) for parameter in node.get("parameters", [])]
    body = node.get("requestBody")
    responses = {status: _resolved(document, response) for status, response in node["responses"].items()}
    return Operation(
        id=node["operationId"],
        method=method.upper(),
        path=path,
        documentation_url=node.get("externalDocs", {}).get("url", DOCUMENTATION),
        parameters=tuple(
            Parameter(one["name"], one["in"], bool(one.get("required")), one.get("schema", {})) for one in parameters
        ),
        body=_json_schema(body["content"]) if body else None,
        body_required=bool(body and body.get("required")),
        responses={
            int(status): _json_schema(response.get("content"))
            for status, response in responses.items()
            if status.isdigit()
        },
    )


@functools.cache
def load(path: Path = PATH_OF_DESCRIPTION) -> Description:
    """Read the trimmed description (a few tens of milliseconds; nothing is compiled yet)."""
    document: Any = json.loads(path.read_bytes())
    operations = {
        node["operationId"]: _operation(document, method, template, node)
        for template, item in document["paths"].items()
        for method, node in item.items()
    }
    return Description(
        operations=operations,
        schemas=document["components"]["schemas"],
        served=Router({f"{one.method} {one.path}": one.id for one in operations.values()}),
        unserved=Router(document["x-unserved"]),
    )
