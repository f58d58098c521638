"""Which properties a step changes, from what to what. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.events import STACK_TYPE, ResourceState, Step, plain

_MISSING: Final = object()
_PATH_PART = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]"]+)')
_PLAIN_KEY = re.compile(r"[^.\[\]\"]+")
QUIET_OPS = frozenset({"same", "read", "refresh", "discard", "read-discard", "remove-pending-replace"})
_PARTS_OF_REPLACE = frozenset({"create-replacement", "delete-replaced", "discard-replaced", "read-replacement"})


@dataclass(frozen=True)
class PropertyChange:
    """One property that changes; `old` and `new` are plain JSON (None where there is no value), secrets blinded.

    `kind` is `add`, `delete` or `update`; `replaces` says that the change forces a new resource.
    """

    path: str
    kind: str
    old: Json
    new: Json
    replaces: bool = False


@dataclass(frozen=True)
class ResourceChange:
    """What happens to one resource."""

    urn: str
    type: str
    operation: str
    properties: tuple[PropertyChange, ...] = ()


def resource_changes(steps: Iterable[Step]) -> list[ResourceChange]:
    """Return the changes in the order of the steps: unchanged resources and the stack itself are left out.

    The steps that make up a replacement (`create-replacement`, `delete-replaced`) are one change, `replace`.
    """
    changes: dict[str, ResourceChange] = {}
    for step in steps:
        if step.op in QUIET_OPS or step.op in _PARTS_OF_REPLACE or step.type == STACK_TYPE:
            continue
        properties = property_changes(step) if step.op in ("update", "replace") else ()
        changes[step.urn] = ResourceChange(step.urn, step.type, step.op, tuple(properties))
    return list(changes.values())


def property_changes(step: Step) -> list[PropertyChange]:
    """Return what differs: by the provider's detailed diff, or where there is none by comparing the inputs."""
    old, new = step.old or ResourceState(), step.new or ResourceState()
    if step.detailed_diff:
        return [_detailed(path, diff.kind, diff.input_diff, old, new) for path, diff in step.detailed_diff.items()]
    compared = list(_compare((), old.inputs, new.inputs))
    if not compared and new.outputs:  # in a preview they are not known yet
        compared = list(_compare((), old.outputs, new.outputs))
    if compared or not step.diffs:
        return compared
    return [_detailed(key, "update", True, old, new) for key in step.diffs]


def _detailed(path: str, kind: str, input_diff: bool, old: ResourceState, new: ResourceState) -> PropertyChange:
    keys = parse_path(path)
    before = (old.inputs, old.outputs) if input_diff else (old.outputs, old.inputs)
    # A refresh shows what was found in the outputs; the inputs are what the program had asked for.
    after = (new.inputs, new.outputs) if input_diff or not new.outputs else (new.outputs, new.inputs)
    base, _, replace = kind.partition("-")
    return PropertyChange(
        path,
        base,
        None if base == "add" else _first(before, keys),
        None if base == "delete" else _first(after, keys),
        replaces=replace == "replace",
    )


def parse_path(path: str) -> tuple[str | int, ...]:
    """Return the keys of a property path: `a.b[0]["c.d"]` is `("a", "b", 0, "c.d")`."""
    keys: list[str | int] = []
    for quoted, index, key in _PATH_PART.findall(path):
        keys.append(int(index) if index else key or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(keys)


def format_path(keys: Sequence[str | int]) -> str:
    """Return the property path of keys; the inverse of `parse_path`."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += '["' + key.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    return text


def _first(roots: Sequence[Json], keys: Sequence[str | int]) -> Json:
    for root in roots:
        value = _get(root, keys)
        if value is not _MISSING:
            return plain(value)
    return None


def _get(value: Json, keys: Sequence[str | int]) -> Json:
    for key in keys:
        value = plain(value)
        if isinstance(value, list) and isinstance(key, int) and key < len(cast(list[Json], value)):
            value = cast(list[Json], value)[key]
        elif isinstance(value, Mapping) and key in value:
            value = cast(Mapping[str | int, Json], value)[key]
        elif isinstance(value, str):  # a secret hides everything below it
            return value
        else:
            return _MISSING
    return value


def _compare(keys: tuple[str | int, ...], old: Json, new: Json) -> Iterator[PropertyChange]:
    old, new = plain(old), plain(new)
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast(dict[str, Json], old), cast(dict[str, Json], new)
        for key in sorted({*before, *after}):
            if not key.startswith("__"):  # the SDK's own bookkeeping
                yield from _compare((*keys, key), before.get(key), after.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        olds, news = cast(list[Json], old), cast(list[Json], new)
        for index in range(max(len(olds), len(news))):
            pair = [items[index] if index < len(items) else None for items in (olds, news)]
            yield from _compare((*keys, index), *pair)
    elif old != new:
        kind = "add" if old is None else "delete" if new is None else "update"
        yield PropertyChange(format_path(keys), kind, old, new)
