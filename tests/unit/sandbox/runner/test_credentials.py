"""Whom a role's trust policy lets in."""

import base64
import json
from typing import Any

import pytest
from pavedpath_sandbox.runner.credentials import ISSUER, claims_of, refusals

SUBJECT = "repo:acme/orders:environment:dev"


def trust(operator: str = "StringEquals", **conditions: Any) -> dict[str, Any]:
    named = {f"{ISSUER}:{name}": value for name, value in conditions.items()}
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {operator: named}}
    return {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}, allowed]}


@pytest.mark.parametrize("subjects", [SUBJECT, [SUBJECT, "repo:acme@1/orders@2:environment:dev"]])
def test_the_subject_that_is_named_comes_in(subjects: Any) -> None:
    assert not list(
        refusals(trust(aud="sts.amazonaws.com", sub=subjects), {"aud": "sts.amazonaws.com", "sub": SUBJECT})
    )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "sts.amazonaws.com", "sub": "repo:acme/orders:environment:prod"}, "environment:prod"),
        ({"aud": "elsewhere", "sub": SUBJECT}, "'elsewhere'"),
        ({}, "None"),
    ],
)
def test_another_does_not(claims: dict[str, str], reason: str) -> None:
    assert reason in " ".join(refusals(trust(aud="sts.amazonaws.com", sub=SUBJECT), claims))


@pytest.mark.parametrize(
    ("operator", "wanted", "refused"),
    [
        ("StringLike", "repo:acme/orders:*", False),
        ("StringLike", "repo:acme/other:*", True),
        ("StringNotEquals", SUBJECT, True),
        ("NumericEquals", SUBJECT, True),
    ],
)
def test_every_operator_counts_and_an_unknown_one_lets_nobody_in(operator: str, wanted: str, refused: bool) -> None:
    assert bool(list(refusals(trust(operator, sub=wanted), {"sub": SUBJECT}))) is refused


def test_a_policy_without_statements_lets_nobody_in() -> None:
    assert list(refusals({}, {"sub": SUBJECT}))


def test_a_token_is_read() -> None:
    body = base64.urlsafe_b64encode(json.dumps({"sub": SUBJECT}).encode()).decode().rstrip("=")
    assert claims_of(f"head.{body}.signature") == {"sub": SUBJECT}
