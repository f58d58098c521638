"""toolchain.toml as typed data: every pinned package, and the ways by which it can be had."""

import hashlib
import json
import os
import platform
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent
RECIPES = ROOT / "recipes"
MANIFEST = ROOT / "toolchain.toml"


class ToolchainError(Exception):
    """A failure that is told to the user as it is: what is wrong, why, and how to go on."""


class Kind(StrEnum):
    """What a package is for: providers go into the engine's plugin directory, manifests to crds/, the rest to bin/."""

    ENGINE = "engine"
    PROVIDER = "provider"
    CONTROL_PLANE = "control plane"
    TOOL = "tool"
    MANIFESTS = "manifests"


@dataclass(frozen=True)
class Platform:
    """An operating system and processor, in Go's names (linux, darwin; amd64, arm64)."""

    os: str
    arch: str

    def __str__(self) -> str:
        return f"{self.os}-{self.arch}"

    @staticmethod
    def here() -> "Platform":
        """The machine this runs on."""
        machine = platform.machine().lower()
        arch = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(machine, machine)
        return Platform(platform.system().lower(), arch)


@dataclass(frozen=True)
class Download:
    """A vendor's release. Templates know {version}, {os}, {arch} and {file}; with {file}, one download per file."""

    url: str
    checksums: str = ""
    """A published list of SHA-256 sums, a bare sum, or GitHub's description of a release (its assets' digests)."""
    member: str = ""
    """Path of each file inside the tar archive; empty: the download is the file itself."""
    arch_names: tuple[tuple[str, str], ...] = ()
    platforms: tuple[str, ...] = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")
    sha256: tuple[tuple[str, str], ...] = ()
    """Pinned sums by platform, or by file where `url` has {file}; where one is given, `checksums` is not asked."""


@dataclass(frozen=True)
class Build:
    """A build from pinned Go modules in recipes/<recipe>/."""

    recipe: str
    package: str = "."
    """The Go package that is compiled; empty: the package's files are all copied out of modules."""
    ldflags: str = ""
    include: tuple[str, ...] = ()
    """Files of recipes/ that are copied beside the recipe's own."""
    makes: tuple[str, ...] = ()
    """The names that the binary goes by; empty: all files of the package (one binary may look at its own name)."""
    copy: tuple[tuple[str, str], ...] = ()
    """Files that come with it: name -> "module:path inside the module"."""
    upstream: str = ""
    """What is inside where that is not the version of the label, for people."""


@dataclass(frozen=True)
class Package:
    """One pinned thing and the executables it consists of."""

    name: str
    kind: Kind
    version: str
    files: tuple[str, ...]
    probe: tuple[str, ...]
    """Arguments that make the first file print its version; empty: one on PATH cannot be trusted."""
    optional: bool
    download: Download | None
    build: Build | None

    def key(self, recipes: Path = RECIPES) -> str:
        """Sixteen hexadecimal digits over the definition and the content of the build recipe."""
        digest = hashlib.sha256(repr(self).encode())
        if self.build:
            paths = [*(recipes / self.build.recipe).rglob("*"), *(recipes / name for name in self.build.include)]
            for path in sorted(paths):
                if path.is_file() and "__pycache__" not in path.parts:
                    digest.update(f"\0{path.relative_to(recipes)}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:16]

    def expand(self, template: str, target: Platform, file: str = "") -> str:
        """Fill in a template of the download section."""
        names = dict(self.download.arch_names) if self.download else {}
        arch = names.get(target.arch, target.arch)
        return template.format(version=self.version, os=target.os, arch=arch, file=file, Os=target.os.title())


@dataclass(frozen=True)
class Manifest:
    """The whole list. `digest` changes with any change of the list or of a recipe."""

    packages: tuple[Package, ...]
    go: str

    def select(self, extra: tuple[str, ...] = ()) -> tuple[Package, ...]:
        """The packages that are always needed, and the optional ones named in `extra`.

        Raises:
            ToolchainError: a name in `extra` is not in the list.
        """
        known = {p.name for p in self.packages}
        if unknown := sorted(set(extra) - known):
            optional = ", ".join(p.name for p in self.packages if p.optional)
            raise ToolchainError(f"not in toolchain.toml: {', '.join(unknown)}; what can be added: {optional}")
        return tuple(p for p in self.packages if not p.optional or p.name in extra)


def version_in(text: str) -> str | None:
    """The first version number in what a program printed: "v1.2.3", "sops 3.13.1 (latest)"."""
    found = re.search(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?", text)
    return found.group() if found else None


def fits(found: str, package: Package) -> bool:
    """Whether a binary on PATH may stand for the pinned one.

    Engine and providers must match the SDKs exactly; for the rest a later patch of the same minor version will do.
    """
    if found == package.version:
        return True
    if package.kind in {Kind.ENGINE, Kind.PROVIDER} or "-" in found:
        return False
    have, want = ([int(part) for part in v.split(".")] for v in (found, package.version))
    return have[:2] == want[:2] and have[2] >= want[2]


def _pairs(table: object) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(cast("dict[str, str]", table or {}).items()))


def _package(name: str, table: dict[str, Any]) -> Package:
    download, build = table.get("download"), table.get("build")
    if download:
        download = Download(
            **download
            | {"arch_names": _pairs(download.get("arch_names")), "sha256": _pairs(download.get("sha256"))}
            | ({"platforms": tuple(download["platforms"])} if "platforms" in download else {})
        )
    if build:
        lists = {name: tuple(build.get(name, [])) for name in ("include", "makes")}
        build = Build(**build | lists | {"copy": _pairs(build.get("copy"))})
    return Package(
        name=name,
        kind=Kind(table["kind"]),
        version=table["version"],
        files=tuple(table.get("files", [name])),
        probe=tuple(table.get("probe", [])),
        optional=table.get("optional", False),
        download=download,
        build=build,
    )


def load(path: Path = MANIFEST) -> Manifest:
    """Read the list.

    Raises:
        ToolchainError: the file is not of the form that Package, Download and Build describe; names the entry.
    """
    text = tomllib.loads(path.read_text())
    packages: list[Package] = []
    for name, table in text["package"].items():
        try:
            packages.append(_package(name, table))
        except (KeyError, TypeError, ValueError) as error:
            raise ToolchainError(f"{path.name}: [package.{name}]: {error}") from error
    return Manifest(tuple(packages), text["go"])


def cache_directory() -> Path:
    """The user's cache: $PAVEDPATH_CACHE, else $XDG_CACHE_HOME/pavedpath, else ~/.cache/pavedpath."""
    if own := os.environ.get("PAVEDPATH_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pavedpath"


def dump(value: object) -> str:
    """JSON as it is written into the cache and into .toolchain/."""
    return json.dumps(value, indent=1, sort_keys=True) + "\n"
