"""A Kubernetes namespace and an identity that may deploy into it and do nothing else."""

import base64
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from .component import Component
from .errors import Problem
from .names import NAMESPACE
from .shapes import read

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


# Source: Kubernetes, "Quantity", without a sign: nothing here may be negative.
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([EPTGMK]i|[numkMGTPE])|[eE]([+-]?\d{1,2}))?")
_SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", *"kMGTPE"), -3)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
# The node-local DNS cache answers at this address. Source: Kubernetes, "Using NodeLocal DNSCache".
_LOCAL_DNS = "169.254.20.10/32"


class QuotaArgs(TypedDict):
    """What all pods of a namespace may take together, and a container that states nothing for itself."""

    cpu: str
    """Sum of the requested processors, a Kubernetes quantity: 4, 500m."""
    memory: str
    """Sum of the memory limits, a Kubernetes quantity: 8Gi, 512Mi."""
    pods: NotRequired[int]
    """Number of pods. Default: 50."""
    container_cpu: NotRequired[str]
    """What a container requests that states no processor. Default: 50m."""
    container_memory: NotRequired[str]
    """What a container requests, and is limited to, that states no memory. Default: 128Mi."""


@dataclass(frozen=True)
class _Quota:
    cpu: str
    memory: str
    pods: int = 50
    container_cpu: str = "50m"
    container_memory: str = "128Mi"

    def problems(self) -> Iterator[Problem]:
        for kind, example in (("cpu", "500m"), ("memory", "512Mi")):
            texts: dict[str, str] = {name: getattr(self, name) for name in (kind, f"container_{kind}")}
            for name, text in texts.items():
                if not quantity(text):
                    why = "it is no Kubernetes quantity above zero"
                    yield Problem(f"quota.{name}", text, why, f"give one like {example}")
            all_of_them, one = (quantity(text) or 0 for text in texts.values())
            if one > all_of_them > 0:
                why = f"one container would take more than all may, {texts[kind]}"
                yield Problem(f"quota.container_{kind}", texts[f"container_{kind}"], why, "give less")
        if self.pods < 1:
            yield Problem("quota.pods", self.pods, "nothing could run", "give 1 or more")


def quantity(text: str) -> Decimal | None:
    """Return what a Kubernetes quantity such as 500m, 1.5Gi or 2e3 amounts to; None if it is none, or negative."""
    found = _QUANTITY.fullmatch(text) if text.isascii() else None
    if found is None:
        return None
    number, suffix, exponent = found.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""])


class NamespaceArgs(TypedDict):
    """Arguments of `Namespace`."""

    name: str
    """Name of the namespace in the cluster."""
    server: pulumi.Input[str]
    """Address of the cluster's API server, for the deployer's kubeconfig."""
    deployer: NotRequired[str]
    """Name of the service account that may deploy. Default: deployer."""
    quota: NotRequired[QuotaArgs]
    """What its pods may take together. Default: as much as there is."""
    deny_ingress: NotRequired[bool]
    """Whether pods take connections only from their own namespace and from `ingress_namespaces`. Default: True."""
    ingress_namespaces: NotRequired[Sequence[str]]
    """Namespaces whose pods may connect to pods here, such as the ingress controller's. Default: none."""
    deny_egress: NotRequired[bool]
    """Whether pods reach only the cluster's DNS, their own namespace and what the next two name. Default: False."""
    egress_namespaces: NotRequired[Sequence[str]]
    """Namespaces whose pods may be reached. Default: none."""
    egress_cidrs: NotRequired[Sequence[str]]
    """Address ranges that may be reached, such as the VPC's for its databases and endpoints. Default: none."""


@dataclass(frozen=True)
class _Namespace:
    name: str
    server: pulumi.Input[str]
    deployer: str = "deployer"
    quota: _Quota | None = None
    deny_ingress: bool = True
    ingress_namespaces: Sequence[str] = ()
    deny_egress: bool = False
    egress_namespaces: Sequence[str] = ()
    egress_cidrs: Sequence[str] = ()

    def problems(self) -> Iterator[Problem]:
        for argument, value in (("name", self.name), ("deployer", self.deployer)):
            yield from NAMESPACE.check(argument, value)
        if self.quota:
            yield from self.quota.problems()
        for argument in ("ingress_namespaces", "egress_namespaces"):
            for index, value in enumerate(getattr(self, argument)):
                yield from NAMESPACE.check(f"{argument}[{index}]", value)
        for index, cidr in enumerate(self.egress_cidrs):
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                fix = "give the network's own address with its prefix, for example 10.0.0.0/16"
                yield Problem(f"egress_cidrs[{index}]", cidr, "it is no address range", fix)
        for direction, arguments in _ALLOWING.items():
            for argument in arguments:
                if getattr(self, argument) and not getattr(self, direction):
                    yield Problem(argument, None, "everything is allowed already", f"pass {direction}=True too")


