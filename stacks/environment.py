"""The stack of one environment: network, key, registry, access for delivery, applications."""

import os
from pathlib import Path

import pulumi
from pavedpath import (
    DeployRole,
    GithubOidcProvider,
    HelmApplication,
    ImageRegistry,
    Namespace,
    RepositoryEnvironment,
    SopsKey,
    ValuesFiles,
    ValuesFilesError,
    Vpc,
)
from pavedpath_runners import RunnerLabels

from .cluster import api_server
from .contract import SharedOutputs
from .settings import PROJECT, ROOT, ApplicationSettings, EnvironmentSettings, SettingsError

VALUES = Path("etc/helm_values")
PROGRAM = ROOT / "stacks"


def deploy(settings: EnvironmentSettings, environment: str) -> None:
    """Compose the stack and export its outputs."""
    files = read_values(settings, environment)
    server = api_server(pulumi.runtime.get_config_env())
    shared = SharedOutputs.read()

    vpc = Vpc(
        environment, {"cidr": settings.network.cidr, "zones": settings.network.zones, "nat": settings.network.nat}
    )
    key = SopsKey(
        environment,
        {"alias": f"{PROJECT}-{environment}-sops", "description": f"SOPS key of {PROJECT} {environment}"},
    )
    registry = ImageRegistry(environment, settings.images.model_dump())  # pyright: ignore[reportArgumentType]  # the model's fields are the arguments
    provider = GithubOidcProvider(environment)
    pulumi.export(
        "network", {"vpc": vpc.vpc_id, "range": settings.network.cidr, "zones": ", ".join(settings.network.zones)}
    )
    pulumi.export("secrets", {"key": key.arn, "alias": key.alias})
    pulumi.export("images", registry.repository_urls)

    roles = {
        name: DeployRole(
            f"{environment}-{name}",
            {
                "provider_arn": provider.arn,
                "organization": settings.organization,
                "organization_id": shared.organization_id,
                "repository": name,
                "repository_id": shared.repository_id(name),
                "environment": environment,
                "push_repository_arns": registry.repository_arns,
                "decrypt_key_arns": [key.arn],
            },
        )
        for name in settings.deployments
    }
    namespaces = {
        name: Namespace(f"{environment}-{name}", {"name": name, "server": server}) for name in settings.applications
    }
    for name in settings.deployments:
        _repository_environment(name, environment, settings, roles[name], registry, namespaces)
    pulumi.export("deploy roles", {name: role.arn for name, role in roles.items()})
    releases = {
        name: _release(name, application, files[name], namespaces[name], key)
        for name, application in settings.applications.items()
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


def read_values(settings: EnvironmentSettings, environment: str) -> dict[str, ValuesFiles]:
    """Read every application's values files, so that a missing one stops the stack before its first resource.

    Raises:
        SettingsError: names every file that is missing or cannot be used.
    """
    files: dict[str, ValuesFiles] = {}
    problems: list[str] = []
    for name, application in settings.applications.items():
        if not (ROOT / application.chart / "Chart.yaml").is_file():
            problems.append(
                f"applications.{name}.chart = {application.chart}: no Chart.yaml there. Fix: name a chart's directory"
            )
        try:
            files[name] = ValuesFiles.read(VALUES / name, environment, with_secrets=application.secrets)
        except ValuesFilesError as error:
            problems += error.problems
    if problems:
        raise SettingsError("\n".join([f"stack {environment}: files that cannot be used", *problems]))
    return files


def _repository_environment(
    name: str,
    environment: str,
    settings: EnvironmentSettings,
    role: DeployRole,
    registry: ImageRegistry,
    namespaces: dict[str, Namespace],
) -> None:
    owned = {app: namespaces[app] for app, each in settings.applications.items() if each.repository == name}
    RepositoryEnvironment(
        f"{environment}-{name}",
        {
            "repository": name,
            "environment": environment,
            "branches": settings.deployments[name].branches,
            "wait_timer_minutes": settings.deployments[name].wait_timer_minutes,
            "variables": {
                "AWS_DEPLOY_ROLE": role.arn,
                "IMAGE_REGISTRY": registry.repository_urls.apply(lambda urls: next(iter(urls.values())).split("/")[0]),
                "RUNNER_LABELS": RunnerLabels(environment).to_json(),
            },
            "secrets": {_secret_name("KUBECONFIG", app): namespace.kubeconfig for app, namespace in owned.items()},
        },
    )


def _release(
    name: str, application: ApplicationSettings, files: ValuesFiles, namespace: Namespace, key: SopsKey
) -> HelmApplication:
    return HelmApplication(
        name,
        {
            "release": name,
            # Helm resolves a path from where the engine runs the program; a relative one is the same on every machine.
            "chart": os.path.relpath(ROOT / application.chart, PROGRAM),
            "namespace": namespace.namespace,
            "values": files.values,
            "secret_values": files.secrets.values(key.arn) if files.secrets else {},
            "timeout_seconds": application.timeout_seconds,
        },
    )


def _secret_name(prefix: str, application: str) -> str:
    return f"{prefix}_{application}".upper().replace("-", "_")
