"""A Kubernetes namespace and an identity that may deploy into it and do nothing else."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from .component import Component, parse
from .errors import Problem
from .names import NAMESPACE

_WRITE = ["create", "delete", "get", "list", "patch", "update", "watch"]
_READ = ["get", "list", "watch"]

DEPLOY_RULES: Sequence[Mapping[str, Sequence[str]]] = [
    {"apiGroups": [""], "resources": ["configmaps", "secrets", "services", "serviceaccounts"], "verbs": _WRITE},
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": _WRITE},
    {"apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": _WRITE},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": _WRITE},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _WRITE},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": _WRITE},
    {"apiGroups": ["", "apps"], "resources": ["events", "pods", "pods/log", "replicasets"], "verbs": _READ},
]
"""What a Helm release of an application needs in its namespace. No exec into pods, no RBAC, no other namespace."""


class NamespaceArgs(TypedDict):
    """Arguments of `Namespace`."""

    name: str
    """Name of the namespace in the cluster."""
    server: pulumi.Input[str]
    """Address of the cluster's API server, for the deployer's kubeconfig."""
    deployer: NotRequired[str]
    """Name of the service account that may deploy. Default: deployer."""


@dataclass(frozen=True)
class _Namespace:
    name: str
    server: pulumi.Input[str]
    deployer: str = "deployer"

    def problems(self) -> Iterator[Problem]:
        for argument, value in (("name", self.name), ("deployer", self.deployer)):
            yield from NAMESPACE.check(argument, value)


def deployer_kubeconfig(server: str, ca: str, token: str, namespace: str) -> str:
    """Render the kubeconfig of a service account: `ca` is base64 as in a secret, `token` is plain."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": server, "certificate-authority-data": ca}}],
        "users": [{"name": "deployer", "user": {"token": token}}],
        "contexts": [{"name": "deploy", "context": {"cluster": "cluster", "user": "deployer", "namespace": namespace}}],
        "current-context": "deploy",
    }
    return yaml.safe_dump(document, sort_keys=False)


class Namespace(Component):
    """A namespace with a deploy-only identity.

    Creates: the namespace (restricted pod security warned about, baseline enforced); a service account, a role with
    `DEPLOY_RULES` and their binding; a token for the service account, from which its kubeconfig is made.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    namespace: pulumi.Output[str]
    """Name of the namespace."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig of the deployer, YAML; secret."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_Namespace, args, "Namespace", name)
        super().__init__(name, opts)
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata={
                "name": parsed.name,
                "labels": {
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
            opts=self.child(),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: str(metadata.name))
        token = self._deployer(name, parsed.deployer)
        self.kubeconfig = pulumi.Output.secret(
            pulumi.Output.all(parsed.server, token.data).apply(
                lambda known: deployer_kubeconfig(
                    known[0], known[1]["ca.crt"], base64.b64decode(known[1]["token"]).decode(), parsed.name
                )
            )
        )
        self.register_outputs({"namespace": self.namespace, "kubeconfig": self.kubeconfig})

    def _deployer(self, name: str, deployer: str) -> kubernetes.core.v1.Secret:
        metadata = kubernetes.meta.v1.ObjectMetaArgs(name=deployer, namespace=self.namespace)
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-deployer", metadata=metadata, automount_service_account_token=False, opts=self.child()
        )
        role = kubernetes.rbac.v1.Role(f"{name}-deployer", metadata=metadata, rules=_rules(), opts=self.child())
        kubernetes.rbac.v1.RoleBinding(
            f"{name}-deployer",
            metadata=metadata,
            role_ref={
                "api_group": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": role.metadata.apply(lambda known: str(known.name)),
            },
            subjects=[{"kind": "ServiceAccount", "name": deployer, "namespace": self.namespace}],
            opts=self.child(),
        )
        return kubernetes.core.v1.Secret(
            f"{name}-deployer-token",
            metadata={
                "name": f"{deployer}-token",
                "namespace": self.namespace,
                "annotations": {
                    "kubernetes.io/service-account.name": account.metadata.apply(lambda known: str(known.name))
                },
            },
            type="kubernetes.io/service-account-token",
            opts=self.child(),
        )


def _rules() -> list[kubernetes.rbac.v1.PolicyRuleArgs]:
    return [
        kubernetes.rbac.v1.PolicyRuleArgs(
            api_groups=list(rule["apiGroups"]), resources=list(rule["resources"]), verbs=list(rule["verbs"])
        )
        for rule in DEPLOY_RULES
    ]
