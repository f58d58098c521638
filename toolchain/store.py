"""The cache: finished packages by version, platform and key. What is not finished never has its final name."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from toolchain.manifest import Kind, Package, Platform, dump

RECORD = "package.json"


@dataclass(frozen=True)
class Entry:
    """A finished package in the cache."""

    directory: Path
    source: str
    """How it came here: download or build."""
    files: tuple[Path, ...]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Store:
    """`root`/<name>/<version>-<os>-<arch>-<key>/ hold what is finished; tmp/ and parts/ what is not."""

    root: Path
    platform: Platform

    @property
    def lock(self) -> Path:
        """The lock file of everything that writes here."""
        return self.root / "lock"

    @property
    def parts(self) -> Path:
        """Downloads that can be resumed."""
        return self.root / "parts"

    def place(self, package: Package) -> Path:
        """Where the finished package belongs."""
        return self.root / package.name / f"{package.version}-{self.platform}-{package.key()}"

    def find(self, package: Package) -> Entry | None:
        """The finished package; None when it is absent or a file of it has changed its size."""
        directory = self.place(package)
        try:
            record = json.loads((directory / RECORD).read_text())
            sizes: dict[str, int] = record["files"]
            if any((directory / name).stat().st_size != size for name, size in sizes.items()):
                return None
            return Entry(directory, record["source"], tuple(directory / name for name in sizes))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def publish(self, package: Package, source: str, files: dict[str, Path]) -> Entry:
        """Put finished files under the final name: synced to disk first, then one rename."""
        final = self.place(package)
        final.parent.mkdir(parents=True, exist_ok=True)
        with self.workspace(package.name) as work:
            staged = work / "package"
            staged.mkdir()
            linked: dict[Path, Path] = {}
            for name, path in files.items():
                target = staged / name
                if path in linked:
                    os.link(linked[path], target)
                    continue
                path.replace(target)
                linked[path] = target
                target.chmod(0o644 if package.kind is Kind.MANIFESTS else 0o755)
                _sync(target)
            sizes = {name: (staged / name).stat().st_size for name in files}
            (staged / RECORD).write_text(dump({"source": source, "files": sizes, "version": package.version}))
            _sync(staged / RECORD)
            _sync(staged)
            if final.exists():
                shutil.rmtree(final)
            staged.rename(final)
            _sync(final.parent)
        entry = self.find(package)
        assert entry, "just written"  # noqa: S101 - an invariant, not a check of input
        return entry

    @contextlib.contextmanager
    def workspace(self, name: str) -> Generator[Path]:
        """A directory on the cache's file system that is gone afterwards."""
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what interrupted runs left. Only under the lock."""
        shutil.rmtree(self.root / "tmp", ignore_errors=True)
