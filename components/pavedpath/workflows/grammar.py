"""Reading what stands in `${{ }}`.

Source: GitHub, "Evaluate expressions in workflows and actions".
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from .expressions import CONTEXTS


class ExpressionError(ValueError):
    """A text that GitHub could not evaluate."""


@dataclass(frozen=True)
class Constant:
    """A text, number, truth value or null."""

    value: str | float | bool | None


@dataclass(frozen=True)
class Reference:
    """A part of a context; None stands for `*` and for an index that is itself computed."""

    path: tuple[str | None, ...]
    indices: tuple["Node", ...] = ()

    def __str__(self) -> str:
        return ".".join("*" if part is None else part for part in self.path)


@dataclass(frozen=True)
class Call:
    """A function's result, or a part of it."""

    function: str
    arguments: tuple["Node", ...]
    indices: tuple["Node | None", ...] = ()
    """Which part of the result; None stands for `*` and for a name behind a dot."""


@dataclass(frozen=True)
class Not:
    """A negation."""

    operand: "Node"


@dataclass(frozen=True)
class Operation:
    """Two operands with `&&`, `||` or a comparison between them."""

    operator: str
    left: "Node"
    right: "Node"


Node: TypeAlias = Constant | Reference | Call | Not | Operation

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>-?(?:0x[0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?))
    | (?P<name>[A-Za-z_][\w-]*)
    | (?P<text>'(?:[^']|'')*')
    | (?P<operator>&&|\|\||==|!=|<=|>=|[<>!()\[\].,*])
    )""",
    re.VERBOSE,
)
_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4}
_WORDS: dict[str, bool | float | None] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
_DEEPEST = 50


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """Return an expression's tree.

    Args:
        text: the expression without its braces.

    Raises:
        ExpressionError: it is not one; says where.
    """
    parser = _Parser(_tokens(text), text)
    node = parser.expression(1, 0)
    if parser.rest:
        raise ExpressionError(f"{parser.rest[0][1]!r} is out of place")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None or match.lastgroup is None:
            rest = stripped[position:].lstrip()
            hint = "; a text stands in single quotes" if rest.startswith('"') else ""
            hint = "; an expression is given without its braces" if rest.startswith("$") else hint
            raise ExpressionError(f"{rest[:20]!r} cannot be read{hint}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    def __init__(self, tokens: Sequence[tuple[str, str]], text: str) -> None:
        self.rest = list(tokens)
        self.text = text

    def expression(self, least: int, depth: int) -> Node:
        if depth > _DEEPEST:
            raise ExpressionError(f"it is nested more than {_DEEPEST} deep")
        left = self._unary(depth)
        while self.rest and _PRECEDENCE.get(self.rest[0][1], 0) >= least and self.rest[0][0] == "operator":
            operator = self.rest.pop(0)[1]
            left = Operation(operator, left, self.expression(_PRECEDENCE[operator] + 1, depth + 1))
        return left

    def _unary(self, depth: int) -> Node:
        if self._next_is("!"):
            self._take()
            if depth > _DEEPEST:
                raise ExpressionError(f"it is nested more than {_DEEPEST} deep")
            return Not(self._unary(depth + 1))
        return self._parts(self._primary(depth), depth)

    def _primary(self, depth: int) -> Node:
        kind, symbol = self._take()
        if symbol == "(":
            inner = self.expression(1, depth + 1)
            self._expect(")")
            return inner
        if kind == "number":
            return Constant(float(int(symbol, 16)) if "0x" in symbol else float(symbol))
        if kind == "text":
            return Constant(symbol[1:-1].replace("''", "'"))
        if kind != "name":
            raise ExpressionError(f"{symbol!r} is out of place")
        if symbol in _WORDS:
            return Constant(_WORDS[symbol])
        if self.rest and self.rest[0][1] == "(":
            self.rest.pop(0)
            return Call(symbol, self._arguments(depth))
        return Reference((symbol,))

    def _arguments(self, depth: int) -> tuple[Node, ...]:
        found: list[Node] = []
        while found or not self._next_is(")"):
            found.append(self.expression(1, depth + 1))
            if not self._next_is(","):
                break
            self._take()
        self._expect(")")
        return tuple(found)

    def _parts(self, node: Node, depth: int) -> Node:
        while self._next_is(".") or self._next_is("["):
            index: Node | None = None
            if self._take()[1] == ".":
                kind, symbol = self._take()
                if kind != "name" and symbol != "*":
                    raise ExpressionError(f"{symbol!r} cannot follow a dot")
                part = None if symbol == "*" else symbol
            elif self._next_is("*"):
                self._take()
                part = None
                self._expect("]")
            else:
                index = self.expression(1, depth + 1)
                self._expect("]")
                part = index.value if isinstance(index, Constant) and isinstance(index.value, str) else None
            if isinstance(node, Reference):
                indices = node.indices if index is None else (*node.indices, index)
                node = Reference((*node.path, part), indices)
            elif not isinstance(node, Call):
                raise ExpressionError("only a context and a function's result have parts")
            else:
                node = Call(node.function, node.arguments, (*node.indices, index))
        return node

    def _next_is(self, symbol: str) -> bool:
        return bool(self.rest) and self.rest[0] == ("operator", symbol)

    def _take(self) -> tuple[str, str]:
        if not self.rest:
            raise ExpressionError("it ends too early" if self.text.strip() else "it is empty")
        return self.rest.pop(0)

    def _expect(self, symbol: str) -> None:
        if not self._next_is(symbol):
            found = repr(self.rest[0][1]) if self.rest else "the end"
            raise ExpressionError(f"{symbol!r} is missing before {found}")
        self.rest.pop(0)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    match node:
        case Operation():
            yield from walk(node.left)
            yield from walk(node.right)
        case Not():
            yield from walk(node.operand)
        case Call():
            for each in (*node.arguments, *filter(None, node.indices)):
                yield from walk(each)
        case Reference():
            for each in node.indices:
                yield from walk(each)
        case _:
            pass


def references(node: Node) -> Iterator[Reference]:
    """Yield every reference to a context."""
    return (each for each in walk(node) if isinstance(each, Reference))


def calls(node: Node) -> Iterator[Call]:
    """Yield every call of a function."""
    return (each for each in walk(node) if isinstance(each, Call))


_INSIDE = re.compile(r"(?:[^'}]|'(?:[^']|'')*'|\}(?!\}))*\}\}")


@lru_cache(maxsize=4096)
def embedded(text: str) -> tuple[str, ...]:
    """Return the expressions in a text, without their braces.

    Raises:
        ExpressionError: an expression that does not end.
    """
    return tuple(embedded_so_far(text))


def embedded_so_far(text: str) -> Iterator[str]:
    """Yield the expressions in a text, without their braces.

    Raises:
        ExpressionError: an expression that does not end, after all those before it.
    """
    position = text.find("${{")
    while position >= 0:
        match = _INSIDE.match(text, position + 3)
        if match is None:
            raise ExpressionError("'${{' has no '}}'")
        yield match[0][:-2].strip()
        position = text.find("${{", match.end())


_BARE = re.compile(r"(?<!\$)\{\{-?\s*((?:" + "|".join(CONTEXTS) + r")\.[\w.*-]+)[^}]*\}\}")


def without_dollar(text: str) -> Iterator[str]:
    """Yield what looks like an expression but lacks its dollar; templates of other programs do not."""
    return (match[1] for match in _BARE.finditer(text))


def whole(text: str) -> str | None:
    """Return the expression that is all of a text, or None."""
    stripped = text.strip()
    found = embedded(stripped)
    return found[0] if len(found) == 1 and stripped.startswith("${{") and stripped.endswith("}}") else None
