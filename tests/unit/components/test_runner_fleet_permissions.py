"""The policies of a runner fleet's roles, evaluated."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pavedpath.runner_fleet_arguments import MOST_POOLS
from pavedpath.runner_fleet_policies import Function, schedule_trust
from pavedpath_runners.simulator.dynamodb import DynamoDB
from pavedpath_runners.simulator.engine import Engine
from pavedpath_runners.simulator.pavedpath import PAVEDPATH
from pavedpath_runners.simulator.scenario import KINDS, draw
from pavedpath_runners.simulator.simulation import Simulation
from pavedpath_sandbox.aws.conditions import holds

from tests.unit.components.fleet_permissions import (
    ARNS,
    MACHINE,
    OWN,
    PAGE,
    ROWS,
    Launch,
    Request,
    Row,
    allows,
    page,
    policy_of,
)

_HANDOVER = ARNS.handover.removesuffix("/*")


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
    *("Log", "ReadConfiguration", "ReceiveJobs", "FindMachines", "FindImages"),
}


_TABLE_ACTIONS = {"Put": "dynamodb:PutItem", "Update": "dynamodb:UpdateItem"}
_OWN_MACHINE = {"ec2:resourcetag/pavedpath:fleet": "dev"}


def needed(service: str, operation: str) -> list[Request]:
    """What a call of a function's needs to be allowed, transactions apart: those need what their writes need."""
    action = f"{service}:{operation}"
    match action:
        case "dynamodb:TransactWriteItems":
            return []
        case "dynamodb:Query":
            return [Request(action, f"{ARNS.table}/index/open")]
        case "ec2:CreateFleet":
            return list(Launch().requests)
        case "ec2:DescribeInstances":
            return [Request(action)]
        case "ssm:PutParameter":
            return [Request(each, f"{_HANDOVER}/i-1") for each in (action, "ssm:AddTagsToResource")]
        case _:
            resources = {"dynamodb": ARNS.table, "sqs": ARNS.queue, "ssm": f"{_HANDOVER}/i-1", "ec2": OWN}
            return [Request(action, resources[service], _OWN_MACHINE if service == "ec2" else {})]


def test_what_the_functions_call_in_simulated_worlds_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, dict[str, list[Request]]] = {each: {} for each in Function}
    call, write = Engine.call, DynamoDB.transact_write_items

    def noted(engine: Engine, service: str, operation: str, *rest: Any) -> Any:
        if service != "github":
            asked[engine.actor.partition(" ")[0]][f"{service}:{operation}"] = needed(service, operation)
        return call(engine, service, operation, *rest)

    def written(table: DynamoDB, **request: Any) -> Any:
        for each in request["TransactItems"]:
            (kind,) = each
            action = _TABLE_ACTIONS[kind]
            asked[running[-1].actor.partition(" ")[0]][action] = [Request(action, ARNS.table)]
        return write(table, **request)

    monkeypatch.setattr(Engine, "call", noted)
    monkeypatch.setattr(DynamoDB, "transact_write_items", written)
    running: list[Engine] = []
    for seed in range(2 * len(KINDS)):
        simulation = Simulation(draw(seed), seed, PAVEDPATH)
        running.append(simulation.world.engine)
        simulation.run()
    for who, actions in asked.items():
        policy = policy_of(who)
        refused = {action for action, requests in actions.items() if not all(allows(policy, each) for each in requests)}
        assert refused == set(), who
    assert {"ec2:CreateFleet", "ssm:PutParameter", "sqs:ChangeMessageVisibility"} <= asked[Function.LAUNCH].keys()
    assert {"ec2:StopInstances", "ec2:TerminateInstances", "ssm:DeleteParameter"} <= asked[Function.RECONCILE].keys()
    assert {"dynamodb:Query", "dynamodb:UpdateItem", "sqs:SendMessage"} <= asked[Function.INTERRUPTION].keys()
    used = {"dynamodb:GetItem", "dynamodb:TransactWriteItems", "dynamodb:PutItem", "sqs:SendMessage"}
    assert asked[Function.WEBHOOK].keys() == used


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


def test_the_schedules_role_is_assumed_for_its_group_alone() -> None:
    (statement,) = json.loads(schedule_trust("arn:aws:lambda:eu-central-1:111122223333:function:reconcile"))[
        "Statement"
    ]
    assert statement["Principal"] == {"Service": ["scheduler.amazonaws.com"]}
    # Scheduler names a schedule's group as its source, never the schedule.
    source = "arn:aws:scheduler:eu-central-1:111122223333:schedule-group/default"
    assert holds(statement["Condition"], {"aws:sourceaccount": "111122223333", "aws:sourcearn": source}.get)
    for account, arn in (("444455556666", source), ("111122223333", source.replace("default", "other"))):
        assert not holds(statement["Condition"], {"aws:sourceaccount": account, "aws:sourcearn": arn}.get)


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run .venv/bin/python -m tests.unit.components.fleet_permissions"
