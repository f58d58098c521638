"""Charts packed by Helm, into archives whose bytes follow from the chart alone."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pavedpath_delivery.chart.archive import Archive, identity, local_parts, normalise, read
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS = 300.0


@dataclass(frozen=True)
class Packaged:
    """An archive that was written, as `path`."""

    path: Path
    archive: Archive
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return its outputs."""
        return dict(self.outputs())

    def show(self, console: "Console") -> None:
        """Print its path and digest."""
        console.print(f"{self.path}  {self.archive.digest}", markup=False)

    def summary(self) -> str:
        """Return nothing: the push that follows says it."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return what a push needs."""
        archive = self.archive
        return {"package": str(self.path), "name": archive.name, "version": archive.version, "digest": archive.digest}


def package(chart: Path, out: Path, environ: Mapping[str, str] = os.environ) -> Packaged:
    """Pack a chart's folder; its dependencies are fetched first, as Chart.lock has them.

    The times in the archive are SOURCE_DATE_EPOCH's, by default those of 1970. Source: reproducible-builds.org.

    Raises:
        DeliveryError: no chart, no Helm, or Helm cannot pack it; with Helm's words.
    """
    metadata = _metadata(chart)
    name, version = identity(metadata, str(chart))
    when = environ.get("SOURCE_DATE_EPOCH", "0")
    if not when.isdecimal():
        raise DeliveryError(f"SOURCE_DATE_EPOCH is {when!r}, and must be seconds since 1970.", Exit.USAGE)
    helm = programs.find("helm", "pack charts")
    if metadata.get("dependencies"):
        _helm([helm, "dependency", "build", str(chart)], f"fetch the dependencies of {chart}")
    with tempfile.TemporaryDirectory(prefix="pavedpath-package-") as scratch:
        _helm([helm, "package", str(chart), "--destination", scratch], f"pack {chart}")
        packed = Path(scratch) / f"{name}-{version}.tgz"
        packed.write_bytes(normalise(packed.read_bytes(), local_parts(metadata), int(when)))
        archive = read(packed)
    try:
        out.mkdir(parents=True, exist_ok=True)
        whole = out / f".{archive.file}.{os.getpid()}"
        whole.write_bytes(archive.content)
        whole.replace(out / archive.file)
    except OSError as error:
        raise DeliveryError(f"--out {out} cannot be written: {error.strerror}.", Exit.USAGE) from error
    return Packaged(out / archive.file, archive)


def _metadata(chart: Path) -> Properties:
    try:
        return fields(yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise DeliveryError(
            f"{chart} is no chart: {reason}. Fix: name a folder with a Chart.yaml.", Exit.USAGE
        ) from None


def _helm(argv: Sequence[str], what: str) -> None:
    done = programs.call(argv, timeout=_SECONDS)
    if done.code:
        raise DeliveryError(f"helm cannot {what}: {done.stderr.strip().removeprefix('Error: ')}")
