"""The conditions of a policy's statement, judged as IAM judges them. Pure functions of plain data.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import cast

_Compare = Callable[[str, str], bool]


def _equal(wanted: str, actual: str) -> bool:
    return wanted == actual


def _equal_without_case(wanted: str, actual: str) -> bool:
    return wanted.casefold() == actual.casefold()


def _like(wanted: str, actual: str) -> bool:
    return fnmatchcase(actual, wanted.replace("[", "[[]"))


_OPERATORS: Mapping[str, _Compare] = {
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_without_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _equal_without_case,
}
_NEGATED: Mapping[str, str] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


class UnknownConditionError(Exception):
    """An operator or a context key that is not known here; the message names it."""


def holds(conditions: Mapping[str, Mapping[str, object]], context: Callable[[str], str | None]) -> bool:
    """Whether all of a statement's conditions are met.

    `context` gives the value of a key in lower case, or None if the request has none.

    Raises:
        UnknownConditionError: an operator is not known here, or `context` does not know a key.
    """
    return all(
        _is_met(operator, wanted, context(key.lower()))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _is_met(operator: str, wanted: object, actual: str | None) -> bool:
    values = [_text(each) for each in (cast("list[object]", wanted) if isinstance(wanted, list) else [wanted])]
    if operator == "Null":
        return (actual is None) == (values[0].lower() == "true")
    name = operator.removesuffix("IfExists")
    negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None:
        raise UnknownConditionError(f"the operator {operator}")
    if actual is None:
        return negated or name != operator
    return any(compare(value, actual) for value in values) != negated


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
