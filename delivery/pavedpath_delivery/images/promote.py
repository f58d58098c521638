"""Promotion: the same bytes under other names, once they were tested and scanned.

What is copied is complete before a tag names it, blobs first and tags last; so a run that was killed leaves nothing
that anybody sees, and the next one does what is missing.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.images.evidence import find_evidence
from pavedpath_delivery.images.forwards import MOVING, Candidate, refusal
from pavedpath_delivery.images.kinds import Kind
from pavedpath_delivery.images.manifests import Descriptor, Manifest
from pavedpath_delivery.images.references import Name, Reference
from pavedpath_delivery.images.registry import Registries, Repository
from pavedpath_delivery.images.tags import LATEST
from pavedpath_delivery.images.versions import Version, versions
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str], None]
REQUIRED = tuple(Kind)


@dataclass(frozen=True)
class Wishes:
    """What is asked for.

    Attributes:
        source: the image, by digest.
        targets: the same image's new references, each with a tag.
        moving: tags that move, besides `latest` and `dev`.
        adopt: whether `latest` may leave an image without a version.
    """

    source: Reference
    targets: tuple[Reference, ...]
    moving: frozenset[str] = frozenset()
    adopt: bool = False


@dataclass(frozen=True)
class Content:
    """An image, or what refers to one: its manifests, children first, and their blobs, each once."""

    manifests: tuple[Manifest, ...]
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Gap:
    """What a target's repository lacks.

    Attributes:
        target: the repository.
        manifests: of the image, children first.
        referrers: of its evidence, signatures and the like.
        blobs: of both.
        tags: that do not name the image yet.
    """

    target: Repository
    manifests: tuple[Manifest, ...]
    referrers: tuple[Manifest, ...]
    blobs: tuple[Descriptor, ...]
    tags: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the blobs."""
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True)
class Promoted:
    """The answer of `pavedpath image promote`."""

    wishes: Wishes
    gaps: tuple[Gap, ...]
    dry_run: bool
    notes: tuple[str, ...] = ()
    code: Exit = field(default=Exit.OK)

    def document(self) -> Mapping[str, Any]:
        """Return the whole answer."""
        return {
            "image": str(self.wishes.source),
            "references": [str(each) for each in self.wishes.targets],
            "dry_run": self.dry_run,
            "copied": [
                {
                    "repository": str(gap.target.name),
                    "blobs": len(gap.blobs),
                    "bytes": gap.size,
                    "manifests": len(gap.manifests),
                    "referrers": len(gap.referrers),
                    "tags": list(gap.tags),
                }
                for gap in self.gaps
            ],
            "notes": list(self.notes),
        }

    def show(self, console: "Console") -> None:
        """Print a line for each repository."""
        for note in self.notes:
            console.print(f"note: {note}", markup=False)
        for gap in self.gaps:
            console.print(f"{gap.target.name}: {self._told(gap)}", markup=False)

    def _told(self, gap: Gap) -> str:
        copy, tag = ("would copy", "would tag") if self.dry_run else ("copied", "tagged")
        told: list[str] = []
        if gap.blobs or gap.manifests or gap.referrers:
            counts = f"{len(gap.blobs)} blobs ({gap.size} bytes), {len(gap.manifests)} manifests"
            told.append(f"{copy} {counts}, {len(gap.referrers)} referrers")
        if gap.tags:
            told.append(f"{tag} {', '.join(gap.tags)}")
        return "; ".join(told) or "has it all"

    def summary(self) -> str:
        """Return what names the image now, as Markdown."""
        if self.dry_run:
            return ""
        rows = "\n".join(f"| `{each}` |" for each in self.wishes.targets)
        return f"| `{self.wishes.source}` is promoted to |\n|---|\n{rows}\n"

    def outputs(self) -> Mapping[str, str]:
        """Return `digest`, and `images`: the image in each target's repository, by digest, a line each."""
        digest = self.wishes.source.digest
        images = dict.fromkeys(str(each.at(digest)) for each in self.wishes.targets)
        return {"digest": digest, "images": "\n".join(images)}


def promote(registries: Registries, wishes: Wishes, say: Progress, *, dry_run: bool = False) -> Promoted:
    """Copy an image to its new names and tag it there.

    Args:
        registries: opens repositories.
        wishes: what is asked for.
        say: hears of each blob.
        dry_run: change nothing.

    Raises:
        DeliveryError: a rule forbids it (Exit.POLICY, every reason, before anything is changed), or a registry fails.
    """
    source, digest = registries.open(wishes.source.name), wishes.source.digest
    content = _content(source, [digest])
    if not content.manifests:
        raise DeliveryError(f"{wishes.source} is not in the registry. Fix: pass the digest that the push gave.")
    evidence = find_evidence(source, digest)
    problems = [
        f"- it is not recorded as {kind}. Fix: pavedpath image record {wishes.source} --kind {kind}, where that is done"
        for kind in REQUIRED
        if kind not in evidence.kinds
    ]
    notes = tuple(f"{each} is no evidence: {reason}" for each, reason in evidence.invalid.items())
    targets = _by_repository(wishes.targets)
    repositories = {name: registries.open(name) for name in targets}
    for name, tags in targets.items():
        problems += _refusals(repositories[name], tags, wishes, source)
    if problems:
        listed = "\n".join([*problems, *(f"- {note}" for note in notes)])
        raise DeliveryError(f"{wishes.source} is not promoted:\n{listed}", Exit.POLICY)
    referrers = _content(source, [each.digest for each in source.referrers(digest)])
    gaps = tuple(_gap(repositories[name], tags, content, referrers, source) for name, tags in targets.items())
    if not dry_run:
        for gap in gaps:
            _fill(gap, source, digest, content, say)
    return Promoted(wishes, gaps, dry_run, notes)


