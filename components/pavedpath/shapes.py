"""Arguments that hold arguments: a value from outside, of whatever type, becomes what an annotation says, or a problem.

Understands what components' arguments are made of: str, int, float, bool, choices, sequences, mappings by str, frozen
dataclasses (given as a mapping), `X | None`, and `pulumi.Input` of any of them.
"""

import collections.abc
import dataclasses
import types
from collections.abc import Awaitable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import pulumi

from .component import Parsed, unknown
from .errors import InvalidArgumentsError, Problem

ParsedT = TypeVar("ParsedT", bound=Parsed)

_NOUNS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read(model: type[ParsedT], args: Mapping[str, object] | None, component: str, name: str) -> ParsedT:
    """Turn a component's arguments, nested ones included, into frozen dataclasses.

    Unknown names, missing names and values of another type are reported together; when there are none, what the model
    itself finds wrong is.

    Raises:
        InvalidArgumentsError: names every offender by its path, for example hooks.ci.url.
    """
    parsed, problems = _read(model, args)
    if parsed is None or problems:
        raise InvalidArgumentsError(component, name, problems)
    return parsed


def problems_of(model: type[Parsed], args: Mapping[str, object]) -> list[Problem]:
    """Return what is wrong with arguments, as `read` would report it; empty for nothing."""
    return _read(model, args)[1]


def _read(model: type[ParsedT], args: Mapping[str, object] | None) -> tuple[ParsedT | None, list[Problem]]:
    problems: list[Problem] = []
    parsed = cast(ParsedT | None, _record(model, args or {}, "", problems))
    if parsed is not None:
        problems += parsed.problems()
    return parsed, problems


def _record(model: type, given: object, at: str, problems: list[Problem]) -> object:
    if not isinstance(given, Mapping):
        problems.append(Problem(at or "args", None, "it is no mapping of arguments", "give names with values"))
        return None
    values, before = cast(Mapping[object, object], given), len(problems)
    prefix = f"{at}." if at else ""
    fields = {field.name: field for field in dataclasses.fields(model)}
    problems.extend(unknown(str(key), list(fields), prefix) for key in values if key not in fields)
    for key, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if key not in values and required:
            problems.append(Problem(prefix + key, None, "it is required and was not given", f"pass {key}=…"))
    read_values = {
        key: _value(field.type, values[key], prefix + key, problems) for key, field in fields.items() if key in values
    }
    return model(**read_values) if len(problems) == before else None


def _value(hint: Any, given: object, at: str, problems: list[Problem]) -> object:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _alternative(hint, given, at, problems)
    if origin is collections.abc.Sequence:
        return _sequence(get_args(hint)[0], given, at, problems)
    if origin is collections.abc.Mapping:
        return _mapping(get_args(hint)[1], given, at, problems)
    if dataclasses.is_dataclass(hint):
        return _record(cast(type, hint), given, at, problems)
    return _single(hint, given, at, problems)


def _single(hint: type, given: object, at: str, problems: list[Problem]) -> object:
    if issubclass(hint, StrEnum):
        if isinstance(given, str) and given in list(hint):
            return hint(given)
        problems.append(Problem(at, given, "there is no such choice", f"choose {', '.join(hint)}"))
        return None
    if hint is float and type(given) is int:
        return float(given)
    if not isinstance(given, hint) or (hint is int and isinstance(given, bool)):
        return _refuse(_NOUNS[hint], at, problems)
    return given


def _alternative(hint: Any, given: object, at: str, problems: list[Problem]) -> object:
    choices = get_args(hint)
    if given is None and types.NoneType in choices:
        return None
    if any(get_origin(each) is Awaitable for each in choices) and isinstance(given, pulumi.Output | Awaitable):
        return cast(object, given)  # an Input, whose value comes later
    plain = next(each for each in choices if each is not types.NoneType and get_origin(each) is not Awaitable)
    return _value(plain, given, at, problems)


def _sequence(item: Any, given: object, at: str, problems: list[Problem]) -> object:
    if not isinstance(given, list | tuple):
        return _refuse("a list", at, problems)
    items = cast(Sequence[object], given)
    return tuple(_value(item, each, f"{at}[{index}]", problems) for index, each in enumerate(items))


def _mapping(item: Any, given: object, at: str, problems: list[Problem]) -> object:
    if not isinstance(given, Mapping):
        return _refuse("a mapping", at, problems)
    values = cast(Mapping[object, object], given)
    wrong = [key for key in values if not isinstance(key, str)]
    problems.extend(Problem(at, key, "its name is no text", "give names as text") for key in wrong)
    return {key: _value(item, value, f"{at}.{key}", problems) for key, value in values.items() if isinstance(key, str)}


def _refuse(noun: str, at: str, problems: list[Problem]) -> None:
    # Its value is not shown: it may be a secret in the wrong place.
    problems.append(Problem(at, None, f"it is not {noun}", f"give {noun}"))
