"""What is wrong with a file that a person wrote, in plain words: what pydantic found, without its own terms."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pavedpath_delivery.kit.documents import Json

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_WORDS: Mapping[str, str] = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "finite_number": "it must be a number, neither infinite nor NaN",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text",
    "timezone_aware": "it must have a time zone, such as Z",
    "sequence_str": "it must be a list",
    "is_instance_of": "it must be a list",
}
_KINDS: Mapping[str, str] = {
    "int": "it must be a whole number",
    "float": "it must be a number",
    "date": "it must be a date such as 2030-12-31",
    "datetime": "it must be a time such as 2030-12-31T09:00:00Z",
    "model": "it must be keys with values",
    "dict": "it must be keys with values",
    "mapping": "it must be keys with values",
    "tuple": "it must be a list",
    "list": "it must be a list",
}
_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "enum": lambda told: f"it must be {told['expected']}",
    "literal_error": lambda told: f"it must be {told['expected']}",
    "string_pattern_mismatch": lambda told: f"it must match {told['pattern']}",
    "string_too_short": lambda told: _at_least(told["min_length"], "characters"),
    "too_short": lambda told: _at_least(told["min_length"], "entries"),
    "greater_than": lambda told: f"it must be above {told['gt']:g}",
    "greater_than_equal": lambda told: f"it must be {told['ge']:g} or more",
    "less_than": lambda told: f"it must be below {told['lt']:g}",
    "less_than_equal": lambda told: f"it must be {told['le']:g} or less",
    "value_error": lambda told: str(told["error"]),
    "union_tag_not_found": lambda told: f"{_bare(told['discriminator'])} is missing",
    "union_tag_invalid": lambda told: f"{_bare(told['discriminator'])} must be one of {_bare(told['expected_tags'])}",
}
_OF_THE_WHOLE = frozenset({"missing", "extra_forbidden", "value_error"})


def mistakes(error: "ValidationError", document: Json) -> list[str]:
    """Return every mistake as `PLACE: what must be`, in the order of the models. Pure.

    No value of the file is repeated: it may be what is not for a log. Where several forms are possible, what each of
    them lacks is one mistake.
    """
    found: dict[tuple[str, ...], dict[str, bool]] = {}
    for each in error.errors(include_url=False, include_input=False):
        kept = found.setdefault(_place(each, document), {})
        kept[_words(each)] = each["type"] in _OF_THE_WHOLE
    shown: list[str] = []
    for place, words in found.items():
        deeper = any(other[: len(place)] == place and len(other) > len(place) for other in found)
        # What is wrong within says more than that the whole is then too short, or of another form.
        said = [text for text, whole in words.items() if whole or not deeper]
        if said:
            shown.append(f"{'.'.join(place)}: {', or '.join(said)}" if place else ", or ".join(said))
    return shown


def _words(each: "ErrorDetails") -> str:
    kind = each["type"]
    if kind in _LIMITS:
        return _LIMITS[kind](each.get("ctx", {}))
    return _WORDS.get(kind) or _KINDS.get(kind.partition("_")[0]) or each["msg"]


def _place(each: "ErrorDetails", document: Json) -> tuple[str, ...]:
    """Return the keys that lead there; names that the models give their forms are none of the file's."""
    place: list[str] = []
    at = document
    for depth, part in enumerate(each["loc"], 1):
        if isinstance(at, Mapping) and part in at:
            at = cast(Mapping[Any, Json], at)[part]
        elif isinstance(at, list) and isinstance(part, int) and part < len(cast(list[Json], at)):
            at = cast(list[Json], at)[part]
        elif each["type"] != "missing" or depth < len(each["loc"]):
            continue
        place.append(str(part))
    return tuple(place)


def _bare(quoted: str) -> str:
    return ", ".join(re.findall(r"'([^']+)'", quoted))


def _at_least(count: int, what: str) -> str:
    return "it must not be empty" if count == 1 else f"it must have at least {count} {what}"
