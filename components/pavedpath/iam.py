"""IAM policy documents from typed statements: pure functions of plain data."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi

from .errors import Problem

POLICY_VERSION = "2012-10-17"
"""The current version of the policy language (AWS, "IAM JSON policy elements: Version")."""

_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9*?]+")
_CLUSTER_PROVIDER = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/[^\s*?]+")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+")
# Everything, or everything of a service: a bucket's or a log group's own wildcard is narrower than that.
_ANY_RESOURCE = re.compile(r"\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:\*")


class StatementArgs(TypedDict):
    """One Allow statement of a role's policy."""

    sid: str
    """What it is for, as one word of letters and digits, for example ReadArtifacts."""
    actions: Sequence[str]
    """Names of the allowed actions, for example s3:GetObject; a whole service (s3:*) is refused."""
    resources: Sequence[pulumi.Input[str]]
    """ARNs of what they may be done to."""
    conditions: NotRequired[Mapping[str, Mapping[str, Sequence[str]]]]
    """Values by condition key by operator, for example {"StringEquals": {"aws:RequestedRegion": ["us-east-1"]}}.
    Default: none."""
    any_resource_because: NotRequired[str]
    """Why a wildcard resource is right; without it one is refused."""


@dataclass(frozen=True)
class StatementInput:
    """`StatementArgs`, parsed; resources may be known only at deployment."""

    sid: str
    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]]
    conditions: Mapping[str, Mapping[str, Sequence[str]]] = field(
        default_factory=dict[str, Mapping[str, Sequence[str]]]
    )
    any_resource_because: str = ""

    def problems(self, argument: str) -> Iterator[Problem]:
        """Yield what is wrong with it as far as it is known, `argument` being where it stands."""
        known = [resource for resource in self.resources if isinstance(resource, str)]
        if not re.fullmatch(r"[A-Za-z0-9]+", self.sid):
            yield Problem(
                f"{argument}.sid", self.sid, "IAM takes letters and digits only", "write it like ReadArtifacts"
            )
        if not self.actions or not self.resources:
            yield Problem(argument, self.sid, "it names no action or no resource", "name both, or leave it out")
        for why, fix in faults(self.actions, known, self.any_resource_because):
            yield Problem(argument, self.sid, why, fix)

    def statement(self, resources: Sequence[str]) -> "Statement":
        """Return the statement with what its resources turned out to be.

        Raises:
            ValueError: one of them is a wildcard without a reason.
        """
        return Statement(self.sid, self.actions, resources, self.conditions, self.any_resource_because)


def faults(actions: Sequence[str], resources: Sequence[str], any_resource_because: str) -> Iterator[tuple[str, str]]:
    """Yield why a statement allows too much or cannot be, each with its fix."""
    for action in actions:
        if action == "*" or action.endswith(":*"):
            yield f"{action} is a wildcard action", "name the actions"
        elif not _ACTION.fullmatch(action):
            yield f"{action} is no action", "write it like s3:GetObject"
    wide = [resource for resource in resources if _ANY_RESOURCE.fullmatch(resource)]
    if not wide:
        return
    if not any_resource_because:
        yield f"resource {wide[0]} needs a reason (any_resource_because)", "name the resources, or say why none fits"
    for action in actions:
        if re.search(r"[*?]", action):
            yield f"{action} is a wildcard action on a wildcard resource", "name the actions or the resources"


