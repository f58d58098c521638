"""A registry for container images."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component, parse
from .errors import Problem
from .names import IMAGE_REPOSITORY


class ImageRegistryArgs(TypedDict):
    """Arguments of `ImageRegistry`."""

    repositories: Sequence[str]
    """Names of the image repositories, for example storefront/api."""
    keep_images: NotRequired[int]
    """How many tagged images each repository keeps, the newest first. Default: 30."""
    keep_untagged_days: NotRequired[int]
    """Days after which an image without a tag is deleted. Default: 7."""


@dataclass(frozen=True)
class _ImageRegistry:
    repositories: Sequence[str]
    keep_images: int = 30
    keep_untagged_days: int = 7

    def problems(self) -> Iterator[Problem]:
        if not self.repositories:
            yield Problem("repositories", self.repositories, "none is named", "name at least one")
        for name in self.repositories:
            yield from IMAGE_REPOSITORY.check("repositories", name)
        for argument, value in (("keep_images", self.keep_images), ("keep_untagged_days", self.keep_untagged_days)):
            if value < 1:
                yield Problem(argument, value, "it must be at least 1", "give a number of 1 or more")


def lifecycle_policy(keep_images: int, keep_untagged_days: int) -> str:
    """Render ECR's lifecycle policy: untagged images go after some days, tagged ones beyond a number.

    Source: AWS, "Lifecycle policy properties in Amazon ECR". The rule that counts every image must come last.
    """
    expire = {"type": "expire"}
    rules = [
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
        {
            "rulePriority": 2,
            "description": f"Keep the newest {keep_images} images",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep_images},
            "action": expire,
        },
    ]
    return json.dumps({"rules": rules})


class ImageRegistry(Component):
    """Image repositories in ECR that are scanned on push and whose tags never move.

    Creates: for each name, an ECR repository (immutable tags, scan on push, encrypted at rest) and its lifecycle
    policy.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    repository_urls: pulumi.Output[dict[str, str]]
    """Address of each repository by its name: <account>.dkr.ecr.<region>.amazonaws.com/<name>."""
    repository_arns: pulumi.Output[Sequence[str]]
    """ARNs of the repositories, in the order of the names."""

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_ImageRegistry, args, "ImageRegistry", name)
        super().__init__(name, opts)
        repositories = {repository: self._repository(repository, parsed) for repository in parsed.repositories}
        self.repository_urls = pulumi.Output.all(**{key: value.repository_url for key, value in repositories.items()})
        self.repository_arns = pulumi.Output.all(*[repository.arn for repository in repositories.values()])
        self.register_outputs({"repository_urls": self.repository_urls, "repository_arns": self.repository_arns})

    def _repository(self, repository_name: str, parsed: _ImageRegistry) -> aws.ecr.Repository:
        repository = aws.ecr.Repository(
            repository_name,
            name=repository_name,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "AES256"}],
            opts=self.child(),
        )
        aws.ecr.LifecyclePolicy(
            repository_name,
            repository=repository.name,
            policy=lifecycle_policy(parsed.keep_images, parsed.keep_untagged_days),
            opts=self.child(),
        )
        return repository
