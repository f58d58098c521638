"""What the settings make of the arguments of the components of the stack shared, and what they find wrong.

The components check their arguments themselves, each before its own first resource. A stack makes many, so all of them
are asked beforehand, and every mistake stands in one list, by the setting that it comes from.
"""

from collections.abc import Iterator, Mapping

import pulumi
from pavedpath import ActorKind, Repository, RepositoryArgs, Team, TeamArgs
from pavedpath.rulesets import BypassActorArgs

from .parsing import Check, mistakes_at
from .settings import PROJECT, SharedSettings


def checks(settings: SharedSettings) -> Iterator[Check]:
    """Yield what to ask the components of the stack about its settings."""
    yield Check(frozenset({"teams"}), lambda: _teams(settings))
    yield Check(frozenset({"teams", "repositories", "plan", "deploying_app"}), lambda: _repositories(settings))


def _teams(settings: SharedSettings) -> Iterator[str]:
    for name in settings.teams:
        yield from mistakes_at(f"teams.{name}", Team.check(team_args(name, settings)))


def _repositories(settings: SharedSettings) -> Iterator[str]:
    slugs = {name: name for name in settings.teams}
    for name, repository in settings.repositories.items():
        for team in sorted(set(repository.teams) - set(settings.teams)):
            known = ", ".join(sorted(settings.teams)) or "none"
            yield (
                f"{PROJECT}:repositories.{name}.teams.{team}: there is no such team. Fix: add it to {PROJECT}:teams, or"
                f" name one of: {known}"
            )
        yield from mistakes_at(f"repositories.{name}", Repository.check(repository_args(name, settings, slugs)))


def team_args(name: str, settings: SharedSettings) -> TeamArgs:
    """Return the arguments of a team."""
    team = settings.teams[name]
    return {
        "name": name,
        "description": team.description,
        "maintainers": team.maintainers,
        "members": team.members,
    }


def repository_args(name: str, settings: SharedSettings, slugs: Mapping[str, pulumi.Input[str]]) -> RepositoryArgs:
    """Return the arguments of a repository; `slugs` are those of the teams by their names."""
    repository = settings.repositories[name]
    args: RepositoryArgs = {
        "name": name,
        "plan": settings.plan,
        "description": repository.description,
        "visibility": repository.visibility,
        "topics": repository.topics,
        "approvals": repository.approvals,
        "approval_branches": repository.approval_branches,
        "protection": {
            "linear_history": repository.linear_history,
            "signed_commits": repository.signed_commits,
        },
        "updates": repository.updates,
        "teams": {
            team: {"team": slugs[team], "permission": permission}
            for team, permission in repository.teams.items()
            if team in slugs
        },
        "checks": repository.checks,
    }
    deployers: list[BypassActorArgs] = [{"kind": ActorKind.ORGANIZATION_ADMIN}]
    if settings.deploying_app is not None:
        deployers.append({"kind": ActorKind.INTEGRATION, "id": settings.deploying_app})
    args["bypass"] = deployers
    if repository.protected_tags:
        args["protected_tags"] = repository.protected_tags
        args["tag_creators"] = deployers
    return args
