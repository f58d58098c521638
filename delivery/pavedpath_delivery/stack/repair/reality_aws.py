"""Looks in AWS for a resource whose creation was interrupted.

What has a name is found by it; what AWS names itself (a VPC, an address, a key) by the tags it was created with.
The ids are those of the state; of a route and a route table's association those that the provider imports, from the
"Import" section of their pages in the Terraform registry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pavedpath_delivery.stack.aws import client
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Reality, Repeatable, Unclear

_Fields = Mapping[str, Any]


class Aws:
    """The AWS APIs of one region.

    Args:
        region: of the resource; None for the environment's.
    """

    def __init__(self, region: str | None = None) -> None:
        self._region = region

    def pages(self, service: str, operation: str, key: str, **parameters: object) -> list[_Fields]:
        """Return the entries under `key` of all pages of an operation's answer."""
        api = client(service, self._region)
        if not api.can_paginate(operation):
            return list(getattr(api, operation)(**parameters).get(key, []))
        return [item for page in api.get_paginator(operation).paginate(**parameters) for item in page.get(key, [])]

    def one(self, service: str, operation: str, **parameters: object) -> _Fields | None:
        """Return an operation's answer, None if it says that there is no such thing."""
        from botocore.exceptions import ClientError

        try:
            return getattr(client(service, self._region), operation)(**parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            # Each service has its own word: NoSuchEntity, RepositoryNotFoundException, ResourceNotFoundException, …
            if status == 404 or "NotFound" in code or code.startswith("NoSuch") or "NonExistent" in code:
                return None
            raise

    def part(self, service: str, operation: str, key: str, **parameters: object) -> Any:
        """Return what an operation's answer has under `key`; None if there is no such thing."""
        return (self.one(service, operation, **parameters) or {}).get(key)


Finder: TypeAlias = Callable[[Aws, PendingOperation, frozenset[str]], Reality]
Tags: TypeAlias = Callable[[Aws, _Fields, str], Any]
"""Gives the tags of what was found, from what is known of it and its import id, in the form that the service has."""


def _pairs(tags: Any) -> dict[str, str]:
    """Return tags as keys and values; a service gives them so, as a list, or (there are none) not at all."""
    if isinstance(tags, Mapping):
        return dict(cast(Mapping[str, str], tags))
    return {tag["Key"]: tag["Value"] for tag in cast(list[dict[str, str]], tags or [])}


def _if_ours(found: Exists, operation: PendingOperation, tags: Any) -> Reality:
    """Return what was found by its name if it has the tags of the interrupted creation: a name is anybody's."""
    if operation.tags and operation.tags.items() <= _pairs(tags).items():
        return found
    wanted = ", ".join(f"{key}={value}" for key, value in sorted(operation.tags.items())) or "it has none"
    return Unclear(f"{found.id} exists, without this stack's tags ({wanted}): something else may have made it")


@dataclass(frozen=True)
class Named:
    """Found by a name among the inputs.

    Args:
        inputs: the inputs that hold the name; the first one set counts.
        service: of boto3, with `operation`, whose `parameter` takes the name.
        tags: of the answer.
        id: the import id with `{name}` in it, or a path into the answer after `@`.
        wrap: the parameter takes a list.
    """

    inputs: tuple[str, ...]
    service: str
    operation: str
    parameter: str
    tags: Tags
    id: str = "{name}"
    wrap: bool = False

    def __call__(self, aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
        """Look for it."""
        name = operation.text(*self.inputs)
        if not name:
            return Unclear(f"its {self.inputs[0]} is not known")
        answer = aws.one(self.service, self.operation, **{self.parameter: [name] if self.wrap else name})
        if answer is None:
            return Absent()
        identifier = self.id.format(name=name)
        if self.id.startswith("@"):
            found: Any = answer
            for key in self.id[1:].split("."):
                found = found[key]
            identifier = str(found)
        return _if_ours(Exists(identifier, seeded=True), operation, self.tags(aws, answer, identifier))


@dataclass(frozen=True)
class Listed:
    """Found in a list by comparing one field with a value made of the inputs; `tags`: None if it can have none."""

    service: str
    operation: str
    key: str
    matches: Callable[[_Fields, PendingOperation], bool]
    id: str
    tags: Tags | None = None

    def __call__(self, aws: Aws, operation: PendingOperation, known: frozenset[str]) -> Reality:
        """Look for it."""
        items = aws.pages(self.service, self.operation, self.key)
        found = {str(item[self.id]): item for item in items if self.matches(item, operation)}
        reality = _only([*found], known, operation)
        if self.tags is None or not isinstance(reality, Exists):
            return reality
        return _if_ours(reality, operation, self.tags(aws, found[reality.id], reality.id))


@dataclass(frozen=True)
class Tagged:
    """An EC2 resource, found by its tags.

    Args:
        operation: the describing operation, whose answer has a list under `key` with the id as `id`.
        alive: values of the field `State` (None: any) that mean that it is there.
        filters: what the operation calls its filters.
    """

    operation: str
    key: str
    id: str
    alive: frozenset[str] | None = None
    filters: str = "Filters"

    def __call__(self, aws: Aws, operation: PendingOperation, known: frozenset[str]) -> Reality:
        """Look for it."""
        if not operation.tags.get("Name"):
            return Unclear("it has no tag Name, by which it could be found")
        filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(operation.tags.items())]
        items = aws.pages("ec2", self.operation, self.key, **{self.filters: filters})
        # Compared once more: an emulator may ignore a filter, and another stack's resource must never be taken up.
        tagged = (i for i in items if operation.tags.items() <= _pairs(i.get("Tags", [])).items())
        ids = [str(i[self.id]) for i in tagged if self.alive is None or i["State"] in self.alive]
        return _only(ids, known, operation)


def _only(ids: list[str], known: frozenset[str], operation: PendingOperation) -> Reality:
    new = sorted(set(ids) - known)
    if len(new) > 1:
        return Unclear(f"several could be it: {', '.join(new)} (tags {operation.tags})")
    return Exists(new[0], seeded=True) if new else Absent()


def _kms_key(aws: Aws, operation: PendingOperation, known: frozenset[str]) -> Reality:
    if not operation.tags.get("Name"):
        return Unclear("it has no tag Name, by which it could be found")
    found: list[str] = []
    for key in aws.pages("kms", "list_keys", "Keys"):
        identifier = str(key["KeyId"])
        if identifier in known:
            continue
        metadata = (aws.one("kms", "describe_key", KeyId=identifier) or {}).get("KeyMetadata", {})
        if metadata.get("KeyManager") != "CUSTOMER" or metadata.get("KeyState") == "PendingDeletion":
            continue
        tags = {
            tag["TagKey"]: tag["TagValue"] for tag in aws.pages("kms", "list_resource_tags", "Tags", KeyId=identifier)
        }
        if operation.tags.items() <= tags.items():
            found.append(identifier)
    return _only(found, known, operation)


def _budget(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    name = operation.text("name")
    if not name:
        return Unclear("its name is not known")
    account = str(aws.part("sts", "get_caller_identity", "Account"))
    if aws.one("budgets", "describe_budget", AccountId=account, BudgetName=name) is None:
        return Absent()
    arn = f"arn:aws:budgets::{account}:budget/{name}"
    tags = aws.part("budgets", "list_tags_for_resource", "ResourceTags", ResourceARN=arn)
    return _if_ours(Exists(f"{account}:{name}", seeded=True), operation, tags)


def _role_policy(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    role, name = operation.text("role"), operation.text("name")
    if not (role and name):
        return Unclear("its role or its name is not known")
    answer = aws.one("iam", "get_role_policy", RoleName=role, PolicyName=name)
    return Absent() if answer is None else Exists(f"{role}:{name}", seeded=True)


def _route(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    table = operation.text("routeTableId")
    to = operation.text("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")
    if not (table and to):
        return Unclear("its route table or its destination is not known")
    answer = aws.one("ec2", "describe_route_tables", RouteTableIds=[table]) or {}
    fields = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
    routes = [route for found in answer.get("RouteTables", []) for route in found.get("Routes", [])]
    there = any(to in [route.get(field) for field in fields] for route in routes)
    return Exists(f"{table}_{to}") if there else Absent()


def _route_table_association(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    table, partner = operation.text("routeTableId"), operation.text("subnetId", "gatewayId")
    if not (table and partner):
        return Unclear("its route table, or its subnet or gateway, is not known")
    answer = aws.one("ec2", "describe_route_tables", RouteTableIds=[table]) or {}
    joined = [a for found in answer.get("RouteTables", []) for a in found.get("Associations", [])]
    there = any(partner in (a.get("SubnetId"), a.get("GatewayId")) for a in joined)
    return Exists(f"{partner}/{table}") if there else Absent()


def _schedule(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    name, target = operation.text("name"), operation.inputs.get("target")
    if not name:
        return Unclear("its name is not known")
    answer = aws.one("scheduler", "get_schedule", Name=name)
    if answer is None:
        return Absent()
    # Schedules have no tags; what it calls says whose it is.
    wanted = cast(Mapping[str, object], target).get("arn") if isinstance(target, Mapping) else None
    if answer.get("Target", {}).get("Arn") != wanted:
        return Unclear(f"a schedule {name} exists, with another target: something else may have made it")
    return Exists(f"default/{name}", seeded=True)


def _function_url(aws: Aws, operation: PendingOperation, _known: frozenset[str]) -> Reality:
    name = operation.text("functionName")
    if not name:
        return Unclear("its function is not known")
    answer = aws.one("lambda", "get_function_url_config", FunctionName=name)
    return Absent() if answer is None else Exists(name, seeded=True)


def _repeatable(_aws: Aws, _operation: PendingOperation, _known: frozenset[str]) -> Reality:
    return Repeatable()


def _oidc_url(item: _Fields, operation: PendingOperation) -> bool:
    return str(item["Arn"]).partition(":oidc-provider/")[2] == operation.text("url").removeprefix("https://").rstrip(
        "/"
    )


FINDERS: Mapping[str, Finder] = {
    "aws:budgets/budget:Budget": _budget,
    "aws:cloudwatch/logGroup:LogGroup": Listed(
        "logs",
        "describe_log_groups",
        "logGroups",
        lambda i, o: i["logGroupName"] == o.text("name"),
        "logGroupName",
        lambda aws, i, _: aws.part("logs", "list_tags_for_resource", "tags", resourceArn=i["arn"].removesuffix(":*")),
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _repeatable,  # PutMetricAlarm, under a name of the program's
    "aws:cloudwatch/eventRule:EventRule": _repeatable,  # PutRule and PutTargets, likewise
    "aws:cloudwatch/eventTarget:EventTarget": _repeatable,
    "aws:dynamodb/table:Table": Named(
        ("name",),
        "dynamodb",
        "describe_table",
        "TableName",
        lambda aws, a, _: aws.part("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=a["Table"]["TableArn"]),
    ),
    "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": _repeatable,  # these three take over what AWS made
    "aws:ec2/defaultRouteTable:DefaultRouteTable": _repeatable,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _repeatable,
    "aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway": Tagged(
        "describe_egress_only_internet_gateways", "EgressOnlyInternetGateways", "EgressOnlyInternetGatewayId"
    ),
    "aws:ec2/eip:Eip": Tagged("describe_addresses", "Addresses", "AllocationId"),
    "aws:ec2/flowLog:FlowLog": Tagged("describe_flow_logs", "FlowLogs", "FlowLogId", filters="Filter"),
    "aws:ec2/internetGateway:InternetGateway": Tagged(
        "describe_internet_gateways", "InternetGateways", "InternetGatewayId"
    ),
    "aws:ec2/launchTemplate:LaunchTemplate": Tagged("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    "aws:ec2/natGateway:NatGateway": Tagged(
        "describe_nat_gateways", "NatGateways", "NatGatewayId", frozenset({"pending", "available"})
    ),
    "aws:ec2/networkAcl:NetworkAcl": Tagged("describe_network_acls", "NetworkAcls", "NetworkAclId"),
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTable:RouteTable": Tagged("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": Tagged("describe_security_groups", "SecurityGroups", "GroupId"),
    "aws:ec2/subnet:Subnet": Tagged("describe_subnets", "Subnets", "SubnetId"),
    "aws:ec2/vpc:Vpc": Tagged("describe_vpcs", "Vpcs", "VpcId"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Tagged(
        "describe_vpc_endpoints",
        "VpcEndpoints",
        "VpcEndpointId",
        frozenset({"pendingAcceptance", "pending", "available", "PendingAcceptance", "Pending", "Available"}),
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _repeatable,
    "aws:ecr/replicationConfiguration:ReplicationConfiguration": _repeatable,
    "aws:ecr/repository:Repository": Named(
        ("name",),
        "ecr",
        "describe_repositories",
        "repositoryNames",
        lambda aws, a, _: aws.part(
            "ecr", "list_tags_for_resource", "tags", resourceArn=a["repositories"][0]["repositoryArn"]
        ),
        wrap=True,
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _repeatable,
    "aws:iam/instanceProfile:InstanceProfile": Named(
        ("name",),
        "iam",
        "get_instance_profile",
        "InstanceProfileName",
        lambda _aws, a, _: a["InstanceProfile"].get("Tags"),
    ),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": Listed(
        "iam",
        "list_open_id_connect_providers",
        "OpenIDConnectProviderList",
        _oidc_url,
        "Arn",
        lambda aws, _, arn: aws.part("iam", "get_open_id_connect_provider", "Tags", OpenIDConnectProviderArn=arn),
    ),
    "aws:iam/policy:Policy": Listed(
        "iam",
        "list_policies",
        "Policies",
        lambda i, o: i["PolicyName"] == o.text("name"),
        "Arn",
        lambda aws, _, arn: aws.part("iam", "list_policy_tags", "Tags", PolicyArn=arn),
    ),
    "aws:iam/role:Role": Named(("name",), "iam", "get_role", "RoleName", lambda _aws, a, _: a["Role"].get("Tags")),
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _repeatable,
    "aws:kms/alias:Alias": Listed(
        "kms", "list_aliases", "Aliases", lambda i, o: i["AliasName"] == o.text("name"), "AliasName"
    ),
    "aws:kms/key:Key": _kms_key,
    "aws:kms/keyPolicy:KeyPolicy": _repeatable,
    "aws:lambda/function:Function": Named(
        ("name",), "lambda", "get_function", "FunctionName", lambda _aws, a, _: a.get("Tags")
    ),
    "aws:lambda/eventSourceMapping:EventSourceMapping": Listed(
        "lambda",
        "list_event_source_mappings",
        "EventSourceMappings",
        lambda i, o: (
            i.get("EventSourceArn") == o.text("eventSourceArn")
            and o.text("functionName") in (i["FunctionArn"], i["FunctionArn"].rpartition(":")[2])
        ),
        "UUID",
    ),
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": _repeatable,
    "aws:lambda/functionUrl:FunctionUrl": _function_url,
    # Its statement has a name by chance; a second one allows the same, and goes with the function.
    "aws:lambda/permission:Permission": _repeatable,
    "aws:s3/bucket:Bucket": Named(
        ("bucket",),
        "s3",
        "head_bucket",
        "Bucket",
        lambda aws, _, name: aws.part("s3", "get_bucket_tagging", "TagSet", Bucket=name),
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _repeatable,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _repeatable,
    "aws:s3/bucketPolicy:BucketPolicy": _repeatable,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _repeatable,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": _repeatable,
    "aws:s3/bucketVersioning:BucketVersioning": _repeatable,
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:secretsmanager/secret:Secret": Named(
        ("name",), "secretsmanager", "describe_secret", "SecretId", lambda _aws, a, _: a.get("Tags"), id="@ARN"
    ),
    "aws:secretsmanager/secretPolicy:SecretPolicy": _repeatable,
    "aws:secretsmanager/secretRotation:SecretRotation": _repeatable,
    "aws:secretsmanager/secretVersion:SecretVersion": _repeatable,  # the same value once more
    "aws:sns/topic:Topic": Listed(
        "sns",
        "list_topics",
        "Topics",
        lambda i, o: i["TopicArn"].rpartition(":")[2] == o.text("name"),
        "TopicArn",
        lambda aws, _, arn: aws.part("sns", "list_tags_for_resource", "Tags", ResourceArn=arn),
    ),
    "aws:sns/topicPolicy:TopicPolicy": _repeatable,
    "aws:sns/topicSubscription:TopicSubscription": _repeatable,  # Subscribe returns the one that is there
    "aws:sqs/queue:Queue": Named(
        ("name",),
        "sqs",
        "get_queue_url",
        "QueueName",
        lambda aws, _, url: aws.part("sqs", "list_queue_tags", "Tags", QueueUrl=url),
        id="@QueueUrl",
    ),
    "aws:sqs/queuePolicy:QueuePolicy": _repeatable,
    "aws:ssm/parameter:Parameter": Named(
        ("name",),
        "ssm",
        "get_parameter",
        "Name",
        lambda aws, _, name: aws.part(
            "ssm", "list_tags_for_resource", "TagList", ResourceType="Parameter", ResourceId=name
        ),
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Tagged(
        "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Tagged(
        "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"
    ),
}


def look(operation: PendingOperation, known: frozenset[str]) -> Reality:
    """Return what AWS knows of the resource.

    Args:
        operation: the interrupted creation.
        known: ids that the state has; a resource found by tags is never one of them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    finder = FINDERS.get(operation.type)
    if finder is None:
        return Unclear(f"no way is known to find a {operation.type}")
    region = operation.text("region") or str(operation.provider.get("region") or "") or None
    try:
        return finder(Aws(region), operation, known)
    except (BotoCoreError, ClientError) as error:
        return Unclear(f"AWS could not be asked: {error}")
