"""The AWS look-ups against moto, in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws
from pavedpath_delivery.stack.aws import client
from pavedpath_delivery.stack.repair.plan import Absent, Exists, PendingOperation, Reality, Repeatable, Unclear
from pavedpath_delivery.stack.repair.reality_aws import FINDERS, Aws, look

TAGS = {"Name": "main", "environment": "dev", "project": "shop"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
NONE: frozenset[str] = frozenset()


def operation(kind: str, **inputs: Any) -> PendingOperation:
    return PendingOperation("creating", "u", kind, custom=True, inputs={"tags": TAGS, **inputs})


def pairs(tags: dict[str, str] = TAGS) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tagged(kind: str, tags: dict[str, str] = TAGS) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(tags)}]


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


def test_what_has_no_tags_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def untagged(*_args: object, **_parameters: object) -> list[dict[str, str]]:
        return [{"VpcId": "vpc-1"}]

    monkeypatch.setattr(Aws, "pages", untagged)
    assert look(operation("aws:ec2/vpc:Vpc"), NONE) == Absent()


def make_role(tags: dict[str, str]) -> None:
    client("iam").create_role(RoleName="deploy", AssumeRolePolicyDocument=TRUST, Tags=pairs(tags))


def make_role_policy() -> None:
    make_role({})
    client("iam").put_role_policy(RoleName="deploy", PolicyName="push", PolicyDocument=TRUST)


def make_alias() -> None:
    client("kms").create_alias(AliasName="alias/sops", TargetKeyId=key())


def make_bucket(tags: dict[str, str]) -> None:
    bucket("state")
    if tags:
        client("s3").put_bucket_tagging(Bucket="state", Tagging={"TagSet": pairs(tags)})


def make_function(tags: dict[str, str]) -> None:
    iam = client("iam")
    role = iam.create_role(RoleName="run", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    image = {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/app@sha256:" + "0" * 64}
    client("lambda").create_function(FunctionName="run", Role=role, Code=image, PackageType="Image", Tags=tags)


OIDC = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
BY_NAME: list[tuple[str, dict[str, Any], Callable[[], Any], str]] = [  # what can have no tags
    ("aws:iam/rolePolicy:RolePolicy", {"role": "deploy", "name": "push"}, make_role_policy, "deploy:push"),
    ("aws:kms/alias:Alias", {"name": "alias/sops"}, make_alias, "alias/sops"),
]
BY_NAME_AND_TAGS: list[tuple[str, dict[str, Any], Callable[[dict[str, str]], Any], str]] = [
    ("aws:iam/role:Role", {"name": "deploy"}, make_role, "deploy"),
    (
        "aws:ecr/repository:Repository",
        {"name": "shop/api"},
        lambda tags: client("ecr").create_repository(repositoryName="shop/api", tags=pairs(tags)),
        "shop/api",
    ),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        {"name": "/shop"},
        lambda tags: client("logs").create_log_group(logGroupName="/shop", tags=tags),
        "/shop",
    ),
    (
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        {"url": "https://token.actions.githubusercontent.com"},
        lambda tags: client("iam").create_open_id_connect_provider(
            Url="https://token.actions.githubusercontent.com", ThumbprintList=["a" * 40], Tags=pairs(tags)
        ),
        OIDC,
    ),
    (
        "aws:iam/policy:Policy",
        {"name": "push"},
        lambda tags: client("iam").create_policy(PolicyName="push", PolicyDocument=TRUST, Tags=pairs(tags)),
        "arn:aws:iam::123456789012:policy/push",
    ),
    (
        "aws:iam/instanceProfile:InstanceProfile",
        {"name": "node"},
        lambda tags: client("iam").create_instance_profile(InstanceProfileName="node", Tags=pairs(tags)),
        "node",
    ),
    ("aws:lambda/function:Function", {"name": "run"}, make_function, "run"),
    ("aws:s3/bucket:Bucket", {"bucket": "state"}, make_bucket, "state"),
    (
        "aws:sns/topic:Topic",
        {"name": "alerts"},
        lambda tags: client("sns").create_topic(Name="alerts", Tags=pairs(tags)),
        "arn:aws:sns:us-east-1:123456789012:alerts",
    ),
    (
        "aws:sqs/queue:Queue",
        {"name": "jobs"},
        lambda tags: client("sqs").create_queue(QueueName="jobs", tags=tags),
        "https://sqs.us-east-1.amazonaws.com/123456789012/jobs",
    ),
    (
        "aws:ssm/parameter:Parameter",
        {"name": "/shop/a"},
        lambda tags: client("ssm").put_parameter(Name="/shop/a", Value="v", Type="String", Tags=pairs(tags)),
        "/shop/a",
    ),
    (
        "aws:secretsmanager/secret:Secret",
        {"name": "key"},
        lambda tags: client("secretsmanager").create_secret(Name="key", SecretString="v", Tags=pairs(tags)),
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:key",
    ),
    (
        "aws:dynamodb/table:Table",
        {"name": "runners"},
        lambda tags: client("dynamodb").create_table(
            TableName="runners",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            Tags=pairs(tags),
        ),
        "runners",
    ),
]


@pytest.mark.parametrize(("kind", "inputs", "make", "identifier"), BY_NAME, ids=[case[0] for case in BY_NAME])
def test_what_can_have_no_tags_is_found_by_its_name(
    kind: str, inputs: dict[str, Any], make: Callable[[], Any], identifier: str
) -> None:
    assert look(operation(kind, **inputs), NONE) == Absent()
    make()
    assert look(operation(kind, **inputs), NONE) == Exists(identifier, seeded=True)


@pytest.mark.parametrize(
    ("kind", "inputs", "make", "identifier"), BY_NAME_AND_TAGS, ids=[case[0] for case in BY_NAME_AND_TAGS]
)
def test_what_has_a_name_is_taken_up_only_with_the_stacks_tags(
    kind: str, inputs: dict[str, Any], make: Callable[[dict[str, str]], Any], identifier: str
) -> None:
    wanted = operation(kind, **inputs)
    assert look(wanted, NONE) == Absent()
    make({**TAGS, "more": "x"})
    found = look(wanted, NONE)
    assert isinstance(found, Exists)
    assert found.seeded
    assert found.id.startswith(identifier)  # a secret's ends with letters by chance
    for tags in ({**TAGS, "environment": "prod"}, {}):
        other = look(replace(wanted, inputs={**inputs, "tags": tags}), NONE)
        assert isinstance(other, Unclear)
        assert f"{found.id} exists, without this stack's tags" in other.reason


@pytest.mark.parametrize(
    ("kind", "inputs", "make"), [case[:3] for case in BY_NAME_AND_TAGS], ids=[case[0] for case in BY_NAME_AND_TAGS]
)
def test_what_has_the_name_and_no_tags_is_not_taken_up(
    kind: str, inputs: dict[str, Any], make: Callable[[dict[str, str]], Any]
) -> None:
    make({})
    assert isinstance(look(operation(kind, **inputs), NONE), Unclear)


def test_a_name_that_is_a_prefix_of_another_is_not_taken_for_it() -> None:
    client("logs").create_log_group(logGroupName="/shop-2")
    assert look(operation("aws:cloudwatch/logGroup:LogGroup", name="/shop"), NONE) == Absent()


def test_a_budget_is_found_by_its_name_and_taken_up_with_the_stacks_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = operation("aws:budgets/budget:Budget", name="dev")
    assert look(wanted, NONE) == Absent()
    budget = {"BudgetName": "dev", "BudgetType": "COST", "TimeUnit": "MONTHLY"}
    limit = {"BudgetLimit": {"Amount": "1", "Unit": "USD"}}
    client("budgets").create_budget(AccountId="123456789012", Budget={**budget, **limit})
    tags: list[dict[str, str]] = []
    whole = Aws.part

    def part(self: Aws, service: str, name: str, key: str, **parameters: object) -> Any:
        # moto knows no tags of budgets.
        return tags if name == "list_tags_for_resource" else whole(self, service, name, key, **parameters)

    monkeypatch.setattr(Aws, "part", part)
    assert isinstance(look(wanted, NONE), Unclear)
    tags += pairs()
    assert look(wanted, NONE) == Exists("123456789012:dev", seeded=True)


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
    client("ecr", "eu-west-1").create_repository(repositoryName="api", tags=pairs())
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
