"""One thing that is wrong with what a caller gave. Without Pulumi: what only renders text need not load it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One offender: which argument, what it holds (None: not shown), why that cannot be, and what to do."""

    argument: str
    value: object
    why: str
    fix: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        return f"{self.argument}{shown if len(shown) <= 80 else shown[:77] + '...'}: {self.why}. Fix: {self.fix}."


def refuse(what: str, name: str, problems: Sequence[Problem]) -> None:
    """Raise an error that names every problem, if there is any.

    Args:
        what: whose arguments they are, for example a component or a function.
        name: the one that was to be made.
        problems: what is wrong.

    Raises:
        InvalidArgumentsError: there is a problem. Pulumi, to which the error belongs, is loaded only then.
    """
    if problems:
        from .errors import InvalidArgumentsError

        raise InvalidArgumentsError(what, name, problems)
