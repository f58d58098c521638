"""What every component shares: its type token, the way its arguments are checked, and the options of its children."""

import difflib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pulumi

from .errors import Problem


class Parsed(Protocol):
    """Arguments after parsing: a frozen dataclass that can say what is wrong with itself."""

    def problems(self) -> Iterator[Problem]:
        """Yield every argument that cannot be used; empty when all can."""
        ...


def unknown(key: str, valid: list[str], prefix: str = "") -> Problem:
    """Describe an argument that does not exist, with the nearest one that does; `prefix` is where it stands."""
    near = difflib.get_close_matches(key, valid, n=1)
    fix = f"did you mean '{near[0]}'? It takes: " if near else "it takes: "
    # Its value is not shown: a mistyped name may well hold a secret.
    return Problem(prefix + key, None, "there is no such argument", fix + ", ".join(sorted(valid)))


class Component(pulumi.ComponentResource):
    """A component resource of this library; its type token is `pavedpath:index:<class name>`."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"pavedpath:index:{type(self).__name__}", name, None, opts)

    @classmethod
    def check(cls, args: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with arguments, as the constructor would report it; empty for nothing. Pure.

        A program that makes many components asks all of them before the first resource. The arguments of a component
        are read into the dataclass of its module that has its name with an underscore.
        """
        from .shapes import problems_of

        model: type[Parsed] = getattr(sys.modules[cls.__module__], f"_{cls.__name__}")
        return problems_of(model, args)

    def child(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a resource inside this component: its parent, and what must differ.

        The component's `protect` and `retain_on_delete` stop here, which the engine would hand down: a policy, a
        permission or a rule that is made again loses nothing, and protected it could be neither changed nor removed.
        """
        return self.keeper(**{"protect": False, "retain_on_delete": False, **options})

    def keeper(self, **options: object) -> pulumi.ResourceOptions:
        """Options of a resource inside this component whose loss would lose data, or lock it for ever.

        It is protected and retained as the component is.
        """
        return pulumi.ResourceOptions(parent=self, **options)  # pyright: ignore[reportArgumentType]  # the names are those of ResourceOptions
