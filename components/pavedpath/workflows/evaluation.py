"""What a condition comes to where only some of its operands are known.

Three-valued: true, false, or `UNKNOWN`, which whoever asks must take for "perhaps". Beside values there are a
`Glob`, a text of which only a pattern is known, and a `Symbol`, a text of which only the identity is (the repository,
a fork of it).
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeAlias, cast

from .grammar import Call, Constant, Node, Not, Operation, Reference


class Unknown(Enum):
    """A value of which nothing is known, or nothing but whether GitHub takes it for true."""

    UNKNOWN = "unknown"
    TRUE = "something true"
    FALSE = "something false"


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True)
class Symbol:
    """A text that is not empty; only another symbol is known to be the same, or not."""

    name: str


@dataclass(frozen=True)
class Glob:
    """A text that a pattern describes; it is none of the excluded ones."""

    pattern: str
    excluded: frozenset[str] = frozenset()

    @property
    def start(self) -> str:
        """What the text begins with for certain."""
        return re.split(r"[*?+\[]", self.pattern, maxsplit=1)[0]

    def may_be(self, text: str) -> bool:
        """Whether the text may be this one."""
        return text not in self.excluded and matches(self.pattern, text)


Value: TypeAlias = str | float | bool | Symbol | Glob | Unknown | Sequence[object] | None
Lookup: TypeAlias = Callable[[Reference], Value]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?|\+|\[[^\]]*\])", pattern)
    wild = {"**": ".*", "*": "[^/]*", "?": ".?", "+": "+"}
    return re.compile("".join(wild.get(each) or (each if each[:1] == "[" else re.escape(each)) for each in parts))


def matches(pattern: str, text: str) -> bool:
    """Whether a filter or policy of GitHub takes a ref: `*` stops at a slash, `**` does not."""
    try:
        return _compiled(pattern).fullmatch(text) is not None
    except re.error:
        return True


def evaluate(node: Node, lookup: Lookup) -> Value:
    """Return what an expression comes to; never true or false where it could be either."""
    match node:
        case Constant():
            return node.value
        case Reference():
            return lookup(node)
        case Not():
            found = truth(evaluate(node.operand, lookup))
            return UNKNOWN if found is UNKNOWN else not found
        case Call():
            arguments = [evaluate(each, lookup) for each in node.arguments]
            return UNKNOWN if node.indices else _call(node.function.lower(), arguments)
        case Operation():
            return _operation(node, lookup)


def truth(value: Value) -> bool | Unknown:
    """Return whether GitHub takes a value for true."""
    if isinstance(value, Unknown):
        return {Unknown.TRUE: True, Unknown.FALSE: False}.get(value, UNKNOWN)
    if isinstance(value, Symbol):
        return True
    if isinstance(value, Glob):
        return True if value.start else UNKNOWN
    if isinstance(value, float):
        return not math.isnan(value) and bool(value)
    return bool(value)


def _operation(node: Operation, lookup: Lookup) -> Value:
    left = evaluate(node.left, lookup)
    if node.operator in ("&&", "||"):
        decided = truth(left)
        if decided is (node.operator == "||"):
            return left
        right = evaluate(node.right, lookup)
        if decided is not UNKNOWN:
            return right
        # The result is one of the two, and only if they are alike is its truth known.
        if truth(right) is not (node.operator == "||"):
            return UNKNOWN
        return Unknown.TRUE if node.operator == "||" else Unknown.FALSE
    right = evaluate(node.right, lookup)
    if node.operator in ("==", "!="):
        equal = same(left, right)
        return equal if equal is UNKNOWN else equal is (node.operator == "==")
    return _ordered(node.operator, left, right)


def _ordered(operator: str, left: Value, right: Value) -> bool | Unknown:
    if any(isinstance(each, Unknown | Symbol | Glob | str) for each in (left, right)):
        return UNKNOWN
    first, second = _number(left), _number(right)
    return {"<": first < second, "<=": first <= second, ">": first > second, ">=": first >= second}[operator]


def same(left: Value, right: Value) -> bool | Unknown:
    """Return whether two values are equal: case does not count, and other types are compared as numbers."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return UNKNOWN
    if isinstance(left, Symbol | Glob) or isinstance(right, Symbol | Glob):
        return _same_as_known(left, right)
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    return _number(left) == _number(right)


def _same_as_known(left: Value, right: Value) -> bool | Unknown:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Symbol):
            if isinstance(other, Symbol):
                return one == other
            return UNKNOWN if isinstance(other, str | Glob) and other else False
        if isinstance(one, Glob) and isinstance(other, str) and not one.may_be(other):
            return False
    return UNKNOWN


def _number(value: Value) -> float:
    if value is None or value == "":
        return 0.0
    try:
        return float(cast(float, value))
    except (TypeError, ValueError):
        return float("nan")


def _call(function: str, arguments: Sequence[Value]) -> Value:
    found: Value = UNKNOWN
    if function == "always":
        found = True
    elif function == "fromjson" and len(arguments) == 1 and isinstance(arguments[0], str):
        found = _json(arguments[0])
    elif len(arguments) == 2 and function in _TESTS:
        found = _TESTS[function](*arguments)
    return found


def _json(text: str) -> Value:
    try:
        found: object = json.loads(text)
    except ValueError:
        return UNKNOWN
    if isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    return cast(Value, found) if isinstance(found, str | float | bool | list | None) else UNKNOWN


def _starts(text: Value, start: Value) -> Value:
    if not isinstance(start, str):
        return UNKNOWN
    if isinstance(text, Glob):
        known, wanted = text.start.lower(), start.lower()
        if known.startswith(wanted):
            return True
        return UNKNOWN if wanted.startswith(known) else False
    return text.lower().startswith(start.lower()) if isinstance(text, str) else UNKNOWN


def _ends(text: Value, end: Value) -> Value:
    return text.lower().endswith(end.lower()) if isinstance(text, str) and isinstance(end, str) else UNKNOWN


def _contains(whole: Value, part: Value) -> Value:
    if isinstance(whole, str) and isinstance(part, str):
        return part.lower() in whole.lower()
    if isinstance(whole, Sequence) and not isinstance(whole, str):
        found = [same(cast(Value, each), part) for each in whole]
        return True if True in found else UNKNOWN if UNKNOWN in found else False
    return UNKNOWN


_TESTS: Mapping[str, Callable[[Value, Value], Value]] = {
    "startswith": _starts,
    "endswith": _ends,
    "contains": _contains,
}
