"""Chart archives: read, and written so that the same chart gives the same bytes."""

import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_BUILD = re.compile(r"\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
# Source: Helm, MaxDecompressedChartSize.
_LARGEST = 100 << 20
_COMPRESSION = 9


@dataclass(frozen=True)
class Archive:
    """A chart's archive; `digest` is its own, sha256:… ."""

    name: str
    version: str
    digest: str
    content: bytes = field(repr=False)

    @property
    def file(self) -> str:
        """The file's name as repositories want it."""
        return f"{self.name}-{self.version}.tgz"


def read(path: Path) -> Archive:
    """Read an archive that `helm package` or `pavedpath chart package` wrote.

    Raises:
        DeliveryError: not there, no chart, or a name or version that cannot be pushed.
    """
    try:
        content = path.read_bytes()
        metadata = _metadata(content)
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise DeliveryError(
            f"{path} is no chart archive: {reason}. Fix: pavedpath chart package DIR", Exit.USAGE
        ) from None
    return Archive(*identity(metadata, str(path)), f"sha256:{hashlib.sha256(content).hexdigest()}", content)


def identity(metadata: Properties, where: str) -> tuple[str, str]:
    """Return the name and version of a Chart.yaml. Pure.

    Raises:
        DeliveryError: names everything that cannot be pushed.
    """
    name, version = str(metadata.get("name", "")), str(metadata.get("version", ""))
    problems: list[str] = []
    if not _NAME.fullmatch(name):
        problems.append(f"its name {name!r} is not of lower-case letters, digits, dots and dashes")
    # Unlike an image's tag, a chart's version may have build metadata and need not begin with a v.
    if Version.parse(f"v{_BUILD.sub('', version, count=1).removeprefix('v')}") is None:
        problems.append(f"its version {version!r} is no semantic version")
    if problems:
        raise DeliveryError(f"{where}: {' and '.join(problems)}. Fix: correct it in Chart.yaml.", Exit.USAGE)
    return name, version


def normalise(content: bytes, local_parts: frozenset[str] = frozenset(), when: int = 0) -> bytes:
    """Return an archive without what differs from checkout to checkout: times, owners, modes, order, gzip's header.

    Args:
        content: a chart's archive.
        local_parts: archives in its charts/ that were packed from folders just now, and need the same.
        when: the time to write, seconds since 1970.
    """
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as source,
        gzip.GzipFile(fileobj=out, mode="wb", compresslevel=_COMPRESSION, mtime=0, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as target,
    ):
        # Helm reads Chart.yaml first, whatever the order; it stays in front as in Helm's own archives.
        members = sorted((m for m in source if m.isfile()), key=lambda m: (not m.name.endswith("/Chart.yaml"), m.name))
        for member in members:
            data = _bytes(source, member)
            if member.name.partition("/charts/")[2] in local_parts:
                data = normalise(data, when=when)
            clean = tarfile.TarInfo(member.name)
            clean.size, clean.mode, clean.mtime = len(data), 0o644, when
            target.addfile(clean, io.BytesIO(data))
    return out.getvalue()


def local_charts(metadata: Properties, folder: Path) -> list[Path]:
    """Return the folders from which Helm packs dependencies of the Chart.yaml in a folder."""
    places = [str(each.get("repository", "")) for each in objects(metadata.get("dependencies"))]
    return [(folder / place.removeprefix("file://")).resolve() for place in places if place.startswith("file://")]


def _metadata(content: bytes) -> Properties:
    total = 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            total += member.size
            if total > _LARGEST:
                raise tarfile.TarError("it is larger than Helm takes")
            if member.isfile() and re.fullmatch(r"[^/]+/Chart\.yaml", member.name):
                return fields(yaml.safe_load(_bytes(archive, member).decode()))
    raise tarfile.TarError("it has no Chart.yaml")


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
