"""The environments that repositories deploy to, and who must agree before that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_github as github

from .component import Component
from .errors import Problem
from .names import ENVIRONMENT, LOGIN, SECRET, TEAM_SLUG
from .plans import Approval, Feature, Plan, Visibility, Wanted, unavailable
from .rulesets import approval_branch, check_patterns
from .shapes import read
from .workflows import APPROVERS

_MAIN = ("main",)
_MOST_REVIEWERS = 6
_LONGEST_WAIT = 43_200


class RepositoryEnvironmentArgs(TypedDict):
    """Arguments of `RepositoryEnvironment`."""

    repository: pulumi.Input[str]
    """Name of the repository."""
    environment: str
    """Name of the environment, for example dev."""
    branches: NotRequired[Sequence[str]]
    """Patterns of the branches that may deploy to it. Default: main; with approval branch deploy/<environment>."""
    variables: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Variables that only jobs of this environment read. Default: none."""
    secrets: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Secrets that only jobs of this environment read. Default: none."""
    wait_timer_minutes: NotRequired[int]
    """Minutes that a deployment waits before it starts, 0 to 43200. Default: 0."""
    tags: NotRequired[Sequence[str]]
    """Patterns of the tags that may deploy, too. Default: none."""
    protected_branches_only: NotRequired[bool]
    """Whether every branch with rules may deploy, and no other; excludes branches and tags. Default: false."""
    approval: NotRequired[Approval]
    """Who must agree to a deployment, and what enforces it. Default: none, or reviewers where some are named."""
    reviewer_teams: NotRequired[Sequence[pulumi.Input[str]]]
    """Slugs or numeric ids of teams with access to the repository; with the users up to six. Default: none."""
    reviewer_users: NotRequired[Sequence[pulumi.Input[str]]]
    """Logins or numeric ids of users with access to the repository. Default: none."""
    prevent_self_review: NotRequired[bool]
    """Whether who started a deployment may not agree to it. Default: true where there are reviewers."""
    approvers: NotRequired[Sequence[str]]
    """Logins of those who may start a deployment, with approval dispatch. Default: none."""
    plan: NotRequired[Plan]
    """The organisation's plan, to refuse what it has not. Default: not checked."""
    visibility: NotRequired[Visibility]
    """The repository's visibility, which decides what the plan allows. Default: private."""


