"""How repositories and their environments are protected."""

import re
from collections.abc import Iterator, Sequence

from policy.model import (
    UNKNOWN,
    Data,
    Finding,
    Resource,
    at,
    each,
    holds,
    is_production,
    of_type,
    resource_rule,
    stack_rule,
)

_REPOSITORY = "github:index/repository:Repository"
_RULESET = "github:index/repositoryRuleset:RepositoryRuleset"
_ORGANIZATION_RULESET = "github:index/organizationRuleset:OrganizationRuleset"
_PERMISSIONS = "github:index/actionsRepositoryPermissions:ActionsRepositoryPermissions"
_FILE = "github:index/repositoryFile:RepositoryFile"
_ENVIRONMENT = "github:index/repositoryEnvironment:RepositoryEnvironment"
_DEPLOYMENT_POLICY = "github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy"


def _repositories(resources: Sequence[Resource]) -> list[Resource]:
    # An archived repository is read-only: GitHub takes neither commits nor rules for it.
    return [found for found in of_type(resources, _REPOSITORY) if found.get("archived") is not True]


@stack_rule(
    "repository-ruleset", "Every repository's branches are protected.", _REPOSITORY, _RULESET, _ORGANIZATION_RULESET
)
def repository_ruleset(resources: Sequence[Resource]) -> Iterator[Finding]:
    """An active ruleset on branches names each repository, or one of the organisation takes all of them in."""
    active = [ruleset for ruleset in of_type(resources, _RULESET, _ORGANIZATION_RULESET) if _guards_branches(ruleset)]
    for repository in _repositories(resources):
        if not any(_covers(ruleset, repository) for ruleset in active):
            yield Finding(
                "no active ruleset guards its branches",
                'add a RepositoryRuleset for it with target "branch" and enforcement "active" '
                "(the component Repository brings one)",
                repository.urn,
            )


def _guards_branches(ruleset: Resource) -> bool:
    branches = ruleset.get("conditions", "refName", "includes")
    return (
        ruleset.get("enforcement") in ("active", UNKNOWN)
        and ruleset.get("target") in ("branch", UNKNOWN)
        and (branches is UNKNOWN or bool(each(branches)))
    )


def _covers(ruleset: Resource, repository: Resource) -> bool:
    if ruleset.type == _RULESET:
        return ruleset.names("repository", repository, "name")
    names = ruleset.get("conditions", "repositoryName", "includes")
    found = (repository.get("name"), "~ALL", UNKNOWN)
    return names is UNKNOWN or any(name in found for name in each(names))


@stack_rule(
    "actions-pinned-by-sha",
    "Workflows run only actions that are pinned by commit.",
    _REPOSITORY,
    _PERMISSIONS,
)
def actions_pinned_by_sha(resources: Sequence[Resource]) -> Iterator[Finding]:
    """Each repository's Actions permissions require pinning, or switch Actions off."""
    permissions = [
        found
        for found in of_type(resources, _PERMISSIONS)
        if holds(found.get("shaPinningRequired")) or found.get("enabled") is False
    ]
    for repository in _repositories(resources):
        if not any(found.names("repository", repository, "name") for found in permissions):
            yield Finding(
                "a tag that somebody moves would run in its workflows",
                "add ActionsRepositoryPermissions for it with shaPinningRequired true "
                "(the component Repository brings it)",
                repository.urn,
            )


_TRIGGER = re.compile(
    r"""
    ^[ ]*(-[ ]*)?["']?pull_request_target["']?[ ]*([:#].*)?$  # on a line of its own, in a mapping or a list
    | ^[ ]*(["']?on["']?[ ]*:[^#\n]*|\[[^#\n]*)\bpull_request_target\b  # among others, on the line of `on` or below it
    """,
    re.MULTILINE | re.VERBOSE,
)


@resource_rule("no-pull-request-target", "No workflow gives secrets to the code of a fork.", _FILE)
def no_pull_request_target(resource: Resource) -> Iterator[Finding]:
    """The trigger pull_request_target in a workflow that the stack writes."""
    file, content = resource.get("file"), resource.get("content")
    if not (isinstance(file, str) and isinstance(content, str) and file.startswith(".github/workflows/")):
        return
    if _TRIGGER.search(content):
        yield Finding(
            "pull_request_target runs with the secrets of the repository on whatever a fork proposes",
            "trigger on pull_request, and do what needs secrets after the merge",
        )


@stack_rule(
    "production-approval",
    "Somebody approves what is deployed to production.",
    _ENVIRONMENT,
    _DEPLOYMENT_POLICY,
)
def production_approval(resources: Sequence[Resource]) -> Iterator[Finding]:
    """A production environment has reviewers, or takes deployments from its guarded branch alone.

    Production are all environments of a stack called prod, and every environment called prod.
    """
    policies = of_type(resources, _DEPLOYMENT_POLICY)
    for environment in of_type(resources, _ENVIRONMENT):
        name = environment.get("environment")
        if not is_production(environment.stack) and not (isinstance(name, str) and is_production(name)):
            continue
        if _has_reviewers(environment) or _from_approval_branch_alone(environment, policies):
            continue
        yield Finding(
            "neither reviewers nor an approval branch guard it",
            f"give it reviewers, or let it be deployed from the branch deploy/{name} alone and guard that by a ruleset",
            environment.urn,
        )


def _has_reviewers(environment: Resource) -> bool:
    reviewers = environment.get("reviewers")
    return reviewers is UNKNOWN or any(
        item is UNKNOWN or _some(at(item, "users")) or _some(at(item, "teams")) for item in each(reviewers)
    )


def _some(value: Data) -> bool:
    return value is UNKNOWN or bool(each(value))


def _from_approval_branch_alone(environment: Resource, policies: Sequence[Resource]) -> bool:
    if not holds(environment.get("deploymentBranchPolicy", "customBranchPolicies")):
        return False
    own = [
        policy
        for policy in policies
        if policy.names("repository", environment, "repository")
        and policy.names("environment", environment, "environment")
    ]
    wanted = (f"deploy/{environment.get('environment')}", UNKNOWN)
    return bool(own) and all(policy.get("branchPattern") in wanted and not policy.get("tagPattern") for policy in own)
