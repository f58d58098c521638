"""Builds images of Python programs without a container engine, the same bytes for the same files.

An image is an index of one layer for every platform: Python's files are the same everywhere. What only an engine can do
is refused (`dockerfile`).
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import registry
from .dockerfile import Copy, Install, Recipe, read
from .registry import Registry, digest_of, encode

PLATFORMS = ("linux/amd64", "linux/arm64")
_INSTALL_SECONDS = 300


class BuildError(Exception):
    """The image was not built or not pushed; the message says why."""


@dataclass(frozen=True)
class Built:
    """An image's parts by digest. `index` is what its tags name."""

    index: bytes
    manifests: tuple[bytes, ...]
    configs: tuple[bytes, ...]
    layer: bytes

    @property
    def digest(self) -> str:
        """The index's digest."""
        return digest_of(self.index)


def build(
    context: Path,
    dockerfile: Path,
    *,
    platforms: Sequence[str] = PLATFORMS,
    labels: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
    epoch: int = 0,
) -> Built:
    """Build an image.

    Args:
        context: the directory whose files ``COPY`` takes; what its ``.dockerignore`` names is left out.
        dockerfile: the file.
        platforms: OS/ARCHITECTURE of each image of the index.
        labels: more labels, over the file's own.
        arguments: values for ``ARG``.
        epoch: seconds since 1970 of every file and of the image, as SOURCE_DATE_EPOCH.

    Raises:
        BuildError: a source is missing, packages cannot be installed, or are made for one platform alone.
        DockerfileError: the file asks for what needs a container engine.
    """
    recipe = read(dockerfile.read_text(encoding="utf-8"), arguments)
    recipe.labels.update(labels or {})
    files: dict[str, tuple[int, bytes]] = {}
    for step in recipe.steps:
        files |= _copied(step, context) if isinstance(step, Copy) else _installed(step, context)
    native = sorted(name for name in files if name.endswith((".so", ".pyd", ".dylib")))
    if native and len(platforms) > 1:
        raise BuildError(f"{native[0]} is made for one platform alone; build for one: --platform {platforms[0]}")
    tar = _tar(files, recipe.directories, epoch)
    layer = gzip.compress(tar, mtime=epoch)
    configs = tuple(_config(recipe, platform, digest_of(tar), epoch) for platform in platforms)
    manifests = tuple(_manifest(config, layer) for config in configs)
    return Built(_index(manifests, platforms), manifests, configs, layer)


def push(built: Built, tags: Sequence[str]) -> None:
    """Put an image into the registries of its full names, HTTP on loopback.

    Raises:
        BuildError: a name is none, or of a registry elsewhere: this command is the sandbox's.
        ImageError: a registry refused it.
    """
    names = [registry.parse(tag) for tag in tags]
    if wrong := [tag for tag, name in zip(tags, names, strict=True) if name is None or not name.on(name.host)]:
        raise BuildError(f"no name in a registry on 127.0.0.1: {', '.join(wrong)}")
    for name in filter(None, names):
        client = Registry(name.host)
        for blob in (built.layer, *built.configs):
            client.push_blob(name.repository, blob)
        for manifest in built.manifests:
            client.push_manifest(name.repository, digest_of(manifest), registry.MANIFEST, manifest)
        client.push_manifest(name.repository, name.digest or name.tag or "latest", registry.INDEX, built.index)


def _copied(step: Copy, context: Path) -> dict[str, tuple[int, bytes]]:
    ignored = _ignored(context)
    found: dict[str, tuple[int, bytes]] = {}
    for source in step.sources:
        matches = sorted(context.glob(source.strip("/"))) if source.strip("/.") else [context]
        if not matches:
            raise BuildError(f"COPY {source}: there is no such file in {context}")
        for match in matches:
            if not match.resolve().is_relative_to(context.resolve()):
                raise BuildError(f"COPY {source}: it leads out of {context}")
            many = step.target.endswith("/") or len(matches) > 1
            base = f"{step.target.rstrip('/')}/{match.name}" if many and match.is_file() else step.target
            found |= _tree(match, base, context, ignored, step.mode)
    return found