@dataclass(frozen=True)
class _RepositoryEnvironment:
    repository: pulumi.Input[str]
    environment: str
    branches: Sequence[str] | None = None
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    wait_timer_minutes: int = 0
    tags: Sequence[str] = ()
    protected_branches_only: bool = False
    approval: Approval | None = None
    reviewer_teams: Sequence[pulumi.Input[str]] = ()
    reviewer_users: Sequence[pulumi.Input[str]] = ()
    prevent_self_review: bool | None = None
    approvers: Sequence[str] = ()
    plan: Plan | None = None
    visibility: Visibility = Visibility.PRIVATE

    @property
    def approved_by(self) -> Approval:
        reviewed = self.reviewer_teams or self.reviewer_users
        return self.approval or (Approval.REVIEWERS if reviewed else Approval.NONE)

    @property
    def deploying_branches(self) -> Sequence[str]:
        if self.protected_branches_only:
            return ()
        if self.approved_by is Approval.BRANCH:
            return (approval_branch(self.environment),)
        return _MAIN if self.branches is None else self.branches

    @property
    def all_variables(self) -> Mapping[str, pulumi.Input[str]]:
        if self.approved_by is not Approval.DISPATCH:
            return self.variables
        return {**self.variables, APPROVERS: " ".join(sorted(login.lower() for login in self.approvers))}

    def problems(self) -> Iterator[Problem]:
        if not 0 < len(self.environment.strip()) <= 255 or not self.environment.isprintable():
            yield Problem("environment", self.environment, "GitHub refuses this name", "use 1 to 255 characters")
        for argument, names in (("variables", self.variables), ("secrets", self.secrets)):
            for name in names:
                yield from SECRET.check(argument, name)
        yield from self._sources()
        if not 0 <= self.wait_timer_minutes <= _LONGEST_WAIT:
            yield Problem(
                "wait_timer_minutes", self.wait_timer_minutes, "GitHub waits 0 to 43200 minutes (30 days)", "choose so"
            )
        yield from self._reviewers()
        yield from self._approval()
        yield from unavailable(self.plan, self.visibility, *self._wanted())

    def _sources(self) -> Iterator[Problem]:
        if self.protected_branches_only:
            for argument, given in (("branches", self.branches), ("tags", self.tags)):
                if given:
                    why = "GitHub takes protected branches or named ones, not both"
                    yield Problem(argument, list(given), why, "leave it out, or protected_branches_only")
            return
        if self.branches is not None and not self.branches and not self.tags:
            yield Problem("branches", [], "no branch could deploy", "name at least one pattern")
        yield from check_patterns("branches", self.branches or ())
        yield from check_patterns("tags", self.tags)

    def _reviewers(self) -> Iterator[Problem]:
        count = len(self.reviewer_teams) + len(self.reviewer_users)
        if count > _MOST_REVIEWERS:
            fix = "name a team; one of its members is enough"
            yield Problem("reviewer_teams", count, "GitHub asks at most six users and teams", fix)
        checks = (
            ("reviewer_teams", self.reviewer_teams, TEAM_SLUG),
            ("reviewer_users", self.reviewer_users, LOGIN),
        )
        for argument, given, rule in checks:
            for each in given:
                if isinstance(each, str):
                    yield from rule.check(argument, each)
            plain = [each.lower() for each in given if isinstance(each, str)]
            if len(set(plain)) < len(plain):
                yield Problem(argument, plain, "one is named twice", "name each once")
        if self.prevent_self_review and not count:
            yield Problem("prevent_self_review", True, "nobody reviews", "name reviewers")

    def _approval(self) -> Iterator[Problem]:
        approval, count = self.approved_by, len(self.reviewer_teams) + len(self.reviewer_users)
        if (approval is Approval.REVIEWERS) != bool(count):
            fix = "name reviewer_teams or reviewer_users" if not count else "leave reviewers out, or approval"
            yield Problem("approval", str(approval), "reviewers and this approval go together", fix)
        if (approval is Approval.DISPATCH) != bool(self.approvers):
            fix = "give approvers and approval dispatch, or neither"
            yield Problem("approvers", list(self.approvers), "approvers and approval dispatch go together", fix)
        for login in self.approvers:
            yield from LOGIN.check("approvers", login)
        if approval in (Approval.BRANCH, Approval.DISPATCH) and (self.tags or self.protected_branches_only):
            argument = "tags" if self.tags else "protected_branches_only"
            why = "a deployment from there would go past the approval"
            yield Problem(argument, list(self.tags) or True, why, "leave it out, or choose another approval")
        if approval is Approval.BRANCH:
            yield from ENVIRONMENT.check("environment", self.environment)
            if self.branches is not None and tuple(self.branches) != (approval_branch(self.environment),):
                why = f"only {approval_branch(self.environment)} deploys with approval branch"
                yield Problem("branches", list(self.branches), why, "leave it out")
        if (
            approval is Approval.DISPATCH
            and len(self.branches or _MAIN) + any("*" in b for b in self.branches or ()) != 1
        ):
            why = "who may push to another branch could leave the check of approvers out of its workflow"
            yield Problem("branches", list(self.branches or ()), why, "name the default branch only")
        if approval is Approval.DISPATCH and APPROVERS in self.variables:
            yield Problem("variables", APPROVERS, "it is made of approvers", "leave it out")

    def _wanted(self) -> Iterator[Wanted]:
        yield Wanted("environment", self.environment, Feature.ENVIRONMENTS)
        if self.approved_by is Approval.REVIEWERS:
            yield Wanted("approval", str(self.approved_by), Feature.REQUIRED_REVIEWERS)
        if self.wait_timer_minutes:
            yield Wanted("wait_timer_minutes", self.wait_timer_minutes, Feature.WAIT_TIMER)


