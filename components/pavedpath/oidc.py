"""Access to AWS for GitHub Actions without any stored key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component, parse
from .errors import Problem
from .iam import Statement, identity_policy, web_identity_trust
from .names import SUBJECT_PART

ISSUER = "token.actions.githubusercontent.com"
"""Issuer of GitHub's OIDC tokens, without scheme, as condition keys name it."""
AUDIENCE = "sts.amazonaws.com"
"""Audience that aws-actions/configure-aws-credentials asks for by default."""


def environment_subjects(
    organization: str, organization_id: int, repository: str, repository_id: int, environment: str
) -> tuple[str, str]:
    """Return both subjects that a job of one repository's environment may carry.

    Repositories created since 2026-07-15 get the immutable format with numeric ids, older ones the plain one, and an
    organisation can opt in either way; a trust policy that states both stays right (GitHub, "OpenID Connect
    reference", subject claims).
    """
    return (
        f"repo:{organization}/{repository}:environment:{environment}",
        f"repo:{organization}@{organization_id}/{repository}@{repository_id}:environment:{environment}",
    )


class GithubOidcProvider(Component):
    """GitHub Actions as an identity provider of an AWS account; an account holds one.

    Creates: the IAM OIDC provider for GitHub's issuer with the audience sts.amazonaws.com. No thumbprint: IAM verifies
    this issuer with its own trusted certificate authorities (AWS, "Create an OIDC identity provider").
    """

    arn: pulumi.Output[str]
    """ARN of the provider, which a role's trust policy names."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, opts)
        provider = aws.iam.OpenIdConnectProvider(
            name, url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=self.child()
        )
        self.arn = provider.arn
        self.register_outputs({"arn": self.arn})


class DeployRoleArgs(TypedDict):
    """Arguments of `DeployRole`."""

    provider_arn: pulumi.Input[str]
    """ARN of the account's `GithubOidcProvider`."""
    organization: str
    """GitHub organisation that owns the repository."""
    organization_id: pulumi.Input[int]
    """Numeric id of the organisation."""
    repository: str
    """Name of the repository whose jobs may assume the role."""
    repository_id: pulumi.Input[int]
    """Numeric id of the repository."""
    environment: str
    """GitHub environment in which a job must run to assume the role."""
    push_repository_arns: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """ECR repositories that the role may push to. Default: none."""
    decrypt_key_arns: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """KMS keys that the role may decrypt with. Default: none."""


@dataclass(frozen=True)
class _DeployRole:
    provider_arn: pulumi.Input[str]
    organization: str
    organization_id: pulumi.Input[int]
    repository: str
    repository_id: pulumi.Input[int]
    environment: str
    push_repository_arns: pulumi.Input[Sequence[pulumi.Input[str]]] = ()
    decrypt_key_arns: pulumi.Input[Sequence[pulumi.Input[str]]] = ()

    def problems(self) -> Iterator[Problem]:
        for argument, value in (
            ("organization", self.organization),
            ("repository", self.repository),
            ("environment", self.environment),
        ):
            yield from SUBJECT_PART.check(argument, value)


def deploy_statements(push_repository_arns: Sequence[str], decrypt_key_arns: Sequence[str]) -> list[Statement]:
    """Return what a deploy job needs: push and pull of the named images, decryption with the named keys."""
    statements: list[Statement] = []
    if push_repository_arns:
        statements += [
            Statement(
                "LogInToRegistry",
                ["ecr:GetAuthorizationToken"],
                ["*"],
                any_resource_because="the action takes no resource (service authorization reference of ECR)",
            ),
            Statement(
                "PushAndPullImages",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:CompleteLayerUpload",
                    "ecr:DescribeImages",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:InitiateLayerUpload",
                    "ecr:PutImage",
                    "ecr:UploadLayerPart",
                ],
                push_repository_arns,
            ),
        ]
    if decrypt_key_arns:
        statements.append(Statement("DecryptSecretsFiles", ["kms:Decrypt"], decrypt_key_arns))
    return statements


class DeployRole(Component):
    """The role that deploy jobs of one repository's environment assume through OIDC.

    Creates: an IAM role that trusts the environment's two exact subjects (plain and immutable) and nothing else, for
    at most an hour; its inline policy, if anything is named (push to the ECR repositories, decrypt with the keys).

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the role."""

    def __init__(self, name: str, args: DeployRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_DeployRole, args, "DeployRole", name)
        super().__init__(name, opts)
        trust = pulumi.Output.all(parsed.provider_arn, parsed.organization_id, parsed.repository_id).apply(
            lambda known: web_identity_trust(
                known[0],
                AUDIENCE,
                ISSUER,
                environment_subjects(
                    parsed.organization, int(known[1]), parsed.repository, int(known[2]), parsed.environment
                ),
            )
        )
        role = aws.iam.Role(
            name,
            assume_role_policy=trust,
            description=f"Deploys {parsed.organization}/{parsed.repository} to {parsed.environment}",
            max_session_duration=3600,
            opts=self.child(),
        )
        if parsed.push_repository_arns or parsed.decrypt_key_arns:  # IAM refuses a policy without a statement
            policy = pulumi.Output.all(parsed.push_repository_arns, parsed.decrypt_key_arns).apply(
                lambda known: identity_policy(deploy_statements(*known))
            )
            aws.iam.RolePolicy(name, role=role.id, policy=policy, opts=self.child())
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})
