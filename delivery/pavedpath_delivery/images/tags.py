"""Which tags a push gives an image: the rules of `pavedpath.image_tags`, and those for pull requests.

The library `pavedpath` renders workflows from its function; this command runs inside them and must be installable
without Pulumi. tests/unit/delivery/images/test_tags.py holds both to the same answers.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.versions import Version, versions
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.programs import call, find

if TYPE_CHECKING:
    from rich.console import Console

SHA_DIGITS = 12
LATEST = "latest"
DEV = "dev"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# `sha256-…` is where registries without a referrers API keep what refers to an image.
_RESERVED = re.compile(rf"{LATEST}|{DEV}|sha(256|512)?-.*")
_LONGEST = 128
_HASH_DIGITS = 12


@dataclass(frozen=True)
class Tags:
    """The tags of one push.

    Attributes:
        fixed: never move.
        moving: point to the newest of their kind.
        version: vX.Y.Z[-…] of a release, otherwise empty.
    """

    fixed: tuple[str, ...] = ()
    moving: tuple[str, ...] = ()
    version: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return self.fixed + self.moving


def branch_tag(branch: str) -> str:
    """Return a branch's name as a tag. Pure.

    What a tag cannot hold becomes `-`. A name that other rules own (`latest`, `dev`, `sha-…`, a version) gets the
    prefix `branch-`: a pull request must not be able to choose them. A long name is cut and ends in a hash of itself.
    """
    tag = re.sub(r"[^A-Za-z0-9._-]+", "-", branch).strip(".-")
    if not tag or _RESERVED.fullmatch(tag) or Version.parse(tag):
        tag = f"branch-{tag}"
    if len(tag) > _LONGEST or tag == "branch-":
        digest = hashlib.sha256(branch.encode()).hexdigest()[:_HASH_DIGITS]
        tag = f"{tag[: _LONGEST - _HASH_DIGITS - 1].rstrip('.-')}-{digest}"
    return tag


def tags_for(
    ref: str, commit: str, *, head_ref: str = "", default_branch: str = "main", released: Iterable[str] = ()
) -> Tags:
    """Return the tags of an image by what was pushed. Pure.

    Args:
        ref: full name as in `github.ref`.
        commit: the full commit id.
        head_ref: the branch of a pull request; with it, `ref` does not matter (under `pull_request_target` it is the
            default branch, and a pull request must never get that one's tags).
        default_branch: branch whose pushes are deployed to dev.
        released: the repository's tags; those that are no version are passed over.

    Raises:
        ValueError: the commit is not a full, lower-case id.
    """
    if not _COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is not a full commit id. Fix: pass github.sha")
    if head_ref:
        return Tags(moving=(branch_tag(head_ref),))
    by_commit = f"sha-{commit[:SHA_DIGITS]}"
    if ref == f"refs/heads/{default_branch}":
        return Tags((by_commit,), (DEV,))
    version = _tagged(ref)
    if version is None:
        return Tags()
    newest = not version.prerelease and all(version >= other for other in versions(released) if not other.prerelease)
    return Tags((by_commit, str(version)), (LATEST,) if newest else (), str(version))


def _tagged(ref: str) -> Version | None:
    tag = ref.removeprefix("refs/tags/")
    return Version.parse(tag) if tag != ref else None


@dataclass(frozen=True)
class Push:
    """What a job builds images of.

    Attributes:
        ref, commit, head_ref, default_branch: see `tags_for`.
        pushes_branches: whether the images of pull requests are pushed, too.
        repository: OWNER/NAME of the job.
        head_repository: OWNER/NAME that the pull request's branch is in.
    """

    ref: str
    commit: str
    head_ref: str = ""
    default_branch: str = "main"
    pushes_branches: bool = False
    repository: str = ""
    head_repository: str = ""

    @property
    def trusted(self) -> bool:
        """Whether what is built may be pushed: a pull request's only if asked for, and never a fork's."""
        if not self.head_ref:
            return True
        same = self.head_repository.lower() == self.repository.lower()
        return self.pushes_branches and bool(self.repository) and same


@dataclass(frozen=True)
class Tagged:
    """The answer of `pavedpath image tags`."""

    images: tuple[Reference, ...]
    tags: Tags
    push: bool
    code: Exit = Exit.OK

    @property
    def references(self) -> list[str]:
        """Each image with each tag."""
        return [f"{image}:{tag}" for image in self.images for tag in self.tags.all]

    def document(self) -> Mapping[str, Any]:
        """Return the whole answer."""
        return {
            "images": [str(image) for image in self.images],
            "fixed": list(self.tags.fixed),
            "moving": list(self.tags.moving),
            "tags": self.references,
            "version": self.tags.version,
            "push": self.push,
        }

    def show(self, console: "Console") -> None:
        """Print a reference a line."""
        for reference in self.references:
            console.print(reference, markup=False)
        if not self.push:
            console.print("built, not pushed")

    def summary(self) -> str:
        """Return nothing: the build's own summary has the tags."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return `tags`, `version` and `push`."""
        return {
            "tags": "\n".join(self.references),
            "version": self.tags.version,
            "push": "true" if self.push else "false",
        }


def tag_images(images: Sequence[str], push: Push, released: Sequence[str] | None, cwd: Path) -> Tagged:
    """Return the tags of the images of a push.

    Args:
        images: names without a tag.
        push: what was pushed.
        released: the repository's tags; None asks the checkout.
        cwd: a folder of the checkout.

    Raises:
        DeliveryError: arguments that cannot be used, all of them; or a checkout that does not know its tags.
    """
    problems: list[str] = []
    names: list[Reference] = []
    for image in images:
        try:
            names.append(Reference.parse(image))
        except ValueError as error:
            problems.append(str(error))
    problems += [f"{each}: a name without tag and digest is wanted" for each in names if each.tag or each.digest]
    if not _COMMIT.fullmatch(push.commit):
        problems.append(f"--commit {push.commit!r} is not a full commit id. Fix: pass github.sha")
    if not push.ref.startswith("refs/"):
        problems.append(f"--ref {push.ref!r} is not a full name. Fix: pass github.ref (refs/heads/…, refs/tags/…)")
    if push.ref.startswith("refs/pull/") and not push.head_ref:
        problems.append(f"--ref {push.ref} is a pull request's: its branch is needed. Fix: pass --head-ref")
    if problems:
        raise DeliveryError("\n".join(problems), Exit.USAGE)
    version = None if push.head_ref else _tagged(push.ref)
    if released is None:
        released = git_tags(cwd, version) if version and not version.prerelease else []
    tags = tags_for(
        push.ref, push.commit, head_ref=push.head_ref, default_branch=push.default_branch, released=released
    )
    return Tagged(tuple(names), tags, push=bool(tags.all) and push.trusted)


def git_tags(cwd: Path, version: Version) -> list[str]:
    """Return the checkout's tags, which decide whether `version` is the latest.

    Raises:
        DeliveryError: there is no checkout, or a shallow one in which other releases may be missing.
    """
    git = find("git", "read the released versions")
    listed = call([git, "tag", "--list"], cwd=cwd)
    if listed.code:
        raise DeliveryError(
            f"{cwd.resolve()} is no checkout of git, so the released versions are unknown.\n"
            "Fix: check out first, or pass them with --released.",
            Exit.USAGE,
        )
    tags = listed.stdout.splitlines()
    others = [each for each in versions(tags) if each != version]
    shallow = call([git, "rev-parse", "--is-shallow-repository"], cwd=cwd).stdout.strip() == "true"
    if shallow and not others:
        # Taking it for the first release would move `latest` backwards.
        raise DeliveryError(
            "The checkout is shallow and has no other release, so whether this is the latest is unknown.\n"
            "Fix: check out with fetch-depth: 0 (or fetch-tags: true), or pass the releases with --released.",
            Exit.USAGE,
        )
    return tags
