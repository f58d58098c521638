"""Chart archives in a directory, and the index over them."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import yaml

Entry = Mapping[str, object]
"""One version in the index: what its Chart.yaml says, `urls`, `created` and `digest`."""

# Source: semver.org; Helm takes a leading v too.
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LARGEST = 5 << 20  # bytes of one file of a chart. Source: Helm, MaxDecompressedFileSize


class NotAChartError(Exception):
    """What was uploaded is no chart archive, or its name or version cannot be used."""


class ExistsError(Exception):
    """The version is there already."""


@dataclass(frozen=True)
class Upload:
    """A file as it is stored."""

    name: str
    content: bytes


def package(content: bytes) -> Upload:
    """Name an archive by its own Chart.yaml.

    Raises:
        NotAChartError: not a gzipped archive with one, or without a usable name and version.
    """
    metadata = _metadata(content)
    return Upload(f"{metadata['name']}-{metadata['version']}.tgz", content)


def provenance(content: bytes) -> Upload:
    """Name a provenance file by the Chart.yaml that it quotes.

    Raises:
        NotAChartError: it quotes none.
    """
    quoted = content.decode("utf-8", "replace").partition("\n\n")[2].partition("\n...\n")[0]
    metadata = _checked(quoted)
    return Upload(f"{metadata['name']}-{metadata['version']}.tgz.prov", content)


def precedence(version: str) -> tuple[object, ...]:
    """Order versions as semver.org does; higher is newer, and what is no version comes first."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (0,)
    numbers = tuple(int(part) for part in match.group(1, 2, 3))
    if match[4] is None:
        return (1, *numbers, 1)
    return (1, *numbers, 0, tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match[4].split(".")))


class Store:
    """The archives below `directory`, which is made if missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, uploads: list[Upload], *, force: bool) -> None:
        """Keep files, all or none.

        Raises:
            ExistsError: one of them is there already, and `force` is off.
        """
        with self._lock:
            if not force and any((self._directory / each.name).exists() for each in uploads):
                raise ExistsError
            for each in uploads:
                temporary = self._directory / f".{each.name}.new"
                temporary.write_bytes(each.content)
                temporary.replace(self._directory / each.name)

    def read(self, name: str) -> bytes | None:
        """Return a file, None where there is none."""
        path = self._directory / name
        if path.parent != self._directory or name.startswith(".") or not path.is_file():
            return None
        return path.read_bytes()

    def delete(self, name: str, version: str) -> bool:
        """Delete a version with its provenance; False where there is none."""
        archive = f"{name}-{version}.tgz"
        with self._lock:
            if self.read(archive) is None:
                return False
            (self._directory / archive).unlink()
            (self._directory / f"{archive}.prov").unlink(missing_ok=True)
        return True

    def entries(self) -> dict[str, list[Entry]]:
        """Return every chart's versions by its name, newest first."""
        found: dict[str, list[Entry]] = {}
        with self._lock:
            for path in sorted(self._directory.glob("[!.]*.tgz")):
                content = path.read_bytes()
                metadata = _metadata(content)
                created = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat().replace("+00:00", "Z")
                more = {
                    "urls": [f"charts/{path.name}"],
                    "created": created,
                    "digest": hashlib.sha256(content).hexdigest(),
                }
                found.setdefault(str(metadata["name"]), []).append({**metadata, **more})
        for versions in found.values():
            versions.sort(key=lambda entry: precedence(str(entry["version"])), reverse=True)
        return found


def _metadata(content: bytes) -> Entry:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                if member.isfile() and re.fullmatch(r"[^/]+/Chart\.yaml", member.name) and member.size <= _LARGEST:
                    file = archive.extractfile(member)
                    return _checked(file.read().decode() if file else "")
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise NotAChartError(f"the archive cannot be read: {error}") from error
    raise NotAChartError("Chart.yaml file is missing")


def _checked(text: str) -> Entry:
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise NotAChartError(f"Chart.yaml is no YAML: {error}") from error
    metadata = cast("Entry", document if isinstance(document, dict) else {})
    name, version = str(metadata.get("name", "")), str(metadata.get("version", ""))
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise NotAChartError(f"{name}-{version}.tgz is improperly formatted")
    return metadata
