"""What exists, by layer, in few enough lines for one screen. Pure.

Each output of a stack is a layer, and its value an object of labels and values; an output that is no object is shown
in the layer `outputs`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pavedpath_delivery.kit.documents import Json


@dataclass(frozen=True)
class Layer:
    """One layer of one stack, with its labels and values as texts."""

    stack: str
    name: str
    entries: tuple[tuple[str, str], ...]


def layers(stack: str, outputs: Mapping[str, Json]) -> list[Layer]:
    """Return a stack's layers in the order of its outputs."""
    found: list[Layer] = []
    loose: list[tuple[str, str]] = []
    for name, value in outputs.items():
        if isinstance(value, Mapping):
            fields = cast(Mapping[str, Any], value)
            found.append(Layer(stack, name, tuple((label, as_text(item)) for label, item in fields.items())))
        else:
            loose.append((name, as_text(value)))
    return [*found, Layer(stack, "outputs", tuple(loose))] if loose else found


def as_text(value: Json) -> str:
    """Return a value as people write it, on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={as_text(item)}" for key, item in cast(Mapping[str, Any], value).items()) or "-"
    if isinstance(value, list):
        return ", ".join(as_text(item) for item in cast(list[Json], value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else " ".join(str(value).split())


def fit(found: Sequence[Layer], height: int, lines: Callable[[str], int]) -> tuple[list[Layer], int]:
    """Return the layers with as many entries as fit a height, and how many entries were left out.

    Args:
        found: the layers.
        height: lines there are for the entries.
        lines: how many lines a value takes.

    The entry that goes first is the last one of the tallest layer, and every layer keeps its first one.
    """
    shown = list(found)
    left_out = 0

    def tall(layer: Layer) -> int:
        return sum(lines(value) for _, value in layer.entries)

    while sum(map(tall, shown)) > height:
        index = max(range(len(shown)), key=lambda index: (len(shown[index].entries) > 1, tall(shown[index])))
        if len(shown[index].entries) <= 1:
            break
        shown[index] = replace(shown[index], entries=shown[index].entries[:-1])
        left_out += 1
    return shown, left_out
