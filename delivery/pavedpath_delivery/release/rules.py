"""What may be released, and what comes before it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pavedpath_delivery.images.versions import Version


@dataclass(frozen=True)
class Tag:
    """A tag that is there: the commit it means, and whether it is annotated."""

    commit: str
    annotated: bool


@dataclass(frozen=True)
class Facts:
    """What a release is judged by.

    Args:
        commit: what is to be released.
        branch: the branch that it must be on.
        on_branch: whether it is.
        versions: all versions that have a tag.
        tag: the tag of the version itself, if it is there.
        missing: images that the registry does not have for the commit, with their tags.
    """

    commit: str
    branch: str
    on_branch: bool
    versions: Sequence[Version]
    tag: Tag | None
    missing: Sequence[str]


def problems(version: Version, facts: Facts, *, hotfix: bool) -> list[str]:
    """Return every reason not to release."""
    found: list[str] = []
    if not facts.on_branch:
        found.append(
            f"{facts.commit[:12]} is not on {facts.branch}: what was not merged was not reviewed. Fix: merge it first."
        )
    if facts.tag is None:
        found += _order_problems(version, facts.versions, hotfix=hotfix)
    elif facts.tag.commit != facts.commit:
        found.append(
            f"the tag {version} is on {facts.tag.commit[:12]} already, and not on {facts.commit[:12]}. A version never"
            " moves. Fix: release the next one."
        )
    elif not facts.tag.annotated:
        found.append(
            f"the tag {version} is there and not annotated, so it says neither who made it nor when. Fix: delete it"
            f" (git push --delete origin {version}) and run this again."
        )
    if facts.missing:
        found.append(
            f"the registry does not have {', '.join(facts.missing)}. Fix: wait for the build of this commit, or run it"
            " again."
        )
    return found


def _order_problems(version: Version, others: Sequence[Version], *, hotfix: bool) -> list[str]:
    # A release is compared with releases: v1.3.0-rc.1 does not stop v1.2.4. A prerelease must be above everything.
    compared = [each for each in others if version.prerelease or not each.prerelease]
    line = version.numbers[:2]
    if hotfix:
        compared = [each for each in compared if each.numbers[:2] == line]
        if not any(not each.prerelease for each in compared):
            return [f"--hotfix: nothing of v{line[0]}.{line[1]} was released, so there is nothing to fix in it."]
    newest = max(compared, default=None)
    if newest is None or version > newest:
        return []
    fix = f"a version above {newest}" + ("" if hotfix else ", or --hotfix if an older line is meant")
    return [f"{version} does not come after {newest}, which is there. Fix: {fix}."]


def previous(version: Version, others: Iterable[Version]) -> Version | None:
    """Return the version whose changes are known already: the highest below, among releases for a release."""
    below = [each for each in others if each < version and (version.prerelease or not each.prerelease)]
    return max(below, default=None)


def is_latest(version: Version, others: Iterable[Version]) -> bool:
    """Return whether GitHub may show it as the latest release."""
    return not version.prerelease and all(version > each for each in others if not each.prerelease)
