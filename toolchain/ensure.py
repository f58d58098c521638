"""Have every pinned package: from PATH, the cache, the vendor, or a build; and install it into the checkout."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import lock
from toolchain.install import LANGUAGE_HOST, Layout
from toolchain.manifest import Kind, Manifest, Package, Platform, ToolchainError, fits, version_in
from toolchain.report import Reporter, size
from toolchain.store import Entry, Store

if TYPE_CHECKING:
    from toolchain.build import Staged
    from toolchain.download import Downloader


@dataclass
class Ensure:
    """One run. `offline` skips the vendors; `downloader` is made when it is first needed."""

    manifest: Manifest
    layout: Layout
    store: Store
    report: Reporter
    offline: bool = False
    downloader: "Downloader | None" = None
    _told: set[str] = field(default_factory=set[str])

    def run(self, extra: tuple[str, ...] = ()) -> None:
        """Make and install what is missing; does nothing, quickly, when nothing is.

        Raises:
            ToolchainError: some packages cannot be had; names each with the reason, after all others are done.
        """
        packages = self.manifest.select(extra)
        missing = self._missing(packages)
        if not missing:
            return
        self.report.total = len(missing)
        with lock.hold(self.store.lock, lambda who: self.report.say(f"waiting for {who}")) as held:
            self.store.sweep()
            missing = self._missing(packages)  # another run may have installed them meanwhile
            to_build = [package for package in missing if not self._without_build(package, held)]
            self._build_all(to_build, held)
        self.layout.prune(self.manifest.packages)

    def _missing(self, packages: Sequence[Package]) -> list[Package]:
        installed = self.layout.installed()
        return [p for p in packages if not self.layout.satisfied(p, installed, p.key())]

    def _without_build(self, package: Package, held: lock.Lock) -> bool:
        """Install from PATH, the cache or the vendor, in this order; False when it must be built."""
        if found := self._on_path(package):
            self._done(package, "PATH", found, f"on PATH: {found[package.files[0]]}")
            return True
        entry = self.store.find(package)
        how = "from the cache"
        if entry is None and not self.offline:
            held.doing(f"downloading {package.name}")
            entry, how = self._download(package), "downloaded"
        if entry:
            self._done(package, entry.source, {f.name: f for f in entry.files}, how)
        return entry is not None

    def _done(self, package: Package, source: str, files: dict[str, Path], how: str) -> None:
        self.report.begin(f"{package.name} {package.version}")
        self.layout.install(package, package.key(), source, files)
        self.report.end(how)

    def _on_path(self, package: Package) -> dict[str, Path] | None:
        """The package's files on PATH, links resolved, when all are there and the first one's version fits."""
        if not package.probe:
            return None
        own = {str(self.layout.bin), str(self.layout.bin.resolve())}
        path = os.pathsep.join(d for d in os.environ.get("PATH", "").split(os.pathsep) if d and d not in own)
        found = {file: shutil.which(file, path=path) for file in package.files}
        files = {file: Path(where).resolve() for file, where in found.items() if where}
        if len(files) < len(package.files):
            return None
        if package.kind is Kind.ENGINE and len({one.parent for one in files.values()}) > 1:
            return None  # a language host elsewhere makes the engine warn about it
        try:
            told = subprocess.run(
                [str(files[package.files[0]]), *package.probe], capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        version = version_in(told.stdout + told.stderr)
        return files if version and fits(version, package) else None

    def _download(self, package: Package) -> Entry | None:
        if package.download is None:
            return None
        from toolchain.download import (
            Downloader,
            DownloadError,
            UnreachableError,
        )

        self.downloader = self.downloader or Downloader(self.store.parts)
        subject = f"{package.name} {package.version}"

        def progress(done: int, total: int | None) -> None:
            self.report.progress(f"downloading {size(done)}" + (f" of {size(total)}" if total else ""))

        try:
            with self.store.workspace(package.name) as work:
                files = self.downloader.package(package, self.store.platform, work, progress)
                return self.store.publish(package, "download", files)
        except UnreachableError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self.report.say(f"{error}; what it offers comes from the cache or is built")
        except DownloadError as error:
            self.report.say(f"{subject}: no download, so it is built: {error}")
        return None

    def _build_all(self, packages: Sequence[Package], held: lock.Lock) -> None:
        """Build one after the other, while the modules of the next are fetched."""
        if not packages:
            return
        from toolchain import build as builder

        environment = builder.go_environment()
        try:
            builder.check_go(self.manifest.go, environment)
        except ToolchainError as error:
            names = ", ".join(f"{p.name} {p.version}" for p in packages)
            raise ToolchainError(f"cannot be had: {names}. There is no download, and for a build {error}") from None
        failed = [f"{p.name} {p.version}: no download, and no recipe to build it" for p in packages if p.build is None]
        packages = [p for p in packages if p.build]
        with self.store.workspace("build") as work, ThreadPoolExecutor(1) as pool:
            try:
                staged = [self._stage(pool, package, work, environment) for package in packages]
                for package, future in zip(packages, staged, strict=True):
                    try:
                        self._build(package, future, environment, held)
                    except builder.BuildError as error:
                        self.report.end("FAILED")
                        failed.append(f"{package.name} {package.version}: {error}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed:
            raise ToolchainError("cannot be had:\n" + "\n".join(failed))

    def _stage(
        self, pool: ThreadPoolExecutor, package: Package, work: Path, environment: dict[str, str]
    ) -> "Future[Staged]":
        from toolchain import build as builder

        if package.build is None:
            raise ToolchainError(f"{package.name} {package.version} cannot be built, and the vendor does not answer")
        return pool.submit(builder.stage, package.build, work / package.name, environment)

    def _build(self, package: Package, staged: "Future[Staged]", environment: dict[str, str], held: lock.Lock) -> None:
        from toolchain import build as builder

        assert package.build  # noqa: S101 - _build_all has checked it
        what = f"building {package.name} {package.version}"
        held.doing(what)
        self.report.begin(f"{package.name} {package.version}")
        while True:
            try:
                ready = staged.result(timeout=1)
                break
            except TimeoutError:
                self.report.progress("fetching its Go modules")
        files = builder.compile_staged(
            package,
            package.build,
            ready,
            environment,
            lambda done, total: self.report.progress(f"building, {done} of {total} Go packages"),
            lambda child: held.doing(what, child),
        )
        entry = self.store.publish(package, "build", files)
        shutil.rmtree(ready.directory, ignore_errors=True)
        self.layout.install(package, package.key(), "build", {f.name: f for f in entry.files})
        self.report.end("built")


def repository() -> Path:
    """The checkout that this toolchain belongs to."""
    return Path(__file__).resolve().parents[1]


def layout() -> Layout:
    """The toolchain directory of this checkout."""
    return Layout(repository() / ".toolchain")


def rows(manifest: Manifest, where: Layout) -> list[tuple[str, str, str, str]]:
    """For each installed file: name, version, source and path; and for each needed one that is missing, a hint."""
    installed = where.installed()
    lines: list[tuple[str, str, str, str]] = []
    for package in manifest.packages:
        key = package.key()
        for file in package.files:
            one = installed.get(file)
            if one and where.satisfied(package, installed, key):
                source = "toolchain/" if file == LANGUAGE_HOST and one.source == "build" else one.source
                lines.append((file, one.version, source, one.path))
            elif not package.optional:
                lines.append((file, package.version, "missing", "python -m toolchain ensure"))
    return lines


def open_store(cache: Path) -> Store:
    """The cache for this machine."""
    return Store(cache, Platform.here())
