"""Reads the part of a Dockerfile that can be built without running a container. Pure.

Source: Docker, "Dockerfile reference".
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s*")
_VARIABLE = re.compile(r"\\\$|\$(?:\{([A-Za-z_]\w*)(?::([-+])([^}]*))?\}|([A-Za-z_]\w*))")
_PYTHON_BASE = re.compile(r"(?:[\w.:-]+/)*python(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
SITE_PACKAGES = "/usr/local/lib/site-packages"
_PYTHON_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class DockerfileError(Exception):
    """A Dockerfile that cannot be built here; one message with a line for each offender."""


@dataclass(frozen=True)
class Copy:
    """Files of the context that go into the image; `mode` is octal text, empty for the files' own."""

    sources: tuple[str, ...]
    target: str
    mode: str = ""


@dataclass(frozen=True)
class Install:
    """Packages that pip puts into a directory of the image; `arguments` are pip's own, without the target."""

    arguments: tuple[str, ...]
    target: str


@dataclass
class Recipe:
    """What to put into an image, in order, and its configuration as the image specification has it."""

    steps: list[Copy | Install] = field(default_factory=list["Copy | Install"])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    ports: list[str] = field(default_factory=list[str])
    entrypoint: list[str] = field(default_factory=list[str])
    command: list[str] = field(default_factory=list[str])
    directory: str = "/"
    user: str = ""
    directories: list[str] = field(default_factory=list[str])

    def config(self) -> dict[str, object]:
        """The image's ``config`` object."""
        found: dict[str, object] = {
            "Env": [f"{name}={value}" for name, value in self.environment.items()],
            "Entrypoint": self.entrypoint,
            "Cmd": self.command,
            "WorkingDir": self.directory,
            "User": self.user,
            "Labels": self.labels,
            "ExposedPorts": {port: {} for port in self.ports},
        }
        return {name: value for name, value in found.items() if value}


def read(text: str, arguments: Mapping[str, str] | None = None) -> Recipe:
    """Read a Dockerfile; `arguments` are values for its ``ARG``.

    Raises:
        DockerfileError: names every line that cannot be built here, and why.
    """
    reader = _Reader(arguments or {})
    for number, line in _lines(text):
        reader.take(number, line)
    if not reader.begun:
        reader.problems.append("there is no FROM")
    if reader.problems:
        raise DockerfileError("\n".join(reader.problems))
    return reader.recipe


def _lines(text: str) -> list[tuple[int, str]]:
    """The instructions, each with the number of its first line; continuations are joined, comments left out."""
    found: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (pending and not line.strip()):
            continue
        first = first if pending else number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
        else:
            if whole := (pending + line).strip():
                found.append((first, whole))
            pending = ""
    return found