def _tree(source: Path, target: str, context: Path, ignored: Sequence[str], mode: str) -> dict[str, tuple[int, bytes]]:
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    found: dict[str, tuple[int, bytes]] = {}
    for path in paths:
        if _is_ignored(path.relative_to(context).as_posix(), ignored):
            continue
        name = target if path == source else f"{target.rstrip('/')}/{path.relative_to(source).as_posix()}"
        own = 0o755 if os.access(path, os.X_OK) else 0o644
        found[name] = (int(mode, 8) if mode else own, path.read_bytes())
    return found


def _ignored(context: Path) -> list[str]:
    path = context / ".dockerignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return ["__pycache__", "*.pyc", *(line.strip() for line in lines if line.strip() and not line.startswith("#"))]


def _is_ignored(name: str, patterns: Sequence[str]) -> bool:
    """Whether the last pattern that fits a path, or a directory above it, leaves it out."""
    parts = name.split("/")
    candidates = {"/".join(parts[: n + 1]) for n in range(len(parts))} | set(parts)
    verdict = False
    for pattern in patterns:
        plain = pattern.removeprefix("!").removeprefix("**/").strip("/")
        if any(fnmatch.fnmatchcase(candidate, plain) for candidate in candidates):
            verdict = not pattern.startswith("!")
    return verdict


def _installed(step: Install, context: Path) -> dict[str, tuple[int, bytes]]:
    python = Path(sys.base_prefix) / "bin" / "python3"
    with tempfile.TemporaryDirectory() as scratch:
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        done = subprocess.run(
            [*command, "--target", scratch, *step.arguments],
            cwd=context,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INSTALL_SECONDS,
        )
        if done.returncode != 0:
            raise BuildError(f"pip install {' '.join(step.arguments)}:\n{done.stderr.strip()}")
        root = Path(scratch)
        # Programs in `bin` name the interpreter of this machine in their first line; so does nothing else.
        own = [path for path in sorted(root.iterdir()) if path.name != "bin"]
        trees = (_tree(path, f"{step.target}/{path.name}", root, ["__pycache__", "*.pyc"], "") for path in own)
        return {name: value for tree in trees for name, value in tree.items() if not name.endswith("/RECORD")}


def _tar(files: Mapping[str, tuple[int, bytes]], directories: Sequence[str], epoch: int) -> bytes:
    parents = {
        str(parent) for name in (*files, *(f"{each}/." for each in directories)) for parent in Path(name).parents
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted({*files, *parents} - {"/"}):
            info = tarfile.TarInfo(name.lstrip("/"))
            info.mtime = epoch
            if name in files:
                info.mode, content = files[name]
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
    return out.getvalue()


def _config(recipe: Recipe, platform: str, diff: str, epoch: int) -> bytes:
    system, _, architecture = platform.partition("/")
    created = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
    return encode(
        {
            "created": created,
            "os": system,
            "architecture": architecture,
            "config": recipe.config(),
            "rootfs": {"type": "layers", "diff_ids": [diff]},
            "history": [{"created": created, "created_by": "pavedpath-sandbox build"}],
        }
    )


def _descriptor(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def _manifest(config: bytes, layer: bytes) -> bytes:
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": registry.MANIFEST,
            "config": _descriptor(registry.CONFIG, config),
            "layers": [_descriptor(registry.LAYER, layer)],
        }
    )


def _index(manifests: Sequence[bytes], platforms: Sequence[str]) -> bytes:
    listed: list[dict[str, object]] = []
    for manifest, platform in zip(manifests, platforms, strict=True):
        system, _, architecture = platform.partition("/")
        described = _descriptor(registry.MANIFEST, manifest)
        listed.append({**described, "platform": {"os": system, "architecture": architecture}})
    return encode({"schemaVersion": 2, "mediaType": registry.INDEX, "manifests": listed})


def metadata(built: Built, tags: Sequence[str]) -> str:
    """What docker's build-push-action leaves as metadata, as far as it fits: digest and names, JSON."""
    content = {"containerimage.digest": built.digest, "image.name": ",".join(tags)}
    return json.dumps(content, indent=2) + "\n"