class RepositoryEnvironment(Component):
    """One environment of a repository: what may deploy to it, who must agree, and what its jobs are given.

    Creates: the environment, whose rules no administrator bypasses; a deployment policy for each branch pattern and
    each tag pattern; its variables and secrets; with approval dispatch the variable DEPLOY_APPROVERS.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    environment: pulumi.Output[str]
    """Name of the environment."""

    def __init__(self, name: str, args: RepositoryEnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_RepositoryEnvironment, args, "RepositoryEnvironment", name)
        super().__init__(name, opts)
        reviewed = parsed.approved_by is Approval.REVIEWERS
        only_protected = parsed.protected_branches_only
        environment = github.RepositoryEnvironment(
            name,
            repository=parsed.repository,
            environment=parsed.environment,
            wait_timer=parsed.wait_timer_minutes,
            can_admins_bypass=False,
            prevent_self_review=(parsed.prevent_self_review is not False) if reviewed else None,
            reviewers=[self._reviewers(parsed)] if reviewed else None,
            deployment_branch_policy={
                "protected_branches": only_protected,
                "custom_branch_policies": not only_protected,
            },
            opts=self.child(),
        )
        self.environment = environment.environment
        self._policies(name, parsed)
        self._contents(name, parsed)
        self.register_outputs({"environment": self.environment})

    def _reviewers(self, parsed: _RepositoryEnvironment) -> github.RepositoryEnvironmentReviewerArgsDict:
        options = pulumi.InvokeOutputOptions(parent=self)
        found: github.RepositoryEnvironmentReviewerArgsDict = {}
        if parsed.reviewer_teams:
            found["teams"] = [_number(each) or _team_id(each, options) for each in parsed.reviewer_teams]
        if parsed.reviewer_users:
            found["users"] = [_number(each) or _user_id(each, options) for each in parsed.reviewer_users]
        return found

    def _policies(self, name: str, parsed: _RepositoryEnvironment) -> None:
        policies: list[tuple[str, dict[str, Any]]] = [
            *((f"{name}-{pattern}", {"branch_pattern": pattern}) for pattern in parsed.deploying_branches),
            *((f"{name}-tag:{pattern}", {"tag_pattern": pattern}) for pattern in parsed.tags),
        ]
        for logical, pattern in policies:
            github.RepositoryEnvironmentDeploymentPolicy(
                logical, repository=parsed.repository, environment=self.environment, **pattern, opts=self.child()
            )

    def _contents(self, name: str, parsed: _RepositoryEnvironment) -> None:
        for variable, value in parsed.all_variables.items():
            github.ActionsEnvironmentVariable(
                f"{name}-{variable}",
                repository=parsed.repository,
                environment=self.environment,
                variable_name=variable,
                value=value,
                opts=self.child(),
            )
        for secret, value in parsed.secrets.items():
            github.ActionsEnvironmentSecret(
                f"{name}-{secret}",
                repository=parsed.repository,
                environment=self.environment,
                secret_name=secret,
                value=pulumi.Output.secret(value),
                opts=self.child(),
            )


def _number(given: pulumi.Input[str]) -> int | None:
    return int(given) if isinstance(given, str) and given.isdecimal() else None


def _team_id(slug: pulumi.Input[str], options: pulumi.InvokeOutputOptions) -> pulumi.Output[int]:
    return github.get_team_output(slug=slug, summary_only=True, opts=options).id.apply(int)


def _user_id(login: pulumi.Input[str], options: pulumi.InvokeOutputOptions) -> pulumi.Output[int]:
    return github.get_user_output(username=login, opts=options).id.apply(int)