@dataclass(frozen=True)
class Statement:
    """One Allow statement of an identity policy.

    A wildcard resource is refused unless the statement says why its actions take no other: an action that names no
    resource at all (such as ecr:GetAuthorizationToken) allows nothing narrower. A wildcard action on one is refused.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, str | Sequence[str]]] = field(
        default_factory=dict[str, Mapping[str, str | Sequence[str]]]
    )
    any_resource_because: str = ""

    def __post_init__(self) -> None:
        for why, fix in faults(self.actions, self.resources, self.any_resource_because):
            raise ValueError(f"statement {self.sid}: {why}; {fix}")

    def to_json(self) -> dict[str, object]:
        """Return the statement as IAM writes it."""
        document: dict[str, object] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": sorted(self.actions),
            "Resource": sorted(self.resources),
        }
        if self.conditions:
            document["Condition"] = self.conditions
        return document


def identity_policy(statements: Sequence[Statement]) -> str:
    """Render a policy document for a role."""
    return json.dumps({"Version": POLICY_VERSION, "Statement": [statement.to_json() for statement in statements]})


EVERYONE: Mapping[str, Sequence[str]] = {"AWS": ["*"]}
"""The principals of a statement that only its conditions narrow."""


@dataclass(frozen=True)
class ResourceStatement:
    """One statement of the policy that a resource carries: who may do what with it, or (`deny`) may not.

    Attributes:
        principals: kind (AWS, Service, Federated) to identifiers.
        resources: none for a policy whose service takes none (ECR).
        any_action_because: why a wildcard action is right; only a denial may have one without.
    """

    sid: str
    principals: Mapping[str, Sequence[str]]
    actions: Sequence[str]
    resources: Sequence[str] = ()
    conditions: Mapping[str, Mapping[str, str | Sequence[str]]] = field(
        default_factory=dict[str, Mapping[str, str | Sequence[str]]]
    )
    deny: bool = False
    any_action_because: str = ""

    def __post_init__(self) -> None:
        if self.deny:
            return
        if any("*" in who for who in self.principals.values()) and not self.conditions:
            raise ValueError(f"statement {self.sid}: it allows everyone; name the principals or add a condition")
        if any(action == "*" or action.endswith(":*") for action in self.actions) and not self.any_action_because:
            raise ValueError(f"statement {self.sid}: a wildcard action needs a reason (any_action_because)")

    def to_json(self) -> dict[str, object]:
        """Return the statement as IAM writes it."""
        document: dict[str, object] = {
            "Sid": self.sid,
            "Effect": "Deny" if self.deny else "Allow",
            "Principal": {kind: sorted(who) for kind, who in sorted(self.principals.items())},
            "Action": sorted(self.actions),
        }
        if self.resources:
            document["Resource"] = sorted(self.resources)
        if self.conditions:
            document["Condition"] = self.conditions
        return document


def deny_without_tls(actions: Sequence[str], resources: Sequence[str]) -> ResourceStatement:
    """Return the statement that refuses everyone who does not come over TLS.

    Source: AWS, "Security best practices for Amazon S3", "Enforce encryption of data in transit".
    """
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    return ResourceStatement("DenyWithoutTls", EVERYONE, actions, resources, condition, deny=True)


def resource_policy(statements: Sequence[ResourceStatement]) -> str:
    """Render the policy document that a resource carries."""
    return json.dumps({"Version": POLICY_VERSION, "Statement": [statement.to_json() for statement in statements]})


def key_administration(account: str) -> ResourceStatement:
    """Return the statement that lets the account's own identity policies decide about a KMS key.

    Without it nobody could ever change or delete the key. Source: AWS, "Default key policy", "Allows access to the
    AWS account and enables IAM policies".
    """
    return ResourceStatement(
        "AdministerByIam",
        {"AWS": [f"arn:aws:iam::{account}:root"]},
        ["kms:*"],
        ["*"],
        any_action_because="it delegates to the account's IAM policies, which name the actions",
    )


def service_trust(service: str, account: str, source_arn: str) -> str:
    """Render the trust policy of a role that an AWS service assumes, for one account's resources alone.

    Without the conditions another account could have the service use the role (AWS, "The confused deputy problem").
    """
    by_service = ResourceStatement(
        "AssumeByService",
        {"Service": [service]},
        ["sts:AssumeRole"],
        conditions={"StringEquals": {"aws:SourceAccount": account}, "ArnLike": {"aws:SourceArn": source_arn}},
    )
    return resource_policy([by_service])


def pods_role_problems(
    cluster_provider_arn: pulumi.Input[str] | None, role_arn: pulumi.Input[str] | None, prefix: str = ""
) -> Iterator[Problem]:
    """Yield what is wrong with how pods get a role: either the cluster's OIDC provider, to have one made, or a role.

    `prefix` is where the two arguments stand.
    """
    provider, role = f"{prefix}cluster_provider_arn", f"{prefix}role_arn"
    if (cluster_provider_arn is None) == (role_arn is None):
        why = "the pods would have no role" if role_arn is None else f"{role} says another role"
        yield Problem(provider, None, why, f"give exactly one of {provider}, to have a role made, and {role}")
    if isinstance(cluster_provider_arn, str) and not _CLUSTER_PROVIDER.fullmatch(cluster_provider_arn):
        fix = "give arn:aws:iam::<account>:oidc-provider/<issuer>"
        yield Problem(provider, cluster_provider_arn, "it is no OIDC provider's ARN", fix)
    if isinstance(role_arn, str) and not _ROLE.fullmatch(role_arn):
        yield Problem(role, role_arn, "it is no role's ARN", "give arn:aws:iam::<account>:role/<name>")


def service_account_trust(provider_arn: str, namespace: str, account: str) -> str:
    """Render the trust of a role that the pods of one service account may assume.

    Source: AWS, "Assign IAM roles to Kubernetes service accounts".
    """
    issuer = provider_arn.partition(":oidc-provider/")[2]
    exactly = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": f"system:serviceaccount:{namespace}:{account}"}
    return resource_policy(
        [
            ResourceStatement(
                "AssumeByServiceAccount",
                {"Federated": [provider_arn]},
                ["sts:AssumeRoleWithWebIdentity"],
                conditions={"StringEquals": exactly},
            )
        ]
    )


def web_identity_trust(provider_arn: str, audience: str, issuer: str, subjects: Sequence[str]) -> str:
    """Render the trust policy of a role that only exact OIDC subjects may assume.

    Raises:
        ValueError: no subject, or one with a wildcard.
    """
    loose = [subject for subject in subjects if "*" in subject or "?" in subject]
    if loose or not subjects:
        raise ValueError(f"trust needs exact subjects, got {loose or 'none'}")
    condition = {"StringEquals": {f"{issuer}:aud": audience, f"{issuer}:sub": sorted(subjects)}}
    statement = {
        "Sid": "AssumeByGithubActions",
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": provider_arn},
        "Condition": condition,
    }
    return json.dumps({"Version": POLICY_VERSION, "Statement": [statement]})
