"""Which Python runs a program, what is installed for it, and how that gets there."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any


class HostError(Exception):
    """What the engine shows to the user as it is."""


@dataclass(frozen=True)
class Options:
    """The `runtime.options` of Pulumi.yaml or PulumiPlugin.yaml that matter here.

    `virtualenv` is relative to the directory of that file. Without it `uv` means `.venv`, and `pip` the interpreter
    that is first on PATH ($PULUMI_PYTHON_CMD overrides it).
    """

    root: Path
    toolchain: str
    virtualenv: Path | None

    @staticmethod
    def parse(root: str, options: Mapping[str, object]) -> "Options":
        """Read the options.

        Raises:
            HostError: a toolchain that this host does not know.
        """
        toolchain = str(options.get("toolchain") or "pip").lower()
        if toolchain not in {"pip", "uv"}:
            raise HostError(
                f"runtime option `toolchain: {toolchain}`: this language host knows pip and uv; set one of them in "
                f"{Path(root) / 'Pulumi.yaml'}, or install the official pulumi-language-python"
            )
        named = options.get("virtualenv") or (".venv" if toolchain == "uv" else None)
        return Options(Path(root), toolchain, Path(root) / str(named) if named else None)


@dataclass(frozen=True)
class Interpreter:
    """A Python to run programs with; `prefix` is that of its virtual environment, if it is one."""

    executable: Path
    prefix: Path | None

    @staticmethod
    def find(options: Options) -> "Interpreter":
        """The interpreter for a program.

        Raises:
            HostError: the virtual environment has not been made, or there is no Python at all.
        """
        if options.virtualenv:
            executable = options.virtualenv / "bin" / "python"
            if not executable.exists():
                raise HostError(f"the virtual environment {options.virtualenv} does not exist: run `pulumi install`")
            return Interpreter(executable, options.virtualenv)
        command = os.environ.get("PULUMI_PYTHON_CMD")
        found = next((f for name in (command, "python3", "python") if name and (f := shutil.which(name))), None)
        if found is None:
            raise HostError("no `python3` on PATH, and no `virtualenv` in the runtime options of the project")
        prefix = Path(found).parent.parent
        return Interpreter(Path(found), prefix if (prefix / "pyvenv.cfg").exists() else None)

    def environ(self, extra: Iterable[str] = ()) -> dict[str, str]:
        """The environment of a program: its virtual environment active, and the engine's "NAME=value" entries."""
        env = dict(os.environ)
        if self.prefix:
            env |= {"VIRTUAL_ENV": str(self.prefix), "PATH": f"{self.prefix / 'bin'}{os.pathsep}{env.get('PATH', '')}"}
            env.pop("PYTHONHOME", None)
        return env | dict(entry.split("=", 1) for entry in extra if "=" in entry)

    def site_packages(self) -> list[Path]:
        """The directories that its packages are installed in.

        Raises:
            HostError: the interpreter does not run.
        """
        if self.prefix:
            return sorted({path.resolve() for path in self.prefix.glob("lib*/python*/site-packages")})
        ask = (
            "import json, site, sysconfig; paths = sysconfig.get_paths();"
            "print(json.dumps([*{paths['purelib'], paths['platlib']}, site.getusersitepackages()]))"
        )
        told = subprocess.run([self.executable, "-c", ask], capture_output=True, text=True, check=False)
        if told.returncode:
            raise HostError(f"{self.executable} does not run: {told.stderr.strip()[-500:]}")
        return [Path(path) for path in json.loads(told.stdout)]

    def version(self) -> str:
        """Like "3.11.7".

        Raises:
            HostError: the interpreter does not run.
        """
        if self.executable.resolve() == Path(sys.executable).resolve():
            return sys.version.split()[0]
        told = subprocess.run([self.executable, "--version"], capture_output=True, text=True, check=False)
        if told.returncode:
            raise HostError(f"{self.executable} does not run: {told.stderr.strip()[-500:]}")
        return told.stdout.split()[-1]


