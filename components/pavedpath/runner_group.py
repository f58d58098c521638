"""Groups of self-hosted runners, and the repositories that may use them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_github as github

from .component import Component
from .errors import Problem
from .plans import Feature, Plan, Visibility, Wanted, unavailable
from .shapes import read


class RunnerGroupArgs(TypedDict):
    """Arguments of `RunnerGroup`."""

    name: str
    """Name of the group in its organisation."""
    repository_ids: Sequence[pulumi.Input[int]]
    """Numeric ids of the repositories whose jobs may use its runners, no others; see `Repository.repository_id`."""
    workflows: NotRequired[Sequence[str]]
    """The only workflows that may use them, exact: ORG/REPO/.github/workflows/FILE@refs/heads/main. Default: all."""
    plan: NotRequired[Plan]
    """The organisation's plan, to refuse what it has not. Default: not checked."""


@dataclass(frozen=True)
class _RunnerGroup:
    name: str
    repository_ids: Sequence[pulumi.Input[int]]
    workflows: Sequence[str] = ()
    plan: Plan | None = None

    def problems(self) -> Iterator[Problem]:
        if not self.name.strip() or self.name.lower() == "default":
            yield Problem("name", self.name, "GitHub refuses this name", "give one, and not Default, which exists")
        for number in self.repository_ids:
            if isinstance(number, int) and number < 1:
                yield Problem("repository_ids", number, "there is no such repository", "give its numeric id")
        for workflow in self.workflows:
            path, _, ref = workflow.partition("@")
            if not ref or "*" in workflow or "/.github/workflows/" not in path:
                fix = "write ORG/REPO/.github/workflows/FILE@refs/heads/main"
                yield Problem("workflows", workflow, "it names no exact workflow at a ref", fix)
        yield from unavailable(self.plan, Visibility.PRIVATE, Wanted("name", self.name, Feature.RUNNER_GROUPS))


class RunnerGroup(Component):
    """A group of self-hosted runners that named repositories may use.

    Creates: the group, for exact repositories, never for public ones: a pull request from a fork would run on it.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    group_name: pulumi.Output[str]
    """Name of the group, which a job names as `runs-on: {group: …}`."""
    group_id: pulumi.Output[int]
    """Numeric id of the group, which runners are registered with."""

    def __init__(self, name: str, args: RunnerGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_RunnerGroup, args, "RunnerGroup", name)
        super().__init__(name, opts)
        group = github.ActionsRunnerGroup(
            name,
            name=parsed.name,
            visibility="selected",
            selected_repository_ids=list(parsed.repository_ids),
            allows_public_repositories=False,
            restricted_to_workflows=bool(parsed.workflows),
            selected_workflows=list(parsed.workflows),
            opts=self.child(),
        )
        self.group_name = group.name
        self.group_id = group.id.apply(numeric_id)
        self.register_outputs({"group_name": self.group_name, "group_id": self.group_id})


def numeric_id(identifier: str) -> int:
    """Read a provider's id, which is the number itself; under mocks it is a name, which is none."""
    return int(identifier) if identifier.isdigit() else 0
