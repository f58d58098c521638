"""GitHub repositories, the rules that protect them, and the environments that they deploy to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_github as github

from .component import Component, parse
from .errors import Problem
from .names import REPOSITORY, SECRET
from .workflows import GATE, GITHUB_ACTIONS_APP, ChecksWorkflow

ORGANIZATION_ADMIN = 1
"""Actor id that a ruleset uses for the role of organisation administrator."""


class Visibility(StrEnum):
    """Who sees a repository."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


class RepositoryArgs(TypedDict):
    """Arguments of `Repository`."""

    name: str
    """Name of the repository in its organisation."""
    checks: Mapping[str, str]
    """Shell command of each check by job id, for example {"test": "make test"}."""
    description: NotRequired[str]
    """One line about the repository. Default: empty."""
    visibility: NotRequired[Visibility]
    """Default: private."""
    topics: NotRequired[Sequence[str]]
    """Topics. Default: none."""
    approvals: NotRequired[int]
    """Approving reviews that a pull request needs, 0 to 10. Default: 1."""


@dataclass(frozen=True)
class _Repository:
    name: str
    checks: Mapping[str, str]
    description: str = ""
    visibility: Visibility = Visibility.PRIVATE
    topics: Sequence[str] = ()
    approvals: int = 1

    def problems(self) -> Iterator[Problem]:
        yield from REPOSITORY.check("name", self.name)
        if not 0 <= self.approvals <= 10:
            yield Problem("approvals", self.approvals, "GitHub counts 0 to 10", "choose 0 to 10")
        yield from ChecksWorkflow(self.checks).problems()


class Repository(Component):
    """A repository whose default branch takes reviewed and checked pull requests only.

    Creates: the repository (squash merges, branch deleted on merge); vulnerability alerts; read-only default token of
    its workflows; actions allowed only when pinned by commit; the checks workflow as a file; and, after the file, a
    ruleset on the default branch: pull request with `approvals` approvals (stale ones dismissed), the workflow's gate
    required and up to date with the branch, no deletion, no force push. Organisation administrators may bypass it,
    since the next change of the workflow file is written by whoever runs the deployment.

    The default branch is `main`, as in an organisation that has not chosen another name for new repositories.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    repository_name: pulumi.Output[str]
    """Name of the repository."""
    repository_id: pulumi.Output[int]
    """Numeric id of the repository."""
    url: pulumi.Output[str]
    """Address of the repository's page."""
    ruleset: pulumi.Output[str]
    """Name of the ruleset on the default branch."""

    def __init__(self, name: str, args: RepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_Repository, args, "Repository", name)
        super().__init__(name, opts)
        repository = self._repository(name, parsed)
        workflow = ChecksWorkflow(parsed.checks)
        file = github.RepositoryFile(
            f"{name}-checks",
            repository=repository.name,
            branch="main",
            file=workflow.path,
            content=workflow.render(),
            commit_message="Write the checks workflow",
            overwrite_on_create=True,
            opts=self.child(),
        )
        ruleset = self._ruleset(name, repository, parsed.approvals, file)
        self.repository_name = repository.name
        self.repository_id = repository.repo_id
        self.url = repository.html_url
        self.ruleset = ruleset.name
        self.register_outputs(
            {
                "repository_name": self.repository_name,
                "repository_id": self.repository_id,
                "url": self.url,
                "ruleset": self.ruleset,
            }
        )

    def _repository(self, name: str, parsed: _Repository) -> github.Repository:
        repository = github.Repository(
            name,
            name=parsed.name,
            description=parsed.description,
            visibility=str(parsed.visibility),
            topics=list(parsed.topics),
            auto_init=True,
            has_issues=True,
            has_projects=False,
            has_wiki=False,
            allow_merge_commit=False,
            allow_rebase_merge=False,
            allow_squash_merge=True,
            allow_update_branch=True,
            delete_branch_on_merge=True,
            opts=self.child(),
        )
        github.RepositoryVulnerabilityAlerts(name, repository=repository.name, enabled=True, opts=self.child())
        github.WorkflowRepositoryPermissions(
            name,
            repository=repository.name,
            default_workflow_permissions="read",
            can_approve_pull_request_reviews=False,
            opts=self.child(),
        )
        github.ActionsRepositoryPermissions(
            name, repository=repository.name, allowed_actions="all", sha_pinning_required=True, opts=self.child()
        )
        return repository

    def _ruleset(
        self, name: str, repository: github.Repository, approvals: int, file: github.RepositoryFile
    ) -> github.RepositoryRuleset:
        return github.RepositoryRuleset(
            name,
            name="default-branch",
            repository=repository.name,
            target="branch",
            enforcement="active",
            conditions={"ref_name": {"includes": ["~DEFAULT_BRANCH"], "excludes": []}},
            rules={
                "deletion": True,
                "non_fast_forward": True,
                "pull_request": {
                    "required_approving_review_count": approvals,
                    "dismiss_stale_reviews_on_push": True,
                    "required_review_thread_resolution": True,
                    "allowed_merge_methods": ["squash"],
                },
                "required_status_checks": {
                    "required_checks": [{"context": GATE, "integration_id": GITHUB_ACTIONS_APP}],
                    "strict_required_status_checks_policy": True,
                },
            },
            bypass_actors=[
                {"actor_id": ORGANIZATION_ADMIN, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}
            ],
            opts=self.child(depends_on=[file]),  # a ruleset that came first would refuse the file
        )


