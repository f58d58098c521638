"""The policies of a runner fleet's roles, evaluated."""

import json
from dataclasses import replace

import pytest
from pavedpath.runner_fleet_arguments import MOST_POOLS
from pavedpath.runner_fleet_policies import Function

from tests.unit.components.fleet_permissions import ARNS, MACHINE, PAGE, ROWS, Request, Row, allows, page, policy_of


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.who} {row.does}")
def test_a_stolen_role(row: Row) -> None:
    policy = policy_of(row.who)
    refused = [request for request in row.requests if not allows(policy, request)]
    assert (refused == []) is row.allowed, refused or "every request of it is allowed"


def test_no_statement_is_there_for_nothing() -> None:
    # Each statement that is taken out of a policy takes something from what is allowed.
    for who in (*Function, MACHINE):
        policy = policy_of(who)
        used = [request for row in ROWS if row.who == who and row.allowed for request in row.requests]
        for statement in policy["Statement"]:
            if statement["Sid"] in UNSEEN:
                continue
            rest = {"Statement": [each for each in policy["Statement"] if each is not statement]}
            assert not all(allows(rest, each) for each in used), (who, statement["Sid"])


# What the rows do not ask, since it is no matter of security: said here, so that a new statement is not forgotten.
UNSEEN = {
    *("Log", "ReadConfiguration", "ListOpen", "SendJobs", "TellOfFailures", "ReceiveJobs"),
    *("FindMachines", "FindImages"),
}


def test_nobody_may_tag_what_exists_or_use_everything() -> None:
    for who in (*Function, MACHINE):
        for statement in policy_of(who)["Statement"]:
            if "ec2:CreateTags" in statement["Action"]:
                assert statement["Condition"]["StringEquals"]["ec2:CreateAction"] == ["CreateFleet", "RunInstances"]
            assert not any("*" in action for action in statement["Action"])
            assert "*" not in statement["Resource"] or statement["Action"] == ["ec2:DescribeInstances"]


@pytest.mark.parametrize("who", [*Function])
def test_a_key_of_ones_own_is_used_through_its_services_alone(who: Function) -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/1"
    policy = policy_of(who, replace(ARNS, kms_key=key))
    by_table = Request("kms:Decrypt", key, {"kms:viaservice": "dynamodb.eu-central-1.amazonaws.com"})
    assert allows(policy, by_table)
    assert not allows(policy, Request("kms:Decrypt", key))
    assert not allows(policy_of(who), by_table)


def test_as_many_pools_as_a_fleet_takes_fit_into_a_roles_policy() -> None:
    # Source: AWS, "IAM and AWS STS quotas": 10,240 characters of inline policies a role, blanks not counted.
    region = "arn:aws:ec2:ap-southeast-2:111122223333"
    templates = [f"{region}:launch-template/lt-0123456789abcde{number:02}" for number in range(MOST_POOLS)]
    images = [f"/images/{'x' * 40}/{number}" for number in range(MOST_POOLS)]
    subnets = [f"subnet-0123456789abcde{number:02}" for number in range(6)]
    many = replace(ARNS, launch_templates=templates, subnets=subnets, image_parameters=images)
    for who in Function:
        assert len(json.dumps(policy_of(who, many), separators=(",", ":"))) < 10_240


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run .venv/bin/python -m tests.unit.components.fleet_permissions"
