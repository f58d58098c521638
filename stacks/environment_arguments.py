"""What the settings make of the arguments of an environment's components, and what the components find wrong.

The components check their arguments themselves, each before its own first resource. A stack makes many, so all of them
are asked beforehand, and every mistake stands in one list, by the setting that it comes from.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pulumi
from pavedpath import (
    Budget,
    BudgetArgs,
    ChartRegistry,
    ChartRegistryArgs,
    DeploymentAlerts,
    DeploymentAlertsArgs,
    GithubOidcProvider,
    GithubOidcProviderArgs,
    ImageRegistry,
    ImageRegistryArgs,
    Namespace,
    NamespaceArgs,
    RepositoryEnvironment,
    RepositoryEnvironmentArgs,
    RunnerFleet,
    RunnerFleetArgs,
    RunnerPoolArgs,
    SopsKey,
    SopsKeyArgs,
    Vpc,
    VpcArgs,
)
from pavedpath.vpc import SubnetAddressesArgs

from .applications import Applications
from .identity import Identity
from .parsing import Check, mistakes_at
from .settings import PROJECT, ROOT, EnvironmentSettings

OWN_VARIABLES = frozenset({"AWS_DEPLOY_ROLE", "AWS_REGION", "IMAGE_REGISTRY", "RUNNER_LABELS", "CHART_REGISTRY_URL"})
"""Variables that every repository's environment gets from the stack."""


def checks(
    settings: EnvironmentSettings, environment: str, identity: Identity, applications: Applications
) -> Iterator[Check]:
    """Yield what to ask the components of the stack, and the files of its applications, about its settings."""

    def check(*reads: str, mistakes: Callable[[], Iterable[str]]) -> Check:
        return Check(frozenset(reads), mistakes)

    yield check("network", mistakes=lambda: mistakes_at("network", Vpc.check(vpc_args(settings))))
    yield check("secrets", mistakes=lambda: mistakes_at("secrets", SopsKey.check(key_args(settings, environment, ()))))
    yield check("images", "protect", mistakes=lambda: _images(settings))
    yield check(
        "github_oidc_provider",
        mistakes=lambda: mistakes_at("github_oidc_provider", GithubOidcProvider.check(provider_args(settings))),
    )
    yield check("deployments", "images", "plan", mistakes=lambda: _deployments(settings, environment))
    yield check("applications", mistakes=lambda: _namespaces(settings))
    yield check(
        "applications",
        "require_image_digests",
        "account",
        mistakes=lambda: applications.mistakes(settings, identity),
    )
    yield check("watch", "cluster", "applications", mistakes=lambda: _watch(settings, environment))
    yield check(
        "runners",
        "runner_webhook_secret",
        "network",
        "deployments",
        "organization",
        "plan",
        mistakes=lambda: _runners(settings, environment),
    )


def _images(settings: EnvironmentSettings) -> Iterator[str]:
    yield from mistakes_at("images", ImageRegistry.check(image_args(settings)))
    if settings.images.charts:
        yield from mistakes_at("images", ChartRegistry.check(chart_args(settings)))


def _deployments(settings: EnvironmentSettings, environment: str) -> Iterator[str]:
    kept = {*settings.images.repositories, *settings.images.charts}
    for name, deployment in settings.deployments.items():
        for unknown in sorted(set(deployment.pushes) - kept):
            yield (
                f"{PROJECT}:deployments.{name}.pushes = {unknown}: no registry here keeps it. Fix: add it to"
                f" {PROJECT}:images, or name one of: {', '.join(sorted(kept))}"
            )
        for variable in sorted(set(deployment.variables) & OWN_VARIABLES):
            yield (
                f"{PROJECT}:deployments.{name}.variables.{variable}: the stack sets this variable itself. Fix: leave it"
                " out"
            )
        args = environment_args(name, environment, settings)
        yield from mistakes_at(f"deployments.{name}", RepositoryEnvironment.check(args))


