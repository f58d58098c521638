"""Policy documents, however they are written."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policy.documents import any_resource, statements
from policy.model import Finding, Resource
from policy.rules.identity import no_wildcard_permissions, no_wildcard_repository_trust
from tests.unit.policy.examples import ISSUER, ROLE, ROLE_POLICY, resource, subjects, trust

NAMES = st.text("abcdefgh0123-._", min_size=1, max_size=12)
EXACT = st.tuples(st.sampled_from(["s3", "ec2"]), NAMES).map(":".join)
SAFE_ACTIONS = EXACT | st.sampled_from(["ec2:Describe*", "s3:ListB*"])
LOOSE_ACTIONS = st.sampled_from(["*", "s3:*", "S3:*", "iam:Pass*", "kms:?ecrypt", "*:Describe*"])
EVERYTHING = st.sampled_from(["*", "arn:aws:*", "arn:aws:s3:::*", "arn:aws:sqs:us-east-1:1:*", "arn:*:*:*:*:*/*"])
NARROW = NAMES.map("arn:aws:s3:::{}/*".format)


def spelt(document: dict[str, Any], draw: st.DataObject) -> str:
    """Write a statement in one of the ways that mean the same."""
    case = draw.draw(st.sampled_from([str, str.lower, str.upper]))
    body = {
        case(key): value[0] if len(value) == 1 and draw.draw(st.booleans()) else value
        for key, value in document.items()
    }
    body[case("Effect")] = "Allow"
    return json.dumps({case("Version"): "2012-10-17", case("Statement"): draw.draw(st.sampled_from([body, [body]]))})


def permissions(policy: str) -> list[Finding]:
    return list(no_wildcard_permissions.check(resource(ROLE_POLICY, policy=policy)))


@given(st.lists(SAFE_ACTIONS, max_size=3), LOOSE_ACTIONS, st.lists(NARROW, max_size=2), EVERYTHING, st.data())
def test_one_wildcard_among_exact_ones_is_found(
    actions: list[str], loose: str, resources: list[str], everything: str, data: st.DataObject
) -> None:
    (found,) = permissions(spelt({"Action": [*actions, loose], "Resource": [*resources, everything]}, data))
    assert loose in found.what


@given(st.lists(SAFE_ACTIONS, min_size=1, max_size=3), EVERYTHING, st.data())
def test_exact_actions_may_take_any_resource(actions: list[str], everything: str, data: st.DataObject) -> None:
    assert permissions(spelt({"Action": actions, "Resource": [everything]}, data)) == []


@given(LOOSE_ACTIONS, st.lists(NARROW, min_size=1, max_size=3), st.data())
def test_any_action_may_take_named_resources(loose: str, resources: list[str], data: st.DataObject) -> None:
    assert not any(map(any_resource, resources))
    assert permissions(spelt({"Action": [loose], "Resource": resources}, data)) == []


def trusted(policy: str) -> list[Finding]:
    return list(no_wildcard_repository_trust.check(resource(ROLE, assumeRolePolicy=policy)))


@given(NAMES, NAMES, st.text("abc:/*?", max_size=8), st.sampled_from(["StringLike", "StringEquals"]))
def test_a_subject_that_names_its_repository_may_leave_the_rest_open(
    owner: str, name: str, rest: str, operator: str
) -> None:
    assert trusted(subjects(operator, f"repo:{owner}/{name}:{rest}")) == []


@given(NAMES, NAMES, st.sampled_from("*?"), st.data())
def test_a_wildcard_in_the_repository_is_found_wherever_it_stands(
    owner: str, name: str, wildcard: str, data: st.DataObject
) -> None:
    repository = f"{owner}/{name}"
    place = data.draw(st.integers(0, len(repository)))
    loose = f"repo:{repository[:place]}{wildcard}{repository[place:]}:environment:prod"
    (found,) = trusted(subjects("StringLike", f"repo:{owner}/{name}:environment:prod", loose))
    assert "leaves the repository open" in found.what


def test_conditions_are_all_to_be_met_so_that_one_exact_subject_is_enough() -> None:
    policy = trust(
        {
            "StringEquals": {
                f"{ISSUER}:sub": "repo:acme/shop:environment:x",
                f"{ISSUER.upper()}:AUD": "sts.amazonaws.com",
            },
            "StringLike": {f"{ISSUER}:sub": "repo:acme/*"},
        }
    )
    assert trusted(policy) == []


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Statement", "Effect", "Action", "Principal", "Condition", "Resource", "x"]),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON | st.text())
def test_no_document_is_too_odd_to_read(document: Any) -> None:
    for given_as in (document, json.dumps(document), {"Statement": document}):
        for statement in statements(given_as):
            assert isinstance(statement.public, bool)
        holder = Resource(ROLE, "it", "urn:pulumi:dev::p::t::it", {"assumeRolePolicy": given_as, "policy": given_as})
        list(no_wildcard_repository_trust.check(holder))


def test_a_document_that_nests_too_deep_has_no_statements() -> None:
    assert statements("[" * 100_000) == []
