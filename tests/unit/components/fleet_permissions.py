"""What whoever stole a role of a runner fleet can do with it and what not: the rows, how they are judged, their page.

    .venv/bin/python -m tests.unit.components.fleet_permissions     # writes docs/runner-fleet-permissions.md

A policy allows a request if one of its statements names action and resource and all of the statement's conditions
hold; what nothing allows is denied (AWS, "Policy evaluation logic"). A launch is several requests, one for each kind of
thing that it uses or makes, and needs all of them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pavedpath.runner_fleet_policies import FleetArns, Function, function_policy, machine_policy
from pavedpath_sandbox.aws.conditions import holds

PAGE = Path(__file__).resolve().parents[3] / "docs/runner-fleet-permissions.md"
_EC2, _SSM = "arn:aws:ec2:eu-central-1:111122223333", "arn:aws:ssm:eu-central-1:111122223333"
ARNS = FleetArns(
    fleet="dev",
    table="arn:aws:dynamodb:eu-central-1:111122223333:table/pavedpath-dev-fleet",
    queue="arn:aws:sqs:eu-central-1:111122223333:pavedpath-dev-launch.fifo",
    failures="arn:aws:sqs:eu-central-1:111122223333:pavedpath-dev-failures",
    configuration=f"{_SSM}:parameter/pavedpath/dev/configuration",
    webhook_secret="arn:aws:secretsmanager:eu-central-1:111122223333:secret:pavedpath/dev/fleet/webhook-1-AbCdEf",
    app_key="arn:aws:secretsmanager:eu-central-1:111122223333:secret:pavedpath/dev/fleet/app-key-1-AbCdEf",
    machine_role="arn:aws:iam::111122223333:role/dev-machine",
    instance_profile="arn:aws:iam::111122223333:instance-profile/dev-machine",
    security_group="sg-fleet",
    subnets=["subnet-a", "subnet-b"],
    launch_templates=[f"{_EC2}:launch-template/lt-fleet"],
    image_parameters=["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64", "/images/runner"],
    logs={each: f"arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/dev-{each}:*" for each in Function},
)
MACHINE = "machine"
OWN, OTHER = f"{_EC2}:instance/i-own", f"{_EC2}:instance/i-other"


def policy_of(who: str, arns: FleetArns = ARNS) -> dict[str, Any]:
    """Return the policy document of a function's role or of the machines'."""
    text = machine_policy(arns) if who == MACHINE else function_policy(Function(who), arns)
    return json.loads(text)


@dataclass(frozen=True)
class Request:
    """One request as IAM sees it; the context's keys are in lower case."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict[str, str])


def allows(policy: Mapping[str, Any], request: Request) -> bool:
    """Whether an identity policy of Allow statements allows a request."""
    return any(_applies(statement, request) for statement in policy["Statement"])


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    assert statement["Effect"] == "Allow"
    if not any(fnmatchcase(request.action.lower(), each.lower()) for each in statement["Action"]):
        return False
    if not any(fnmatchcase(request.resource, each) for each in statement["Resource"]):
        return False
    conditions = _filled(statement.get("Condition", {}), request.context)
    return conditions is not None and holds(conditions, request.context.get)


def _filled(conditions: Any, context: Mapping[str, str]) -> Any:
    """Put the context's values in the place of policy variables; None if it has no such value."""
    text = json.dumps(conditions)
    names = {name.lower() for name in re.findall(r"\$\{([^}]+)\}", text)}
    if not names <= set(context):
        return None
    return json.loads(re.sub(r"\$\{([^}]+)\}", lambda found: context[found[1].lower()], text))


