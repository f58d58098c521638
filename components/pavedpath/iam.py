"""IAM policy documents from typed statements: pure functions of plain data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

POLICY_VERSION = "2012-10-17"
"""The current version of the policy language (AWS, "IAM JSON policy elements: Version")."""


@dataclass(frozen=True)
class Statement:
    """One Allow statement of an identity policy.

    A wildcard resource is refused unless the statement says why its actions take no other: an action that names no
    resource at all (such as ecr:GetAuthorizationToken) allows nothing narrower.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, str | Sequence[str]]] = field(
        default_factory=dict[str, Mapping[str, str | Sequence[str]]]
    )
    any_resource_because: str = ""

    def __post_init__(self) -> None:
        if "*" in self.resources and not self.any_resource_because:
            raise ValueError(f"statement {self.sid}: resource * needs a reason (any_resource_because)")
        if any(action == "*" or action.endswith(":*") for action in self.actions):
            raise ValueError(f"statement {self.sid}: a wildcard action; name the actions")

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
