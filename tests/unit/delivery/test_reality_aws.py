"""The AWS look-ups against moto, in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws
from pavedpath_delivery.stack.aws import client
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Reality, Repeatable, Unclear
from pavedpath_delivery.stack.repair.reality_aws import FINDERS, look

TAGS = {"Name": "main", "environment": "dev", "project": "shop"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
NONE: frozenset[str] = frozenset()


def operation(kind: str, **inputs: Any) -> PendingOperation:
    return PendingOperation("creating", "u", kind, custom=True, inputs={"tags": TAGS, **inputs})


def tagged(kind: str, tags: dict[str, str] = TAGS) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def vpc() -> str:
    return client("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]


def subnet() -> str:
    return client("ec2").create_subnet(VpcId=vpc(), CidrBlock="10.0.1.0/24", TagSpecifications=tagged("subnet"))[
        "Subnet"
    ]["SubnetId"]


def table() -> str:
    ec2 = client("ec2")
    made = ec2.create_route_table(VpcId=vpc(), TagSpecifications=tagged("route-table"))
    return made["RouteTable"]["RouteTableId"]


def group() -> str:
    ec2 = client("ec2")
    made = ec2.create_security_group(
        GroupName="g", Description="d", VpcId=vpc(), TagSpecifications=tagged("security-group")
    )
    return made["GroupId"]


def nat() -> str:
    ec2 = client("ec2")
    made = ec2.create_nat_gateway(SubnetId=subnet(), ConnectivityType="private", TagSpecifications=tagged("natgateway"))
    return made["NatGateway"]["NatGatewayId"]


def flow_log() -> str:
    made = client("ec2").create_flow_logs(
        ResourceIds=[vpc()],
        ResourceType="VPC",
        TrafficType="ALL",
        LogDestinationType="s3",
        LogDestination=f"arn:aws:s3:::{bucket('flow')}",
        TagSpecifications=tagged("vpc-flow-log"),
    )
    return made["FlowLogIds"][0]


def bucket(name: str) -> str:
    client("s3").create_bucket(Bucket=name)
    return name


def endpoint() -> str:
    made = client("ec2").create_vpc_endpoint(
        VpcId=vpc(), ServiceName="com.amazonaws.us-east-1.s3", TagSpecifications=tagged("vpc-endpoint")
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def key() -> str:
    tags = [{"TagKey": k, "TagValue": v} for k, v in TAGS.items()]
    return client("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]


BY_TAGS: dict[str, Callable[[], str]] = {
    "aws:ec2/vpc:Vpc": vpc,
    "aws:ec2/subnet:Subnet": subnet,
    "aws:ec2/routeTable:RouteTable": table,
    "aws:ec2/securityGroup:SecurityGroup": group,
    "aws:ec2/natGateway:NatGateway": nat,
    "aws:ec2/vpcEndpoint:VpcEndpoint": endpoint,
    "aws:ec2/flowLog:FlowLog": flow_log,
    "aws:ec2/eip:Eip": lambda: client("ec2").allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))[
        "AllocationId"
    ],
    "aws:ec2/internetGateway:InternetGateway": lambda: client("ec2").create_internet_gateway(
        TagSpecifications=tagged("internet-gateway")
    )["InternetGateway"]["InternetGatewayId"],
    "aws:kms/key:Key": key,
}


@pytest.mark.parametrize("kind", BY_TAGS)
def test_what_aws_names_itself_is_found_by_its_tags(kind: str) -> None:
    wanted = operation(kind)
    assert look(wanted, NONE) == Absent()
    first = BY_TAGS[kind]()
    assert look(wanted, NONE) == Exists(first, seeded=True)
    assert look(wanted, frozenset({first})) == Absent()
    other = replace(wanted, inputs={"tags": {**TAGS, "environment": "prod"}})
    assert look(other, NONE) == Absent()
    assert isinstance(look(replace(wanted, inputs={}), NONE), Unclear)


def test_several_that_could_be_it_are_named() -> None:
    found = sorted([vpc(), vpc()])
    reality = look(operation("aws:ec2/vpc:Vpc"), NONE)
    assert isinstance(reality, Unclear)
    assert ", ".join(found) in reality.reason


def test_a_deleted_nat_gateway_or_key_is_absent() -> None:
    client("ec2").delete_nat_gateway(NatGatewayId=nat())
    assert look(operation("aws:ec2/natGateway:NatGateway"), NONE) == Absent()
    client("kms").schedule_key_deletion(KeyId=key(), PendingWindowInDays=7)
    assert look(operation("aws:kms/key:Key"), NONE) == Absent()


def make_role() -> None:
    client("iam").create_role(RoleName="deploy", AssumeRolePolicyDocument=TRUST)


def make_role_policy() -> None:
    make_role()
    client("iam").put_role_policy(RoleName="deploy", PolicyName="push", PolicyDocument=TRUST)


def make_alias() -> None:
    client("kms").create_alias(AliasName="alias/sops", TargetKeyId=key())


OIDC = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
BY_NAME: list[tuple[str, dict[str, Any], Callable[[], Any], str]] = [
    ("aws:iam/role:Role", {"name": "deploy"}, make_role, "deploy"),
    ("aws:iam/rolePolicy:RolePolicy", {"role": "deploy", "name": "push"}, make_role_policy, "deploy:push"),
    ("aws:kms/alias:Alias", {"name": "alias/sops"}, make_alias, "alias/sops"),
    (
        "aws:ecr/repository:Repository",
        {"name": "shop/api"},
        lambda: client("ecr").create_repository(repositoryName="shop/api"),
        "shop/api",
    ),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        {"name": "/shop"},
        lambda: client("logs").create_log_group(logGroupName="/shop"),
        "/shop",
    ),
    (
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        {"url": "https://token.actions.githubusercontent.com"},
        lambda: client("iam").create_open_id_connect_provider(
            Url="https://token.actions.githubusercontent.com", ThumbprintList=["a" * 40]
        ),
        OIDC,
    ),
    (
        "aws:iam/policy:Policy",
        {"name": "push"},
        lambda: client("iam").create_policy(PolicyName="push", PolicyDocument=TRUST),
        "arn:aws:iam::123456789012:policy/push",
    ),
    ("aws:s3/bucket:Bucket", {"bucket": "state"}, lambda: bucket("state"), "state"),
    (
        "aws:sqs/queue:Queue",
        {"name": "jobs"},
        lambda: client("sqs").create_queue(QueueName="jobs"),
        "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
    ),
    (
        "aws:ssm/parameter:Parameter",
        {"name": "/shop/a"},
        lambda: client("ssm").put_parameter(Name="/shop/a", Value="v", Type="String"),
        "/shop/a",
    ),
    (
        "aws:dynamodb/table:Table",
        {"name": "runners"},
        lambda: client("dynamodb").create_table(
            TableName="runners",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        ),
        "runners",
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "make", "identifier"), BY_NAME, ids=[case[0] for case in BY_NAME])
def test_what_has_a_name_is_found_by_it(
    kind: str, inputs: dict[str, Any], make: Callable[[], Any], identifier: str
) -> None:
    assert look(operation(kind, **inputs), NONE) == Absent()
    make()
    assert look(operation(kind, **inputs), NONE) == Exists(identifier, seeded=True)


def test_a_name_that_is_a_prefix_of_another_is_not_taken_for_it() -> None:
    client("logs").create_log_group(logGroupName="/shop-2")
    assert look(operation("aws:cloudwatch/logGroup:LogGroup", name="/shop"), NONE) == Absent()


def test_routes_and_associations_are_found_in_their_table() -> None:
    ec2 = client("ec2")
    place = subnet()
    network = ec2.describe_subnets(SubnetIds=[place])["Subnets"][0]["VpcId"]
    routes = ec2.create_route_table(VpcId=network)["RouteTable"]["RouteTableId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network)
    route = operation("aws:ec2/route:Route", routeTableId=routes, destinationCidrBlock="0.0.0.0/0")
    joined = operation("aws:ec2/routeTableAssociation:RouteTableAssociation", routeTableId=routes, subnetId=place)
    assert [look(one, NONE) for one in (route, joined)] == [Absent(), Absent()]
    ec2.create_route(RouteTableId=routes, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=routes, SubnetId=place)
    assert look(route, NONE) == Exists(f"{routes}_0.0.0.0/0")
    assert look(joined, NONE) == Exists(f"{place}/{routes}")


def test_the_resources_region_is_asked() -> None:
    client("ecr", "eu-west-1").create_repository(repositoryName="api")
    kind = "aws:ecr/repository:Repository"
    found: list[Reality] = [
        look(operation(kind, name="api"), NONE),
        look(operation(kind, name="api", region="eu-west-1"), NONE),
        look(replace(operation(kind, name="api"), provider={"region": "eu-west-1"}), NONE),
    ]
    assert found == [Absent(), Exists("api", seeded=True), Exists("api", seeded=True)]


def test_what_sets_is_repeated_and_what_is_not_known_is_asked() -> None:
    assert look(operation("aws:ecr/lifecyclePolicy:LifecyclePolicy"), NONE) == Repeatable()
    assert isinstance(look(operation("aws:nope/nope:Nope"), NONE), Unclear)
    assert isinstance(look(operation("aws:iam/role:Role"), NONE), Unclear)


def test_an_api_that_does_not_answer_is_no_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    reality = look(operation("aws:iam/role:Role", name="deploy"), NONE)
    assert isinstance(reality, Unclear)
    assert "AWS could not be asked" in reality.reason


def test_every_type_in_the_table_is_one_of_the_sdks(sdk_types: Callable[[str], set[str]]) -> None:
    assert set(FINDERS) - sdk_types("pulumi_aws") == set()