class _Reader:
    def __init__(self, arguments: Mapping[str, str]) -> None:
        self.recipe = Recipe()
        self.problems: list[str] = []
        self.begun = False
        self._given = arguments
        self._arguments: dict[str, str] = {}

    def take(self, number: int, line: str) -> None:
        name, _, rest = line.partition(" ")
        handler = _HANDLERS.get(name.upper())
        try:
            if handler is None:
                raise DockerfileError(f"{name.upper()} is not known here; known are {', '.join(_HANDLERS)}")
            if not self.begun and name.upper() not in {"FROM", "ARG"}:
                raise DockerfileError(f"{name.upper()} before FROM")
            handler(self, rest.strip())
        except (DockerfileError, ValueError) as error:
            self.problems.append(f"line {number}: {error}")

    def from_(self, rest: str) -> None:
        if self.begun:
            raise DockerfileError("one FROM alone: stages need a container engine")
        self.begun = True
        base = self._expand(re.sub(r"^--platform=\S+\s+", "", rest)).split()[0]
        if _PYTHON_BASE.fullmatch(base):
            self.recipe.environment["PATH"] = _PYTHON_PATH
            self.recipe.command = ["python3"]
        elif base != "scratch":
            raise DockerfileError(f"FROM {base}: only scratch, and python, which stands for this machine's Python")

    def arg(self, rest: str) -> None:
        for item in shlex.split(rest):
            name, equals, default = item.partition("=")
            if name in self._given or equals:
                self._arguments[name] = self._given.get(name, self._expand(default))

    def env(self, rest: str) -> None:
        self.recipe.environment.update(self._pairs(rest))

    def label(self, rest: str) -> None:
        self.recipe.labels.update(self._pairs(rest))

    def workdir(self, rest: str) -> None:
        self.recipe.directory = self._absolute(self._expand(rest))
        self.recipe.directories.append(self.recipe.directory)

    def user(self, rest: str) -> None:
        self.recipe.user = self._expand(rest)

    def expose(self, rest: str) -> None:
        for port in self._expand(rest).split():
            self.recipe.ports.append(port if "/" in port else f"{port}/tcp")

    def copy(self, rest: str) -> None:
        flags, rest = _flags(rest)
        if unknown := sorted(set(flags) - {"chown", "chmod", "link"}):
            raise DockerfileError(f"COPY --{unknown[0]} needs a container engine")
        items = [str(each) for each in json.loads(rest)] if rest.startswith("[") else shlex.split(rest)
        if len(items) < 2:
            raise DockerfileError("COPY wants sources and a target")
        *sources, target = [self._expand(item) for item in items]
        directory = target.endswith("/") or target in {".", ".."} or len(sources) > 1
        place = self._absolute(target)
        self.recipe.steps.append(
            Copy(tuple(sources), f"{place.rstrip('/')}/" if directory else place, flags.get("chmod", ""))
        )

    def run(self, rest: str) -> None:
        words = shlex.split(self._expand(re.sub(r"^(--mount=\S+\s+)+", "", rest)))
        while words and re.fullmatch(r"python3?|-m|pip3?", words[0]) and words[0] != "install":
            words.pop(0)
        if not words or words[0] != "install" or set(words) & {"&&", ";", "|", "||", "&", ">"}:
            raise DockerfileError(
                "RUN needs a container engine; only `pip install` of packages can be done without one"
            )
        arguments, target = list[str](), ""
        rest_words = iter(words[1:])
        for word in rest_words:
            if word in {"--target", "-t"}:
                target = next(rest_words, "")
            elif word.startswith("--target="):
                target = word.partition("=")[2]
            else:
                arguments.append(word)
        if not target:
            known = self.recipe.environment.get("PYTHONPATH", "")
            if SITE_PACKAGES not in known.split(":"):
                self.recipe.environment["PYTHONPATH"] = ":".join(filter(None, (known, SITE_PACKAGES)))
        self.recipe.steps.append(Install(tuple(arguments), self._absolute(target or SITE_PACKAGES)))

    def entrypoint(self, rest: str) -> None:
        self.recipe.entrypoint = _words(rest)
        self.recipe.command = []

    def cmd(self, rest: str) -> None:
        self.recipe.command = _words(rest)

    def _pairs(self, rest: str) -> dict[str, str]:
        words = shlex.split(rest)
        if words and "=" not in words[0]:  # the old form: one name, the rest is its value
            name, _, value = rest.partition(" ")
            return {name: self._expand(value.strip())}
        return {name: self._expand(value) for name, _, value in (word.partition("=") for word in words)}

    def _absolute(self, path: str) -> str:
        parts: list[str] = []
        for part in PurePosixPath(self.recipe.directory, path).parts[1:]:
            if part == "..":
                parts = parts[:-1]
            else:
                parts.append(part)
        return "/" + "/".join(parts)

    def _expand(self, text: str) -> str:
        known = {**self._arguments, **self.recipe.environment}

        def replace(found: re.Match[str]) -> str:
            name = found[1] or found[4]
            if name is None:
                return "$"
            if found[2] == "+":
                return found[3] if known.get(name) else ""
            return known.get(name) or found[3] or ""

        return _VARIABLE.sub(replace, text)


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while found := _FLAG.match(rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    return flags, rest


def _words(rest: str) -> list[str]:
    if rest.startswith("["):
        found: Sequence[object] = json.loads(rest)
        return [str(each) for each in found]
    return ["/bin/sh", "-c", rest]


_HANDLERS = {
    "FROM": _Reader.from_,
    "ARG": _Reader.arg,
    "ENV": _Reader.env,
    "LABEL": _Reader.label,
    "WORKDIR": _Reader.workdir,
    "USER": _Reader.user,
    "EXPOSE": _Reader.expose,
    "COPY": _Reader.copy,
    "RUN": _Reader.run,
    "ENTRYPOINT": _Reader.entrypoint,
    "CMD": _Reader.cmd,
}
