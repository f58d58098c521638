import json

import pytest
from pavedpath import DeployRole, DeployRoleArgs, InvalidArgumentsError

from tests.mocks import Graph, run

ARGS: DeployRoleArgs = {
    "provider_arn": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
    "organization": "acme",
    "organization_id": 7,
    "repository": "shop",
    "repository_id": 8,
    "environment": "dev",
    "push_repository_arns": ["arn:aws:ecr:us-east-1:123456789012:repository/shop/api"],
    "decrypt_key_arns": ["arn:aws:kms:us-east-1:123456789012:key/k"],
}


def role(**changed: object) -> Graph:
    args: DeployRoleArgs = {**ARGS, **changed}  # pyright: ignore[reportAssignmentType]  # the test chooses the names
    return run(lambda: DeployRole("deploy", args))


def test_trusts_both_exact_subjects_and_the_audience() -> None:
    trust = json.loads(role().one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    (statement,) = trust["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": [
                "repo:acme/shop:environment:dev",
                "repo:acme@7/shop@8:environment:dev",
            ],
        }
    }


def test_may_touch_only_what_it_was_given() -> None:
    policy = json.loads(role().one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    resources = {statement["Sid"]: statement["Resource"] for statement in policy["Statement"]}
    assert resources == {
        "LogInToRegistry": ["*"],
        "PushAndPullImages": ["arn:aws:ecr:us-east-1:123456789012:repository/shop/api"],
        "DecryptSecretsFiles": ["arn:aws:kms:us-east-1:123456789012:key/k"],
    }


def test_a_role_that_may_touch_nothing_has_no_policy() -> None:
    graph = role(push_repository_arns=[], decrypt_key_arns=[])
    assert graph.of_type("aws:iam/rolePolicy:RolePolicy") == []


@pytest.mark.parametrize(
    "changed", [{"repository": "*"}, {"environment": "dev:ref"}, {"organization": "a b"}, {"repository": "x/y"}]
)
def test_a_subject_that_is_not_exact_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentsError, match="which must be exact"):
        role(**changed)
