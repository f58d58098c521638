"""Charts packed by Helm, into archives whose bytes follow from the chart alone."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pavedpath_delivery.chart.archive import Archive, identity, local_charts, normalise, read
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import Properties, fields, objects
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
    with tempfile.TemporaryDirectory(prefix="pavedpath-package-") as folder:
        scratch = Path(folder)
        if metadata.get("dependencies"):
            known = _repositories(helm, _charts_from(metadata), scratch)
            _helm([helm, "dependency", "build", str(chart)], f"fetch the dependencies of {chart}", known)
        _helm([helm, "package", str(chart), "--destination", folder], f"pack {chart}")
        packed = scratch / f"{name}-{version}.tgz"
        # By their own versions, as Helm names them: the dependency may give a range.
        parts = frozenset(
            "{}-{}.tgz".format(*identity(_metadata(part), str(part))) for part in local_charts(metadata, chart)
        )
        packed.write_bytes(normalise(packed.read_bytes(), parts, int(when)))
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


def _charts_from(metadata: Properties) -> list[str]:
    """Return the addresses of the repositories that dependencies come from, but for OCI registries."""
    places = (str(each.get("repository", "")).rstrip("/") for each in objects(metadata.get("dependencies")))
    return list(dict.fromkeys(place for place in places if place.startswith(("https://", "http://"))))


def _repositories(helm: str, places: Sequence[str], scratch: Path) -> Mapping[str, str]:
    """Return the variables with which Helm knows repositories, besides those that it knows.

    With a Chart.lock it takes from none that was not added before (`helm repo add`), as on a new runner none was.
    """
    if not places:
        return {}
    usual = Path(_helm([helm, "env", "HELM_REPOSITORY_CONFIG"], "say where its repositories are").strip())
    try:
        listed = objects(fields(yaml.safe_load(usual.read_text(encoding="utf-8"))).get("repositories"))
    except FileNotFoundError:
        listed = []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeliveryError(f"Helm's {usual} cannot be read ({type(error).__name__}).", Exit.USAGE) from None
    there = {str(each.get("url", "")).rstrip("/") for each in listed}
    added = [{"name": f"pavedpath-{n}", "url": place} for n, place in enumerate(places) if place not in there]
    file = scratch / "repositories.yaml"
    file.touch(mode=0o600)  # what is listed may have passwords
    file.write_text(yaml.safe_dump({"repositories": [*map(dict, listed), *added]}), encoding="utf-8")
    return {"HELM_REPOSITORY_CONFIG": str(file), "HELM_REPOSITORY_CACHE": str(scratch / "cache")}


def _helm(argv: Sequence[str], what: str, variables: Mapping[str, str] | None = None) -> str:
    done = programs.call(argv, environ={**os.environ, **(variables or {})}, timeout=_SECONDS)
    if done.code:
        raise DeliveryError(f"helm cannot {what}: {done.stderr.strip().removeprefix('Error: ')}")
    return done.stdout