@dataclass(frozen=True)
class Launch:
    """What a launch uses; by default all of it the fleet's own."""

    template: str = "lt-fleet"
    subnet: str = "subnet-a"
    group: str = "sg-fleet"
    profile: str = ARNS.instance_profile
    role: str = ARNS.machine_role
    image_of_template: bool = True
    fleet: str = "dev"
    tokens: str = "required"
    disks: Sequence[bool] = (True,)
    """Whether each disk is encrypted: the template's, and what the image has beside it."""

    @property
    def requests(self) -> Sequence[Request]:
        """CreateFleet, and what an instant fleet does with its caller's rights."""
        template = f"{_EC2}:launch-template/{self.template}"
        base = {"ec2:launchtemplate": template} if self.template else {}
        tags = {"aws:requesttag/pavedpath:fleet": self.fleet} if self.fleet else {}
        machine = {**base, **tags, "ec2:instanceprofile": self.profile, "ec2:metadatahttptokens": self.tokens}
        image = {**base, "ec2:islaunchtemplateresource": str(self.image_of_template).lower()}
        run = "ec2:RunInstances"
        used = [Request(run, template, base), Request("ec2:CreateFleet", template)] if self.template else []
        tagging = Request("ec2:CreateTags", f"{_EC2}:instance/i-new", {**tags, "ec2:createaction": "CreateFleet"})
        return [
            Request("ec2:CreateFleet", f"{_EC2}:fleet/fleet-1"),
            *used,
            Request(run, f"{_EC2}:instance/i-new", machine),
            *(
                Request(run, f"{_EC2}:volume/vol-new", {**base, "ec2:encrypted": str(each).lower()})
                for each in self.disks
            ),
            Request(run, f"{_EC2}:network-interface/eni-new", base),
            Request(run, f"{_EC2}:subnet/{self.subnet}", base),
            Request(run, f"{_EC2}:security-group/{self.group}", base),
            Request(run, "arn:aws:ec2:eu-central-1::image/ami-1", image),
            *([tagging] if self.fleet else []),
            Request("iam:PassRole", self.role, {"iam:passedtoservice": "ec2.amazonaws.com"}),
        ]


@dataclass(frozen=True)
class Row:
    """Who does what, and whether the policies let it."""

    who: str
    does: str
    requests: Sequence[Request]
    allowed: bool


def _own(action: str, fleet: str | None = "dev") -> list[Request]:
    return [Request(action, OTHER, {"ec2:resourcetag/pavedpath:fleet": fleet} if fleet else {})]


def _handed(action: str, owner: str | None, caller: str | None = OWN, path: str = "dev/jit/i-own") -> list[Request]:
    context = {"aws:resourcetag/pavedpath:instance": owner} if owner else {}
    context |= {"ec2:sourceinstancearn": caller} if caller else {}
    return [Request(action, f"{_SSM}:parameter/pavedpath/{path}", context)]


def _rows_of_what_launches(who: str) -> list[Row]:
    good = Launch()
    return [
        Row(who, "launches a machine of the fleet", good.requests, True),
        Row(who, "launches with another launch template", replace(good, template="lt-other").requests, False),
        Row(who, "launches without a launch template", replace(good, template="").requests, False),
        Row(who, "launches with another image", replace(good, image_of_template=False).requests, False),
        Row(who, "launches into another subnet", replace(good, subnet="subnet-database").requests, False),
        Row(who, "launches with another security group", replace(good, group="sg-open").requests, False),
        Row(
            who,
            "launches with another instance profile",
            replace(good, profile="arn:aws:iam::111122223333:instance-profile/admin").requests,
            False,
        ),
        Row(
            who,
            "passes another role to EC2",
            replace(good, role="arn:aws:iam::111122223333:role/admin").requests,
            False,
        ),
        Row(
            who,
            "passes the machines' role to another service",
            [Request("iam:PassRole", ARNS.machine_role, {"iam:passedtoservice": "lambda.amazonaws.com"})],
            False,
        ),
        Row(who, "launches a machine that is not tagged as the fleet's", replace(good, fleet="").requests, False),
        Row(who, "launches a machine tagged as another fleet's", replace(good, fleet="prod").requests, False),
        Row(
            who,
            "launches a machine that answers metadata requests of version 1",
            replace(good, tokens="optional").requests,
            False,
        ),
        Row(who, "launches a machine with a plain disk", replace(good, disks=(False,)).requests, False),
        Row(
            who,
            "launches a machine with a plain disk beside an encrypted one",
            replace(good, disks=(True, False)).requests,
            False,
        ),
        Row(
            who,
            "changes a launch template",
            [Request("ec2:CreateLaunchTemplateVersion", ARNS.launch_templates[0])],
            False,
        ),
        Row(
            who,
            "tags a machine that exists as the fleet's",
            [Request("ec2:CreateTags", OTHER, {"aws:requesttag/pavedpath:fleet": "dev"})],
            False,
        ),
        Row(who, "removes a machine's tag", [Request("ec2:DeleteTags", OTHER)], False),
        Row(who, "terminates a machine of the fleet", _own("ec2:TerminateInstances"), True),
        Row(who, "terminates a machine of another fleet", _own("ec2:TerminateInstances", "prod"), False),
        Row(who, "terminates a machine that is no fleet's", _own("ec2:TerminateInstances", None), False),
        Row(who, "wakes a machine of the fleet", _own("ec2:StartInstances"), True),
        Row(who, "stops a machine of the fleet", _own("ec2:StopInstances"), who == Function.RECONCILE),
        Row(who, "stops a machine that is no fleet's", _own("ec2:StopInstances", None), False),
        Row(who, "opens a session on a machine", [Request("ssm:StartSession", OWN)], False),
        Row(who, "lays down a machine's configuration", _handed("ssm:PutParameter", None, None), True),
        Row(who, "reads a machine's configuration back", _handed("ssm:GetParameter", OWN, None), False),
        Row(
            who,
            "deletes a machine's configuration",
            _handed("ssm:DeleteParameter", OWN, None),
            who == Function.RECONCILE,
        ),
        Row(
            who,
            "lays down a configuration for another fleet's machine",
            _handed("ssm:PutParameter", None, None, "prod/jit/i-1"),
            False,
        ),
        Row(who, "changes the fleet's configuration", [Request("ssm:PutParameter", ARNS.configuration)], False),
        Row(who, "reads the App's key", [Request("secretsmanager:GetSecretValue", ARNS.app_key)], True),
        Row(who, "changes the App's key", [Request("secretsmanager:PutSecretValue", ARNS.app_key)], False),
        Row(who, "reads the webhook's secret", [Request("secretsmanager:GetSecretValue", ARNS.webhook_secret)], False),
    ]