def _by_repository(targets: Sequence[Reference]) -> dict[Name, list[str]]:
    tags: dict[Name, list[str]] = {}
    for each in targets:
        tags.setdefault(each.name, []).append(each.tag)
    return tags


def _content(repository: Repository, digests: Sequence[str]) -> Content:
    """Return what hangs on some manifests; those that are not there are left out."""
    manifests: dict[str, Manifest] = {}
    blobs: dict[str, Descriptor] = {}

    def visit(digest: str) -> bool:
        manifest = manifests.get(digest) or repository.manifest(digest)
        if manifest is None:
            return False
        for child in manifest.children:
            if not visit(child.digest):
                raise DeliveryError(f"{repository.name}@{digest} is incomplete: {child.digest} is not there.")
        blobs.update({blob.digest: blob for blob in manifest.blobs})
        manifests[digest] = manifest
        return True

    for digest in digests:
        visit(digest)
    return Content(tuple(manifests.values()), tuple(blobs.values()))


def _refusals(target: Repository, tags: Sequence[str], wishes: Wishes, source: Repository) -> Iterator[str]:
    digest = wishes.source.digest
    moving = MOVING | wishes.moving
    named = {tag: target.digest(tag) for tag in tags}
    moves = {tag: now for tag, now in named.items() if tag in moving and now != digest}
    known = _versions(target, {digest, *filter(None, moves.values())}) if moves else {}
    mine = _releases_first([*tags, *([str(known[digest])] if digest in known else [])])
    version = mine[0] if mine else None
    for tag, now in named.items():
        timed = tag in moves and tag != LATEST
        wanted = Candidate(digest, version, _recorded(source, digest) if timed and now else None)
        current = Candidate(now, known.get(now), _recorded(target, now) if timed else None) if now else None
        if reason := refusal(tag, wanted, current, moving, adopt=wishes.adopt):
            yield f"- {target.name}:{tag}: {reason}"


def _versions(repository: Repository, digests: set[str]) -> dict[str, Version]:
    """Return the version of each digest that has one."""
    found: dict[str, Version] = {}
    for version in _releases_first(repository.tags()):
        if digests <= found.keys():
            break
        digest = repository.digest(str(version))
        if digest in digests:
            found.setdefault(digest, version)
    return found


def _releases_first(tags: Sequence[str]) -> list[Version]:
    """Return the versions among tags, the one that an image with all of them counts as first."""
    return sorted(versions(tags), key=lambda version: bool(version.prerelease))


def _recorded(repository: Repository, digest: str) -> datetime | None:
    """Return when the newest run that recorded an image did so first: repeating a run makes nothing newer."""
    firsts: dict[str, datetime] = {}
    for artifact, each in find_evidence(repository, digest).valid.items():
        run = each.url or artifact
        firsts[run] = min(each.recorded, firsts.get(run, each.recorded))
    return max(firsts.values(), default=None)


def _gap(target: Repository, tags: Sequence[str], image: Content, referrers: Content, source: Repository) -> Gap:
    digest = image.manifests[-1].digest
    unset = tuple(tag for tag in tags if target.digest(tag) != digest)
    if target.name == source.name:
        return Gap(target, (), (), (), unset)
    blobs = {blob.digest: blob for blob in (*image.blobs, *referrers.blobs)}
    listed = {each.digest for each in target.referrers(digest)}
    return Gap(
        target,
        tuple(each for each in image.manifests if target.digest(each.digest) is None),
        tuple(each for each in referrers.manifests if each.digest not in listed),
        tuple(blob for blob in blobs.values() if not target.has_blob(blob.digest)),
        unset,
    )


def _fill(gap: Gap, source: Repository, digest: str, image: Content, say: Progress) -> None:
    target = gap.target
    for blob in gap.blobs:
        say(f"{target.name}: {_copy(blob, source, target)} {blob.digest} ({blob.size} bytes)")
    for manifest in gap.manifests:
        target.put_manifest(manifest)
    for manifest in gap.referrers:
        if manifest.subject == digest:
            extra = {key: manifest.document[key] for key in ("artifactType", "annotations") if key in manifest.document}
            target.attach(manifest, **extra)
        else:
            target.put_manifest(manifest)
    for tag in gap.tags:
        target.put_manifest(image.manifests[-1], tag)


def _copy(blob: Descriptor, source: Repository, target: Repository) -> str:
    if source.name.host == target.name.host and target.mount_blob(blob.digest, source.name):
        return "mounted"
    with tempfile.TemporaryDirectory(prefix="pavedpath-blob-") as folder:
        path = Path(folder) / "blob"
        source.save_blob(blob, path)
        target.push_blob(blob.digest, path)
    return "copied"
