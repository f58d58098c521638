"""Values of a release: laid over each other as Helm does, and images put where a chart expects them. All pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pavedpath_delivery.kit.documents import Json, Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_REFERENCE = re.compile(
    r"(?P<repository>[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9._-]+)+|[a-z0-9._-]+)"
    r"(?::(?P<tag>[A-Za-z0-9_][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def merge(base: Properties, over: Properties) -> dict[str, Json]:
    """Lay one tree over another as Helm does: mappings merge, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(fields(below), fields(value)) if both else value
    return merged


def same_places(tree: Json, pattern: Json) -> Iterator[Json]:
    """Yield what a tree has where `pattern` has a value."""
    if isinstance(pattern, Mapping):
        for key, below in cast(Mapping[str, Any], pattern).items():
            yield from same_places(fields(tree).get(key), below)
    elif tree is not None:
        yield tree


def no_images(given: Sequence[str]) -> list[str]:
    """Return what is wrong with `NAME=IMAGE@DIGEST` texts; the chart is not needed for that."""
    return [
        f"--image {text}: no NAME=IMAGE@sha256:…. Fix: give the digest that was tested."
        for text in given
        if _parse(text) is None
    ]


def _parse(text: str) -> "tuple[str, re.Match[str]] | None":
    name, _, reference = text.partition("=")
    found = _REFERENCE.fullmatch(reference)
    return (name, found) if name and found and (found["tag"] or found["digest"]) else None


def place_images(values: Properties, given: Sequence[str]) -> dict[str, Json]:
    """Return the values that put images into a chart.

    A chart has the image of NAME under `NAME.image`, `images.NAME`, `NAMEImage` or `NAME` itself (`image` is the image
    of a chart that has one only): as one text, or as a mapping with `repository` and `tag` or `digest`.

    Args:
        values: the chart's own, with everything else laid over them.
        given: `NAME=IMAGE@DIGEST` or `NAME=IMAGE:TAG`; what is neither is left out, see `no_images`.

    Raises:
        DeliveryError: names every one that the chart has no place for.
    """
    problems: list[str] = []
    placed: dict[str, Json] = {}
    places = dict(_places(values))
    for text in given:
        parsed = _parse(text)
        if parsed is None:
            continue
        name, found = parsed
        candidates = [(*name.split("."), "image"), ("images", name), (f"{name}Image",), tuple(name.split("."))]
        path = next((each for each in candidates if each in places), None)
        if path is None:
            known = ", ".join(".".join(each) for each in places) or "none"
            problems.append(f"--image {text}: the chart has no image {name}. Fix: use one of its images: {known}.")
            continue
        placed = merge(placed, _nested(path, _image(places[path], found)))
    if problems:
        raise DeliveryError("\n".join(problems), Exit.USAGE)
    return placed


def _places(tree: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    if not isinstance(tree, Mapping):
        return
    for key, value in cast(Mapping[str, Any], tree).items():
        at = (*path, str(key))
        known = fields(value)
        called = key == "image" or key.endswith("Image") or path[-1:] == ("images",)
        if (called and isinstance(value, str)) or (
            "repository" in known and (called or {"tag", "digest"} & set(known))
        ):
            yield at, value
        else:
            yield from _places(value, at)


def _image(before: Json, reference: "re.Match[str]") -> Json:
    """Return an image in the shape that the chart has it in."""
    if isinstance(before, str):
        return reference[0]
    known = fields(before)
    repository, tag, digest = (reference[part] or "" for part in ("repository", "tag", "digest"))
    parts: dict[str, Json] = {"repository": repository}
    if "registry" in known:
        parts["registry"], _, parts["repository"] = repository.partition("/")
    if "digest" in known:
        return {**parts, "digest": digest, "tag": tag}
    # A chart that knows no digest writes repository:tag; this is how a digest is written there.
    return {**parts, "tag": f"{tag or 'pinned'}@{digest}" if digest else tag}


def _nested(path: Sequence[str], value: Json) -> dict[str, Json]:
    for key in reversed(path):
        value = {key: value}
    return cast(dict[str, Json], value)