class RepositoryEnvironmentArgs(TypedDict):
    """Arguments of `RepositoryEnvironment`."""

    repository: pulumi.Input[str]
    """Name of the repository."""
    environment: str
    """Name of the environment, for example dev."""
    branches: NotRequired[Sequence[str]]
    """Patterns of the branches that may deploy to it. Default: main."""
    variables: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Variables that only jobs of this environment read. Default: none."""
    secrets: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Secrets that only jobs of this environment read. Default: none."""
    wait_timer_minutes: NotRequired[int]
    """Minutes that a deployment waits before it starts, 0 to 43200. Default: 0."""


@dataclass(frozen=True)
class _RepositoryEnvironment:
    repository: pulumi.Input[str]
    environment: str
    branches: Sequence[str] = ("main",)
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    wait_timer_minutes: int = 0

    def problems(self) -> Iterator[Problem]:
        for argument, names in (("variables", self.variables), ("secrets", self.secrets)):
            for name in names:
                yield from SECRET.check(argument, name)
        if not self.branches:
            yield Problem("branches", self.branches, "no branch could deploy", "name at least one pattern")
        if not 0 <= self.wait_timer_minutes <= 43_200:
            yield Problem(
                "wait_timer_minutes", self.wait_timer_minutes, "GitHub waits 0 to 43200 minutes (30 days)", "choose so"
            )


class RepositoryEnvironment(Component):
    """One environment of a repository: which branches may deploy to it, and what its jobs are given.

    Creates: the environment; a deployment policy for each branch pattern; its variables and secrets.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    environment: pulumi.Output[str]
    """Name of the environment."""

    def __init__(self, name: str, args: RepositoryEnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_RepositoryEnvironment, args, "RepositoryEnvironment", name)
        super().__init__(name, opts)
        environment = github.RepositoryEnvironment(
            name,
            repository=parsed.repository,
            environment=parsed.environment,
            wait_timer=parsed.wait_timer_minutes,
            can_admins_bypass=False,
            deployment_branch_policy={"protected_branches": False, "custom_branch_policies": True},
            opts=self.child(),
        )
        self.environment = environment.environment
        for pattern in parsed.branches:
            github.RepositoryEnvironmentDeploymentPolicy(
                f"{name}-{pattern}",
                repository=parsed.repository,
                environment=environment.environment,
                branch_pattern=pattern,
                opts=self.child(),
            )
        for variable, value in parsed.variables.items():
            github.ActionsEnvironmentVariable(
                f"{name}-{variable}",
                repository=parsed.repository,
                environment=environment.environment,
                variable_name=variable,
                value=value,
                opts=self.child(),
            )
        for secret, value in parsed.secrets.items():
            github.ActionsEnvironmentSecret(
                f"{name}-{secret}",
                repository=parsed.repository,
                environment=environment.environment,
                secret_name=secret,
                value=pulumi.Output.secret(value),
                opts=self.child(),
            )
        self.register_outputs({"environment": self.environment})
