"""What the settings make of the arguments of the components of the stack shared, and what they find wrong.

The components check their arguments themselves, each before its own first resource. A stack makes many, so all of them
are asked beforehand, and every mistake stands in one list, by the setting that it comes from.
"""

from collections.abc import Iterator, Mapping

import pulumi
from pavedpath import ActorKind, Repository, RepositoryArgs, Team, TeamArgs
from pavedpath.rulesets import BypassActorArgs

from .parsing import mistakes_at
from .settings import PROJECT, SharedSettings


def mistakes(settings: SharedSettings) -> Iterator[str]:
    """Yield what the components of the stack refuse, as `key = value: why. Fix: fix`."""
    for name in settings.teams:
        yield from mistakes_at(f"teams.{name}", Team.check(team_args(name, settings)))
    slugs = {name: name for name in settings.teams}
    for name, repository in settings.repositories.items():
        for team in repository.teams:
            if team not in settings.teams:
                known = ", ".join(sorted(settings.teams)) or "none"
                yield (
                    f"{PROJECT}:repositories.{name}.teams.{team}: there is no such team. Fix: add it to"
                    f" {PROJECT}:teams, or name one of: {known}"
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
