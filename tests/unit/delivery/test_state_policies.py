"""The policies as AWS judges them: moto stores them and asks none."""

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.state import policies
from pavedpath_delivery.state.policies import Statement

OWNER, PROD, DEV, STRANGER = "111111111111", "222222222222", "333333333333", "444444444444"
TEAM = policies.Team("shop", OWNER, {PROD: ["prod"], DEV: ["dev"]}, ["shared"])
VIA_S3 = {"kms:ViaService": "s3.us-east-1.amazonaws.com"}


def texts(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def holds(operator: str, key: str, wanted: str | Sequence[str], request: Mapping[str, str]) -> bool:
    found = request.get(key)
    match operator:
        case "StringEquals" | "Bool":
            return found in texts(wanted)
        case "StringNotEquals":
            return found not in texts(wanted)
        case "Null":
            return (found is None) == (wanted == "true")
        case _:
            raise NotImplementedError(operator)


def applies(statement: Statement, account: str, action: str, resource: str, request: Mapping[str, str]) -> bool:
    principals = texts(statement["Principal"]["AWS"])
    conditions: Mapping[str, Mapping[str, Any]] = statement.get("Condition", {})
    return (
        ("*" in principals or f"arn:aws:iam::{account}:root" in principals)
        and any(fnmatchcase(action, pattern) for pattern in texts(statement["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in texts(statement["Resource"]))
        and all(holds(op, key, wanted, request) for op, keys in conditions.items() for key, wanted in keys.items())
    )


def allowed(
    statements: Iterable[Statement], account: str, actions: Sequence[str], resource: str, request: Mapping[str, str]
) -> set[str]:
    """Return the actions that a policy allows an account; source: AWS, "Policy evaluation logic"."""
    rendered: list[Statement] = json.loads(policies.merged(None, statements))["Statement"]

    def effects(action: str) -> set[str]:
        return {str(each["Effect"]) for each in rendered if applies(each, account, action, resource, request)}

    return {action for action in actions if effects(action) == {"Allow"}}


def of_stack(stack: str, project: str = "shop") -> dict[str, str]:
    return {"kms:EncryptionContext:project": project, "kms:EncryptionContext:stack": stack}


KEY_ACTIONS = (
    *("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"),
    *("kms:ReEncryptFrom", "kms:CreateGrant", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"),
)


@pytest.mark.parametrize(
    ("account", "request_context", "wanted"),
    [
        (DEV, of_stack("dev"), {"kms:Decrypt", "kms:Encrypt"}),
        (DEV, of_stack("shared"), {"kms:Decrypt"}),
        (DEV, of_stack("prod"), set[str]()),
        (PROD, of_stack("prod"), {"kms:Decrypt", "kms:Encrypt"}),
        (PROD, of_stack("shared"), {"kms:Decrypt"}),
        (PROD, of_stack("dev"), set[str]()),
        (DEV, of_stack("dev", "books"), set[str]()),
        (DEV, of_stack("shared", "books"), set[str]()),
        (DEV, {}, set[str]()),
        (DEV, VIA_S3, {"kms:Decrypt", "kms:GenerateDataKey"}),
        (STRANGER, of_stack("shared"), set[str]()),
        (STRANGER, VIA_S3, set[str]()),
        (OWNER, of_stack("prod"), set(KEY_ACTIONS)),
    ],
)
def test_what_the_key_does_for_an_account(account: str, request_context: dict[str, str], wanted: set[str]) -> None:
    assert allowed(policies.key_statements("us-east-1", TEAM), account, KEY_ACTIONS, "*", request_context) == wanted


READ, WRITE = {"s3:GetObject"}, {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
BUCKET_ACTIONS = (
    *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"),
    *("s3:GetObjectVersion", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"),
)
OWN = (
    *("stacks/shop/{}.json", "stacks/shop/{}.json.zst", "stacks/shop/{}.json.bak", "stacks/shop/{}.pulumi-tags"),
    *("backups/shop/{}/1.json", "history/shop/{}/1.history.json", "locks/organization/shop/{}/1.json"),
)
STATES = ("stacks/shop/{}.json", "stacks/shop/{}.json.gz", "stacks/shop/{}.json.zst")
PATHS = {"meta.yaml", *OWN, *STATES, "stacks/shop/{}.yaml", "stacks/books/{}.json"}


@pytest.mark.parametrize(
    ("account", "stack", "wanted"),
    [
        (DEV, "dev", {**dict.fromkeys((*OWN, *STATES), WRITE), "meta.yaml": READ}),
        (DEV, "shared", dict.fromkeys((*STATES, "meta.yaml"), READ)),
        (DEV, "prod", {"meta.yaml": READ}),
        (DEV, "dev2", {"meta.yaml": READ}),
        (STRANGER, "shared", {}),
    ],
)
def test_what_an_account_may_do_with_a_stacks_objects(account: str, stack: str, wanted: dict[str, set[str]]) -> None:
    statements = policies.bucket_statements("b", "team/", "arn:key", TEAM)

    def may(path: str, secure: str) -> set[str]:
        resource = f"arn:aws:s3:::b/team/.pulumi/{path.format(stack)}"
        return allowed(statements, account, BUCKET_ACTIONS, resource, {"aws:SecureTransport": secure})

    assert {path: found for path in PATHS if (found := may(path, "true"))} == wanted
    assert not any(may(path, "false") for path in PATHS), "TLS only"


def test_a_write_with_another_encryption_is_refused() -> None:
    statements, state = (
        policies.bucket_statements("b", "", "arn:key", TEAM),
        "arn:aws:s3:::b/.pulumi/stacks/shop/dev.json",
    )
    kind, key = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    for asked, wanted in (
        ({}, {"s3:PutObject"}),  # Pulumi's own writes: the bucket's default is then the key
        ({kind: "aws:kms", key: "arn:key"}, {"s3:PutObject"}),
        ({kind: "aws:kms", key: "arn:other"}, set[str]()),
        ({kind: "AES256"}, set[str]()),
    ):
        assert allowed(statements, DEV, ["s3:PutObject"], state, asked) == wanted, asked


def test_without_common_stacks_nobody_gets_anothers() -> None:
    """A condition with no values is refused by AWS."""
    alone = policies.Team("shop", OWNER, {DEV: ["dev"]})
    statements = policies.key_statements("us-east-1", alone)
    assert "[]" not in json.dumps(statements)
    assert allowed(statements, DEV, KEY_ACTIONS, "*", of_stack("shared")) == set()


statement = st.fixed_dictionaries({"Sid": st.sampled_from(["Audit", "PavedpathOld", ""]), "Effect": st.just("Allow")})


@given(st.lists(statement, max_size=4))
def test_merging_is_done_once(existing: list[dict[str, Any]]) -> None:
    ours = policies.key_statements("us-east-1", TEAM)
    once = policies.merged(json.dumps({"Version": "2012-10-17", "Statement": existing}), ours)
    assert policies.same(policies.merged(once, ours), once)
    sids = [each.get("Sid") for each in json.loads(once)["Statement"]]
    assert "PavedpathOld" not in sids
    assert sids.count("Audit") == [each["Sid"] for each in existing].count("Audit")


def test_policies_are_the_same_in_the_form_that_aws_gives_back() -> None:
    said = json.dumps({"Statement": [{"Action": ["s3:*"], "Resource": ["b", "a"]}]})
    assert policies.same(said, json.dumps({"Statement": [{"Resource": ["a", "b"], "Action": "s3:*"}]}))
    assert not policies.same(said, json.dumps({"Statement": [{"Resource": ["a"], "Action": "s3:*"}]}))
    assert not policies.same(None, said)
