"""Looks in GitHub for a resource whose creation was interrupted.

The ids are those that the provider imports: `*Import` functions of terraform-provider-github 6.13, where parts are
joined with `:` and a `:` inside a part is written `??`.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.github import GitHub, connect
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Reality, Repeatable, Unclear

Finder: TypeAlias = Callable[[GitHub, PendingOperation], Reality]


def _part(text: str) -> str:
    return text.replace(":", "??")


def _path(text: str) -> str:
    return quote(text, safe="")


def _repo(github: GitHub, operation: PendingOperation) -> str:
    return f"repos/{github.owner}/{operation.text('repository')}"


def _named(items: list[Mapping[str, Any]], field: str, value: str) -> list[Mapping[str, Any]]:
    return [item for item in items if str(item.get(field)) == value]


def _one_of(found: list[Mapping[str, Any]], prefix: str = "") -> Reality:
    if len(found) > 1:
        return Unclear(f"several could be it: {', '.join(str(item['id']) for item in found)}")
    return Exists(f"{prefix}{found[0]['id']}") if found else Absent()


def _repository(github: GitHub, operation: PendingOperation) -> Reality:
    name = operation.text("name")
    # Seeded: an import does not know flags such as `auto_init`, and would take them for changes.
    return Exists(name, seeded=True) if github.get(f"repos/{github.owner}/{name}") else Absent()


def _repository_ruleset(github: GitHub, operation: PendingOperation) -> Reality:
    found = _named(github.every(f"{_repo(github, operation)}/rulesets"), "name", operation.text("name"))
    # The list also shows the organisation's rulesets that apply to the repository.
    own = [item for item in found if item.get("source_type", "Repository") == "Repository"]
    return _one_of(own, f"{operation.text('repository')}:")


def _organization_ruleset(github: GitHub, operation: PendingOperation) -> Reality:
    return _one_of(_named(github.every(f"orgs/{github.owner}/rulesets"), "name", operation.text("name")))


def _environment(github: GitHub, operation: PendingOperation) -> Reality:
    name = operation.text("environment")
    found = github.get(f"{_repo(github, operation)}/environments/{_path(name)}")
    return Exists(f"{operation.text('repository')}:{_part(name)}") if found else Absent()


def _deployment_policy(github: GitHub, operation: PendingOperation) -> Reality:
    environment = operation.text("environment")
    path = f"{_repo(github, operation)}/environments/{_path(environment)}/deployment-branch-policies"
    pattern = operation.text("branchPattern", "tagPattern")
    kind = "branch" if operation.text("branchPattern") else "tag"
    found = _named(github.every(path, "branch_policies"), "name", pattern)
    same_kind = [item for item in found if item.get("type", "branch") == kind]
    return _one_of(same_kind, f"{operation.text('repository')}:{_part(environment)}:")


def _file(github: GitHub, operation: PendingOperation) -> Reality:
    file, branch = operation.text("file"), operation.text("branch")
    params = {"ref": branch} if branch else {}
    found = github.get(f"{_repo(github, operation)}/contents/{quote(file)}", **params)
    # Seeded where the id is that of the state: an import sets `overwrite_on_create` back, and the change that this
    # makes could not be pushed once a ruleset protects the branch.
    identifier = f"{operation.text('repository')}:{_part(file)}:{branch}"
    return Exists(identifier, seeded=bool(branch)) if found else Absent()


def _variable(github: GitHub, operation: PendingOperation) -> Reality:
    name, environment = operation.text("variableName"), operation.text("environment")
    below = f"environments/{_path(environment)}" if environment else "actions"
    if github.get(f"{_repo(github, operation)}/{below}/variables/{_path(name)}") is None:
        return Absent()
    parts = [operation.text("repository"), *([_part(environment)] if environment else []), name]
    return Exists(":".join(parts))


def _organization_variable(github: GitHub, operation: PendingOperation) -> Reality:
    name = operation.text("variableName")
    return Exists(name) if github.get(f"orgs/{github.owner}/actions/variables/{_path(name)}") else Absent()


def _branch(github: GitHub, operation: PendingOperation) -> Reality:
    name = operation.text("branch")
    found = github.get(f"{_repo(github, operation)}/branches/{_path(name)}")
    return Exists(f"{operation.text('repository')}:{name}") if found else Absent()


def _team(github: GitHub, operation: PendingOperation) -> Reality:
    return _one_of(_named(github.every(f"orgs/{github.owner}/teams"), "name", operation.text("name")))


def _runner_group(github: GitHub, operation: PendingOperation) -> Reality:
    groups = github.every(f"orgs/{github.owner}/actions/runner-groups", "runner_groups")
    return _one_of(_named(groups, "name", operation.text("name")))


def _webhook(github: GitHub, operation: PendingOperation) -> Reality:
    hooks = github.every(f"{_repo(github, operation)}/hooks")
    return _one_of(_to_the_same(hooks, operation), f"{operation.text('repository')}/")


def _organization_webhook(github: GitHub, operation: PendingOperation) -> Reality:
    return _one_of(_to_the_same(github.every(f"orgs/{github.owner}/hooks"), operation))


def _to_the_same(hooks: list[Mapping[str, Any]], operation: PendingOperation) -> list[Mapping[str, Any]]:
    url = str(fields(operation.inputs.get("configuration")).get("url", ""))
    return [each for each in hooks if each.get("config", {}).get("url") == url]


def _repeatable(_github: GitHub, _operation: PendingOperation) -> Reality:
    return Repeatable()


_TYPES: Mapping[str, tuple[tuple[str, ...], Finder]] = {  # by type: inputs that must be known, and how to find it
    "Repository": (("name",), _repository),
    "RepositoryRuleset": (("repository", "name"), _repository_ruleset),
    "OrganizationRuleset": (("name",), _organization_ruleset),
    "RepositoryEnvironment": (("repository", "environment"), _environment),
    "RepositoryEnvironmentDeploymentPolicy": (("repository", "environment"), _deployment_policy),
    "RepositoryFile": (("repository", "file"), _file),
    "OrganizationWebhook": ((), _organization_webhook),
    "RepositoryWebhook": (("repository",), _webhook),
    "ActionsVariable": (("repository", "variableName"), _variable),
    "ActionsEnvironmentVariable": (("repository", "environment", "variableName"), _variable),
    "ActionsOrganizationVariable": (("variableName",), _organization_variable),
    "Branch": (("repository", "branch"), _branch),
    "Team": (("name",), _team),
    "ActionsRunnerGroup": (("name",), _runner_group),
    # PUT or PATCH of one thing under a name or of a repository's only one
    "ActionsEnvironmentSecret": ((), _repeatable),
    "ActionsOrganizationPermissions": ((), _repeatable),
    "ActionsOrganizationSecret": ((), _repeatable),
    "ActionsRepositoryOidcSubjectClaimCustomizationTemplate": ((), _repeatable),
    "ActionsRepositoryPermissions": ((), _repeatable),
    "ActionsSecret": ((), _repeatable),
    "BranchDefault": ((), _repeatable),
    "DependabotSecret": ((), _repeatable),
    "IssueLabels": ((), _repeatable),  # all labels at once; one that exists is updated
    "RepositoryCollaborator": ((), _repeatable),
    "RepositoryDependabotSecurityUpdates": ((), _repeatable),
    "RepositoryTopics": ((), _repeatable),
    "RepositoryVulnerabilityAlerts": ((), _repeatable),
    "TeamMembers": ((), _repeatable),
    "TeamRepository": ((), _repeatable),
    "WorkflowRepositoryPermissions": ((), _repeatable),
}
FINDERS = {f"github:index/{kind[0].lower()}{kind[1:]}:{kind}": finder for kind, finder in _TYPES.items()}


def look(operation: PendingOperation, _known: frozenset[str], github: GitHub | None = None) -> Reality:
    """Return what GitHub knows of the resource."""
    import httpx

    if operation.type not in FINDERS:
        return Unclear(f"no way is known to find a {operation.type}")
    needed, finder = FINDERS[operation.type]
    unknown = [name for name in needed if not operation.text(name)]
    if unknown:
        return Unclear(f"its {' and '.join(unknown)} cannot be read from the state")
    try:
        return finder(github or connect(os.environ, operation.provider), operation)
    except (httpx.HTTPError, KeyError, ValueError) as error:
        return Unclear(f"GitHub could not be asked: {error}")