_ALLOWING = {"deny_ingress": ["ingress_namespaces"], "deny_egress": ["egress_namespaces", "egress_cidrs"]}


def _in(namespace: str) -> kubernetes.networking.v1.NetworkPolicyPeerArgsDict:
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": namespace}}}


def _pods_of(namespaces: Sequence[str]) -> list[kubernetes.networking.v1.NetworkPolicyPeerArgsDict]:
    """Select the pods of this namespace and of others."""
    return [{"pod_selector": {}}, *(_in(each) for each in namespaces)]


def ingress_policy(namespaces: Sequence[str]) -> kubernetes.networking.v1.NetworkPolicySpecArgsDict:
    """Return the spec of a NetworkPolicy: no connection but from this namespace and from those named."""
    return {"pod_selector": {}, "policy_types": ["Ingress"], "ingress": [{"from_": _pods_of(namespaces)}]}


def egress_policy(
    namespaces: Sequence[str], cidrs: Sequence[str]
) -> kubernetes.networking.v1.NetworkPolicySpecArgsDict:
    """Return the spec of a NetworkPolicy: no connection but to DNS, to this namespace and to what is named."""
    dns: kubernetes.networking.v1.NetworkPolicyEgressRuleArgsDict = {
        "to": [
            {**_in("kube-system"), "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}}},
            {"ip_block": {"cidr": _LOCAL_DNS}},
        ],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
    ranges: list[kubernetes.networking.v1.NetworkPolicyPeerArgsDict] = [{"ip_block": {"cidr": cidr}} for cidr in cidrs]
    return {
        "pod_selector": {},
        "policy_types": ["Egress"],
        "egress": [dns, {"to": [*_pods_of(namespaces), *ranges]}],
    }


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
    """A namespace with its limits and a deploy-only identity.

    Creates: the namespace (restricted pod security warned about, baseline enforced); a network policy that denies
    connections from other namespaces, and on request one for those to elsewhere; on request a quota with what a
    container takes by default; a service account, a role with `DEPLOY_RULES` and their binding; a token for the
    service account, from which its kubeconfig is made.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    namespace: pulumi.Output[str]
    """Name of the namespace."""
    kubeconfig: pulumi.Output[str]
    """Kubeconfig of the deployer, YAML; secret."""

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_Namespace, args, "Namespace", name)
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
            opts=self.keeper(),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: str(metadata.name))
        self._network(name, parsed)
        if parsed.quota:
            self._quota(name, parsed.quota)
        token = self._deployer(name, parsed.deployer)
        self.kubeconfig = pulumi.Output.secret(
            pulumi.Output.all(parsed.server, token.data).apply(
                lambda known: deployer_kubeconfig(
                    known[0], known[1]["ca.crt"], base64.b64decode(known[1]["token"]).decode(), parsed.name
                )
            )
        )
        self.register_outputs({"namespace": self.namespace, "kubeconfig": self.kubeconfig})

    def _network(self, name: str, parsed: _Namespace) -> None:
        policies: dict[str, kubernetes.networking.v1.NetworkPolicySpecArgsDict] = {}
        if parsed.deny_ingress:
            policies["ingress"] = ingress_policy(parsed.ingress_namespaces)
        if parsed.deny_egress:
            policies["egress"] = egress_policy(parsed.egress_namespaces, parsed.egress_cidrs)
        for direction, spec in policies.items():
            kubernetes.networking.v1.NetworkPolicy(
                f"{name}-{direction}",
                metadata={"name": f"default-deny-{direction}", "namespace": self.namespace},
                spec=spec,
                opts=self.child(),
            )

    def _quota(self, name: str, quota: _Quota) -> None:
        limit = {"memory": quota.container_memory}
        container = {"cpu": quota.container_cpu, **limit}
        defaults = kubernetes.core.v1.LimitRange(
            name,
            metadata={"name": "container-defaults", "namespace": self.namespace},
            spec={
                "limits": [
                    {"type": "Container", "default_request": container, "default": {"memory": container["memory"]}}
                ]
            },
            opts=self.child(),
        )
        kubernetes.core.v1.ResourceQuota(
            name,
            metadata={"name": "quota", "namespace": self.namespace},
            spec={"hard": {"requests.cpu": quota.cpu, "limits.memory": quota.memory, "pods": str(quota.pods)}},
            # Under a quota without the defaults, pods that state nothing are refused.
            opts=self.child(depends_on=[defaults]),
        )

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
