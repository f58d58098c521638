"""What must hold of a repository's workflows, together: correct by construction, or not made at all.

Each rule is a function that yields what breaks it; `problems` is all of them. Nothing here reads a file or asks GitHub.
"""

from collections.abc import Sequence

from pavedpath.problem import Problem

from . import deployments, gate, references, safety, structure
from .actions import Lock, default_lock
from .model import Surroundings, Workflow


def problems(workflows: Sequence[Workflow], surroundings: Surroundings, lock: Lock | None = None) -> list[Problem]:
    """Return all that is wrong with the workflows of one repository; empty for nothing.

    Args:
        workflows: all of them, since some rules are about all together.
        surroundings: what else the repository has, which they may refer to.
        lock: the actions that there are. Default: the library's own lock.
    """
    found = [*structure.problems(workflows, lock or default_lock()), *gate.problems(workflows, surroundings)]
    for workflow in workflows:
        found += references.problems(workflow, surroundings)
        found += safety.problems(workflow, workflows, surroundings)
        found += deployments.problems(workflow, surroundings)
    return list({str(each): each for each in found}.values())
