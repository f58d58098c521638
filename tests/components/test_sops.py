import json
from typing import Any

import pulumi
import pytest
import yaml
from pavedpath import InvalidArgumentsError, SopsKey, SopsKeyArgs

from tests.mocks import Graph, run

POLICY = "aws:kms/keyPolicy:KeyPolicy"
ROLE = "arn:aws:iam::123456789012:role/deploy"


def key(**args: object) -> Graph:
    given: SopsKeyArgs = {"alias": "test-sops", **args}  # pyright: ignore[reportAssignmentType]  # the test chooses the names
    return run(lambda: SopsKey("test", given))


def test_without_principals_the_account_decides_as_by_default() -> None:
    assert key().of_type(POLICY) == []


def test_principals_that_are_known_later_are_in_the_policy() -> None:
    graph = run(lambda: SopsKey("test", {"alias": "test-sops", "decrypters": [pulumi.Output.from_input(ROLE)]}))
    policy = json.loads(graph.one(POLICY).inputs["policy"])
    by_sid: dict[str, Any] = {statement["Sid"]: statement for statement in policy["Statement"]}
    assert set(by_sid) == {"AdministerByIam", "EncryptByIam", "Decrypt"}
    assert by_sid["Decrypt"]["Principal"] == {"AWS": [ROLE]}
    assert by_sid["Decrypt"]["Action"] == ["kms:Decrypt", "kms:DescribeKey"]


@pytest.mark.parametrize("group", ["administrators", "encrypters", "decrypters"])
@pytest.mark.parametrize(
    "principal",
    ["*", "arn:aws:iam::123456789012:root", "123456789012", "arn:aws:iam::123456789012:role/*", "role/deploy"],
)
def test_a_principal_that_is_more_than_one_is_refused(group: str, principal: str) -> None:
    with pytest.raises(InvalidArgumentsError, match="it is not one principal") as caught:
        key(**{group: [principal, ROLE]})
    assert [problem.argument for problem in caught.value.problems] == [group]


def test_the_rule_seals_for_the_alias() -> None:
    graph = key(path_regex=r"^etc/.*\.secrets\.yaml$")
    outputs = graph.outputs[graph.one("pavedpath:index:SopsKey").urn]
    assert outputs["alias_arn"] == "arn:aws:kms:us-east-1:123456789012:alias/test-sops"
    assert yaml.safe_load(outputs["creation_rules"]) == {
        "creation_rules": [{"path_regex": r"^etc/.*\.secrets\.yaml$", "kms": outputs["alias_arn"]}]
    }


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgumentsError, match="it is no regular expression"):
        key(path_regex="(")
