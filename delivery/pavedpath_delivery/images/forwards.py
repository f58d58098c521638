"""Whether a tag may go where it is asked to: fixed tags stay, moving ones go forwards. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from pavedpath_delivery.images.tags import DEV, LATEST
from pavedpath_delivery.images.versions import Version

MOVING = frozenset({LATEST, DEV})
_FORWARDS = "moving tags go forwards only"


@dataclass(frozen=True)
class Candidate:
    """An image as a tag may name it.

    Attributes:
        digest: which.
        version: the newest version tag that names it; None for none.
        recorded: when its newest test or scan was recorded; None for unknown. Its own `created` would not do: a build
            that a cache answers, such as that of a reverted commit, has the time of the first one.
    """

    digest: str
    version: Version | None = None
    recorded: datetime | None = None


def refusal(
    tag: str, wanted: Candidate, current: Candidate | None, moving: Collection[str] = MOVING, *, adopt: bool = False
) -> str:
    """Return why a tag may not name an image; empty if it may.

    ========================  =====================================================================================
    tag                       may be set
    ========================  =====================================================================================
    any                       if there is no such tag, or it names that image already
    `latest`                  to a release (vX.Y.Z) that is newer than the one it names; from an image without a
                              version only with `adopt`
    another moving tag        to a newer version, or where one of both has none, to an image that was recorded
                              later; if that is not known either, always
    a fixed tag               never
    ========================  =====================================================================================
    """
    if tag == LATEST and (wanted.version is None or wanted.version.prerelease):
        what = f"{wanted.version}, a prerelease" if wanted.version else "an image without a version"
        return f"`latest` names releases, and this is {what}. Fix: promote it to its vX.Y.Z in the same command"
    if current is None or current.digest == wanted.digest:
        return ""
    if tag not in moving:
        return f"it names {current.digest} already, and a fixed tag never moves. Fix: release under a new version"
    if tag == LATEST and current.version is None:
        unknown = (
            f"it names {current.digest}, which has no version tag here, so that forwards is unknown. "
            "Fix: give that image its version's tag, or pass --adopt if it is older"
        )
        return "" if adopt else unknown
    return _backwards(wanted, current)


def _backwards(wanted: Candidate, current: Candidate) -> str:
    if wanted.version and current.version:
        newer = current.version > wanted.version
        return f"it names {current.version}, which is newer than {wanted.version}; {_FORWARDS}" if newer else ""
    if wanted.recorded and current.recorded and current.recorded > wanted.recorded:
        return f"it names an image that was recorded later ({current.recorded:%Y-%m-%d %H:%M:%S} UTC); {_FORWARDS}"
    return ""
