"""What must hold of a repository's workflows, together: correct by construction, or not made at all.

Each rule is a function that yields what breaks it; `problems` is all of them. Nothing here reads a file or asks GitHub.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pavedpath.problem import Problem

from . import deployments, gate, references, safety, structure
from .actions import Lock, default_lock
from .model import Surroundings, Workflow
from .typed import items, mistyped


def problems(workflows: Sequence[Workflow], surroundings: Surroundings, lock: Lock | None = None) -> list[Problem]:
    """Return all that is wrong with the workflows of one repository; empty for nothing.

    Where something is of another type than its annotation, that alone is returned: nothing can be told of the rest.

    Args:
        workflows: all of them, since some rules are about all together.
        surroundings: what else the repository has, which they may refer to.
        lock: the actions that there are. Default: the library's own lock.
    """
    if wrong := list(_mistyped(workflows, surroundings)):
        return wrong
    found = [*structure.problems(workflows, lock or default_lock()), *gate.problems(workflows, surroundings)]
    for workflow in workflows:
        found += references.problems(workflow, surroundings)
        found += safety.problems(workflow, workflows, surroundings)
        found += deployments.problems(workflow, surroundings)
    return list({str(each): each for each in found}.values())


def _mistyped(workflows: Sequence[Workflow], surroundings: Surroundings) -> Iterator[Problem]:
    yield from mistyped("surroundings", surroundings, Surroundings)
    if not items(workflows):
        yield from mistyped("workflows", workflows, Sequence[Workflow])
    for index, workflow in enumerate(items(workflows)):
        if not isinstance(workflow, Workflow):
            yield from mistyped(f"workflows[{index}]", workflow, Workflow)
            continue
        for each in mistyped("", workflow, Workflow):
            yield replace(each, argument=f"{workflow.file}: {each.argument}")
