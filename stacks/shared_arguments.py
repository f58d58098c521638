"""What the settings make of the arguments of the components of the stack shared, and what they find wrong.

The components check their arguments themselves, each before its own first resource. A stack makes many, so all of them
are asked beforehand, and every mistake stands in one list, by the setting that it comes from.
"""

from collections.abc import Iterator, Mapping

import pulumi
from pavedpath import ActorKind, Approval, InvalidArgumentsError, Repository, RepositoryArgs, Team, TeamArgs
from pavedpath.rulesets import BypassActorArgs
from pavedpath.workflows.catalogue.python_service import PythonServiceOptions, ServiceDelivery, python_service
from pavedpath.workflows.reach import covers
from pavedpath.workflows.service import Image, Target

from .parsing import Check, mistakes_at
from .settings import PROJECT, RepositorySettings, SharedSettings


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
        yield from _unguarded(name, repository)
        try:
            args = repository_args(name, settings, slugs)
        except InvalidArgumentsError as error:
            yield from mistakes_at(f"repositories.{name}.service", error.problems)
        else:
            yield from mistakes_at(f"repositories.{name}", Repository.check(args))


def _unguarded(name: str, repository: RepositorySettings) -> Iterator[str]:
    """Yield approval branches whose pull requests no job of the service's workflows looks at."""
    if repository.service is None:
        return
    approvals = {str(environment): target.approval for environment, target in repository.service.targets.items()}
    for environment in repository.approval_branches:
        if approvals.get(environment) is not Approval.BRANCH:
            yield (
                f"{PROJECT}:repositories.{name}.approval_branches.{environment}: nothing deploys from"
                f" deploy/{environment}, and no job would refuse what was never merged. Fix: leave it out, or give"
                f" service.targets.{environment} approval: branch"
            )


def team_args(name: str, settings: SharedSettings) -> TeamArgs:
    """Return the arguments of a team."""
    team = settings.teams[name]
    return {
        "name": name,
        "description": team.description,
        "maintainers": team.maintainers,
        "members": team.members,
    }


def delivery_of(name: str, settings: SharedSettings) -> ServiceDelivery | None:
    """Return how a repository's service is delivered; None for a repository without one.

    Raises:
        InvalidArgumentsError: names everything that cannot be.
    """
    repository = settings.repositories[name]
    service = repository.service
    if service is None:
        return None
    options: PythonServiceOptions = {
        "python": service.python,
        "dbt": service.dbt,
        "dbt_private": service.dbt_private,
        "smoke": service.smoke,
        "scan_exceptions": service.scan_exceptions,
        "hotfixes": service.hotfixes,
        "plan": settings.plan,
    }
    if settings.organization != settings.organization.lower():
        # Registries take lower case only, which `github.repository_owner` then is not.
        options["owner"] = settings.organization
    if repository.checks:
        options["checks"] = repository.checks
    if service.notify:
        options["notify"] = service.notify
    if service.coverage_minimum is not None:
        options["coverage_minimum"] = service.coverage_minimum
    return python_service(
        name,
        images=[
            Image(name=image, context=each.context, dockerfile=each.dockerfile)
            for image, each in service.images.items()
        ],
        environments=[
            Target(
                environment=environment,
                approval=target.approval,
                tags=target.tags,
                timeout_minutes=target.timeout_minutes,
            )
            for environment, target in service.targets.items()
        ],
        chart=service.chart,
        **options,
    )


def repository_args(name: str, settings: SharedSettings, slugs: Mapping[str, pulumi.Input[str]]) -> RepositoryArgs:
    """Return the arguments of a repository; `slugs` are those of the teams by their names.

    Raises:
        InvalidArgumentsError: its service cannot be delivered so; names everything.
    """
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
    }
    delivery = delivery_of(name, settings)
    if delivery is None:
        args["checks"] = repository.checks
    else:
        args["files"] = delivery.files
        args["required_checks"] = delivery.required_checks
        args["approval_branches"] = {
            **delivery.repository.get("approval_branches", {}),
            **repository.approval_branches,
        }
    deployers: list[BypassActorArgs] = [{"kind": ActorKind.ORGANIZATION_ADMIN}]
    if settings.deploying_app is not None:
        deployers.append({"kind": ActorKind.INTEGRATION, "id": settings.deploying_app})
    args["bypass"] = deployers
    tags = [*repository.protected_tags]
    released = delivery.repository.get("protected_tags", ()) if delivery else ()
    tags += [each for each in released if not any(covers(pattern, each) for pattern in tags)]
    if tags:
        args["protected_tags"] = tags
        args["tag_creators"] = deployers
    return args
