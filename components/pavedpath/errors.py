"""What a caller is told when the arguments of a component cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


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


class InvalidArgumentsError(pulumi.RunError, ValueError):
    """The arguments of one component, refused before any resource was registered; names every offender."""

    def __init__(self, component: str, name: str, problems: Sequence[Problem]) -> None:
        self.component = component
        self.name = name
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        plural = "problem" if len(self.problems) == 1 else "problems"
        super().__init__(f"{component} '{name}': {len(self.problems)} {plural} in its arguments\n{lines}")
