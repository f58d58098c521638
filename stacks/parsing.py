"""Pulumi configuration parsed into the models of `stacks.settings`, every mistake reported at once."""

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast, get_args

import pulumi
from pavedpath.errors import Problem
from pavedpath.subnets import check_zones
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from .settings import PROJECT, EnvironmentSettings, SharedSettings

SettingsT = TypeVar("SettingsT", bound=SharedSettings | EnvironmentSettings)


@dataclass(frozen=True)
class Check:
    """A question to the components about some of the settings, asked when these have the right shape.

    Attributes:
        reads: names of the settings that it reads.
        mistakes: yields `key = value: why. Fix: fix` for each mistake.
    """

    reads: frozenset[str]
    mistakes: Callable[[], Iterable[str]]


class SettingsError(pulumi.RunError):
    """A stack's configuration cannot be used; the message names every offender with its cause and fix."""


def parse_settings(
    model: type[SettingsT],
    stack: str,
    config: Mapping[str, str],
    secret_keys: Collection[str] = (),
    checks: Callable[[SettingsT], Iterable[Check]] | None = None,
    conflicts: Iterable[str] = (),
) -> SettingsT:
    """Parse a stack's configuration.

    Args:
        model: what to parse into.
        stack: name of the stack, for messages.
        config: the engine's flat configuration, `namespace:key` to text; structured values are JSON.
        secret_keys: keys whose values no message may show.
        checks: what to ask about settings that have the right shape, part by part.
        conflicts: mistakes that only a look at other stacks' settings shows, as `key = value: why. Fix: fix`.

    Raises:
        SettingsError: with every mistake.
    """
    values = {
        key.removeprefix(f"{PROJECT}:"): _decode(text) for key, text in config.items() if key.startswith(f"{PROJECT}:")
    }
    mistakes: list[str] = []
    settings: SettingsT | None = None
    broken: set[str] = set()
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        mistakes += _explain(model, error, secret_keys)
        broken = {str(detail["loc"][0]) for detail in error.errors(include_url=False)}
    mistakes += [*_disagreements(values, config), *_in_the_open(model, values, secret_keys), *conflicts]
    if checks:
        usable = settings or _usable_part(model, values, broken)
        mistakes += [each for check in checks(usable) if not check.reads & broken for each in check.mistakes()]
    mistakes = list(dict.fromkeys(mistakes))
    if mistakes or settings is None:
        lines = "\n".join(f"  - {stack}: {mistake}" for mistake in mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise SettingsError(f"Pulumi.{stack}.yaml: {count} in the settings\n{lines}")
    return settings


def _in_the_open(model: type[BaseModel], values: Mapping[str, object], secret_keys: Collection[str]) -> Iterator[str]:
    """Yield secrets that are not encrypted, without their values."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        if name in values and SecretStr in kinds and f"{PROJECT}:{name}" not in secret_keys:
            yield f"{PROJECT}:{name}: it is a secret in plain text. Fix: pulumi config set --secret {PROJECT}:{name}"


def _usable_part(model: type[SettingsT], values: Mapping[str, object], broken: Collection[str]) -> SettingsT:
    """Return the settings without those that are broken; they are not there, so no check may read them."""
    parts: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in values and name not in broken:
            annotation: Any = field.annotation if not field.metadata else Annotated[field.annotation, *field.metadata]
            parts[name] = TypeAdapter(annotation).validate_python(values[name])
    return model.model_construct(**parts)


def mistakes_at(setting: str, problems: Iterable[Problem]) -> Iterator[str]:
    """Yield what a component refuses as mistakes in the settings that its arguments come from."""
    for problem in problems:
        yield f"{PROJECT}:{setting}.{problem}".removesuffix(".")


def _decode(text: str) -> object:
    """Return the value that a person wrote: structured values are JSON, any other text is itself.

    Numbers and booleans stay text, so that a name may look like one; the models convert them where they are meant.
    """
    try:
        decoded: object = json.loads(text)
    except ValueError:
        return text
    return cast(object, decoded) if isinstance(decoded, dict | list) else text


def _disagreements(values: Mapping[str, object], config: Mapping[str, str]) -> Iterator[str]:
    """Yield settings of ours that contradict those of a provider: they would go to two places."""
    owner, organization = config.get("github:owner"), values.get("organization")
    if owner is not None and organization is not None and owner != organization:
        yield (
            f"github:owner = {owner}, but {PROJECT}:organization = {_short(organization)}: one would get the"
            " resources, the other the trust. Fix: make them the same"
        )
    yield from _unknown_repositories(values)
    region, network = config.get("aws:region"), values.get("network")
    zones = cast(Mapping[str, object], network).get("zones") if isinstance(network, dict) else None
    if region is not None and isinstance(zones, list):
        named = [str(zone) for zone in cast(list[object], zones)]
        elsewhere = [zone for zone in named if zone[:-1] != region and not list(check_zones([zone]))]
        if elsewhere:
            yield (
                f"{PROJECT}:network.zones = {_short(elsewhere)}: they do not lie in aws:region = {region}."
                " Fix: name zones of that region"
            )


def _unknown_repositories(values: Mapping[str, object]) -> Iterator[str]:
    applications, deployments = values.get("applications"), values.get("deployments")
    if not isinstance(applications, dict) or not isinstance(deployments, dict):
        return
    known = cast(dict[str, object], deployments)
    for name, application in cast(dict[str, object], applications).items():
        repository = cast(dict[str, object], application).get("repository") if isinstance(application, dict) else None
        if isinstance(repository, str) and repository not in known:
            yield (
                f"{PROJECT}:applications.{name}.repository = {_short(repository)}: it does not deploy here."
                f" Fix: add it to {PROJECT}:deployments, or write one of: {', '.join(sorted(known))}"
            )


def _explain(model: type[BaseModel], error: ValidationError, secret_keys: Collection[str]) -> Iterator[str]:
    details = error.errors(include_url=False)
    missing = {detail["loc"] for detail in details if detail["type"] == "missing"}
    meant = {loc: near for loc, near in _misspelt(model, details) if near in missing}
    for detail in details:
        inside = [other for other in details if other["loc"][:-1] == detail["loc"]]
        if detail["loc"] in meant.values() or (detail["type"] == "too_short" and inside):
            continue  # said with the misspelt name, or with the items that were refused
        location = [part for part in detail["loc"] if part != "[key]"]  # pydantic's mark of a mapping's key
        key = f"{PROJECT}:{'.'.join(map(str, location))}"
        shown = "[secret]" if f"{PROJECT}:{location[0]}" in secret_keys else _short(detail["input"])
        given = "" if detail["type"] == "missing" else f" = {shown}"
        why, fix = _why_and_fix(model, detail, meant)
        yield f"{key}{given}: {why}. Fix: {fix}"


def _misspelt(
    model: type[BaseModel], details: Iterable[ErrorDetails]
) -> Iterator[tuple[tuple[int | str, ...], tuple[int | str, ...]]]:
    """Yield the place of each unknown name and that of the valid one nearest to it."""
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *above, name = detail["loc"]
            for near in difflib.get_close_matches(str(name), _names_beside(model, detail["loc"]), n=1):
                yield detail["loc"], (*above, near)


_PLAIN = {
    "tuple_type": ("it is not a list", "write a list, for example [main]"),
    "string_type": ("it is not text", "write text, in quotes where YAML would read something else"),
    "too_short": ("it is empty", "name at least one"),
    "missing": ("it is required and not given", "add it"),
    "string_pattern_mismatch": ("it cannot be used as a tag", "use up to 40 of a-z, 0-9 and -, not - at an end"),
}


def _why_and_fix(
    model: type[BaseModel], detail: ErrorDetails, meant: Mapping[tuple[int | str, ...], tuple[int | str, ...]]
) -> tuple[str, str]:
    if detail["type"] == "problem":
        context = detail.get("ctx", {})
        return context["why"], context["fix"]
    if detail["type"] == "extra_forbidden":
        near = meant.get(detail["loc"])
        guess = f"did you mean {near[-1]}? It takes" if near else "remove it, or write one of"
        return "there is no such setting", f"{guess}: {', '.join(sorted(_names_beside(model, detail['loc'])))}"
    if detail["type"] in _PLAIN:
        return _PLAIN[detail["type"]]
    return detail["msg"].replace("Input should be", "it should be"), "correct the value"


def _names_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the valid names at the place of an unknown one, by walking the model's JSON Schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in location[:-1]:
        properties: dict[str, Any] = node.get("properties", {})
        node = properties.get(str(part)) or node.get("additionalProperties") or node.get("items") or {}
        # A setting that may be left out is one of something and nothing.
        node = next((each for each in node.get("anyOf", ()) if each.get("type") != "null"), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return list(node.get("properties", {}))


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
