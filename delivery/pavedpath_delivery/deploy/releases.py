"""Helm's records of a release: one secret `sh.helm.release.v1.<name>.v<revision>` each, and what follows from them.

Source of the layout: `pkg/storage/driver` of Helm: the field `release` is base64 of gzipped JSON. It holds the values
of the release, secrets included: neither they nor the manifest are ever shown as they are.
"""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pavedpath_delivery.deploy.manifests import images, secrets_of
from pavedpath_delivery.deploy.secrets import Hider
from pavedpath_delivery.kit.documents import Json, Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

DEPLOYED = "deployed"
FAILED = "failed"
SUPERSEDED = "superseded"
_GZIP = b"\x1f\x8b\x08"
_ROLLBACK_TO = re.compile(r"Rollback to (\d+)")
_NEVER_RAN = re.compile(
    r'(?:Upgrade|Release|Rollback) "[^"]*" failed\b|failed to render resource'
    r"|(?:Preparing upgrade|Initial install underway)$"
)
"""What Helm 3 and 4 describe a revision with that failed, or that was given up before it ran.

Source: `pkg/action` (install, upgrade, rollback) of Helm 3.18 and 4.1.
"""
_FRACTION = re.compile(r"\.(\d{1,6})\d*")


@dataclass(frozen=True)
class Revision:
    """One revision of a release; `changed` is when its deployment began, `chart` is `name-version`."""

    number: int
    status: str
    changed: datetime
    chart: str = ""
    app_version: str = ""
    description: str = ""
    manifest: str = field(default="", repr=False)
    values: Properties = field(default_factory=dict[str, Json], repr=False, compare=False)
    """What it was rendered from, secrets included."""
    server_side: bool = False
    """Whether Helm applied it on the server's side, where a field that somebody else changed is a conflict."""

    @property
    def pending(self) -> bool:
        """Whether a Helm process is at it, or was ended while it was."""
        return self.status.startswith("pending-") or self.status == "uninstalling"

    @property
    def succeeded(self) -> bool:
        """Whether it ran once.

        The status alone does not say so: a rollback that fails marks what was the newest before as superseded, also
        where that had failed itself. The description keeps the failure.
        """
        return self.status == DEPLOYED or (self.status == SUPERSEDED and not _NEVER_RAN.match(self.description))

    @property
    def restores(self) -> int | None:
        """The revision that it went back to; None for one that was not made by a rollback."""
        found = _ROLLBACK_TO.match(self.description)
        return int(found[1]) if found else None

    @property
    def images(self) -> list[str]:
        """The images of its containers, each once."""
        return images(self.manifest)


def read_time(text: str) -> datetime:
    """Return a time as Go writes it: with up to nine digits below the second. Pure."""
    return datetime.fromisoformat(_FRACTION.sub(lambda found: f".{found[1]:0<6}", text)).astimezone(UTC)


def read_record(secret: Properties) -> Revision:
    """Return the revision that a secret of Helm holds. Pure."""
    content = base64.b64decode(base64.b64decode(str(fields(secret.get("data")).get("release", ""))))
    document = fields(json.loads(gzip.decompress(content) if content[:3] == _GZIP else content))
    manifest = str(document.get("manifest", ""))
    info, metadata = fields(document.get("info")), fields(fields(document.get("chart")).get("metadata"))
    return Revision(
        number=int(document.get("version", 0)),
        status=str(info.get("status", "")),
        changed=read_time(str(info.get("last_deployed") or info.get("first_deployed"))),
        chart=f"{metadata.get('name', '')}-{metadata.get('version', '')}",
        app_version=str(metadata.get("appVersion", "")),
        # Helm writes the API server's refusals there, and those quote what was refused.
        description=Hider(secrets_of(manifest))(str(info.get("description", ""))),
        manifest=manifest,
        values=fields(document.get("config")),
        server_side=document.get("apply_method") == "ssa",
    )


class Cluster(Protocol):
    """What is read of a cluster."""

    def get(self, path: str) -> Json | None:
        """Return an object, None where there is none."""
        ...

    def items(self, path: str, params: dict[str, str] | None = None) -> list[Properties]:
        """Return the objects of a list."""
        ...


