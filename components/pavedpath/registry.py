"""A registry for container images, and what it shares with the one for charts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component
from .errors import Problem
from .iam import EVERYONE, ResourceStatement, resource_policy
from .names import AWS_ACCOUNT, AWS_ORGANIZATION, AWS_REGION, IMAGE_REPOSITORY
from .shapes import read

_PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]

# Source: AWS, "Private image replication in Amazon ECR": destinations of all rules, and filters of one rule.
_MAX_REPLICATION_REGIONS = 25
_MAX_REPLICATION_FILTERS = 100


class RepositoryOptionsArgs(TypedDict):
    """Arguments that every kind of ECR repository takes."""

    keep_untagged_days: NotRequired[int]
    """Days after which what has no tag is deleted. Default: 7."""
    pull_accounts: NotRequired[Sequence[str]]
    """Ids of other AWS accounts that may pull. Default: none."""
    pull_organization_id: NotRequired[str]
    """Id of the AWS organisation whose accounts may all pull, for example o-a1b2c3d4e5. Default: none."""
    force_delete: NotRequired[bool]
    """Whether a repository is deleted with what is in it; otherwise AWS refuses while it holds anything.
    Default: false."""


@dataclass(frozen=True, kw_only=True)
class RepositoryOptions:
    """`RepositoryOptionsArgs`, parsed."""

    keep_untagged_days: int = 7
    pull_accounts: Sequence[str] = ()
    pull_organization_id: str | None = None
    force_delete: bool = False

    def problems(self) -> Iterator[Problem]:
        """Yield every argument that cannot be used."""
        if self.keep_untagged_days < 1:
            yield at_least_one("keep_untagged_days", self.keep_untagged_days)
        for account in self.pull_accounts:
            yield from AWS_ACCOUNT.check("pull_accounts", account)
        if self.pull_organization_id is not None:
            yield from AWS_ORGANIZATION.check("pull_organization_id", self.pull_organization_id)


def at_least_one(argument: str, value: int) -> Problem:
    """Return the problem of a number that is below 1."""
    return Problem(argument, value, "it must be at least 1", "give a number of 1 or more")


class ImageRegistryArgs(RepositoryOptionsArgs):
    """Arguments of `ImageRegistry`."""

    repositories: Sequence[str]
    """Names of the image repositories, for example storefront/api."""
    keep_images: NotRequired[int]
    """How many tagged images each repository keeps, the newest first. Default: 30."""
    replicate_to: NotRequired[Sequence[str]]
    """Other regions of this account that get a copy of what is pushed from now on. Default: none."""


@dataclass(frozen=True, kw_only=True)
class _ImageRegistry(RepositoryOptions):
    repositories: Sequence[str]
    keep_images: int = 30
    replicate_to: Sequence[str] = field(default_factory=tuple[str, ...])

    def problems(self) -> Iterator[Problem]:
        yield from repository_names("repositories", self.repositories, self.repositories)
        if self.keep_images < 1:
            yield at_least_one("keep_images", self.keep_images)
        yield from super().problems()
        yield from self._replication_problems()

    def _replication_problems(self) -> Iterator[Problem]:
        for region in self.replicate_to:
            yield from AWS_REGION.check("replicate_to", region)
        if len(set(self.replicate_to)) > _MAX_REPLICATION_REGIONS:
            why = f"ECR replicates to {_MAX_REPLICATION_REGIONS} places at most"
            yield Problem("replicate_to", len(set(self.replicate_to)), why, "name fewer regions")
        if self.replicate_to and len(self.repositories) > _MAX_REPLICATION_FILTERS:
            why = (
                f"{len(self.repositories)} repositories need as many filters, and ECR takes {_MAX_REPLICATION_FILTERS}"
            )
            yield Problem("replicate_to", None, why, "replicate fewer repositories")


def repository_names(argument: str, given: Sequence[str], names: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the names of repositories; `given` is what the argument holds, in the same order."""
    if not names:
        yield Problem(argument, given, "none is named", "name at least one")
    for value, name in zip(given, names, strict=True):
        for problem in IMAGE_REPOSITORY.check(argument, name):
            yield Problem(argument, value, problem.why, problem.fix)
    for twice in sorted({value for value in given if list(given).count(value) > 1}):
        yield Problem(argument, twice, "it is named twice", "name it once")


