"""Secrets that live outside the cluster, and reach it through the External Secrets Operator."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from .component import Component
from .errors import Problem
from .iam import Statement, identity_policy, pods_role_problems, service_account_trust
from .names import AWS_REGION, NAMESPACE, NameRule
from .shapes import read

API_VERSION = "external-secrets.io/v1"
"""API of the operator's resources, which its releases serve since 0.16."""

_SECRET = re.compile(r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_EMAIL = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+\.iam\.gserviceaccount\.com")
_SECRET_KEY = NameRule(
    r"[-._a-zA-Z0-9]{1,253}",  # Kubernetes, reference of Secret, data
    "Kubernetes refuses this key of a Secret",
    "use letters, digits, - _ .",
)


class RemoteKeyArgs(TypedDict):
    """Where one value comes from."""

    key: pulumi.Input[str]
    """Name or ARN of the secret at its provider."""
    property: NotRequired[str]
    """Field of a secret that is a JSON object. Default: the whole secret."""


class AwsSecretsArgs(TypedDict):
    """AWS Secrets Manager, asked as the namespace's own service account (IRSA)."""

    region: str
    """Region of the secrets."""
    secret_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of the secrets that may be read, complete and without a wildcard. Needed to make the role."""
    key_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of the KMS keys that encrypt them, where it is not the account's own aws/secretsmanager. Default: none."""
    cluster_provider_arn: NotRequired[pulumi.Input[str]]
    """ARN of the IAM OIDC provider of the cluster: with it the role is made."""
    role_arn: NotRequired[pulumi.Input[str]]
    """ARN of a role that exists, instead."""


class VaultSecretsArgs(TypedDict):
    """HashiCorp Vault or OpenBao, asked with the service account's token (auth method kubernetes)."""

    server: str
    """Address, https://…"""
    role: str
    """Role of the auth method, which names the service account and its namespace."""
    path: NotRequired[str]
    """Where the KV engine is mounted (version 2). Default: secret."""
    mount_path: NotRequired[str]
    """Where the auth method is mounted. Default: kubernetes."""


class GoogleSecretsArgs(TypedDict):
    """Google Secret Manager, asked as a Google service account (workload identity)."""

    project: str
    """Id of the project of the secrets."""
    service_account_email: str
    """The Google service account that may read them, and that the cluster's one may act as."""


class ExternalSecretsArgs(TypedDict):
    """Arguments of `ExternalSecrets`."""

    namespace: pulumi.Input[str]
    """Namespace that the secrets are for; it must exist."""
    secrets: Mapping[str, Mapping[str, RemoteKeyArgs]]
    """Names of the Kubernetes Secrets to what is in them: their keys to where each value comes from."""
    aws: NotRequired[AwsSecretsArgs]
    """The provider; exactly one of `aws`, `vault` and `google` is given."""
    vault: NotRequired[VaultSecretsArgs]
    """As above."""
    google: NotRequired[GoogleSecretsArgs]
    """As above."""
    refresh_minutes: NotRequired[int]
    """Minutes until a changed value arrives, at most; each refresh is a call a key. Default: 60."""
    service_account: NotRequired[str]
    """Name of the service account that the provider is asked as, and of the SecretStore. Default: external-secrets."""


@dataclass(frozen=True)
class _RemoteKey:
    key: pulumi.Input[str]
    property: str | None = None


@dataclass(frozen=True)
class _Aws:
    region: str
    secret_arns: Sequence[pulumi.Input[str]] = ()
    key_arns: Sequence[pulumi.Input[str]] = ()
    cluster_provider_arn: pulumi.Input[str] | None = None
    role_arn: pulumi.Input[str] | None = None

    def problems(self) -> Iterator[Problem]:
        yield from AWS_REGION.check("aws.region", self.region)
        yield from pods_role_problems(self.cluster_provider_arn, self.role_arn, "aws.")
        if self.cluster_provider_arn is not None and not self.secret_arns:
            yield Problem("aws.secret_arns", None, "the role could read nothing", "give the ARN of each secret")
        if self.role_arn is not None and (self.secret_arns or self.key_arns):
            why = "what a role that exists may do is not decided here"
            yield Problem("aws.secret_arns", None, why, "leave it and key_arns out, or give cluster_provider_arn")
        for index, arn in enumerate(self.secret_arns):
            yield from _exact(f"aws.secret_arns[{index}]", arn, _SECRET)
        for index, arn in enumerate(self.key_arns):
            yield from _exact(f"aws.key_arns[{index}]", arn, _KEY)

    def store(self, account: str) -> Mapping[str, Any]:
        reference = {"serviceAccountRef": {"name": account}}
        return {"aws": {"service": "SecretsManager", "region": self.region, "auth": {"jwt": reference}}}


@dataclass(frozen=True)
class _Vault:
    server: str
    role: str
    path: str = "secret"
    mount_path: str = "kubernetes"

    def problems(self) -> Iterator[Problem]:
        if not self.server.startswith("https://"):
            yield Problem("vault.server", None, "secrets would travel in the clear", "give an https address")

    def store(self, account: str) -> Mapping[str, Any]:
        # Vault refuses tokens without its own audience since 1.21.
        reference = {"name": account, "audiences": ["vault"]}
        login = {"mountPath": self.mount_path, "role": self.role, "serviceAccountRef": reference}
        return {"vault": {"server": self.server, "path": self.path, "version": "v2", "auth": {"kubernetes": login}}}


@dataclass(frozen=True)
class _Google:
    project: str
    service_account_email: str

    def problems(self) -> Iterator[Problem]:
        yield from _exact("google.service_account_email", self.service_account_email, _EMAIL)

    def store(self, account: str) -> Mapping[str, Any]:
        reference = {"serviceAccountRef": {"name": account}}
        return {"gcpsm": {"projectID": self.project, "auth": {"workloadIdentity": reference}}}


def _exact(argument: str, value: pulumi.Input[str] | None, pattern: re.Pattern[str]) -> Iterator[Problem]:
    if isinstance(value, str) and not pattern.fullmatch(value):
        yield Problem(argument, value, "it is not the one complete name that is needed", f"give {pattern.pattern}")


@dataclass(frozen=True)
class _ExternalSecrets:
    namespace: pulumi.Input[str]
    secrets: Mapping[str, Mapping[str, _RemoteKey]]
    aws: _Aws | None = None
    vault: _Vault | None = None
    google: _Google | None = None
    refresh_minutes: int = 60
    service_account: str = "external-secrets"

    def problems(self) -> Iterator[Problem]:
        yield from NAMESPACE.check("service_account", self.service_account)
        if len(self.providers) != 1:
            given = ", ".join(self.providers) or "none"
            yield Problem("aws", None, f"one provider has the secrets, given is {given}", "give aws, vault or google")
        for provider in self.providers.values():
            yield from provider.problems()
        if not self.secrets:
            yield Problem("secrets", None, "there is nothing to bring", "name a Secret and its keys")
        for name, keys in self.secrets.items():
            yield from NAMESPACE.check(f"secrets.{name}", name)
            if not keys:
                yield Problem(f"secrets.{name}", None, "it has no keys", "say where each value comes from")
            for key in keys:
                yield from _SECRET_KEY.check(f"secrets.{name}.{key}", key)
        if not 1 <= self.refresh_minutes <= 24 * 60:
            yield Problem(
                "refresh_minutes", self.refresh_minutes, "it is not 1 minute to a day", "give 60, for example"
            )

    @property
    def providers(self) -> Mapping[str, _Aws | _Vault | _Google]:
        """Return those given, by name."""
        each = {"aws": self.aws, "vault": self.vault, "google": self.google}
        return {name: provider for name, provider in each.items() if provider is not None}


def reader_policy(region: str, secret_arns: Sequence[str], key_arns: Sequence[str]) -> str:
    """Render the policy of a role that reads these secrets, and opens them through Secrets Manager alone."""
    actions = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    statements = [Statement("ReadSecrets", actions, secret_arns)]
    if key_arns:
        through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.amazonaws.com"}}
        statements.append(Statement("OpenSecrets", ["kms:Decrypt"], key_arns, through))
    return identity_policy(statements)


def external_secret(store: str, name: str, keys: Mapping[str, Any], refresh_minutes: int) -> dict[str, Any]:
    """Return the spec of an ExternalSecret: its Secret belongs to it, and goes with it.

    Of `keys`, each value has `key` and `property` (None: the whole secret).
    """
    data: list[dict[str, Any]] = []
    for secret_key, remote in sorted(keys.items()):
        reference = {"key": remote.key} | ({"property": remote.property} if remote.property is not None else {})
        data.append({"secretKey": secret_key, "remoteRef": reference})
    return {
        "refreshInterval": f"{refresh_minutes}m",
        "secretStoreRef": {"kind": "SecretStore", "name": store},
        "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
        "data": data,
    }


class ExternalSecrets(Component):
    """Kubernetes Secrets whose values live in AWS Secrets Manager, Vault or Google Secret Manager.

    Creates: a service account, a SecretStore that asks the provider as that account, and an ExternalSecret for each
    Secret, which the operator fills and refreshes; for AWS, with the cluster's OIDC provider, a role that only this
    account may assume and that reads the named secrets alone. The operator (its chart external-secrets) must run in
    the cluster. No value passes through Pulumi or its state.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    store: pulumi.Output[str]
    """Name of the SecretStore."""
    secret_names: pulumi.Output[list[str]]
    """Names of the Kubernetes Secrets."""
    role_arn: pulumi.Output[str]
    """ARN of the role that reads the secrets; empty for another provider than AWS."""

    def __init__(self, name: str, args: ExternalSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_ExternalSecrets, args, "ExternalSecrets", name)
        super().__init__(name, opts)
        (provider,) = parsed.providers.values()
        self.role_arn, needs = self._role(name, parsed)
        account = self._account(name, parsed)
        store = kubernetes.apiextensions.CustomResource(
            name,
            api_version=API_VERSION,
            kind="SecretStore",
            metadata={"name": parsed.service_account, "namespace": parsed.namespace},
            spec={"provider": provider.store(parsed.service_account)},
            opts=self.child(depends_on=[account, *needs]),
        )
        for secret, keys in parsed.secrets.items():
            kubernetes.apiextensions.CustomResource(
                f"{name}-{secret}",
                api_version=API_VERSION,
                kind="ExternalSecret",
                metadata={"name": secret, "namespace": parsed.namespace},
                spec=external_secret(parsed.service_account, secret, keys, parsed.refresh_minutes),
                opts=self.child(depends_on=[store]),
            )
        self.store = pulumi.Output.from_input(parsed.service_account)
        self.secret_names = pulumi.Output.from_input(list(parsed.secrets))
        self.register_outputs({"store": self.store, "secret_names": self.secret_names, "role_arn": self.role_arn})

    def _role(self, name: str, parsed: _ExternalSecrets) -> tuple[pulumi.Output[str], list[pulumi.Resource]]:
        if parsed.aws is None or parsed.aws.cluster_provider_arn is None:
            given = parsed.aws.role_arn if parsed.aws else None
            return pulumi.Output.from_input(given or ""), []
        region, account = parsed.aws.region, parsed.service_account
        role = aws.iam.Role(
            name,
            assume_role_policy=pulumi.Output.all(parsed.aws.cluster_provider_arn, parsed.namespace).apply(
                lambda known: service_account_trust(known[0], known[1], account)
            ),
            opts=self.child(),
        )
        arns = pulumi.Output.all(secrets=parsed.aws.secret_arns, keys=parsed.aws.key_arns)
        policy = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=arns.apply(lambda known: reader_policy(region, known["secrets"], known["keys"])),
            opts=self.child(),
        )
        return role.arn, [policy]

    def _account(self, name: str, parsed: _ExternalSecrets) -> kubernetes.core.v1.ServiceAccount:
        annotations: dict[str, pulumi.Input[str]] = {}
        if parsed.aws:
            annotations["eks.amazonaws.com/role-arn"] = self.role_arn
        if parsed.google:
            annotations["iam.gke.io/gcp-service-account"] = parsed.google.service_account_email
        return kubernetes.core.v1.ServiceAccount(
            name,
            metadata={"name": parsed.service_account, "namespace": parsed.namespace, "annotations": annotations},
            automount_service_account_token=False,
            opts=self.child(),
        )
