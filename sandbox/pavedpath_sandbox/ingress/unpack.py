"""Unpacks images: each into a directory by its digest, nothing outside of it."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
import tempfile
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from pavedpath_sandbox.documents import Properties, fields, objects, texts
from pavedpath_sandbox.registry import ImageError, Reference, Registry

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(frozen=True)
class Image:
    """An unpacked image: its files below `root`, and what it runs."""

    digest: str
    root: Path
    config: Properties

    @property
    def entrypoint(self) -> list[str]:
        """The program it always runs; empty if it names none."""
        return texts(self.config.get("Entrypoint"))

    @property
    def arguments(self) -> list[str]:
        """The arguments that a pod may replace."""
        return texts(self.config.get("Cmd"))

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        split = [item.partition("=") for item in texts(self.config.get("Env"))]
        return {name: value for name, _, value in split}

    @property
    def directory(self) -> str:
        """Where in the image its process starts."""
        return str(self.config.get("WorkingDir") or "/")


class Store:
    """Images of one registry, unpacked below a directory. For several threads.

    Args:
        directory: holds a directory an image; what an interrupted unpacking left is not taken for one.
        registry: where they come from.
    """

    def __init__(self, directory: Path, registry: Registry) -> None:
        self._directory = directory
        self._registry = registry
        self._unpacking = threading.Lock()

    def get(self, reference: Reference) -> Image:
        """Return an image, fetched and unpacked if it was not before.

        Raises:
            ImageError: it cannot be fetched or unpacked.
        """
        digest, manifest = self._registry.manifest(reference)
        place = self._directory / digest.replace(":", "-")
        with self._unpacking:
            if not place.is_dir():
                self._unpack(reference.repository, manifest, place)
        document = json.loads((place / "config.json").read_text(encoding="utf-8"))
        return Image(digest, place / "root", fields(document.get("config")))

    def _unpack(self, repository: str, manifest: Properties, place: Path) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=self._directory))
        try:
            (scratch / "root").mkdir()
            config = b"".join(self._registry.blob(repository, str(fields(manifest.get("config")).get("digest"))))
            (scratch / "config.json").write_bytes(config)
            for layer in objects(manifest.get("layers")):
                self._layer(repository, layer, scratch / "root")
            scratch.replace(place)
        except (OSError, ValueError, tarfile.TarError, zlib.error, EOFError, httpx.HTTPError) as error:
            raise ImageError(f"{repository} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _layer(self, repository: str, layer: Properties, root: Path) -> None:
        kind = str(layer.get("mediaType"))
        if "zstd" in kind:
            raise ImageError(f"{repository}: the sandbox reads layers packed with gzip or not at all, not {kind}")
        with tempfile.TemporaryFile() as file:
            for piece in self._registry.blob(repository, str(layer.get("digest"))):
                file.write(piece)
            file.seek(0)  # nothing is unpacked before the digest was found to be right
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with tarfile.open(fileobj=gzip.GzipFile(fileobj=file) if packed else file) as archive:
                apply(archive, root)


def apply(archive: tarfile.TarFile, root: Path) -> None:
    """Lay a layer over `root`: files, directories, links and whiteouts; devices are left out, owners too.

    Raises:
        ImageError: a path leads out of `root`.
    """
    root = root.resolve()
    fresh: set[Path] = set()  # an opaque whiteout hides what lower layers have, not what came before it in this one
    for member in archive:
        parts = _parts(member.name)
        if not parts:
            continue
        parent = _directory(root, parts[:-1])
        name = parts[-1]
        if name == _OPAQUE:
            for child in parent.iterdir():
                if child not in fresh:
                    _remove(child)
        elif name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in {"", ".", ".."}:
                raise ImageError(f"the image's layer hides {hidden!r}, which leads out of it")
            _remove(parent / hidden)
        else:
            target = parent / name
            _place(archive, member, target, root)
            fresh.add(target)


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in PurePosixPath(name).parts if part not in {"/", "."})
    if ".." in parts or "\0" in name:
        raise ImageError(f"the image's layer names {name!r}, which leads out of it")
    return parts


def _directory(root: Path, parts: tuple[str, ...]) -> Path:
    """The real directory for a path of a layer, made if missing; links on the way must stay inside."""
    wanted = Path(os.path.realpath(root.joinpath(*parts)))
    if not wanted.is_relative_to(root):
        raise ImageError(f"the image's layer writes to {'/'.join(parts)}, a link that leads out of it")
    for place in (*reversed(wanted.parents), wanted):
        if place.is_relative_to(root) and os.path.lexists(place) and not place.is_dir():
            place.unlink()  # a lower layer's file, or a link to nothing, gives way to a directory
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, root: Path) -> None:
    if member.isdir():
        if not target.is_dir() or target.is_symlink():
            _remove(target)
            target.mkdir()
        return
    _remove(target)
    if member.isfile():
        content = archive.extractfile(member) or io.BytesIO()
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        target.chmod((member.mode & 0o777) | 0o600)
    elif member.issym():
        target.symlink_to(_link(member.linkname, target, root))
    elif member.islnk():
        parts = _parts(member.linkname)
        if not parts:
            raise ImageError(f"the image's layer links {target.relative_to(root)} to its root")
        os.link(_directory(root, parts[:-1]) / parts[-1], target, follow_symlinks=False)


def _link(text: str, target: Path, root: Path) -> str:
    """What a symbolic link says here: an absolute one is meant from the image's root."""
    end = os.path.normpath(root / text.lstrip("/") if text.startswith("/") else target.parent / text)
    if not Path(end).is_relative_to(root):
        raise ImageError(f"the image's link {target.relative_to(root)} leads out of it, to {text}")
    return os.path.relpath(end, target.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
