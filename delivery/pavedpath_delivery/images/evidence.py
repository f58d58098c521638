"""Evidence that an image was tested and scanned: an OCI artifact that refers to exactly one digest.

It binds whoever can push to the repository, for they can record it; nobody else. It is no signature.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.images.kinds import Kind
from pavedpath_delivery.images.manifests import EMPTY, EMPTY_TYPE, IMAGE, Manifest, digest_of
from pavedpath_delivery.images.references import DIGEST, Reference
from pavedpath_delivery.images.registry import Repository
from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

MEDIA_TYPE = "application/vnd.pavedpath.evidence.v1+json"
KIND_ANNOTATION = "dev.pavedpath.evidence.kind"
_CREATED_ANNOTATION = "org.opencontainers.image.created"


@dataclass(frozen=True)
class Evidence:
    """One statement about one image.

    Attributes:
        kind: what was done.
        subject: digest of the image.
        report: digest of the report's file; empty without one.
        url: the run that did it; may be empty.
        commit: what the image was built from; may be empty.
        recorded: when, in UTC.
    """

    kind: Kind
    subject: str
    report: str
    url: str
    commit: str
    recorded: datetime

    def document(self) -> dict[str, Any]:
        """Return the predicate."""
        return {
            "kind": self.kind.value,
            "subject": self.subject,
            "report": self.report,
            "url": self.url,
            "commit": self.commit,
            "recorded": self.recorded.isoformat(),
        }

    @classmethod
    def parse(cls, content: bytes) -> "Evidence":
        """Return what a predicate says.

        Raises:
            ValueError: it is no predicate; says why.
        """
        document = fields(json.loads(content))
        texts = {key: document.get(key) for key in ("kind", "subject", "report", "url", "commit", "recorded")}
        if wrong := sorted(key for key, value in texts.items() if not isinstance(value, str)):
            raise ValueError(f"no text in {', '.join(wrong)}")
        kind, subject, report, url, commit, recorded = map(str, texts.values())
        if report and not DIGEST.fullmatch(report):
            raise ValueError("`report` is no digest")
        return cls(Kind(kind), subject, report, url, commit, datetime.fromisoformat(recorded))

    def same_fact(self, other: "Evidence") -> bool:
        """Whether both say the same, at whatever time."""
        mine, theirs = self.document(), other.document()
        return {**mine, "recorded": ""} == {**theirs, "recorded": ""}


def manifest_of(evidence: Evidence, subject: Mapping[str, Any]) -> tuple[Manifest, bytes]:
    """Return the artifact for a piece of evidence, and the blob that it holds; `subject` is a descriptor. Pure."""
    predicate = json.dumps(evidence.document(), separators=(",", ":"), sort_keys=True).encode()
    layer = {"mediaType": MEDIA_TYPE, "digest": digest_of(predicate), "size": len(predicate)}
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": MEDIA_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
        "layers": [layer],
        "subject": dict(subject),
        "annotations": annotations(evidence),
    }
    return Manifest.make(document), predicate


def annotations(evidence: Evidence) -> dict[str, str]:
    """Return what lists of referrers show of it. Pure."""
    return {KIND_ANNOTATION: evidence.kind.value, _CREATED_ANNOTATION: evidence.recorded.isoformat()}


@dataclass(frozen=True)
class Found:
    """The evidence at a digest.

    Attributes:
        valid: what counts, with the digest of its artifact.
        invalid: what looks like evidence and is none, with the reason.
    """

    valid: Mapping[str, Evidence]
    invalid: Mapping[str, str]

    @property
    def kinds(self) -> set[Kind]:
        """What was done to the image."""
        return {each.kind for each in self.valid.values()}


def find_evidence(repository: Repository, digest: str) -> Found:
    """Return the evidence for exactly this digest, read and checked, not merely listed."""
    valid: dict[str, Evidence] = {}
    invalid: dict[str, str] = {}
    for listed in repository.referrers(digest):
        if listed.fields.get("artifactType", MEDIA_TYPE) != MEDIA_TYPE:
            continue
        manifest = repository.manifest(listed.digest)
        if manifest is None:
            invalid[listed.digest] = "it is listed and not there"
        elif manifest.document.get("artifactType") == MEDIA_TYPE:
            try:
                valid[listed.digest] = _read(repository, manifest, digest)
            except ValueError as error:
                invalid[listed.digest] = str(error)
    return Found(valid, invalid)


def _read(repository: Repository, manifest: Manifest, digest: str) -> Evidence:
    if manifest.subject != digest:
        raise ValueError(f"it is about {manifest.subject or 'nothing'}")
    predicates = [blob for blob in manifest.blobs if blob.media_type == MEDIA_TYPE]
    if len(predicates) != 1:
        raise ValueError(f"it has {len(predicates)} predicates")
    evidence = Evidence.parse(repository.read_blob(predicates[0]))
    if evidence.subject != digest:
        raise ValueError(f"its predicate is about {evidence.subject}")
    return evidence


@dataclass(frozen=True)
class Recorded:
    """The answer of `pavedpath image record`; `artifact` holds the evidence, and was `made` now or is older."""

    image: Reference
    evidence: Evidence
    artifact: str
    made: bool
    dry_run: bool = False
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole answer."""
        return {
            "image": str(self.image),
            "artifact": self.artifact,
            "recorded": self.made and not self.dry_run,
            "dry_run": self.dry_run,
            "evidence": self.evidence.document(),
        }

    def show(self, console: "Console") -> None:
        """Print a line."""
        done = f"{'would be ' if self.dry_run else ''}recorded as" if self.made else "recorded before as"
        console.print(f"{self.evidence.kind}: {self.image} {done} {self.artifact}", markup=False)

    def summary(self) -> str:
        """Return a line."""
        return "" if self.dry_run else f"`{self.image}` is recorded as **{self.evidence.kind}**."

    def outputs(self) -> Mapping[str, str]:
        """Return `artifact`."""
        return {"artifact": self.artifact}


def record(repository: Repository, image: Reference, evidence: Evidence, *, dry_run: bool = False) -> Recorded:
    """Attach evidence to an image; what says the same already is not recorded twice.

    Raises:
        DeliveryError: the image is not there, or the registry refuses.
    """
    subject = repository.manifest(image.digest)
    if subject is None:
        raise DeliveryError(f"{image} is not in the registry. Fix: push it first, and pass the digest that it got.")
    before = find_evidence(repository, image.digest).valid.items()
    if same := next((each for each in before if evidence.same_fact(each[1])), None):
        return Recorded(image, same[1], same[0], made=False)
    manifest, predicate = manifest_of(evidence, subject.descriptor())
    if dry_run:
        return Recorded(image, evidence, manifest.digest, made=True, dry_run=True)
    for content in (EMPTY, predicate):
        if not repository.has_blob(digest_of(content)):
            repository.push_blob(digest_of(content), content)
    repository.attach(manifest, artifactType=MEDIA_TYPE, annotations=annotations(evidence))
    return Recorded(image, evidence, manifest.digest, made=True)