def _namespaces(settings: EnvironmentSettings) -> Iterator[str]:
    for name in settings.applications:
        yield from mistakes_at(
            f"applications.{name}", Namespace.check(namespace_args(name, settings, "https://server"))
        )


def _watch(settings: EnvironmentSettings, environment: str) -> Iterator[str]:
    if settings.watch.alerting:
        yield from mistakes_at("watch", DeploymentAlerts.check(alerts_args(settings, environment)))
    if settings.watch.monthly_usd is not None:
        yield from mistakes_at("watch", Budget.check(budget_args(settings)))


def _runners(settings: EnvironmentSettings, environment: str) -> Iterator[str]:
    if settings.runners is None:
        return
    if settings.runner_webhook_secret is None:
        yield (
            f"{PROJECT}:runner_webhook_secret: the runner fleet knows by it that GitHub sent a webhook, and it is not"
            f" given. Fix: openssl rand -hex 32 | pulumi config set --secret {PROJECT}:runner_webhook_secret"
            f" -s {environment}"
        )
        return
    subnets = [f"subnet-{number}" for number, _ in enumerate(settings.network.zones)]
    place = FleetPlace("vpc-1", subnets, dict.fromkeys(settings.deployments, 1))
    yield from mistakes_at("runners", RunnerFleet.check(fleet_args(settings, environment, place)))


@dataclass(frozen=True)
class FleetPlace:
    """What other resources give the runner fleet."""

    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    repository_ids: Mapping[str, pulumi.Input[int]]
    alarm_topic_arn: pulumi.Input[str] | None = None


def fleet_args(settings: EnvironmentSettings, environment: str, place: FleetPlace) -> RunnerFleetArgs:
    """Return the arguments of the environment's runner fleet, for the repositories that deploy to it.

    Raises:
        ValueError: the settings have no runners, or not their secret.
    """
    runners, secret = settings.runners, settings.runner_webhook_secret
    if runners is None or secret is None:
        raise ValueError("the settings name no runners")
    args: RunnerFleetArgs = {
        "environment": environment,
        "organization": settings.organization,
        "plan": settings.plan,
        "vpc_id": place.vpc_id,
        "subnet_ids": place.subnet_ids,
        "zones": sorted(settings.network.zones),  # the order of the VPC's subnets
        "repositories": place.repository_ids,
        # What is not set is the component's to choose.
        "pools": {
            name: cast(RunnerPoolArgs, pool.model_dump(exclude_unset=True)) for name, pool in runners.pools.items()
        },
        "github_app": {"app_id": runners.app_id, "installation_id": runners.installation_id},
        "webhook_secret": pulumi.Output.secret(secret.get_secret_value()),
        "allow_forks": runners.allow_forks,
    }
    if runners.egress_cidrs is not None:
        args["egress_cidrs"] = runners.egress_cidrs
    if runners.layer is not None:
        # The engine looks for a relative one beside the program, in a folder of the project.
        args["layer"] = runners.layer if runners.layer.startswith("arn:") else str(ROOT / runners.layer)
    if place.alarm_topic_arn is not None:
        args["alarm_topic_arn"] = place.alarm_topic_arn
    return args


def vpc_args(settings: EnvironmentSettings) -> VpcArgs:
    """Return the arguments of the environment's VPC."""
    network = settings.network
    addresses: SubnetAddressesArgs = {}
    if network.addresses.public is not None:
        addresses["public"] = network.addresses.public
    if network.addresses.private is not None:
        addresses["private"] = network.addresses.private
    if network.addresses.isolated is not None:
        addresses["isolated"] = network.addresses.isolated
    args: VpcArgs = {
        "cidr": network.cidr,
        "zones": network.zones,
        "nat": network.nat,
        "addresses": addresses,
        "interface_endpoints": network.interface_endpoints,
        "flow_log_days": network.flow_log_days,
        "ipv6": network.ipv6,
    }
    if network.nat_zone is not None:
        args["nat_zone"] = network.nat_zone
    return args