def _rows_of_every_function(who: str) -> list[Row]:
    return [
        Row(who, "writes a record of the ledger", [Request("dynamodb:PutItem", ARNS.table)], True),
        Row(
            who,
            "changes how many machines a pool has by the ledger",
            [Request("dynamodb:UpdateItem", ARNS.table)],
            who != Function.WEBHOOK,
        ),
        Row(
            who,
            "lists the ledger's open records",
            [Request("dynamodb:Query", f"{ARNS.table}/index/open")],
            who != Function.WEBHOOK,
        ),
        Row(who, "asks for a look at a job", [Request("sqs:SendMessage", ARNS.queue)], True),
        Row(
            who,
            "sends to the queue of failed calls",
            [Request("sqs:SendMessage", ARNS.failures)],
            who in (Function.RECONCILE, Function.INTERRUPTION),
        ),
        Row(who, "deletes a record of the ledger", [Request("dynamodb:DeleteItem", ARNS.table)], False),
        Row(who, "reads the whole table", [Request("dynamodb:Scan", ARNS.table)], False),
        Row(who, "writes another table", [Request("dynamodb:PutItem", f"{ARNS.table}-other")], False),
        Row(
            who,
            "writes into another function's log",
            [
                Request(
                    "logs:PutLogEvents",
                    "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/lambda/other:log-stream:x",
                )
            ],
            False,
        ),
        Row(who, "assumes another role", [Request("sts:AssumeRole", "arn:aws:iam::111122223333:role/admin")], False),
        Row(
            who,
            "gives itself more rights",
            [Request("iam:PutRolePolicy", "arn:aws:iam::111122223333:role/dev-launch")],
            False,
        ),
    ]


def _rows_of_what_hears(who: str, *, of_github: bool) -> list[Row]:
    def read(secret: str) -> list[Request]:
        return [Request("secretsmanager:GetSecretValue", secret)]

    return [
        Row(who, "reads the webhook's secret", read(ARNS.webhook_secret), of_github),
        Row(who, "reads the App's key", read(ARNS.app_key), not of_github),
        Row(who, "takes jobs out of the queue", [Request("sqs:ReceiveMessage", ARNS.queue)], False),
        Row(who, "launches a machine of the fleet", Launch().requests, False),
        Row(who, "passes the machines' role to EC2", Launch().requests[-1:], False),
        Row(who, "terminates a machine of the fleet", _own("ec2:TerminateInstances"), not of_github),
        Row(who, "terminates a machine of another fleet", _own("ec2:TerminateInstances", "prod"), False),
        Row(who, "wakes a machine of the fleet", _own("ec2:StartInstances"), False),
        Row(who, "stops a machine of the fleet", _own("ec2:StopInstances"), False),
        Row(who, "lays down a machine's configuration", _handed("ssm:PutParameter", None, None), False),
        Row(who, "reads a machine's configuration", _handed("ssm:GetParameter", OWN, None), False),
        Row(who, "deletes a machine's configuration", _handed("ssm:DeleteParameter", OWN, None), not of_github),
    ]


