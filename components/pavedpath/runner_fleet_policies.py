"""What each role of a runner fleet may do: pure statements over the ARNs of one fleet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .iam import ResourceStatement, Statement, deny_without_tls, identity_policy, resource_policy, service_trust

FLEET_TAG = "pavedpath:fleet"
"""Tag of every machine with its fleet's name; only launching sets it."""
INSTANCE_TAG = "pavedpath:instance"
"""Tag of a machine's configuration with the machine's ARN."""
SCHEDULE_GROUP = "default"
"""Group of the fleet's schedule: the one that every account has."""


class Function(StrEnum):
    """The functions of a fleet, by the module that each runs."""

    WEBHOOK = "webhook"
    LAUNCH = "launch"
    RECONCILE = "reconcile"
    INTERRUPTION = "interruption"


@dataclass(frozen=True)
class FleetArns:
    """What a fleet's statements name. ARNs, unless it says otherwise."""

    fleet: str
    """Its name."""
    table: str
    queue: str
    """The launch queue; partition, region and account are those of its ARN."""
    failures: str
    """The queue that failed asynchronous calls go to."""
    configuration: str
    """The parameter with the fleet's configuration."""
    webhook_secret: str
    app_key: str
    machine_role: str
    instance_profile: str
    security_group: str
    """Its id."""
    subnets: Sequence[str]
    """Their ids."""
    launch_templates: Sequence[str]
    image_parameters: Sequence[str]
    """Names of the parameters with the machines' images."""
    logs: Mapping[Function, str]
    """Log group of each function."""
    kms_key: str | None = None
    """The key of table and secrets; None: AWS's own."""

    def arn(self, service: str, resource: str, *, of_aws: bool = False) -> str:
        """Return the ARN of something in the fleet's account and region (or, in that region, of AWS itself)."""
        _, partition, _, region, account, _ = self.queue.split(":", 5)
        return f"arn:{partition}:{service}:{region}:{'' if of_aws else account}:{resource}"

    @property
    def handover(self) -> str:
        """ARN of every machine's configuration."""
        return self.arn("ssm", f"parameter/pavedpath/{self.fleet}/jit/*")


def function_policy(function: Function, arns: FleetArns) -> str:
    """Render the policy of one function's role."""
    return identity_policy(function_statements(function, arns))


_MACHINES: Mapping[Function, Sequence[str]] = {
    # A sleeper that cannot be woken, and a machine that came after its record was given up, are ended at once.
    Function.LAUNCH: ("ec2:StartInstances", "ec2:TerminateInstances"),
    # It takes any machine further that was left half-way: also a sleeper.
    Function.RECONCILE: ("ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"),
    # A machine that is taken away, and runs no job, is removed before a job reaches it.
    Function.INTERRUPTION: ("ec2:TerminateInstances",),
}
_CONFIGURATIONS: Mapping[Function, Sequence[str]] = {
    Function.LAUNCH: ("ssm:AddTagsToResource", "ssm:PutParameter"),
    Function.RECONCILE: ("ssm:AddTagsToResource", "ssm:DeleteParameter", "ssm:PutParameter"),
    Function.INTERRUPTION: ("ssm:DeleteParameter",),
}


def function_statements(function: Function, arns: FleetArns) -> list[Statement]:
    """Return what one function may do: what some way through its code does, and no more."""
    statements = _every_function(function, arns)
    if function is Function.WEBHOOK:
        return [*statements, _read_secret("VerifyWebhooks", arns.webhook_secret)]
    statements += [
        Statement("ListOpen", ["dynamodb:Query"], [f"{arns.table}/index/open"]),
        Statement("CountMachines", ["dynamodb:UpdateItem"], [arns.table]),
        _read_secret("ActAsApp", arns.app_key),
        _find_machines(),
        _own_machines(*_MACHINES[function], arns=arns),
        _configurations(*_CONFIGURATIONS[function], arns=arns),
    ]
    if function is Function.LAUNCH:
        receive = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
        statements.append(Statement("ReceiveJobs", receive, [arns.queue]))
    else:
        # Lambda sends an asynchronous call that failed there, with the function's own rights.
        statements.append(Statement("TellOfFailures", ["sqs:SendMessage"], [arns.failures]))
    if function is not Function.INTERRUPTION:
        statements += _launching(arns)
    return statements


def _every_function(function: Function, arns: FleetArns) -> list[Statement]:
    statements = [
        Statement(
            "Log", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{arns.logs[function].removesuffix(':*')}:*"]
        ),
        Statement("ReadConfiguration", ["ssm:GetParameter"], [arns.configuration]),
        # A transaction needs what its writes need. Nobody may delete or scan: records end by their time to live.
        Statement("KeepLedger", ["dynamodb:GetItem", "dynamodb:PutItem"], [arns.table]),
        Statement("SendJobs", ["sqs:SendMessage"], [arns.queue]),
    ]
    if arns.kms_key is not None:
        services = [arns.arn(each, "").split(":")[2:4] for each in ("dynamodb", "secretsmanager")]
        via = [f"{service}.{region}.amazonaws.com" for service, region in services]
        actions = ["kms:Decrypt", "kms:GenerateDataKey"]
        condition = {"StringEquals": {"kms:ViaService": via}}
        statements.append(Statement("UseKeyOfServices", actions, [arns.kms_key], condition))
    return statements