def key_args(settings: EnvironmentSettings, environment: str, roles: Iterable[pulumi.Input[str]]) -> SopsKeyArgs:
    """Return the arguments of the environment's SOPS key; `roles` are the ARNs of the deploy roles."""
    secrets = settings.secrets
    return {
        "alias": f"{PROJECT}-{environment}-sops",
        "description": f"SOPS key of {PROJECT} {environment}",
        "administrators": secrets.administrators,
        "encrypters": secrets.encrypters,
        # The key's policy is what grants: a statement in the roles would only name the key a second time.
        "decrypters": [*secrets.decrypters, *roles],
    }


def provider_args(settings: EnvironmentSettings) -> GithubOidcProviderArgs:
    """Return the arguments of the account's OIDC provider for GitHub."""
    return {"existing_arn": settings.github_oidc_provider} if settings.github_oidc_provider else {}


def image_args(settings: EnvironmentSettings) -> ImageRegistryArgs:
    """Return the arguments of the environment's image registry."""
    images = settings.images
    return {
        "repositories": images.repositories,
        "keep_images": images.keep_images,
        "keep_untagged_days": images.keep_untagged_days,
        "pull_accounts": images.pull_accounts,
        "force_delete": not settings.protect,
    }


def chart_args(settings: EnvironmentSettings) -> ChartRegistryArgs:
    """Return the arguments of the environment's chart registry."""
    images = settings.images
    return {
        "charts": images.charts,
        "keep_untagged_days": images.keep_untagged_days,
        "pull_accounts": images.pull_accounts,
        "force_delete": not settings.protect,
    }


def environment_args(repository: str, environment: str, settings: EnvironmentSettings) -> RepositoryEnvironmentArgs:
    """Return the arguments of a repository's environment, without what other resources give it."""
    deployment = settings.deployments[repository]
    args: RepositoryEnvironmentArgs = {
        "repository": repository,
        "environment": environment,
        "plan": settings.plan,
        "visibility": deployment.visibility,
        "approval": deployment.approval,
        "reviewer_teams": deployment.reviewer_teams,
        "reviewer_users": deployment.reviewer_users,
        "approvers": deployment.approvers,
        "tags": deployment.tags,
        "variables": deployment.variables,
        "wait_timer_minutes": deployment.wait_timer_minutes,
    }
    if deployment.branches is not None:
        args["branches"] = deployment.branches
    return args


def namespace_args(application: str, settings: EnvironmentSettings, server: str) -> NamespaceArgs:
    """Return the arguments of an application's namespace."""
    stated = settings.applications[application]
    args: NamespaceArgs = {"name": application, "server": server, "ingress_namespaces": stated.ingress_namespaces}
    if quota := stated.quota:
        args["quota"] = {"cpu": quota.cpu, "memory": quota.memory, "pods": quota.pods}
    return args


def alerts_args(settings: EnvironmentSettings, environment: str) -> DeploymentAlertsArgs:
    """Return the arguments of the environment's alerts."""
    watch = settings.watch
    args: DeploymentAlertsArgs = {"environment": environment}
    if watch.cloudwatch:
        # The kubeconfig that `aws eks update-kubeconfig` writes has the cluster's ARN.
        args["cluster"] = settings.cluster.rpartition("/")[2]
        args["emails"] = watch.emails
    if watch.rule_namespace:
        args["rule_namespace"] = watch.rule_namespace
        args["rule_labels"] = watch.rule_labels
        args["namespaces"] = list(settings.applications)
    if watch.runbook_url:
        args["runbook_url"] = watch.runbook_url
    return args


def budget_args(settings: EnvironmentSettings) -> BudgetArgs:
    """Return the arguments of the environment's budget: of its whole account, which is nobody else's."""
    watch = settings.watch
    return {"monthly_usd": watch.monthly_usd or 0, "emails": watch.emails}
