"""What a caller gave, held against its annotation: who composes workflows may have no type checker.

Understands what this package's values are made of: classes, unions, `Sequence[…]`, `Mapping[…, …]`, dataclasses, enums.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from pavedpath.problem import Problem


def mistyped(argument: str, value: object, wanted: Any) -> Iterator[Problem]:
    """Yield what is not of the type that an annotation names, down to every element and field.

    Args:
        argument: name of what holds the value.
        value: what the caller gave.
        wanted: the annotation: a class, a union, `Sequence[…]`, `Mapping[str, …]`.
    """
    origin, parts = _taken_apart(wanted)
    if origin is UnionType:
        found: list[list[Problem]] = []
        for each in parts:
            found.append(list(mistyped(argument, value, each)))
            if not found[-1]:
                return
        # A part that holds it, but is wrong within, says more than that no part fits.
        within = [each for each in found if not any(problem.argument == argument for problem in each)]
        yield from (within or [[_wrong(argument, value, wanted)]])[0]
    elif not _is(value, origin or wanted):
        yield _wrong(argument, value, wanted)
    elif origin is Sequence:
        for index, each in enumerate(cast("Sequence[object]", value)):
            yield from mistyped(f"{argument}[{index}]", each, parts[0])
    elif origin is Mapping:
        for key, each in cast("Mapping[object, object]", value).items():
            yield from mistyped(argument, key, parts[0])
            yield from mistyped(f"{argument}.{key}", each, parts[1])
    elif is_dataclass(value):
        hints = _hints(type(value))
        for field in fields(value):
            at = f"{argument}.{field.name}" if argument else field.name
            yield from mistyped(at, getattr(value, field.name), hints[field.name])


_hints = cache(get_type_hints)
"""By class: reading them takes longer than all else here."""


@cache
def _taken_apart(wanted: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(wanted), get_args(wanted)


def _is(value: object, wanted: type) -> bool:
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    if wanted is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return isinstance(value, int | float if wanted is float else wanted)


_WORDS: Mapping[object, str] = {
    str: "a text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Sequence: "a list",
    Mapping: "a mapping",
    type(None): "None",
}


def _called(wanted: Any) -> str:
    if get_origin(wanted) is UnionType:
        return " or ".join(_called(each) for each in get_args(wanted))
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return "one of " + ", ".join(f"{wanted.__name__}.{each.name}" for each in wanted)
    plain = cast("object", get_origin(wanted) or wanted)
    return _WORDS.get(plain, f"a value of the class {getattr(plain, '__name__', plain)}")


def _wrong(argument: str, value: object, wanted: Any) -> Problem:
    why = f"its type is {type(value).__name__}, and it must be {_called(wanted)}"
    choices = wanted if isinstance(wanted, type) and issubclass(wanted, Enum) else ()
    meant = next((each for each in choices if str(value).lower() == each.value), None)
    return Problem(
        argument, value, why, f"give {_called(wanted) if meant is None else f'{wanted.__name__}.{meant.name}'}"
    )


def items(value: object) -> Sequence[object]:
    """Return the elements of a list; none of anything else, which `mistyped` names."""
    return cast("Sequence[object]", value) if _is(value, cast("type", Sequence)) else ()
