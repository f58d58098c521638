"""A release: judged first, then the tag, then the release; whatever is there already is left as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pavedpath_delivery.images.tags import SHA_DIGITS
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.release.notes import changelog, notes
from pavedpath_delivery.release.rules import Facts, is_latest, previous, problems

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.release.hub import Hub

Say = Callable[[str], None]


class ImageIndex(Protocol):
    """The images that registries have."""

    def has(self, image: str, tag: str) -> bool:
        """Return whether an image is there under a tag."""
        ...


@dataclass(frozen=True)
class Wish:
    """What is to be released.

    Args:
        version: as the tag names it.
        commit: hash, branch or tag.
        images: names without tags that must be there for the commit.
        hotfix: whether an older line is meant.
        branch: branch that the commit must be on; empty for the default branch.
    """

    version: Version
    commit: str
    images: Sequence[str] = ()
    hotfix: bool = False
    branch: str = ""


@dataclass(frozen=True)
class Released:
    """What came of it; `made` names what this run made, or in a dry run would make."""

    version: Version
    commit: str
    since: str
    notes: str
    made: Sequence[str]
    url: str
    dry_run: bool
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return everything."""
        made = {"made": list(self.made), "dry_run": self.dry_run}
        return {**self.outputs(), "since": self.since, "notes": self.notes, **made}

    def show(self, console: "Console") -> None:
        """Print what was done, and in a dry run the notes."""
        console.print(self._line(), markup=False)
        if self.dry_run:
            console.print(f"\n{self.notes}", markup=False, end="")

    def summary(self) -> str:
        """Return that line with the notes below."""
        return f"### {self._line()}\n\n{self.notes}"

    def outputs(self) -> Mapping[str, str]:
        """Return the version, its commit and the address of the release; that is empty in a dry run without one."""
        return {"version": str(self.version), "commit": self.commit, "url": self.url}

    def _line(self) -> str:
        what = f"{self.version} on {self.commit[:12]}"
        if not self.made:
            return f"{what} was released already: {self.url}"
        parts = " and ".join(self.made)
        return f"{what}: would make {parts}" if self.dry_run else f"{what}: made {parts}: {self.url}"


def publish(hub: "Hub", index: ImageIndex, wish: Wish, say: Say, *, dry_run: bool = False) -> Released:
    """Release a commit; a run that was interrupted is finished by the next one.

    Raises:
        DeliveryError: refused (5), with every reason; or GitHub or a registry fails (1).
    """
    branch = wish.branch or hub.default_branch()
    commit = hub.commit(wish.commit)
    name = str(wish.version)
    others = [each for each in hub.versions() if each != wish.version]
    tag = hub.tag(name)
    by_commit = f"sha-{commit[:SHA_DIGITS]}"
    missing = [f"{image}:{by_commit}" for image in wish.images if not index.has(image, by_commit)]
    facts = Facts(commit, branch, hub.is_on(commit, branch), others, tag, missing)
    if found := problems(wish.version, facts, hotfix=wish.hotfix):
        raise DeliveryError("\n".join([f"{name} is not released:", *(f"- {each}" for each in found)]), Exit.POLICY)
    before = previous(wish.version, others)
    since = str(before) if before else ""
    changes = changelog(hub.commits(since, commit), since)
    url = hub.release(name) if tag else None
    wanted = [what for what, there in (("the tag", tag), ("the release", url)) if not there]
    if not dry_run and wanted:
        if tag is None:
            _tag(hub, name, commit, f"Release {name}\n\n{changes}")
            say(f"made the tag {name} on {commit[:12]}")
        latest = is_latest(wish.version, others)
        url = _release(hub, name, notes(changes), prerelease=bool(wish.version.prerelease), latest=latest)
    return Released(wish.version, commit, since, notes(changes), wanted, url or "", dry_run)


def _tag(hub: "Hub", name: str, commit: str, message: str) -> None:
    try:
        hub.make_tag(name, commit, message)
    except DeliveryError:
        # Another run of the same release may have been quicker.
        made = hub.tag(name)
        if made is None or made.commit != commit or not made.annotated:
            raise


def _release(hub: "Hub", name: str, body: str, *, prerelease: bool, latest: bool) -> str:
    try:
        return hub.make_release(name, body, prerelease=prerelease, latest=latest)
    except DeliveryError:
        made = hub.release(name)
        if made is None:
            raise
        return made
