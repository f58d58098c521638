"""The stack of one environment: network, key, registries, access for delivery, applications, who hears of failures."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pavedpath import (
    Approval,
    Budget,
    ChartRegistry,
    DeploymentAlerts,
    DeployRole,
    GithubOidcProvider,
    HelmApplication,
    ImageRegistry,
    Namespace,
    RepositoryEnvironment,
    RunnerFleet,
    SopsKey,
    Vpc,
)
from pavedpath_runners import RunnerLabels

from .applications import Application, Applications, released
from .cluster import current_cluster
from .contract import SharedOutputs
from .environment_arguments import (
    FleetPlace,
    alerts_args,
    budget_args,
    chart_args,
    environment_args,
    fleet_args,
    image_args,
    key_args,
    namespace_args,
    provider_args,
    vpc_args,
)
from .identity import Identity, require
from .settings import ROOT, EnvironmentSettings

PROGRAM = ROOT / "stacks"


@dataclass(frozen=True)
class _Registries:
    """What delivery needs of the registries of images and charts."""

    arns: Mapping[str, pulumi.Output[str]]
    variables: Mapping[str, pulumi.Output[str]]


def deploy(
    settings: EnvironmentSettings, environment: str, identities: Mapping[str, Identity], applications: Applications
) -> None:
    """Compose the stack and export its outputs.

    Raises:
        WrongEnvironmentError: run with another environment's account or cluster; before the first resource.
    """
    cluster = current_cluster(pulumi.runtime.get_config_env())
    found = {"account": aws.get_caller_identity().account_id, "cluster": cluster.name}
    require(found, environment, identities)
    shared = SharedOutputs.read()

    vpc = _network(settings, environment)
    registries = _registries(settings, environment)
    roles = _roles(settings, environment, shared, registries)
    key = _key(settings, environment, roles)
    namespaces = _namespaces(settings, environment, cluster.server)
    region = identities[environment].region
    for name in settings.deployments:
        _repository_environment(name, environment, settings, shared, roles[name], registries, namespaces, region)
    pulumi.export("deploy roles", {name: role.arn for name, role in roles.items()})
    releases = {
        name: _release(name, applications.read(name, application), namespaces[name], key)
        for name, application in released(settings).items()
    }
    pulumi.export(
        "applications",
        {
            name: pulumi.Output.concat(
                release.status, ", revision ", release.revision.apply(str), ", namespace ", namespaces[name].namespace
            )
            for name, release in releases.items()
        },
    )
    topic = _watch(settings, environment)
    secrets = {"key": key.arn, "alias": key.alias}
    if settings.runners is not None:
        repositories = {name: shared.repository_id(name) for name in settings.deployments}
        place = FleetPlace(vpc.vpc_id, vpc.private_subnet_ids, repositories, topic)
        fleet = RunnerFleet(environment, fleet_args(settings, environment, place))
        secrets["app key"] = fleet.app_key_secret
    pulumi.export("secrets", secrets)


def _stateful(settings: EnvironmentSettings) -> pulumi.ResourceOptions:
    """Options of components with something in them that holds data, which alone they reach.

    While protected it is neither deleted nor replaced, and it outlives its stack.
    """
    return pulumi.ResourceOptions(protect=settings.protect, retain_on_delete=settings.protect)


def _network(settings: EnvironmentSettings, environment: str) -> Vpc:
    vpc = Vpc(environment, vpc_args(settings), opts=_stateful(settings))
    network = settings.network
    pulumi.export("network", {"vpc": vpc.vpc_id, "range": network.cidr, "zones": ", ".join(network.zones)})
    return vpc


def _registries(settings: EnvironmentSettings, environment: str) -> _Registries:
    images = ImageRegistry(environment, image_args(settings), opts=_stateful(settings))
    pulumi.export("images", images.repository_urls)
    arns = _by_name(settings.images.repositories, images.repository_arns)
    host = images.repository_urls.apply(lambda urls: next(iter(urls.values())).split("/")[0])
    if not settings.images.charts:
        return _Registries(arns, {"IMAGE_REGISTRY": host})
    charts = ChartRegistry(environment, chart_args(settings), opts=_stateful(settings))
    pulumi.export("charts", {"url": charts.url})
    arns |= _by_name(settings.images.charts, charts.repository_arns)
    return _Registries(arns, {"IMAGE_REGISTRY": host, **charts.workflow_variables()})


def _by_name(names: Sequence[str], arns: pulumi.Output[Sequence[str]]) -> dict[str, pulumi.Output[str]]:
    return {name: arns.apply(lambda known, index=index: known[index]) for index, name in enumerate(names)}


def _roles(
    settings: EnvironmentSettings, environment: str, shared: SharedOutputs, registries: _Registries
) -> dict[str, DeployRole]:
    provider = GithubOidcProvider(environment, provider_args(settings))
    return {
        name: DeployRole(
            f"{environment}-{name}",
            {
                "provider_arn": provider.arn,
                "organization": settings.organization,
                "organization_id": shared.organization_id,
                "repository": name,
                "repository_id": shared.repository_id(name),
                "environment": environment,
                "push_repository_arns": [registries.arns[each] for each in deployment.pushes],
            },
        )
        for name, deployment in settings.deployments.items()
    }


def _key(settings: EnvironmentSettings, environment: str, roles: Mapping[str, DeployRole]) -> SopsKey:
    args = key_args(settings, environment, [role.arn for role in roles.values()])
    return SopsKey(environment, args, opts=_stateful(settings))


def _namespaces(settings: EnvironmentSettings, environment: str, server: str) -> dict[str, Namespace]:
    return {
        name: Namespace(f"{environment}-{name}", namespace_args(name, settings, server), opts=_stateful(settings))
        for name in settings.applications
    }


def _watch(settings: EnvironmentSettings, environment: str) -> pulumi.Output[str] | None:
    """Make alerts and budget; returns the topic that alarms write to, if there is one."""
    topic: pulumi.Output[str] | None = None
    if settings.watch.alerting:
        alerts = DeploymentAlerts(environment, alerts_args(settings, environment))
        pulumi.export("alerts", {"topic": alerts.topic_arn, "alarms": alerts.alarm_names})
        topic = alerts.topic_arn if settings.watch.cloudwatch else None
    if settings.watch.monthly_usd is not None:
        Budget(environment, budget_args(settings))
        pulumi.export("budget", {"monthly": f"{settings.watch.monthly_usd:g} USD"})
    return topic


def _repository_environment(
    name: str,
    environment: str,
    settings: EnvironmentSettings,
    shared: SharedOutputs,
    role: DeployRole,
    registries: _Registries,
    namespaces: Mapping[str, Namespace],
    region: str,
) -> None:
    owned = {app: namespaces[app] for app, each in settings.applications.items() if each.repository == name}
    args = environment_args(name, environment, settings)
    if settings.deployments[name].approval is Approval.BRANCH:
        args["repository"] = shared.guarded_repository(name, environment)
    args["variables"] = {
        **settings.deployments[name].variables,
        "AWS_DEPLOY_ROLE": role.arn,
        "AWS_REGION": region,
        **registries.variables,
        "RUNNER_LABELS": RunnerLabels(environment).to_json(),
    }
    args["secrets"] = {_secret_name("KUBECONFIG", app): namespace.kubeconfig for app, namespace in owned.items()}
    RepositoryEnvironment(f"{environment}-{name}", args)


def _release(name: str, application: Application, namespace: Namespace, key: SopsKey) -> HelmApplication:
    files = application.files
    return HelmApplication(
        name,
        {
            **application.chart.arguments(),
            "release": name,
            # Helm resolves a path from where the engine runs the program; a relative one is the same on every machine.
            "chart": os.path.relpath(ROOT / application.chart.path, PROGRAM),
            "namespace": namespace.namespace,
            "values": files.values,
            "secret_values": files.secrets.values(key.arn, key.alias_arn) if files.secrets else {},
            "timeout_seconds": application.settings.timeout_seconds,
        },
    )


def _secret_name(prefix: str, application: str) -> str:
    return f"{prefix}_{application}".upper().replace("-", "_")
