"""What every component shares: its type token and the way its arguments are parsed."""

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

import pulumi

from .errors import InvalidArgumentsError, Problem


class Parsed(Protocol):
    """Arguments after parsing: a frozen dataclass that can say what is wrong with itself."""

    def problems(self) -> Iterator[Problem]:
        """Yield every argument that cannot be used; empty when all can."""
        ...


ParsedT = TypeVar("ParsedT", bound=Parsed)


def parse(model: type[ParsedT], args: Mapping[str, object] | None, component: str, name: str) -> ParsedT:
    """Turn a component's TypedDict into its frozen dataclass.

    Unknown names, missing names and unusable values are reported together.

    Raises:
        InvalidArgumentsError: names every offender, with the nearest valid name for an unknown one.
    """
    given = dict(args or {})
    fields = {field.name: field for field in dataclasses.fields(model)}  # pyright: ignore[reportArgumentType]  # a Protocol cannot say "is a dataclass"
    problems = [_unknown(key, list(fields)) for key in given if key not in fields]
    problems += [
        Problem(key, None, "it is required and was not given", f"pass {key}=…")
        for key, field in fields.items()
        if key not in given and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if problems:
        raise InvalidArgumentsError(component, name, problems)
    parsed = model(**given)
    problems = list(parsed.problems())
    if problems:
        raise InvalidArgumentsError(component, name, problems)
    return parsed


def _unknown(key: str, valid: list[str]) -> Problem:
    near = difflib.get_close_matches(key, valid, n=1)
    fix = f"did you mean '{near[0]}'? It takes: " if near else "it takes: "
    # Its value is not shown: a mistyped name may well hold a secret.
    return Problem(key, None, "there is no such argument", fix + ", ".join(sorted(valid)))


class Component(pulumi.ComponentResource):
    """A component resource of this library; its type token is `pavedpath:index:<class name>`."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"pavedpath:index:{type(self).__name__}", name, None, opts)

    def child(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a resource inside this component: its parent, and what must differ."""
        return pulumi.ResourceOptions(parent=self, **options)  # pyright: ignore[reportArgumentType]  # the names are those of ResourceOptions