def _rows_of_the_machine() -> list[Row]:
    return [
        Row(MACHINE, "reads its own configuration", _handed("ssm:GetParameter", OWN), True),
        Row(MACHINE, "deletes its own configuration", _handed("ssm:DeleteParameter", OWN), True),
        Row(MACHINE, "reads another machine's configuration", _handed("ssm:GetParameter", OTHER), False),
        Row(MACHINE, "deletes another machine's configuration", _handed("ssm:DeleteParameter", OTHER), False),
        Row(MACHINE, "reads a configuration without a tag", _handed("ssm:GetParameter", None), False),
        Row(
            MACHINE,
            "reads a configuration from elsewhere than a machine",
            _handed("ssm:GetParameter", OWN, None),
            False,
        ),
        Row(
            MACHINE,
            "reads the fleet's configuration",
            [Request("ssm:GetParameter", ARNS.configuration, {"ec2:sourceinstancearn": OWN})],
            False,
        ),
        Row(MACHINE, "lists all parameters", [Request("ssm:DescribeParameters")], False),
        Row(MACHINE, "lays down a configuration", _handed("ssm:PutParameter", OWN), False),
        Row(MACHINE, "tags a configuration as its own", _handed("ssm:AddTagsToResource", OTHER), False),
        Row(MACHINE, "reads the App's key", [Request("secretsmanager:GetSecretValue", ARNS.app_key)], False),
        Row(MACHINE, "reads the ledger", [Request("dynamodb:GetItem", ARNS.table)], False),
        Row(MACHINE, "asks for a look at a job", [Request("sqs:SendMessage", ARNS.queue)], False),
        Row(MACHINE, "launches a machine", Launch().requests, False),
        Row(MACHINE, "terminates a machine of the fleet", _own("ec2:TerminateInstances"), False),
        Row(
            MACHINE, "assumes another role", [Request("sts:AssumeRole", "arn:aws:iam::111122223333:role/admin")], False
        ),
    ]


ROWS = [
    *_rows_of_what_launches(Function.LAUNCH),
    *_rows_of_what_launches(Function.RECONCILE),
    *_rows_of_what_hears(Function.WEBHOOK, of_github=True),
    *_rows_of_what_hears(Function.INTERRUPTION, of_github=False),
    *(row for each in Function for row in _rows_of_every_function(each)),
    *_rows_of_the_machine(),
]

_HEAD = """\
# What a stolen role can do

Whoever gets the credentials of one of a [runner fleet](components/runner-fleet.md)'s roles can do what its policy
allows, and nothing else. Each cell below is judged by evaluating the rendered policies, conditions included, and held
by a test (`tests/unit/components/test_runner_fleet_permissions.py`); this page is written by
`python -m tests.unit.components.fleet_permissions`.

Two things the policies cannot prevent. The roles of `launch` and `reconcile` can start a machine of the fleet with user
data of their own: it runs with the machines' role, which can do nothing but take its own configuration, in the fleet's
subnets, with the fleet's egress. And they, and `interruption`, can act as the GitHub App, which is why the App should
have no more permissions than [the fleet needs](components/runner-fleet.md#the-github-app).

"""


def page() -> str:
    """Return the page: one table a role's kind, who can do a thing in columns."""
    tables: list[str] = []
    for title, roles in (
        ("The functions that launch", [Function.LAUNCH, Function.RECONCILE]),
        ("The functions that hear", [Function.WEBHOOK, Function.INTERRUPTION]),
        ("A machine, and the job on it", [MACHINE]),
    ):
        verdicts: dict[str, dict[str, bool]] = {}
        for row in ROWS:
            if row.who in roles:
                verdicts.setdefault(row.does, {})[row.who] = row.allowed
        lines = [
            f"| {does} | " + " | ".join("**yes**" if found[each] else "no" for each in roles) + " |"
            for does, found in verdicts.items()
        ]
        tables.append(
            "\n".join([f"## {title}\n", f"| | {' | '.join(roles)} |", "|---|" + "---|" * len(roles), *lines, ""])
        )
    return _HEAD + "\n".join(tables)


if __name__ == "__main__":
    PAGE.write_text(page())
