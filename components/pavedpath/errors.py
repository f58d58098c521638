"""What a caller is told when the arguments of a component cannot be used."""

from collections.abc import Sequence

import pulumi

from .problem import Problem

__all__ = ["InvalidArgumentsError", "Problem"]


class InvalidArgumentsError(pulumi.RunError, ValueError):
    """The arguments of one component, refused before any resource was registered; names every offender."""

    def __init__(self, component: str, name: str, problems: Sequence[Problem]) -> None:
        self.component = component
        self.name = name
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        plural = "problem" if len(self.problems) == 1 else "problems"
        super().__init__(f"{component} '{name}': {len(self.problems)} {plural} in its arguments\n{lines}")
