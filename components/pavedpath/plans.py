"""What GitHub's plans allow, as a table of plain data, and what is left to those who have not the plan.

The plan is the organisation's own; nothing asks GitHub for it. Without a plan nothing is checked here, and GitHub
refuses at deployment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from .problem import Problem


class Visibility(StrEnum):
    """Who sees a repository."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


class Plan(StrEnum):
    """Plan of a GitHub organisation."""

    FREE = "free"
    TEAM = "team"
    ENTERPRISE = "enterprise"


class Approval(StrEnum):
    """Who must agree before a deployment to an environment, and what enforces it."""

    NONE = "none"
    """Nobody; the environment's branches and tags are the only limit."""
    REVIEWERS = "reviewers"
    """One of up to six users and teams, asked by GitHub at each deployment."""
    BRANCH = "branch"
    """The approvals of a pull request into `deploy/<environment>`, the only branch that deploys."""
    DISPATCH = "dispatch"
    """A run that an approver starts by hand on the default branch, checked by the workflow itself."""


class Feature(StrEnum):
    """What needs a plan on some repositories."""

    INTERNAL_REPOSITORY = "internal repositories"
    RULESETS = "rulesets"
    MERGE_QUEUE = "merge queues"
    CODE_OWNERS = "required reviews of code owners"
    AUTO_MERGE = "auto-merge"
    WIKI = "wikis"
    ENVIRONMENTS = "environments with their secrets and variables"
    REQUIRED_REVIEWERS = "required reviewers"
    WAIT_TIMER = "wait timers"
    SECRET_SCANNING = "secret scanning and its push protection"  # noqa: S105  # the name of a feature
    RUNNER_GROUPS = "runner groups"


@dataclass(frozen=True)
class Requirement:
    """What one feature needs.

    Attributes:
        private: lowest plan for private and internal repositories.
        public: lowest plan for public repositories; None where there is no such thing.
        source: title of the page of GitHub's documentation that says so.
        alternative: what a lower plan can do instead.
        product: what must be bought besides the plan for private repositories; empty for nothing.
    """

    private: Plan
    public: Plan | None
    source: str
    alternative: str
    product: str = ""

    def least(self, visibility: Visibility) -> Plan | None:
        """Return the lowest plan for repositories of a visibility."""
        return self.public if visibility is Visibility.PUBLIC else self.private


_PUBLIC = "make the repository public"

REQUIREMENTS: dict[Feature, Requirement] = {
    Feature.INTERNAL_REPOSITORY: Requirement(
        Plan.ENTERPRISE, None, "About repositories", "make it private and give a team of everybody the pull permission"
    ),
    Feature.RULESETS: Requirement(Plan.TEAM, Plan.FREE, "About rulesets", _PUBLIC),
    Feature.MERGE_QUEUE: Requirement(
        Plan.ENTERPRISE,
        Plan.FREE,
        "Managing a merge queue",
        "leave it out: branches must be up to date with the default branch anyway",
    ),
    Feature.CODE_OWNERS: Requirement(
        Plan.TEAM, Plan.FREE, "About code owners", "leave code_owner_reviews out and raise approvals"
    ),
    Feature.AUTO_MERGE: Requirement(
        Plan.TEAM, Plan.FREE, "Managing auto-merge for pull requests in your repository", "merge by hand"
    ),
    Feature.WIKI: Requirement(Plan.TEAM, Plan.FREE, "About wikis", "keep pages in the repository, below docs/"),
    Feature.ENVIRONMENTS: Requirement(
        Plan.TEAM, Plan.FREE, "Managing environments for deployment", f"{_PUBLIC}, or use secrets of the repository"
    ),
    Feature.REQUIRED_REVIEWERS: Requirement(
        Plan.ENTERPRISE,
        Plan.FREE,
        "Deployments and environments",
        "approval: branch (a pull request into deploy/<environment> with its approvals); approval: dispatch makes no"
        " two people agree, and the policies refuse it for prod",
    ),
    Feature.WAIT_TIMER: Requirement(
        Plan.ENTERPRISE,
        Plan.FREE,
        "Deployments and environments",
        "leave it at 0 and let the workflow watch what runs before it goes on",
    ),
    Feature.SECRET_SCANNING: Requirement(
        Plan.TEAM,
        Plan.FREE,
        "About secret scanning",
        "run trufflehog or gitleaks as one of the checks",
        product="GitHub Secret Protection",
    ),
    Feature.RUNNER_GROUPS: Requirement(
        Plan.TEAM,
        Plan.TEAM,
        "Managing access to self-hosted runners using groups",
        "register the runners with one repository, or use the group Default",
    ),
}


@dataclass(frozen=True)
class Wanted:
    """One argument that asks for a feature."""

    argument: str
    value: object
    feature: Feature


def unavailable(plan: Plan | None, visibility: Visibility, *wanted: Wanted) -> Iterator[Problem]:
    """Yield a problem for each wanted feature that the plan has not: the plan that has, and the free alternative.

    Pure; with no plan it yields nothing. What must be bought besides a plan cannot be seen from here, so that only
    the plan below it is refused.
    """
    if plan is None:
        return
    order = list(Plan)
    for each in wanted:
        requirement = REQUIREMENTS[each.feature]
        least = requirement.least(visibility)
        if least is not None and order.index(plan) >= order.index(least):
            continue
        yield Problem(each.argument, each.value, _why(each.feature, requirement, plan, visibility), _fix(requirement))


def _why(feature: Feature, requirement: Requirement, plan: Plan, visibility: Visibility) -> str:
    least = requirement.least(visibility)
    if least is None:
        return f"GitHub has no {feature} for {visibility} repositories ('{requirement.source}')"
    bought = f" and {requirement.product}" if requirement.product and visibility is not Visibility.PUBLIC else ""
    whose = "" if requirement.private is requirement.public else f" of {visibility} repositories"
    return (
        f"{feature}{whose} need GitHub {least.title()}{bought}, and the plan is {plan.title()} ('{requirement.source}')"
    )


def _fix(requirement: Requirement) -> str:
    return f"without a larger plan, {requirement.alternative}"
