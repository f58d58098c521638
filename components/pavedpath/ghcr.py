"""Conventions for images in GitHub's container registry: pure values that workflows are rendered from.

Pulumi creates nothing there: a package comes into being with its first push, and what it is called, who may push it
and which tags it carries is decided by the workflow that pushes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .errors import InvalidArgumentsError, Problem
from .names import ORGANIZATION, REPOSITORY, NameRule

HOST = "ghcr.io"

SHA_DIGITS = 12
"""How much of a commit stands in a tag: 7, git's short form, are not unique in a repository of some thousand."""

_PACKAGE = NameRule(
    # Source: OCI distribution specification, "Pull", <name>: path components in lower case; GitHub lower-cases none.
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*",
    "a registry refuses this name",
    "use letters, digits, single . _ - between them, and /",
)
# Source: https://semver.org, the regular expression that it suggests, without build metadata: a tag cannot hold a +.
_NUMBER = r"(0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class GhcrPackage:
    """One image of a repository in GitHub's container registry.

    A package is private at first, whatever its repository is, and its visibility can be changed in its settings only:
    GitHub has no API for it. The label `org.opencontainers.image.source` (see `labels`) links it to the repository at
    the first push; the workflows of that repository may then write it with their own token.
    Source: GitHub, "Working with the Container registry" and "Configuring a package's access control and visibility".

    Attributes:
        owner: organisation or user, in any case.
        repository: repository that pushes it, in any case.
        name: which of the repository's images it is, for example api; empty for its only one.

    Raises:
        InvalidArgumentsError: names every part that cannot be used.
    """

    owner: str
    repository: str
    name: str = ""

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise InvalidArgumentsError("GhcrPackage", self.name or self.repository, problems)

    def _problems(self) -> Iterator[Problem]:
        yield from ORGANIZATION.check("owner", self.owner)
        of_github = list(REPOSITORY.check("repository", self.repository))
        yield from of_github or _PACKAGE.check("repository", self.repository.lower())
        if self.name:
            yield from _PACKAGE.check("name", self.name.lower())

    @property
    def image(self) -> str:
        """Name of the image without a tag: ghcr.io/OWNER/REPOSITORY[/NAME], lower-cased as registries demand it."""
        return "/".join(part for part in (HOST, self.owner, self.repository, self.name) if part).lower()

    def reference(self, tag: str) -> str:
        """Return the image with a tag."""
        return f"{self.image}:{tag}"

    @property
    def source(self) -> str:
        """Address of the repository, which links the package to it."""
        return f"https://github.com/{self.owner}/{self.repository}"

    @property
    def push_permissions(self) -> Mapping[str, str]:
        """Permissions that the pushing job's GITHUB_TOKEN needs."""
        return {"contents": "read", "packages": "write"}

    @property
    def pull_permissions(self) -> Mapping[str, str]:
        """Permissions that a pulling job's GITHUB_TOKEN needs."""
        return {"packages": "read"}

    def labels(self, commit: str, version: str = "") -> Mapping[str, str]:
        """Return the labels that the image is built with; `version` is that of a release (vX.Y.Z).

        Source: OCI image specification, "Pre-Defined Annotation Keys".
        """
        labels = {
            "org.opencontainers.image.source": self.source,
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.title": self.name or self.repository,
        }
        return {**labels, "org.opencontainers.image.version": version} if version else labels


@dataclass(frozen=True)
class ImageTags:
    """The tags that one push gives an image.

    Attributes:
        fixed: never move: what a deployment names, and all that a registry with immutable tags takes.
        moving: point to the newest of their kind, for people.
    """

    fixed: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return self.fixed + self.moving


def image_tags(ref: str, commit: str, *, default_branch: str = "main", released: Iterable[str] = ()) -> ImageTags:
    """Return the tags of an image by what was pushed.

    ====================================  ===================  ==========================================
    pushed                                fixed                moving
    ====================================  ===================  ==========================================
    the default branch                    `sha-<commit>`       `dev`
    a tag `vX.Y.Z`                        `sha-…`, `vX.Y.Z`    `latest`, unless a newer one is released
    a tag `vX.Y.Z-rc.1`                   `sha-…`, `vX.Y.Z-…`  -
    any other branch or tag, a pull       -                    -
    request: built, not pushed
    ====================================  ===================  ==========================================

    Args:
        ref: full name as in `github.ref`, for example refs/heads/main.
        commit: the full commit id.
        default_branch: branch whose pushes are deployed to dev.
        released: the repository's tags; those that are no version are passed over.

    Raises:
        ValueError: the commit is not a full, lower-case id.
    """
    if not _COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is not a full commit id. Fix: pass github.sha")
    by_commit = f"sha-{commit[:SHA_DIGITS]}"
    if ref == f"refs/heads/{default_branch}":
        return ImageTags((by_commit,), ("dev",))
    tag = ref.removeprefix("refs/tags/")
    version = _VERSION.fullmatch(tag) if tag != ref else None
    if version is None:
        return ImageTags()
    newest = not version[4] and all(_precedence(version) >= other for other in _releases(released))
    return ImageTags((by_commit, tag), ("latest",) if newest else ())


def _precedence(version: re.Match[str]) -> tuple[int, int, int]:
    return int(version[1]), int(version[2]), int(version[3])


def _releases(tags: Iterable[str]) -> Iterator[tuple[int, int, int]]:
    for tag in tags:
        version = _VERSION.fullmatch(tag)
        if version and not version[4]:
            yield _precedence(version)
