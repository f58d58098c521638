import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.chart_registry import bucket_policy, storage_policy
from pavedpath.iam import EVERYONE, ResourceStatement
from pavedpath.registry import lifecycle_policy, pull_policy

accounts = st.lists(st.from_regex(r"[0-9]{12}", fullmatch=True), max_size=5)
organizations = st.none() | st.from_regex(r"o-[a-z0-9]{10,32}", fullmatch=True)


@given(accounts, organizations)
def test_others_may_pull_and_nothing_else(ids: list[str], organization: str | None) -> None:
    policy = pull_policy(ids, organization)
    assert (policy is None) == (not ids and organization is None)
    statements: list[dict[str, Any]] = json.loads(policy)["Statement"] if policy else []
    for statement in statements:
        assert {action.split(":")[1][:3] for action in statement["Action"]} == {"Bat", "Get"}
        assert "Resource" not in statement  # ECR refuses one
        if statement["Principal"] == {"AWS": ["*"]}:
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": organization}}
        else:
            assert statement["Principal"] == {"AWS": sorted(f"arn:aws:iam::{one}:root" for one in ids)}


@given(st.none() | st.integers(1, 10_000), st.integers(1, 10_000))
def test_tagged_images_go_by_number_only_and_after_the_untagged(keep: int | None, days: int) -> None:
    rules = json.loads(lifecycle_policy(keep, days))["rules"]
    assert [rule["rulePriority"] for rule in rules] == list(range(1, len(rules) + 1))
    by_status = {rule["selection"]["tagStatus"]: rule["selection"] for rule in rules}
    assert by_status["untagged"]["countNumber"] == days
    assert by_status.get("any", {}).get("countNumber") == keep


def test_a_resource_policy_that_allows_everyone_needs_a_condition() -> None:
    with pytest.raises(ValueError, match="allows everyone"):
        ResourceStatement("Open", EVERYONE, ["s3:GetObject"], ["arn:aws:s3:::b/*"])
    with pytest.raises(ValueError, match="wildcard action"):
        ResourceStatement("Wide", {"AWS": ["arn:aws:iam::123456789012:root"]}, ["s3:*"], ["arn:aws:s3:::b"])


def test_the_bucket_answers_over_tls_only() -> None:
    (statement,) = json.loads(bucket_policy("arn:aws:s3:::charts"))["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == {"AWS": ["*"]}
    assert statement["Resource"] == ["arn:aws:s3:::charts", "arn:aws:s3:::charts/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_role_reaches_its_bucket_alone() -> None:
    statements = json.loads(storage_policy("arn:aws:s3:::charts"))["Statement"]
    reached = {resource for statement in statements for resource in statement["Resource"]}
    assert reached == {"arn:aws:s3:::charts", "arn:aws:s3:::charts/*"}