def _read_secret(sid: str, arn: str) -> Statement:
    return Statement(sid, ["secretsmanager:GetSecretValue"], [arn])


def _own_machines(*actions: str, arns: FleetArns) -> Statement:
    own = {"StringEquals": {f"ec2:ResourceTag/{FLEET_TAG}": arns.fleet}}
    return Statement("EndOwnMachines", actions, [arns.arn("ec2", "instance/*")], own)


def _configurations(*actions: str, arns: FleetArns) -> Statement:
    return Statement("HandOverConfigurations", actions, [arns.handover])


def _find_machines() -> Statement:
    why = "the action takes no resource"
    return Statement("FindMachines", ["ec2:DescribeInstances"], ["*"], any_resource_because=why)


def _launching(arns: FleetArns) -> list[Statement]:
    """What launches a machine: of the fleet's templates, at its places, tagged as its own, with its role.

    Source: AWS, "Actions, resources, and condition keys for Amazon EC2", CreateFleet, RunInstances and CreateTags; an
    instant fleet launches with the caller's own rights.
    """
    places = [
        arns.arn("ec2", f"security-group/{arns.security_group}"),
        *(arns.arn("ec2", f"subnet/{each}") for each in arns.subnets),
    ]
    tagged = {f"aws:RequestTag/{FLEET_TAG}": arns.fleet}
    made = [arns.arn("ec2", f"{each}/*") for each in ("network-interface", "spot-instances-request")]
    disk = arns.arn("ec2", "volume/*")
    machine, image = arns.arn("ec2", "instance/*"), arns.arn("ec2", "image/*", of_aws=True)
    images = [
        arns.arn("ssm", f"parameter/{name.removeprefix('/')}", of_aws=name.startswith("/aws/service/"))
        for name in arns.image_parameters
    ]
    return [
        Statement("AskForMachines", ["ec2:CreateFleet"], [arns.arn("ec2", "fleet/*"), machine, image, disk]),
        # What is made and where; the statement on the machine itself says by which template, for the whole launch.
        Statement("UseOwnParts", ["ec2:CreateFleet", "ec2:RunInstances"], [*made, *places, *arns.launch_templates]),
        Statement(
            "LaunchTagged",
            ["ec2:RunInstances"],
            [machine],
            {
                "StringEquals": {**tagged, "ec2:MetadataHttpTokens": "required"},
                "ArnEquals": {
                    "ec2:LaunchTemplate": list(arns.launch_templates),
                    "ec2:InstanceProfile": arns.instance_profile,
                },
            },
        ),
        Statement("LaunchImage", ["ec2:RunInstances"], [image], {"Bool": {"ec2:IsLaunchTemplateResource": "true"}}),
        # Each disk is asked for by itself: the template's, and those of the image that the template does not name.
        # Source: AWS, "Example policies to control access the Amazon EC2 API", "EBS volumes".
        Statement("LaunchEncrypted", ["ec2:RunInstances"], [disk], {"Bool": {"ec2:Encrypted": "true"}}),
        Statement(
            "TagOnLaunch",
            ["ec2:CreateTags"],
            [machine, disk, *made],
            {"StringEquals": {"ec2:CreateAction": ["CreateFleet", "RunInstances"], **tagged}},
        ),
        Statement(
            "GiveMachinesTheirRole",
            ["iam:PassRole"],
            [arns.machine_role],
            {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        ),
        Statement("FindImages", ["ssm:GetParameter", "ssm:GetParameters"], images),
    ]


def machine_policy(arns: FleetArns) -> str:
    """Render the policy of the machines' role: to take the configuration that is meant for the machine, once."""
    # The variable is in every request that is signed with a machine's own credentials, and nobody can set it.
    # Source: AWS, "Grant permissions to allow a specific instance to view resources in other AWS services".
    mine = {"StringEquals": {f"aws:ResourceTag/{INSTANCE_TAG}": "${ec2:SourceInstanceARN}"}}
    take = Statement("TakeOwnConfiguration", ["ssm:DeleteParameter", "ssm:GetParameter"], [arns.handover], mine)
    return identity_policy([take])


def assumed_by(service: str) -> str:
    """Render the trust of a role that one AWS service assumes."""
    return resource_policy([ResourceStatement("AssumeByService", {"Service": [service]}, ["sts:AssumeRole"])])


def schedule_trust(function_arn: str) -> str:
    """Render the trust of the schedule's role, for schedules of the group in the function's account and region.

    What EventBridge Scheduler names as its source is the group; a role that trusts one schedule is never assumed.
    Source: AWS, "Confused deputy prevention in EventBridge Scheduler".
    """
    _, partition, _, region, account, _ = function_arn.split(":", 5)
    group = f"arn:{partition}:scheduler:{region}:{account}:schedule-group/{SCHEDULE_GROUP}"
    return service_trust("scheduler.amazonaws.com", account, group)


def schedule_policy(function_arn: str) -> str:
    """Render what the schedule may do: call the one function."""
    return identity_policy([Statement("Reconcile", ["lambda:InvokeFunction"], [function_arn])])


def queue_policy(queue_arn: str) -> str:
    """Render the policy of a queue: nobody without TLS; who may use it within the account, identity policies say."""
    return resource_policy([deny_without_tls(["sqs:*"], [queue_arn])])
