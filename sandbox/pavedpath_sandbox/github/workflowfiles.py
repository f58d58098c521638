"""Workflow files: what they are called, and what a dispatch may give them."""

from typing import Any, cast

import yaml

from pavedpath_sandbox.github.store import Json, as_list, as_object

FOLDER = ".github/workflows"
_MOST_INPUTS = 25  # https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows


def read(text: str) -> Json | None:
    """The workflow as a mapping in which every scalar is text, None if it is not one."""
    try:
        # The base loader keeps `on` a word and `true` as it was written.
        document: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes nothing but text, lists and maps
    except yaml.YAMLError:
        return None
    return cast(Json, document) if isinstance(document, dict) else None


def name_of(workflow: Json | None, path: str) -> str:
    """The name that GitHub shows: the workflow's own, or the file's path."""
    name = (workflow or {}).get("name")
    return name if isinstance(name, str) and name else path


def dispatch_inputs(workflow: Json | None) -> dict[str, Json] | None:
    """The declared inputs of `workflow_dispatch`, None if the workflow cannot be dispatched."""
    triggers: object = (workflow or {}).get("on")
    if isinstance(triggers, str):
        triggers = [triggers]
    if isinstance(triggers, list):
        return {} if "workflow_dispatch" in triggers else None
    trigger = cast(Json, triggers) if isinstance(triggers, dict) else {}
    if "workflow_dispatch" not in trigger:
        return None
    declared = trigger["workflow_dispatch"]
    inputs = cast(Json, declared).get("inputs") if isinstance(declared, dict) else None
    return {name: as_object(one) for name, one in as_object(inputs).items()}


def given_inputs(declared: dict[str, Json], given: Json, environments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The inputs of a dispatch with defaults filled in, and what is wrong with them in GitHub's words."""
    wrong: list[str] = []
    if unexpected := sorted(given.keys() - declared.keys()):
        wrong.append(f"Unexpected inputs provided: {unexpected}")
    if len(given) > _MOST_INPUTS:
        wrong.append(f"At most {_MOST_INPUTS} inputs may be given.")
    values: dict[str, str] = {}
    for name, one in declared.items():
        value = _text(given[name]) if given.get(name) is not None else _default(one)
        if value == "" and one.get("required") == "true":
            wrong.append(f"Required input '{name}' not provided")
        elif value and (reason := _mismatch(one, value, environments)):
            wrong.append(f"Provided value '{value}' for input '{name}' {reason}")
        values[name] = value
    return values, wrong


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(declared: Json) -> str:
    options = as_list(declared.get("options"))
    fallback = {"boolean": "false", "choice": options[0] if options else ""}.get(declared.get("type", ""), "")
    return declared.get("default") or fallback


def _mismatch(declared: Json, value: str, environments: list[str]) -> str | None:
    kind = declared.get("type", "string")
    if kind == "choice" and value not in as_list(declared.get("options")):
        return "not in the list of allowed values"
    if kind == "boolean" and value not in {"true", "false"}:
        return "is not a boolean"
    if kind == "number":
        try:
            float(value)
        except ValueError:
            return "is not a number"
    if kind == "environment" and value.lower() not in environments:
        return "is not an environment of the repository"
    return None
