"""Manifests as Helm renders them: their images, their workloads, and how two differ, without secrets. All pure."""

import base64
import copy
import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import yaml

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects

_WITH_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_WORKLOADS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class _Loader(yaml.SafeLoader):
    """Reads scalars as Kubernetes does: 2026-01-01 and 12:30 are texts there, in PyYAML a date and a number."""


_INTEGER = "tag:yaml.org,2002:int"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INTEGER, "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]  untyped in the stubs
    _INTEGER, re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), list("-+0123456789")
)


@lru_cache(maxsize=64)
def documents(manifest: str) -> list[Properties]:
    """Return the objects of a manifest; read once, so nobody changes them."""
    return [fields(each) for each in yaml.load_all(manifest, Loader=_Loader) if each]


def pod_specs(tree: Json) -> Iterator[Properties]:
    """Yield what has containers, wherever it stands: pods, their templates, those of jobs."""
    if isinstance(tree, Mapping):
        known = cast(Mapping[str, Any], tree)
        if isinstance(known.get("containers"), list):
            yield known
        for value in known.values():
            yield from pod_specs(value)
    elif isinstance(tree, list):
        for value in cast(list[Any], tree):
            yield from pod_specs(value)


def images_of(tree: Json) -> list[str]:
    """Return the images of all containers below an object, each once, in order."""
    found = [
        str(container.get("image", ""))
        for spec in pod_specs(tree)
        for kind in ("initContainers", "containers")
        for container in objects(spec.get(kind))
    ]
    return list(dict.fromkeys(filter(None, found)))


def images(manifest: str) -> list[str]:
    """Return the images of a manifest, each once, in order."""
    return list(dict.fromkeys(image for document in documents(manifest) for image in images_of(document)))


def without_digest(manifest: str) -> list[str]:
    """Return the images of a manifest that a moved tag could replace."""
    return [image for image in images(manifest) if not _WITH_DIGEST.fullmatch(image)]


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet: what its pods are, and which they are."""

    kind: str
    name: str
    images: tuple[str, ...]
    labels: Mapping[str, str]

    def path(self, namespace: str) -> str:
        """Return its path in the API."""
        return f"/apis/apps/v1/namespaces/{namespace}/{_WORKLOADS[self.kind]}/{self.name}"

    def owns(self, pod: Properties) -> bool:
        """Whether a pod is one of its own."""
        found = fields(fields(pod.get("metadata")).get("labels"))
        return bool(self.labels) and all(found.get(key) == value for key, value in self.labels.items())

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.name}"


def workloads(manifest: str) -> list[Workload]:
    """Return the workloads of a manifest whose readiness Helm waits for."""
    return [
        Workload(
            str(each["kind"]),
            str(fields(each.get("metadata")).get("name")),
            tuple(images_of(each)),
            fields(fields(fields(each.get("spec")).get("selector")).get("matchLabels")),
        )
        for each in documents(manifest)
        if each.get("kind") in _WORKLOADS
    ]


def services(manifest: str) -> dict[str, Mapping[str, str]]:
    """Return the Services of a manifest that select pods: name -> labels."""
    found = {
        str(fields(each.get("metadata")).get("name")): fields(fields(each.get("spec")).get("selector"))
        for each in documents(manifest)
        if each.get("kind") == "Service"
    }
    return {name: labels for name, labels in found.items() if labels}


def secrets_of(manifest: str) -> list[str]:
    """Return the values of all Secrets of a manifest, decoded."""
    found: list[str] = []
    for each in documents(manifest):
        if each.get("kind") == "Secret":
            found += map(str, fields(each.get("stringData")).values())
            for value in fields(each.get("data")).values():
                with suppress(ValueError):  # neither base64 nor text: the object is hidden whole all the same
                    found.append(base64.b64decode(str(value)).decode())
    return found


@dataclass(frozen=True)
class Change:
    """An object that two manifests have differently: `action` is create, update or delete."""

    action: str
    name: str
    lines: tuple[str, ...] = ()


def _hidden(document: Properties) -> Properties:
    """Return an object without the values of a Secret, which are told apart by a digest of all of the object's own."""
    if document.get("kind") != "Secret":
        return document
    # A short digest of one value could be looked up in a list of guesses. This says only that something changed.
    whole = hashlib.sha256(repr((document.get("data"), document.get("stringData"))).encode()).hexdigest()
    hidden = {key: dict.fromkeys(fields(document.get(key)), "(secret)") for key in ("data", "stringData")}
    kept = {key: value for key, value in document.items() if key not in hidden}
    return {**kept, **{key: value for key, value in hidden.items() if value}, "(values)": whole}


def _key(document: Properties) -> str:
    return f"{document.get('kind', '')} {fields(document.get('metadata')).get('name', '')}"


def _text(document: Properties) -> list[str]:
    return yaml.safe_dump(dict(document), sort_keys=True, width=1000).splitlines()


def changes(before: str, after: str) -> list[Change]:
    """Return what differs between two manifests, object by object, in the order of the new one.

    Values of Secrets are never shown, only that they differ. Order, comments and spelling of the YAML do not matter.
    """
    old, new = ({_key(each): _hidden(each) for each in documents(text)} for text in (before, after))
    found = [_change(key, old.get(key), document) for key, document in new.items() if old.get(key) != document]
    return [*found, *(Change("delete", key) for key in old if key not in new)]


def _change(key: str, old: Properties | None, new: Properties) -> Change:
    if old is None:
        return Change("create", key)
    shown = [{name: value for name, value in each.items() if name != "(values)"} for each in (old, new)]
    lines = list(difflib.unified_diff(_text(shown[0]), _text(shown[1]), lineterm="", n=1))[2:]
    if old.get("(values)") != new.get("(values)"):
        lines.append("  (values of the secret differ)")
    return Change("update", key, tuple(line for line in lines if not line.startswith("@@")))


def with_image(manifest: str, tag: str) -> tuple[str, list[str]]:
    """Return a manifest in which every container of a Deployment has an image of another tag, and the Deployments."""
    changed: list[str] = []
    result: list[str] = []
    for document in copy.deepcopy(documents(manifest)):
        if document.get("kind") == "Deployment":
            changed.append(str(fields(document.get("metadata")).get("name")))
            for spec in pod_specs(document):
                for container in cast(Sequence[dict[str, Any]], spec["containers"]):
                    container["image"] = retagged(str(container.get("image", "")), tag)
        result.append(json.dumps(document))  # JSON is YAML, and no text in it can be taken for something else
    return "\n---\n".join(result), changed


def retagged(image: str, tag: str) -> str:
    """Return an image of the same repository with another tag and no digest."""
    name = image.partition("@")[0]
    head, _, last = name.rpartition("/")
    last = last.partition(":")[0]
    return f"{head}/{last}:{tag}" if head else f"{last}:{tag}"
