"""Requests and responses against GitHub's own description. Validators are built on first use."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pavedpath_sandbox.github.description import Description, Operation
from pavedpath_sandbox.github.errors import GitHubError, not_found, unprocessable
from pavedpath_sandbox.github.store import Json

if TYPE_CHECKING:
    import jsonschema_rs

_BASE = "urn:github:components"
_ERROR: Json = {
    "anyOf": [{"$ref": "#/components/schemas/basic-error"}, {"$ref": "#/components/schemas/validation-error"}]
}
_MAPS = {"properties", "schemas"}
# GitHub's alternatives overlap (an error is also a rule violation's error), so that "exactly one" would refuse both.
_KEYWORDS = {"oneOf": "anyOf"}
# Fields that GitHub takes though its description refuses them. `can_admins_bypass` is what the web interface calls
# "Allow administrators to bypass configured protection rules"; go-github and the Terraform provider always send it.
# Internal repositories are described for Enterprise Cloud only, and answered from the same address.
_VISIBILITY: Json = {"visibility": {"type": "string", "enum": ["public", "private", "internal"]}}
_UNDESCRIBED: dict[str, Json] = {
    "repos/create-in-org": _VISIBILITY,
    "repos/update": _VISIBILITY,
    "repos/create-or-update-environment": {"can_admins_bypass": {"type": ["boolean", "null"]}},
}


def as_json_schema(node: Any, *, names: bool = False) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema 2020-12: `nullable` becomes a type, references become absolute.

    `discriminator` only repeats what `oneOf` says, and `default` never changes what is valid.
    """
    if isinstance(node, list):
        return [as_json_schema(item) for item in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    source = cast(Json, node)
    if names:
        return {key: as_json_schema(value) for key, value in source.items()}
    schema: Json = {
        _KEYWORDS.get(key, key): as_json_schema(value, names=key in _MAPS)
        for key, value in source.items()
        if key not in {"nullable", "discriminator", "default"}
    }
    if "$ref" in schema:
        schema["$ref"] = _BASE + "#/" + schema["$ref"].removeprefix("#/components/")
    if schema.get("format") == "uri":
        # GitHub leaves characters in addresses that RFC 3986 wants encoded, and says "" for "none".
        del schema["format"]
    if not source.get("nullable"):
        return schema
    if "$ref" in schema or {"anyOf", "allOf"} & schema.keys() or "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    enum = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **enum, "type": [schema["type"], "null"]}


class Validator:
    """Holds the compiled validators of one description."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._compiled: dict[tuple[str, str], jsonschema_rs.Draft202012Validator] = {}

    @functools.cached_property
    def _registry(self) -> "jsonschema_rs.Registry":
        import jsonschema_rs

        components = {"schemas": as_json_schema(self._description.schemas, names=True)}
        return jsonschema_rs.Registry([(_BASE, components)], draft=jsonschema_rs.Draft202012)

    def _errors(self, key: tuple[str, str], schema: Json, instance: object) -> "list[jsonschema_rs.ValidationError]":
        import jsonschema_rs

        if key not in self._compiled:
            self._compiled[key] = jsonschema_rs.Draft202012Validator(
                as_json_schema(schema), registry=self._registry, validate_formats=True, mask="value"
            )
        return list(self._compiled[key].iter_errors(instance))

    def request(
        self, operation: Operation, path: Mapping[str, str], query: Mapping[str, str], body: object
    ) -> dict[str, Any]:
        """Check a request as GitHub does and return its query parameters, typed, defaults filled in.

        Raises GitHubError: 404 for a path that cannot name anything, 422 for the rest, naming every mistake.
        """
        typed: dict[str, Any] = {}
        wrong: list[str] = []
        for parameter in operation.parameters:
            key = operation.id, f"{parameter.location}.{parameter.name}"
            raw = (path if parameter.location == "path" else query).get(parameter.name)
            if raw is None:
                if "default" in parameter.schema:
                    typed[parameter.name] = parameter.schema["default"]
                continue
            schema = self._resolved(parameter.schema)
            if parameter.name == "created":
                # A range in the syntax of searches; the description takes it for a time, the documentation does not
                # (https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository).
                schema = {name: one for name, one in schema.items() if name != "format"}
            value = _typed(raw, schema)
            if errors := self._errors(key, schema, value):
                if parameter.location == "path":
                    raise not_found()
                wrong += [f"For '{parameter.name}', {error.message}." for error in errors]
            typed[parameter.name] = value
        wrong += self._body_mistakes(operation, body)
        if wrong:
            raise unprocessable("Invalid request.\n\n" + "\n".join(wrong))
        return typed

    def _body_mistakes(self, operation: Operation, body: object) -> list[str]:
        if operation.body is None or (body is None and not operation.body_required):
            return []
        schema = operation.body
        if more := _UNDESCRIBED.get(operation.id):
            schema = schema | {"properties": schema["properties"] | more}
        return [_sentence(error) for error in self._errors((operation.id, "request"), schema, body or {})]

    def response(self, operation: Operation, status: int, body: object) -> list[str]:
        """What GitHub's description does not allow in this answer; empty if it is as GitHub's."""
        schema = operation.responses.get(status)
        if status not in operation.responses:
            if status < 400:
                return [f"status {status} is not one of {sorted(operation.responses)}"]
            schema = _ERROR  # GitHub describes few of its refusals, but all have the same shape
        if schema is None:
            return [] if body is None or status >= 400 else [f"status {status} has no body"]
        if body is None:
            return [f"status {status} has a body"]
        return [
            f"{_pointer(error.instance_path)}: {error.message}"
            for error in self._errors((operation.id, str(status)), schema, body)
        ]

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self._description.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema


def _typed(raw: str, schema: Json) -> object:
    if schema.get("type") == "integer":
        digits = raw.removeprefix("-")
        return int(raw) if digits.isascii() and digits.isdigit() else raw
    if schema.get("type") == "boolean":
        return {"true": True, "false": False, "1": True, "0": False}.get(raw, raw)
    return raw


def _pointer(path: "list[str | int]") -> str:
    return "/" + "/".join(map(str, path))


def _sentence(error: "jsonschema_rs.ValidationError") -> str:
    where = "".join(f"/{part}" if isinstance(part, int) else f"/properties/{part}" for part in error.instance_path)
    missing = getattr(error.kind, "property", None) if type(error.kind).__name__.endswith("Required") else None
    if missing:
        return f"For '{where[1:]}', \"{missing}\" wasn't supplied." if where else f'"{missing}" wasn\'t supplied.'
    return f"For '{where[1:]}', {error.message}."


def strict_violation(operation: Operation, status: int, violations: list[str]) -> GitHubError:
    """500 that says which answer of the sandbox is not GitHub's."""
    return GitHubError(
        500,
        f"The sandbox answered {operation.method} {operation.path} ({operation.id}) with a {status} that GitHub's "
        "description does not allow: " + "; ".join(violations),
    )
