"""The layout of <repo>/.toolchain: bin/, pulumi-home/ for providers, crds/, and a record of what is there."""

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from toolchain.manifest import ROOT, Kind, Package, dump

LANGUAGE_HOST = "pulumi-language-python"
HOST = ROOT / "language_host"


@dataclass(frozen=True)
class Installed:
    """One installed file: where it came from, and how to see that it is still the same."""

    package: str
    key: str
    version: str
    source: str
    origin: str
    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Layout:
    """The toolchain directory of one checkout."""

    root: Path

    @property
    def bin(self) -> Path:
        """Everything that is run by name; goes first on PATH."""
        return self.root / "bin"

    @property
    def crds(self) -> Path:
        """Custom resource definitions, which a cluster without their operators is given."""
        return self.root / "crds"

    @property
    def pulumi_home(self) -> Path:
        """A PULUMI_HOME with the providers installed.

        Providers stay off PATH: the engine prefers one it finds there, whatever its version, and warns about it.
        """
        return self.root / "pulumi-home"

    @property
    def record(self) -> Path:
        """What is installed, as JSON."""
        return self.root / "installed.json"

    def target(self, package: Package, file: str) -> Path:
        """Where a file of a package belongs."""
        if package.kind is Kind.PROVIDER:
            plugin = f"resource-{package.name}-v{package.version}"
            return self.pulumi_home / "plugins" / plugin / file
        return (self.crds if package.kind is Kind.MANIFESTS else self.bin) / file

    def installed(self) -> dict[str, Installed]:
        """The record; what cannot be read counts as nothing installed."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return {name: Installed(**facts) for name, facts in json.loads(self.record.read_text()).items()}
        return {}

    def satisfied(self, package: Package, installed: dict[str, Installed], key: str) -> bool:
        """Whether every file of the package is there as it was installed."""
        return all(
            (one := installed.get(file)) is not None
            and (one.package, one.key, Path(one.path)) == (package.name, key, self.target(package, file))
            and _same(one)
            and (one.origin != str(HOST) or Path(one.path).read_text() == _launcher(self.bin))
            for file in package.files
        )

    def install(self, package: Package, key: str, source: str, files: dict[str, Path]) -> None:
        """Put a package's files in place, and write that down.

        Files of the cache become hard links (copies on another file system): the checkout does not break when the cache
        is cleaned, and the engine, which resolves links, finds its language host beside itself. Files on PATH become
        symbolic links, because an update there must not leave the old file here.
        """
        record = self.installed()
        for file in package.files:
            target = self.target(package, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            origin = files.get(file)
            if origin is None and file == LANGUAGE_HOST:
                _replace(target, _launcher(self.bin))
                origin = HOST
            elif origin is None:
                continue
            elif source == "PATH":
                _replace(target, origin)
            else:
                _link(origin, target)
            stat = target.stat()
            record[file] = Installed(
                package.name, key, package.version, source, str(origin), str(target), stat.st_size, stat.st_mtime_ns
            )
        self.root.mkdir(parents=True, exist_ok=True)
        _replace(self.record, dump({name: asdict(facts) for name, facts in record.items()}))

    def prune(self, packages: Sequence[Package]) -> None:
        """Remove files of packages, and versions of providers, that are no longer in the list."""
        wanted = {self.target(package, file) for package in packages for file in package.files}
        plugins = self.pulumi_home / "plugins"
        known = {one.name for one in plugins.iterdir()} if plugins.exists() else set[str]()
        for name in known - {target.parent.name for target in wanted}:
            if (plugins / name).is_dir():
                shutil.rmtree(plugins / name)
            else:
                (plugins / name).unlink()
        for directory in (self.bin, self.crds):
            for path in directory.iterdir() if directory.exists() else ():
                if path not in wanted:
                    path.unlink()

    def environment(self) -> dict[str, str]:
        """What a shell needs to use this toolchain."""
        return {
            "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}",
            "PULUMI_HOME": str(self.pulumi_home),
            "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        }


def _same(one: Installed) -> bool:
    with contextlib.suppress(OSError):
        stat = Path(one.path).stat()
        return (stat.st_size, stat.st_mtime_ns) == (one.size, one.modified)
    return False


def _replace(target: Path, content: Path | str) -> None:
    """Write a text, or a symbolic link to a path, under a temporary name and rename it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    if isinstance(content, Path):
        temporary.symlink_to(content)
    else:
        temporary.write_text(content)
        if target.suffix != ".json":
            temporary.chmod(0o755)
    temporary.replace(target)


def _link(origin: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(origin, temporary)
    except OSError:
        shutil.copy2(origin, temporary)
    temporary.replace(target)


def _launcher(directory: Path) -> str:
    """The installed pulumi-language-python: this checkout's host under the interpreter that installed it."""
    host = [sys.executable, "-P", str(HOST / "__main__.py")]
    return f'#!/bin/sh\nexec {shlex.join([*host, "--exec", str(directory / f"{LANGUAGE_HOST}-exec")])} "$@"\n'