def history(cluster: Cluster, namespace: str, release: str) -> list[Revision]:
    """Return the revisions of a release, oldest first; none for one that is not there.

    An upgrade that is interrupted can leave two records deployed: only the newest of them is.
    """
    selector = {"labelSelector": f"owner=helm,name={release}"}
    secrets = cluster.items(f"/api/v1/namespaces/{namespace}/secrets", selector)
    found = sorted((read_record(secret) for secret in secrets), key=lambda revision: revision.number)
    now = running(found)
    return [replace(each, status=SUPERSEDED) if each.status == DEPLOYED and each is not now else each for each in found]


def running(revisions: Sequence[Revision]) -> Revision | None:
    """Return the revision that Helm holds for deployed; None if none is. Pure."""
    return next((each for each in reversed(revisions) if each.status == DEPLOYED), None)


def last_good(revisions: Sequence[Revision]) -> Revision | None:
    """Return the revision that ran last, or runs. Pure."""
    return running(revisions) or next((each for each in reversed(revisions) if each.succeeded), None)


@dataclass(frozen=True)
class Free:
    """No Helm process is at the release."""


@dataclass(frozen=True)
class Busy:
    """A Helm process may be at it, until `until` at the latest."""

    revision: Revision
    until: datetime


@dataclass(frozen=True)
class Revert:
    """A Helm process was ended while it was at `revision`: go back to `to`; None removes what never ran."""

    revision: Revision
    to: int | None


def judge(revisions: Sequence[Revision], now: datetime, timeout: timedelta) -> Free | Busy | Revert:
    """Return whether a release can be worked on. Pure.

    Helm refuses everything while the newest record is pending, for ever if its process was killed. A process that has
    taken longer than it may is not there any more. A rollback that was cut short is finished: its record says where
    it went.
    """
    if not revisions or not revisions[-1].pending:
        return Free()
    newest = revisions[-1]
    until = newest.changed + timeout
    if now <= until:
        return Busy(newest, until)
    numbers = {each.number for each in revisions}
    if newest.restores in numbers:
        return Revert(newest, newest.restores)
    good = last_good(revisions)
    return Revert(newest, good.number if good else None)


class RollbackRefusedError(DeliveryError):
    """There is nothing to go back to, or what was asked for must not be gone back to."""


def target(revisions: Sequence[Revision], to: int | None, *, force: bool = False) -> Revision:
    """Return the revision to go back to: `to`, or the one that ran before the one that runs. Pure.

    What a rollback made counts as the revision that it restored: going back twice does not go forth again. A revision
    of the same manifest as what runs would change nothing.

    Raises:
        RollbackRefusedError: there is none, it runs already, or it failed and `force` is not given.
    """
    if to is not None:
        return _asked_for(revisions, to, force=force)
    now = revisions[-1] if revisions else None
    # After a failure that Helm did not undo, the last that ran is what to go back to: also where a rollback to it
    # failed, and its manifest is what was tried last.
    if now and not now.succeeded and (good := last_good(revisions)):
        return good
    origin = _origin(revisions, now) if now else 0
    for each in reversed(revisions[:-1]):
        if now and each.succeeded and each.number < origin and each.manifest != now.manifest:
            return each
    known = ", ".join(f"{each.number} ({each.status})" for each in revisions) or "none"
    raise RollbackRefusedError(
        f"There is no earlier revision that ran. The revisions are: {known}. "
        "Fix: deploy again, or name one with --to-revision.",
        Exit.USAGE,
    )


def _origin(revisions: Sequence[Revision], revision: Revision) -> int:
    """Return the number of the revision that was first deployed with this content."""
    by_number = {each.number: each for each in revisions}
    number = revision.number
    while number in by_number and (restored := by_number[number].restores) is not None:
        number = restored
    return number


def _asked_for(revisions: Sequence[Revision], to: int, *, force: bool) -> Revision:
    found = next((each for each in revisions if each.number == to), None)
    if found is None:
        known = ", ".join(str(each.number) for each in revisions) or "none"
        raise RollbackRefusedError(f"There is no revision {to}. Fix: name one of these: {known}.", Exit.USAGE)
    if found is revisions[-1] and found.status == DEPLOYED:
        raise RollbackRefusedError(f"Revision {to} is what runs. Fix: name an earlier one.", Exit.USAGE)
    if not found.succeeded and not force:
        raise RollbackRefusedError(
            f"Revision {to} never ran ({found.status}: {found.description}). Fix: name one that did, or give --force.",
            Exit.POLICY,
        )
    return found
