"""DynamoDB's condition and update expressions, as far as the ledger uses them, parsed once each.

Conditions: `attribute_exists(p)`, `attribute_not_exists(p)`, comparisons of paths and values, AND, OR, NOT, brackets.
Updates: `ADD p :v, …` and `SET p = :v, …`. Paths are names of top-level attributes, or placeholders of them.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

Item = Mapping[str, Mapping[str, Any]]
"""An item, or values by placeholder: attribute values in DynamoDB's own form, `{"N": "1"}`."""

_TOKEN = re.compile(r"\s*(<=|>=|<>|[()=<>,]|[:#]?[A-Za-z_][A-Za-z0-9_]*)")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ExpressionError(ValueError):
    """An expression that DynamoDB, or this model of it, does not know."""


@dataclass(slots=True)
class Scope:
    """What an expression is evaluated over."""

    item: Item | None
    names: Mapping[str, str]
    values: Item

    def attribute(self, path: str) -> Mapping[str, Any] | None:
        """The attribute at a path, or None."""
        name = self.names[path] if path.startswith("#") else path
        return None if self.item is None else self.item.get(name)

    def operand(self, token: str) -> tuple[str, Any] | None:
        """Type and value of a path or placeholder; None if the attribute is not there."""
        value = self.values[token] if token.startswith(":") else self.attribute(token)
        if value is None:
            return None
        ((kind, inner),) = value.items()
        return kind, Decimal(inner) if kind == "N" else inner


Condition = Callable[[Scope], bool]


@lru_cache(maxsize=256)
def condition(expression: str) -> Condition:
    """Parse a condition expression.

    Raises:
        ExpressionError: it is none.
    """
    tokens = _tokens(expression)
    parsed = _any(tokens)
    if tokens:
        raise ExpressionError(f"condition {expression!r}: {tokens[-1]!r} is too much")
    return parsed


def _tokens(expression: str) -> list[str]:
    """Tokens, the last one first, so that `pop` takes the next."""
    found: list[str] = []
    at = 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise ExpressionError(f"expression {expression!r}: unknown at {expression[at:]!r}")
        found.append(match.group(1))
        at = match.end()
    return found[::-1]


def _take(tokens: list[str], wanted: str = "") -> str:
    if not tokens or (wanted and tokens[-1] != wanted):
        raise ExpressionError(
            f"expression: {wanted or 'more'!r} is needed, got {tokens[-1] if tokens else 'its end'!r}"
        )
    return tokens.pop()


def _any(tokens: list[str]) -> Condition:
    parts = [_all(tokens)]
    while tokens and tokens[-1].upper() == "OR":
        tokens.pop()
        parts.append(_all(tokens))
    return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)


def _all(tokens: list[str]) -> Condition:
    parts = [_one(tokens)]
    while tokens and tokens[-1].upper() == "AND":
        tokens.pop()
        parts.append(_one(tokens))
    return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)


def _one(tokens: list[str]) -> Condition:
    first = _take(tokens)
    if first.upper() == "NOT":
        inner = _one(tokens)
        return lambda scope: not inner(scope)
    if first == "(":
        inner = _any(tokens)
        _take(tokens, ")")
        return inner
    if first in {"attribute_exists", "attribute_not_exists"}:
        _take(tokens, "(")
        path = _take(tokens)
        _take(tokens, ")")
        wanted = first == "attribute_exists"
        return lambda scope: (scope.attribute(path) is not None) is wanted
    compare = _COMPARISONS.get(sign := _take(tokens))
    if compare is None:
        raise ExpressionError(f"condition: a comparison is needed after {first!r}, got {sign!r}")
    return _comparison(first, compare, sign, _take(tokens))


def _comparison(left: str, compare: Callable[[Any, Any], bool], sign: str, right: str) -> Condition:
    def holds(scope: Scope) -> bool:
        one, other = scope.operand(left), scope.operand(right)
        if one is None or other is None or one[0] != other[0]:
            return sign == "<>"  # nothing compares with what is missing or of another type
        return compare(one[1], other[1])

    return holds


Update = Callable[[Scope], dict[str, Mapping[str, Any]]]


@lru_cache(maxsize=64)
def update(expression: str) -> Update:
    """Parse an update expression into a function that returns the changed item.

    Raises:
        ExpressionError: it is none.
    """
    tokens = _tokens(expression)
    steps: list[tuple[str, str, str]] = []
    action = ""
    while tokens:
        if tokens[-1].upper() in {"ADD", "SET"}:
            action = tokens.pop().upper()
        elif steps:
            _take(tokens, ",")
        path = _take(tokens)
        if action == "SET":
            _take(tokens, "=")
        if not action:
            raise ExpressionError(f"{expression!r}: an update may ADD and SET, no more")
        steps.append((action, path, _take(tokens)))
    return lambda scope: _apply(steps, scope)


def _apply(steps: list[tuple[str, str, str]], scope: Scope) -> dict[str, Mapping[str, Any]]:
    changed = dict(scope.item or {})
    for action, path, value in steps:
        name = scope.names[path] if path.startswith("#") else path
        given = scope.operand(value)
        if given is None:
            raise ExpressionError(f"update: {value!r} is no value")
        kind, inner = given
        if action == "ADD":
            old = scope.attribute(path)
            changed[name] = {"N": str((Decimal(old["N"]) if old else Decimal(0)) + inner)}
        else:
            changed[name] = {kind: str(inner) if kind == "N" else inner}
    return changed
