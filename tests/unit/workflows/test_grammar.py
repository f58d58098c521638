"""What stands in `${{ }}`, read and evaluated."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath.workflows.evaluation import UNKNOWN, Glob, Symbol, Value, evaluate, matches, truth
from pavedpath.workflows.grammar import (
    Call,
    Constant,
    ExpressionError,
    Node,
    Not,
    Operation,
    Reference,
    calls,
    embedded,
    parse,
    references,
    whole,
    without_dollar,
)


def shown(node: Node) -> str:
    """Write a tree as text, with all its parentheses."""
    match node:
        case Constant():
            return "'" + node.value.replace("'", "''") + "'" if isinstance(node.value, str) else json.dumps(node.value)
        case Reference():
            return str(node)
        case Not():
            return f"!({shown(node.operand)})"
        case Call():
            return f"{node.function}({', '.join(map(shown, node.arguments))})"
        case Operation():
            return f"({shown(node.left)}) {node.operator} ({shown(node.right)})"


KNOWN: dict[str, Value] = {"github.event_name": "push", "github.ref": "refs/heads/main", "github.null": None}
POSSIBLE: dict[str, tuple[Value, list[Value]]] = {
    "github.x": (UNKNOWN, ["push", "", "Push", None, True, False, 0.0, 1.0]),
    "github.y": (Glob("release/*", frozenset({"release/x"})), ["release/1", "release/main"]),
    "github.z": (Glob("**"), ["main", "release/x", "push"]),
    "github.w": (Symbol("repository"), ["acme/orders", "push"]),
    "github.v": (Symbol("fork"), ["stranger/orders", "release/1"]),
}
"""What is known of a reference, and what it may turn out to be."""

_constants = st.sampled_from(["push", "", "main", "release/1", "refs/heads/", "release/x", "acme/orders"]).map(Constant)
_leaves: st.SearchStrategy[Node] = (
    _constants
    | st.sampled_from([Constant(None), Constant(True), Constant(False), Constant(1.0), Constant(0.0)])
    | st.sampled_from([*KNOWN, *POSSIBLE]).map(lambda name: Reference(tuple(name.split("."))))
)


def _larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    operators = st.sampled_from(["&&", "||", "==", "!=", "<", ">=", ">", "<="])
    tests = st.sampled_from(["contains", "startsWith", "endsWith"])
    return (
        st.builds(Not, inner)
        | st.builds(Operation, operators, inner, inner)
        | st.builds(Call, tests, st.tuples(inner, inner))
    )


trees = st.recursive(_leaves, _larger, max_leaves=8)


@given(trees)
def test_a_tree_is_read_as_it_was_written(tree: Node) -> None:
    assert parse(shown(tree)) == tree


@settings(max_examples=300)
@given(trees, st.data())
def test_what_is_taken_for_certain_is_so_whatever_the_unknown_turns_out_to_be(tree: Node, data: st.DataObject) -> None:
    def abstract(reference: Reference) -> Value:
        return KNOWN[str(reference)] if str(reference) in KNOWN else POSSIBLE[str(reference)][0]

    chosen = {name: data.draw(st.sampled_from(values)) for name, (_, values) in POSSIBLE.items()}

    def actual(reference: Reference) -> Value:
        return {**KNOWN, **chosen}[str(reference)]

    certain = truth(evaluate(tree, abstract))
    if certain is not UNKNOWN:
        assert truth(evaluate(tree, actual)) is certain, shown(tree)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        parse(text)
    with contextlib.suppress(ExpressionError):
        embedded(text)


@given(st.text(st.sampled_from("()[]!&|=<>'.,* abx10{}$")))
def test_any_heap_of_signs_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        parse(text)
    with contextlib.suppress(ExpressionError):
        embedded(f"${{{{ {text} }}}}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 == 1 && 2 == 2", True),
        ("'a' == 'A'", True),
        ("true || false && false", True),
        ("!true || true", True),
        ("!(true || true)", False),
        ("'' || 'x'", "x"),
        ("'a' && 'b'", "b"),
        ("null == 0", True),
        ("'' == false", True),
        ("'x' == 0", False),
        ("3 > 2", True),
        ("0x10 == 16", True),
        ("-1.5e1 == -15", True),
        ("'it''s'", "it's"),
        ("contains('Hello', 'hell')", True),
        ("contains(fromJSON('[\"push\", \"x\"]'), 'PUSH')", True),
        ("contains(fromJSON('[1, 2]'), 2)", True),
        ("startsWith('refs/tags/v1', 'refs/tags/')", True),
        ("endsWith('a.md', '.MD')", True),
        ("always()", True),
        ("success()", UNKNOWN),
        ("fromJSON('no')", UNKNOWN),
        ("fromJSON('[1]')[0]", UNKNOWN),
        ("false && failure()", False),
        ("!(failure() && false)", True),
        ("!(failure() || true)", False),
        ("(failure() || 'x') == 'x'", UNKNOWN),
        ("failure() && true", UNKNOWN),
        ("'a' < 'b'", UNKNOWN),
    ],
)
def test_evaluates_as_github_does(text: str, value: Value) -> None:
    assert evaluate(parse(text), lambda _: UNKNOWN) == value


def test_nesting_has_an_end() -> None:
    for text in ("(" * 500 + "1" + ")" * 500, "!" * 500 + "1", "a[" * 500 + "1" + "]" * 500):
        with pytest.raises(ExpressionError, match="deep"):
            parse(text)


def test_parts_are_followed_through_brackets_and_stars() -> None:
    assert parse("github['event'].x") == Reference(("github", "event", "x"), (Constant("event"),))
    assert parse("needs.*.result") == Reference(("needs", None, "result"))
    assert parse("steps[matrix.x].outputs") == Reference(("steps", None, "outputs"), (Reference(("matrix", "x")),))
    inner = parse("fromJSON(needs.a.outputs.b)[secrets.x].y")
    assert {str(each) for each in references(inner)} == {"needs.a.outputs.b", "secrets.x"}
    assert [each.function for each in calls(inner)] == ["fromJSON"]


def test_expressions_are_found_in_texts() -> None:
    assert embedded("a ${{ x }} b ${{ '}}' }} ${{y}}") == ("x", "'}}'", "y")
    assert whole(" ${{ x }} ") == "x"
    assert whole("${{ x }} ${{ y }}") is None
    assert whole("x") is None
    with pytest.raises(ExpressionError, match="has no"):
        embedded("${{ x }")


def test_what_lacks_its_dollar_is_found_and_templates_are_not() -> None:
    assert list(without_dollar("{{ vars.X }} ${{ vars.Y }} {{ .Values.x }} {{ env_var('A') }}")) == ["vars.X"]


@pytest.mark.parametrize(
    ("pattern", "text", "taken"),
    [
        ("main", "main", True),
        ("main", "mainly", False),
        ("release/*", "release/1", True),
        ("release/*", "release/1/2", False),
        ("release/**", "release/1/2", True),
        ("v[0-9]+.[0-9]+", "v12.3", True),
        ("v[0-9]+.[0-9]+", "v12x3", False),
        ("**", "a/b", True),
        ("v*.*.*", "v1.2.3", True),
        ("[", "x", True),  # what cannot be understood counts as possible
    ],
)
def test_patterns_take_what_github_takes(pattern: str, text: str, taken: bool) -> None:
    assert matches(pattern, text) is taken
