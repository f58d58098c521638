"""Access to AWS for GitHub Actions without any stored key."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component
from .errors import Problem
from .iam import Statement, StatementArgs, StatementInput, identity_policy, web_identity_trust
from .names import GIT_REF, SUBJECT_PART
from .shapes import read

ISSUER = "token.actions.githubusercontent.com"
"""Issuer of GitHub's OIDC tokens, without scheme, as condition keys name it."""
AUDIENCE = "sts.amazonaws.com"
"""Audience that aws-actions/configure-aws-credentials asks for by default."""

# Source: AWS, "IAM and AWS STS quotas": role trust policy length, white space not counted.
_TRUST_CHARACTERS = 2048
_PROVIDER_ARN = re.compile(rf"arn:aws[a-z-]*:iam::\d{{12}}:oidc-provider/{re.escape(ISSUER)}")
_POLICY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?:\d{12}|aws):policy/[\w+=,.@/-]+")

_READING = re.compile(r"[a-z0-9-]+:(?:BatchCheck|BatchGet|Describe|Get|Head|List|Lookup|Query|Scan|Search)[A-Za-z]*")
_READING_SECRETS = re.compile(r"secretsmanager:(?:Batch)?GetSecretValue|ssm:GetParameter[A-Za-z]*|sts:.*")


def claims(environment: str | None, branches: Sequence[str], tags: Sequence[str], *, pull_requests: bool) -> list[str]:
    """Return what stands behind the repository in the subjects of the jobs that are trusted.

    A job with an environment has the environment's claim and no other, whatever started it. Source: GitHub, "OpenID
    Connect reference", example subject claims.
    """
    return [
        *([f"environment:{environment}"] if environment is not None else []),
        *[f"ref:refs/heads/{branch}" for branch in branches],
        *[f"ref:refs/tags/{tag}" for tag in tags],
        *(["pull_request"] if pull_requests else []),
    ]


def subjects(
    organization: str, organization_id: int, repository: str, repository_id: int, trusted: Sequence[str]
) -> list[str]:
    """Return both subjects that a job of one repository may carry for each of the claims `trusted`.

    Repositories created since 2026-07-15 get the immutable format with numeric ids, older ones the plain one, and an
    organisation can opt in either way; a trust policy that states both stays right (GitHub, "OpenID Connect
    reference", immutable subject claims).
    """
    names = (f"{organization}/{repository}", f"{organization}@{organization_id}/{repository}@{repository_id}")
    return [f"repo:{name}:{claim}" for name in names for claim in trusted]


class GithubOidcProviderArgs(TypedDict):
    """Arguments of `GithubOidcProvider`."""

    existing_arn: NotRequired[pulumi.Input[str]]
    """ARN of the account's provider if it has one already; then nothing is created. Default: one is created."""


@dataclass(frozen=True)
class _GithubOidcProvider:
    existing_arn: pulumi.Input[str] | None = None

    def problems(self) -> Iterator[Problem]:
        if isinstance(self.existing_arn, str) and not _PROVIDER_ARN.fullmatch(self.existing_arn):
            yield _no_provider("existing_arn", self.existing_arn)


def _no_provider(argument: str, value: str) -> Problem:
    why = "it is not the ARN of GitHub's identity provider"
    return Problem(argument, value, why, f"give one like arn:aws:iam::<account>:oidc-provider/{ISSUER}")


