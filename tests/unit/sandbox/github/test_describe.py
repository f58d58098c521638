"""Cutting a description down, on one that is small enough to see through."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from pavedpath_sandbox.github.describe import trim
from pavedpath_sandbox.github.description import load
from pavedpath_sandbox.github.routes import HANDLERS
from pavedpath_sandbox.github.validation import as_json_schema

FULL: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "API", "version": "1.2.3", "description": "prose"},
    "paths": {
        "/a": {
            "get": {
                "operationId": "a/get",
                "summary": "prose",
                "externalDocs": {"url": "https://docs.test/a", "description": "prose"},
                "responses": {
                    "200": {
                        "description": "prose",
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/a"},
                                "examples": {"x": {"$ref": "#/components/examples/x"}},
                            }
                        },
                    }
                },
            },
            "delete": {"operationId": "a/delete", "responses": {"204": {"description": "gone"}}},
        }
    },
    "components": {
        "schemas": {
            "a": {
                "type": "object",
                "properties": {
                    "description": {"type": "string", "description": "prose", "example": "prose"},
                    "next": {"$ref": "#/components/schemas/b"},
                },
            },
            "b": {"type": "object", "title": "prose", "properties": {"title": {"$ref": "#/components/schemas/a"}}},
            "unused": {"type": "string"},
        },
        "examples": {"x": {"value": 1}},
    },
}


def test_only_what_is_served_and_what_it_reaches_stays() -> None:
    trimmed = trim(json.dumps(FULL).encode(), {"a/get"})
    assert b"prose" not in trimmed
    document = json.loads(trimmed)
    assert set(document["components"]["schemas"]) == {"a", "b"}
    assert set(document["components"]["schemas"]["a"]["properties"]) == {"description", "next"}
    assert document["x-unserved"] == {"DELETE /a": "a/delete"}
    assert document["x-source"]["package"] == "@octokit/openapi@1.2.3"
    assert trim(json.dumps(FULL).encode(), {"a/get"}) == trimmed


def test_every_id_that_github_does_not_have_is_named() -> None:
    with pytest.raises(ValueError, match="a/none, b/none"):
        trim(json.dumps(FULL).encode(), {"a/get", "b/none", "a/none"})


def test_the_committed_description_is_that_of_the_routes() -> None:
    assert load().operations.keys() == HANDLERS.keys()


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3))


@pytest.mark.parametrize(
    "schema", [{"type": "string"}, {"type": "string", "enum": ["", "a"]}, {"allOf": [{"type": "integer"}]}]
)
@given(value=VALUES)
def test_nullable_adds_null_and_nothing_else(schema: dict[str, Any], value: object) -> None:
    plain = Draft202012Validator(as_json_schema(schema)).is_valid(value)
    nullable = Draft202012Validator(as_json_schema({**schema, "nullable": True})).is_valid(value)
    assert nullable == (plain or value is None)
