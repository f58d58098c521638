import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.iam import Statement, identity_policy, web_identity_trust
from pavedpath.oidc import deploy_statements

arns = st.lists(st.from_regex(r"arn:aws:[a-z]{2,5}:us-east-1:\d{12}:[a-z/]{1,20}", fullmatch=True), max_size=4)


@given(arns, arns)
def test_a_deploy_role_reaches_only_what_is_named(repositories: list[str], keys: list[str]) -> None:
    policy = json.loads(identity_policy(deploy_statements(repositories, keys)))
    reached = {resource for statement in policy["Statement"] for resource in statement["Resource"]}
    assert reached == {*repositories, *keys, *(["*"] if repositories else [])}
    wide = [statement["Action"] for statement in policy["Statement"] if "*" in statement["Resource"]]
    assert wide in ([], [["ecr:GetAuthorizationToken"]])


def test_any_resource_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        Statement("Wide", ["s3:GetObject"], ["*"])


@pytest.mark.parametrize("action", ["*", "s3:*"])
def test_a_wildcard_action_is_refused(action: str) -> None:
    with pytest.raises(ValueError, match="wildcard action"):
        Statement("Wide", [action], ["arn:aws:s3:::bucket"])


@pytest.mark.parametrize("subjects", [[], ["repo:acme/*:environment:dev"], ["repo:acme/sho?:ref:x"]])
def test_trust_takes_exact_subjects_only(subjects: list[str]) -> None:
    with pytest.raises(ValueError, match="exact subjects"):
        web_identity_trust("arn", "aud", "issuer", subjects)
