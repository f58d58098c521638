import json
from typing import Any

import pulumi
import pytest
from pavedpath import DeployRole, DeployRoleArgs, GithubOidcProvider, InvalidArgumentsError

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


def trusted(**changed: object) -> list[str]:
    policy = json.loads(role(**changed).one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    return policy["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]


def problems(**changed: object) -> dict[str, str]:
    with pytest.raises(InvalidArgumentsError) as caught:
        role(**changed)
    return {problem.argument: problem.why for problem in caught.value.problems}


def without(*names: str) -> DeployRoleArgs:
    return {key: value for key, value in ARGS.items() if key not in names}  # pyright: ignore[reportReturnType]  # the test chooses the names


READ: dict[str, Any] = {
    "sid": "ReadArtifacts",
    "actions": ["s3:GetObject"],
    "resources": ["arn:aws:s3:::artifacts/*"],
}
UNREVIEWED = "jobs of pull requests run code that nobody has reviewed"


class TestSubjects:
    def test_each_kind_in_both_formats(self) -> None:
        names = trusted(branches=["main", "release/1.x"], tags=["v1.0.0"], environment="dev")
        assert names == sorted(
            f"repo:{repository}:{claim}"
            for repository in ("acme/shop", "acme@7/shop@8")
            for claim in (
                "environment:dev",
                "ref:refs/heads/main",
                "ref:refs/heads/release/1.x",
                "ref:refs/tags/v1.0.0",
            )
        )

    def test_pull_requests_alone(self) -> None:
        args: DeployRoleArgs = {
            **without("environment", "push_repository_arns", "decrypt_key_arns"),
            "pull_requests": True,
        }
        policy = json.loads(run(lambda: DeployRole("it", args)).one("aws:iam/role:Role").inputs["assumeRolePolicy"])
        assert policy["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
            "repo:acme/shop:pull_request",
            "repo:acme@7/shop@8:pull_request",
        ]

    def test_nobody_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentsError, match="nobody could assume the role"):
            run(lambda: DeployRole("it", without("environment")))

    @pytest.mark.parametrize("name", ["*", "release/*", "refs/heads/main", "a b", "x..y", "/x", "x/", "a:b", ""])
    def test_what_is_no_exact_name_is_refused(self, name: str) -> None:
        assert problems(branches=[name], tags=[name]) == {
            "branches": "it is no exact name of a branch or tag",
            "tags": "it is no exact name of a branch or tag",
        }

    def test_more_than_a_trust_policy_holds_is_refused(self) -> None:
        why = problems(branches=[f"release/{number}.x" for number in range(20)])["branches"]
        assert why.endswith("and IAM takes 2048")


class TestStatements:
    def test_are_added_with_resources_known_only_later(self) -> None:
        def program() -> None:
            later = pulumi.Output.from_input("arn:aws:s3:::later/*")
            DeployRole("deploy", {**ARGS, "statements": [{**READ, "resources": [later]}]})  # pyright: ignore[reportArgumentType]  # READ is untyped, so that tests can break it

        policy = json.loads(run(program).one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
        assert policy["Statement"][-1] == {
            "Sid": "ReadArtifacts",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": ["arn:aws:s3:::later/*"],
        }

    @pytest.mark.parametrize(
        ("changed", "argument", "why"),
        [
            ({"actions": ["s3:*"]}, "statements[0]", "s3:* is a wildcard action"),
            ({"actions": ["GetObject"]}, "statements[0]", "GetObject is no action"),
            ({"resources": ["*"]}, "statements[0]", "resource * needs a reason (any_resource_because)"),
            (
                {"resources": ["*"], "actions": ["s3:Get*"], "any_resource_because": "I want it"},
                "statements[0]",
                "s3:Get* is a wildcard action on a wildcard resource",
            ),
            ({"sid": "Read artifacts"}, "statements[0].sid", "IAM takes letters and digits only"),
            ({"sid": "LogInToRegistry"}, "statements[0].sid", "another statement has it"),
            ({"actions": []}, "statements[0]", "it names no action or no resource"),
            ({"resource": ["arn"]}, "statements[0].resource", "there is no such argument"),
        ],
    )
    def test_what_allows_too_much_is_refused(self, changed: dict[str, object], argument: str, why: str) -> None:
        assert problems(statements=[{**READ, **changed}]) == {argument: why}

    def test_a_boundary_is_set(self) -> None:
        boundary = "arn:aws:iam::123456789012:policy/limits"
        assert (
            role(permissions_boundary_arn=boundary).one("aws:iam/role:Role").inputs["permissionsBoundary"] == boundary
        )
        assert problems(permissions_boundary_arn="limits") == {
            "permissions_boundary_arn": "it is not the ARN of a managed policy"
        }


class TestPullRequests:
    def test_may_neither_push_nor_decrypt(self) -> None:
        assert problems(pull_requests=True) == {"push_repository_arns": UNREVIEWED, "decrypt_key_arns": UNREVIEWED}

    def test_what_is_known_only_later_is_refused_too(self) -> None:
        def program() -> None:
            later = pulumi.Output.from_input([ARGS["provider_arn"]])
            DeployRole("deploy", {**without("push_repository_arns"), "pull_requests": True, "decrypt_key_arns": later})

        with pytest.raises(InvalidArgumentsError, match=f"decrypt_key_arns: {UNREVIEWED}"):
            run(program)

    @pytest.mark.parametrize(
        "action",
        ["s3:PutObject", "ecr:PutImage", "kms:Decrypt", "secretsmanager:GetSecretValue", "ssm:GetParameters"],
    )
    def test_may_only_read_and_nothing_secret(self, action: str) -> None:
        statements = [READ, {**READ, "sid": "More", "actions": ["s3:ListBucket", action]}]
        found = problems(pull_requests=True, push_repository_arns=[], decrypt_key_arns=[], statements=statements)
        assert found == {"statements[1].actions": UNREVIEWED}


class TestProvider:
    ARN = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    TYPE = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"

    def test_needs_no_arguments(self) -> None:
        for make in (lambda: GithubOidcProvider("x"), lambda: GithubOidcProvider("x", opts=pulumi.ResourceOptions())):
            assert run(make).one(self.TYPE).inputs["clientIdLists"] == ["sts.amazonaws.com"]

    def test_takes_the_one_that_the_account_has(self) -> None:
        graph = run(lambda: GithubOidcProvider("x", {"existing_arn": self.ARN}))
        assert graph.of_type(self.TYPE) == []
        assert graph.outputs[graph.one("pavedpath:index:GithubOidcProvider").urn] == {"arn": self.ARN}

    def test_another_one_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentsError, match="not the ARN of GitHub's identity provider"):
            run(lambda: GithubOidcProvider("x", {"existing_arn": self.ARN + ".evil.example"}))
