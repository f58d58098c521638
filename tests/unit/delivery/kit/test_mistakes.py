from typing import Any, Literal

import pytest
from pavedpath_delivery.gate.rules import RulesError, parse
from pavedpath_delivery.kit.mistakes import mistakes
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: int | list[int] = 200
    level: Literal["low", "high"] = "low"
    share: float = Field(0, ge=0, lt=1)
    name: str = Field("x", min_length=2, pattern="^x")


class Outer(BaseModel):
    inner: dict[str, Inner]
    items: tuple[Inner, ...] = Field((), min_length=1)


CASES: list[tuple[Any, list[str]]] = [
    ({}, ["inner: it is missing"]),
    ([], ["it must be keys with values"]),
    ({"inner": {"int": {"status": "s3cret"}}}, ["inner.int.status: it must be a whole number, or it must be a list"]),
    ({"inner": {}, "items": [{"status": ["s3cret"]}]}, ["items.0.status.0: it must be a whole number"]),
    ({"inner": {}, "items": []}, ["items: it must not be empty"]),
    ({"inner": {}, "items": 3}, ["items: it must be a list"]),
    (
        {"inner": {"a": {"level": "mid", "share": 1, "name": "x", "more": 1}, "b": {"share": -1, "name": "yy"}}},
        [
            "inner.a.level: it must be 'low' or 'high'",
            "inner.a.share: it must be below 1",
            "inner.a.name: it must have at least 2 characters",
            "inner.a.more: there is no such key",
            "inner.b.share: it must be 0 or more",
            "inner.b.name: it must match ^x",
        ],
    ),
]


@pytest.mark.parametrize(("document", "wanted"), CASES)
def test_every_mistake_is_told_in_plain_words(document: Any, wanted: list[str]) -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(document)
    assert mistakes(error.value, document) == wanted


def test_rules_are_told_without_the_names_of_models() -> None:
    text = "version: 1\nrules:\n- {id: q}\n- 3\n- {id: A, source: sarif, comparison: '>', threshold: x, reason: r}"
    with pytest.raises(RulesError) as error:
        parse(text)
    assert str(error.value).split("; ") == [
        "rules.0: source is missing",
        "rules.1: it must be keys with values",
        "rules.2.id: it must match ^[a-z0-9][a-z0-9_-]*$",
        "rules.2.threshold: it must be a number",
    ]