@dataclass(frozen=True)
class Parameterization:
    """A package that a generic plugin provides when it is given `value`."""

    name: str
    version: str
    value: bytes


@dataclass(frozen=True)
class Plugin:
    """A provider that an installed SDK needs: the content of its pulumi-plugin.json."""

    name: str
    version: str
    server: str
    parameterization: Parameterization | None


def required_plugins(site_packages: Iterable[Path]) -> list[Plugin]:
    """The providers of the SDKs installed in these directories. Each generated SDK has a pulumi-plugin.json.

    Raises:
        HostError: such a file cannot be read; names it.
    """
    plugins: list[Plugin] = []
    for path in sorted(file for directory in site_packages for file in directory.glob("*/pulumi-plugin.json")):
        try:
            facts: dict[str, Any] = json.loads(path.read_text())
            if not facts.get("resource"):
                continue
            version = facts.get("version") or _installed_version(path.parent)
            more = _parameterization(facts.get("parameterization"))
            plugins.append(Plugin(facts["name"], version, facts.get("server", ""), more))
        except (OSError, ValueError, KeyError, metadata.PackageNotFoundError) as error:
            raise HostError(f"{path} cannot be read: {error!r}; reinstall the package it belongs to") from error
    return plugins


def _parameterization(facts: dict[str, str] | None) -> Parameterization | None:
    return Parameterization(facts["name"], facts["version"], base64.b64decode(facts["value"])) if facts else None


def _installed_version(package: Path) -> str:
    for distribution in metadata.distributions(path=[str(package.parent)]):
        if distribution.name.replace("-", "_").lower() == package.name.lower():
            return distribution.version
    raise metadata.PackageNotFoundError(package.name)


def dependencies(site_packages: Iterable[Path], transitive: bool) -> list[tuple[str, str]]:
    """Name and version of what is installed; without `transitive` only what nothing else there requires."""
    found = list(metadata.distributions(path=[str(path) for path in site_packages]))
    required = {_requirement(text) for one in found for text in one.requires or ()}
    wanted = {one.name: one.version for one in found if transitive or _canonical(one.name) not in required}
    return sorted(wanted.items(), key=lambda pair: pair[0].lower())


def _canonical(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _requirement(text: str) -> str:
    end = next((i for i, c in enumerate(text) if not (c.isalnum() or c in "-_.")), len(text))
    return _canonical(text[:end])


def installation(options: Options, program: Path) -> list[list[str]]:
    """The commands that make the virtual environment and install the program's requirements.

    What is there already is left alone: an existing environment is not made anew.
    """
    uv = shutil.which("uv")
    if options.toolchain == "uv" and uv is None:
        raise HostError("runtime option `toolchain: uv`, and no `uv` on PATH: install it, or use `toolchain: pip`")
    project, requirements = options.root / "pyproject.toml", program / "requirements.txt"
    if options.toolchain == "uv" and uv and project.exists() and (options.root / "uv.lock").exists():
        return [[uv, "sync", "--project", str(options.root)]]
    commands: list[list[str]] = []
    python = options.virtualenv / "bin" / "python" if options.virtualenv else Interpreter.find(options).executable
    fresh = bool(options.virtualenv) and not python.exists()
    if fresh:
        maker = [uv, "venv"] if options.toolchain == "uv" and uv else [sys.executable, "-m", "venv"]
        commands.append([*maker, str(options.virtualenv)])
    if requirements.exists():
        installed = python.parent.parent.glob("lib*/python*/site-packages")
        has_pip = fresh or any((directory / "pip").exists() for directory in installed)
        if uv and (options.toolchain == "uv" or not has_pip):
            commands.append([uv, "pip", "install", "--python", str(python), "-r", str(requirements)])
        else:
            commands.append([str(python), "-m", "pip", "install", "-r", str(requirements)])
    return commands
