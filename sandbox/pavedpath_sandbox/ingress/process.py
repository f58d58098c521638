"""What a container would run, as a process of this machine. Decisions on plain data; nothing is started here.

The process is not locked into its image: there is no chroot and no other user. So each absolute path in its arguments
and variables that the image has is replaced by the path of the unpacked file, and programs that the image has not,
such as Python, are taken from this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pavedpath_sandbox.documents import Properties, fields, objects, texts

from .unpack import Image

_VARIABLE = re.compile(r"\$(?:\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")
_PYTHON = re.compile(r"(?:/usr(?:/local)?/bin/)?python(?:3(?:\.\d+)?)?")
_LISTS = frozenset({"PATH", "PYTHONPATH", "LD_LIBRARY_PATH"})


class ConfigError(Exception):
    """A container cannot be started as it is described; the message is the kubelet's."""


@dataclass(frozen=True)
class Host:
    """This machine, as containers see it.

    Args:
        python: the interpreter for images that are based on Python's.
        path: where other programs are looked for.
        variables: what every process gets, over the image's and the pod's.
    """

    python: Path
    path: Sequence[str]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Command:
    """A process to start: `argv`, all its variables, and the directory it starts in."""

    argv: list[str]
    environment: dict[str, str]
    directory: Path


def sources(container: Properties) -> set[tuple[str, str]]:
    """The objects whose values a container's variables need: (``configmaps`` or ``secrets``, name)."""
    found: set[tuple[str, str]] = set()
    for item in objects(container.get("envFrom")):
        found |= {(kind, str(fields(item[key])["name"])) for key, kind in _FROM.items() if item.get(key)}
    for item in objects(container.get("env")):
        value = fields(item.get("valueFrom"))
        found |= {(kind, str(fields(value[key])["name"])) for key, kind in _KEYS.items() if value.get(key)}
    return found


_FROM = {"configMapRef": "configmaps", "secretRef": "secrets"}
_KEYS = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}
Values = Mapping[tuple[str, str], Mapping[str, str] | None]
"""The values of each source; None for one that does not exist."""


def variables(container: Properties, pod: Properties, values: Values) -> dict[str, str]:
    """The variables that a pod gives a container, later ones over earlier ones as Kubernetes has it.

    Raises:
        ConfigError: names what is missing.
    """
    result: dict[str, str] = {}
    for item in objects(container.get("envFrom")):
        for key, kind in _FROM.items():
            source = fields(item.get(key))
            if source:
                content = _content(kind, source, values)
                result |= {f"{item.get('prefix', '')}{name}": value for name, value in content.items()}
    for item in objects(container.get("env")):
        name = str(item.get("name"))
        if "valueFrom" not in item:
            result[name] = expand(str(item.get("value", "")), result)
        elif (value := _value(fields(item["valueFrom"]), pod, values)) is not None:
            result[name] = value
    return result


def _content(kind: str, source: Properties, values: Values) -> Mapping[str, str]:
    content = values.get((kind, str(source["name"])))
    if content is None:
        if source.get("optional"):
            return {}
        raise ConfigError(f'{kind.removesuffix("s")} "{source["name"]}" not found')
    return content


def _value(source: Properties, pod: Properties, values: Values) -> str | None:
    for key, kind in _KEYS.items():
        chosen = fields(source.get(key))
        if chosen:
            content = _content(kind, chosen, values)
            if str(chosen["key"]) in content:
                return content[str(chosen["key"])]
            if chosen.get("optional"):
                return None
            raise ConfigError(f"couldn't find key {chosen['key']} in {kind.removesuffix('s')} {chosen['name']}")
    path = str(fields(source.get("fieldRef")).get("fieldPath", ""))
    if path:
        return _field(pod, path)
    raise ConfigError(f"the sandbox does not know a variable's source {', '.join(source)}")


def _field(pod: Properties, path: str) -> str:
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str(fields(fields(pod.get("metadata")).get(found[1])).get(found[2], ""))
    value: object = pod
    for name in path.split("."):
        value = fields(value).get(name, "")
    return str(value)


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as Kubernetes does: an unknown name stays as it is, ``$$`` is a dollar sign."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[1] is None else known.get(found[1], found[0])

    return _VARIABLE.sub(replace, text)


def command(container: Properties, image: Image, given: Mapping[str, str], host: Host) -> Command:
    """Put together what a container runs: the pod's command and arguments, else the image's.

    Raises:
        ConfigError: there is nothing to run.
    """
    argv = wanted(container, image)
    if not argv:
        raise ConfigError("no command specified")
    merged = {**image.environment, **given}
    environment = {name: _inside(value, image.root) for name, value in merged.items()}
    own = [inside for entry in merged.get("PATH", "").split(":") if (inside := _inside(entry, image.root)) != entry]
    environment["PATH"] = ":".join([*own, *host.path])
    environment |= host.variables
    directory = image.root / str(container.get("workingDir") or image.directory).lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    arguments = [_inside(expand(each, environment), image.root) for each in argv]
    if _PYTHON.fullmatch(argv[0]) and arguments[0] == argv[0]:
        arguments[0] = str(host.python)
    elif "/" in arguments[0] and not arguments[0].startswith("/"):
        arguments[0] = str(directory / arguments[0])
    return Command(arguments, environment, directory)


def wanted(container: Properties, image: Image) -> list[str]:
    """The command line as the pod and the image say it. A pod's command replaces the image's arguments, too."""
    given, arguments = texts(container.get("command")), texts(container.get("args"))
    if given:
        return given + arguments
    return image.entrypoint + (arguments or image.arguments)


def _inside(text: str, root: Path) -> str:
    """Replace the absolute paths of a text, which may be a list with colons, that the image has."""
    return ":".join(_path(part, root) for part in text.split(":")) if text.startswith("/") else text


def _path(text: str, root: Path) -> str:
    place = root / text.lstrip("/")
    is_ours = text.startswith("/") and text.strip("/") and os.path.lexists(place)
    return str(place) if is_ours else text