def lifecycle_policy(keep_images: int | None, keep_untagged_days: int) -> str:
    """Render ECR's lifecycle policy: untagged images go after some days, tagged ones beyond a number (None: never).

    Source: AWS, "Lifecycle policy properties in Amazon ECR". The rule that counts every image must come last.
    """
    expire = {"type": "expire"}
    rules: list[Mapping[str, object]] = [
        {
            "rulePriority": 1,
            "description": f"Expire untagged images after {keep_untagged_days} days",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": keep_untagged_days,
            },
            "action": expire,
        },
    ]
    if keep_images is not None:
        rules.append(
            {
                "rulePriority": 2,
                "description": f"Keep the newest {keep_images} images",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep_images},
                "action": expire,
            }
        )
    return json.dumps({"rules": rules})


def pull_policy(accounts: Sequence[str], organization_id: str | None) -> str | None:
    """Render the repository policy that lets other accounts pull; None if nobody else may.

    Source: AWS, "Private repository policies in Amazon ECR": such a policy takes no resource, and the caller's own
    account needs no statement.
    """
    statements: list[ResourceStatement] = []
    if accounts:
        principals = {"AWS": [f"arn:aws:iam::{account}:root" for account in accounts]}
        statements.append(ResourceStatement("PullFromAccounts", principals, _PULL))
    if organization_id:
        condition = {"StringEquals": {"aws:PrincipalOrgID": organization_id}}
        statements.append(ResourceStatement("PullFromOrganization", EVERYONE, _PULL, conditions=condition))
    return resource_policy(statements) if statements else None


def make_repository(
    parent: Component, name: str, options: RepositoryOptions, keep_images: int | None
) -> aws.ecr.Repository:
    """Register one repository (immutable tags, scanned on push, encrypted) with its lifecycle and its pull policy."""
    repository = aws.ecr.Repository(
        name,
        name=name,
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        encryption_configurations=[{"encryption_type": "AES256"}],
        force_delete=options.force_delete or None,
        opts=parent.keeper(),
    )
    aws.ecr.LifecyclePolicy(
        name,
        repository=repository.name,
        policy=lifecycle_policy(keep_images, options.keep_untagged_days),
        # Every change replaces it, and a repository has one: deleting the old one last would delete the new one.
        opts=parent.child(delete_before_replace=True),
    )
    policy = pull_policy(options.pull_accounts, options.pull_organization_id)
    if policy is not None:
        aws.ecr.RepositoryPolicy(name, repository=repository.name, policy=policy, opts=parent.child())
    return repository


class ImageRegistry(Component):
    """Image repositories in ECR that are scanned on push and whose tags never move.

    Creates: for each name, an ECR repository (immutable tags, scan on push, encrypted at rest), its lifecycle policy
    and, if other accounts may pull, its repository policy; with `replicate_to`, the account's one replication
    configuration, limited to these repositories. A second registry of the stack cannot replicate too, since AWS would
    keep only one of the two configurations: the engine refuses it as a duplicate of `replication`.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    repository_urls: pulumi.Output[dict[str, str]]
    """Address of each repository by its name: <account>.dkr.ecr.<region>.amazonaws.com/<name>."""
    repository_arns: pulumi.Output[Sequence[str]]
    """ARNs of the repositories, in the order of the names."""

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_ImageRegistry, args, "ImageRegistry", name)
        super().__init__(name, opts)
        repositories = {each: make_repository(self, each, parsed, parsed.keep_images) for each in parsed.repositories}
        if parsed.replicate_to:
            self._replicate(parsed, next(iter(repositories.values())).registry_id)
        self.repository_urls = pulumi.Output.all(**{key: value.repository_url for key, value in repositories.items()})
        self.repository_arns = pulumi.Output.all(*[repository.arn for repository in repositories.values()])
        self.register_outputs({"repository_urls": self.repository_urls, "repository_arns": self.repository_arns})

    def _replicate(self, parsed: _ImageRegistry, account: pulumi.Input[str]) -> None:
        regions = sorted(set(parsed.replicate_to))
        aws.ecr.ReplicationConfiguration(
            # The account has one: a fixed logical name makes a second one in the stack a duplicate, not a silent loss.
            "replication",
            replication_configuration={
                "rules": [
                    {
                        "destinations": [{"region": region, "registry_id": account} for region in regions],
                        "repository_filters": [
                            {"filter": each, "filter_type": "PREFIX_MATCH"} for each in sorted(parsed.repositories)
                        ],
                    }
                ]
            },
            opts=self.child(),
        )