class GithubOidcProvider(Component):
    """GitHub Actions as an identity provider of an AWS account; an account holds one.

    Creates: the IAM OIDC provider for GitHub's issuer with the audience sts.amazonaws.com, or nothing for an account
    that has it already (`existing_arn`). No thumbprint: IAM verifies this issuer with its own trusted certificate
    authorities (AWS, "Create an OIDC identity provider").

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the provider, which a role's trust policy names."""

    def __init__(
        self, name: str, args: GithubOidcProviderArgs | None = None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        parsed = read(_GithubOidcProvider, args, "GithubOidcProvider", name)
        super().__init__(name, opts)
        if parsed.existing_arn is not None:
            self.arn = pulumi.Output.from_input(parsed.existing_arn)
        else:
            self.arn = aws.iam.OpenIdConnectProvider(
                name, url=f"https://{ISSUER}", client_id_lists=[AUDIENCE], opts=self.child()
            ).arn
        self.register_outputs({"arn": self.arn})


class DeployRoleArgs(TypedDict):
    """Arguments of `DeployRole`; of environment, branches, tags and pull_requests at least one must be given."""

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
    environment: NotRequired[str]
    """GitHub environment whose jobs may assume the role. Default: none."""
    branches: NotRequired[Sequence[str]]
    """Exact names of branches whose jobs without an environment may assume the role. Default: none."""
    tags: NotRequired[Sequence[str]]
    """Exact names of tags whose jobs without an environment may assume the role. Default: none."""
    pull_requests: NotRequired[bool]
    """Whether jobs of pull requests may assume the role. They run code that nobody has reviewed, so such a role may
    only read, and nothing secret. Default: false."""
    push_repository_arns: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """ECR repositories that the role may push to. Default: none."""
    decrypt_key_arns: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """KMS keys that the role may decrypt with; needless for a `SopsKey` that names the role among its decrypters.
    Default: none."""
    statements: NotRequired[Sequence[StatementArgs]]
    """What else the role may do. Default: nothing."""
    permissions_boundary_arn: NotRequired[pulumi.Input[str]]
    """Managed policy that the role's permissions never exceed. Default: none."""


@dataclass(frozen=True)
class _DeployRole:
    provider_arn: pulumi.Input[str]
    organization: str
    organization_id: pulumi.Input[int]
    repository: str
    repository_id: pulumi.Input[int]
    environment: str | None = None
    branches: Sequence[str] = ()
    tags: Sequence[str] = ()
    pull_requests: bool = False
    push_repository_arns: pulumi.Input[Sequence[pulumi.Input[str]]] = ()
    decrypt_key_arns: pulumi.Input[Sequence[pulumi.Input[str]]] = ()
    statements: Sequence[StatementInput] = ()
    permissions_boundary_arn: pulumi.Input[str] | None = None

    @property
    def claims(self) -> list[str]:
        return claims(self.environment, self.branches, self.tags, pull_requests=self.pull_requests)

    def trust(self, provider_arn: str, organization_id: float, repository_id: float) -> str:
        """Return the trust policy; the engine gives whole numbers as floats."""
        trusted = subjects(
            self.organization, int(organization_id), self.repository, int(repository_id), sorted(set(self.claims))
        )
        return web_identity_trust(provider_arn, AUDIENCE, ISSUER, trusted)

    def problems(self) -> Iterator[Problem]:
        inexact: list[Problem] = [
            *SUBJECT_PART.check("organization", self.organization),
            *SUBJECT_PART.check("repository", self.repository),
            *(SUBJECT_PART.check("environment", self.environment) if self.environment is not None else ()),
            *[problem for branch in self.branches for problem in GIT_REF.check("branches", branch)],
            *[problem for tag in self.tags for problem in GIT_REF.check("tags", tag)],
        ]
        yield from inexact
        if not self.claims:
            fix = "give environment, branches, tags or pull_requests"
            yield Problem("environment", None, "nobody could assume the role", fix)
        elif not inexact:
            yield from self._trust_too_long()
        if isinstance(self.provider_arn, str) and not _PROVIDER_ARN.fullmatch(self.provider_arn):
            yield _no_provider("provider_arn", self.provider_arn)
        boundary = self.permissions_boundary_arn
        if isinstance(boundary, str) and not _POLICY_ARN.fullmatch(boundary):
            fix = "give one like arn:aws:iam::<account>:policy/<name>"
            yield Problem("permissions_boundary_arn", boundary, "it is not the ARN of a managed policy", fix)
        yield from self._statement_problems()
        if self.pull_requests:
            yield from self._unsafe_for_pull_requests()

    def _trust_too_long(self) -> Iterator[Problem]:
        provider = self.provider_arn if isinstance(self.provider_arn, str) else f"arn:aws:iam::{0:012}:oidc/{ISSUER}"
        longest = 2**40  # beyond any id that GitHub has given
        length = len(re.sub(r"\s", "", self.trust(provider, longest, longest)))
        if length > _TRUST_CHARACTERS:
            why = f"its trust policy would have {length} characters, and IAM takes {_TRUST_CHARACTERS}"
            yield Problem("branches", None, why, "trust fewer branches and tags, or one environment that they all use")

    def _statement_problems(self) -> Iterator[Problem]:
        used = [statement.sid for statement in deploy_statements(["arn"], ["arn"])]
        for index, statement in enumerate(self.statements):
            at = f"statements[{index}]"
            yield from statement.problems(at)
            if statement.sid in used:
                yield Problem(f"{at}.sid", statement.sid, "another statement has it", "give each its own")
            used.append(statement.sid)

    def _unsafe_for_pull_requests(self) -> Iterator[Problem]:
        """Yield what code that nobody has reviewed must not do.

        A pull request from a fork gets no OIDC token, yet one from a branch does, and whoever may push a branch writes
        the workflow that it runs.
        """
        why = "jobs of pull requests run code that nobody has reviewed"
        fix = "make a role of its own for pull requests, which only reads"
        for argument in ("push_repository_arns", "decrypt_key_arns"):
            if getattr(self, argument):
                yield Problem(argument, None, why, fix)
        for index, statement in enumerate(self.statements):
            for action in statement.actions:
                if not _READING.fullmatch(action) or _READING_SECRETS.fullmatch(action):
                    yield Problem(f"statements[{index}].actions", action, why, fix)


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
    """The role that jobs of one repository assume through OIDC.

    Creates: an IAM role that trusts exact subjects (of an environment, branches, tags, pull requests; each in the
    plain and the immutable format) and nothing else, for at most an hour; its inline policy, if anything is named
    (push to the ECR repositories, decrypt with the keys, the statements).

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the role."""

    def __init__(self, name: str, args: DeployRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_DeployRole, args, "DeployRole", name)
        super().__init__(name, opts)
        whose = f"{parsed.organization}/{parsed.repository}"
        role = aws.iam.Role(
            name,
            assume_role_policy=pulumi.Output.all(
                parsed.provider_arn, parsed.organization_id, parsed.repository_id
            ).apply(lambda known: parsed.trust(*known)),
            description=f"Deploys {whose} to {parsed.environment}" if parsed.environment else f"For jobs of {whose}",
            max_session_duration=3600,
            permissions_boundary=parsed.permissions_boundary_arn,
            opts=self.child(),
        )
        # IAM refuses a policy without a statement.
        if parsed.push_repository_arns or parsed.decrypt_key_arns or parsed.statements:
            policy = pulumi.Output.all(
                parsed.push_repository_arns,
                parsed.decrypt_key_arns,
                [statement.resources for statement in parsed.statements],
            ).apply(lambda known: _policy(known[0], known[1], parsed.statements, known[2]))
            aws.iam.RolePolicy(name, role=role.id, policy=policy, opts=self.child())
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})


def _policy(
    push_repository_arns: Sequence[str],
    decrypt_key_arns: Sequence[str],
    statements: Sequence[StatementInput],
    resources: Sequence[Sequence[str]],
) -> str:
    more = [statement.statement(known) for statement, known in zip(statements, resources, strict=True)]
    return identity_policy([*deploy_statements(push_repository_arns, decrypt_key_arns), *more])
