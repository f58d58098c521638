"""A VPC against the real engine and the real AWS provider."""

import json
from typing import Any

import pytest

from tests.integration.conftest import World
from tests.integration.lifecycle import Lifecycle

pytestmark = pytest.mark.integration


def vpc(**arguments: Any) -> str:
    given = {"cidr": "10.0.0.0/16", "zones": ["us-east-1a"], **arguments}
    return f"""\
import pulumi
from pavedpath import Vpc, tag_everything
tag_everything({{"project": "network", "environment": "it", "owner": "tests"}})
net = Vpc("net", {given!r})
for name in ("vpc_id", "cidr", "ipv6_cidr", "private_subnet_ids", "private_route_table_ids"):
    pulumi.export(name, getattr(net, name))
"""


def in_zone(letter: str, *tiers: str) -> set[str]:
    subnets = {f"{kind} net-{tier}-{letter}" for kind in ("Subnet", "RouteTableAssociation") for tier in tiers}
    return subnets | ({f"RouteTable net-private-{letter}"} if "private" in tiers else set())


def test_a_vpc_lives_and_dies(world: World) -> None:
    stack = Lifecycle.begin(world, "network")
    ec2, logs, iam = world.aws("ec2"), world.aws("logs"), world.aws("iam")
    created = stack.up(vpc())["create"]
    assert created >= {"Vpc net", "DefaultSecurityGroup net", "VpcEndpoint net-s3", "FlowLog net-flow-logs"}
    assert created >= in_zone("a", "public", "private", "isolated")
    assert stack.drift() == {}
    outputs = stack.outputs()
    assert (outputs["cidr"], outputs["ipv6_cidr"]) == ("10.0.0.0/16", "")

    (log,) = ec2.describe_flow_logs()["FlowLogs"]
    assert (log["ResourceId"], log["TrafficType"]) == (outputs["vpc_id"], "ALL")
    (group,) = logs.describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 30
    role = iam.get_role(RoleName=log["DeliverLogsPermissionArn"].rpartition("/")[2])["Role"]
    conditions = role["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]
    assert conditions["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    closed = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    (default,) = [each for each in closed if each["VpcId"] == outputs["vpc_id"]]
    assert (default["IpPermissions"], default["IpPermissionsEgress"]) == ([], [])

    # Another zone, endpoints and a longer log: what is there stays where it is.
    wider: dict[str, Any] = {
        "zones": ["us-east-1a", "us-east-1b"],
        "interface_endpoints": ["sts", "ecr.api"],
        "gateway_endpoints": ["s3", "dynamodb"],
        "flow_log_days": 90,
    }
    changed = stack.up(vpc(**wider))
    assert changed == {
        "create": in_zone("b", "public", "private", "isolated")
        | {"SecurityGroup net-endpoints", "SecurityGroupIngressRule net-endpoints"}
        | {f"VpcEndpoint net-{service}" for service in ("sts", "ecr.api", "dynamodb")},
        "update": {"LogGroup net-flow-logs", "VpcEndpoint net-s3"},
    }
    assert stack.drift() == {}
    endpoints = {each["ServiceName"]: each for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]}
    assert len(endpoints["com.amazonaws.us-east-1.ecr.api"]["SubnetIds"]) == 2
    assert endpoints["com.amazonaws.us-east-1.sts"]["PrivateDnsEnabled"] is True
    group_id = endpoints["com.amazonaws.us-east-1.sts"]["Groups"][0]["GroupId"]
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    (rule,) = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"][0]["CidrIp"]) == (443, 443, "10.0.0.0/16")
    assert group["IpPermissionsEgress"] == []

    # A need replaces the subnets of its own tier and nothing else; what took an endpoint away is gone.
    needed = {**wider, "addresses": {"isolated": 100}, "interface_endpoints": ["sts"], "flow_log_days": 0}
    changed = stack.up(vpc(**needed))
    assert changed["replace"] == in_zone("a", "isolated") | in_zone("b", "isolated")
    assert "create" not in changed
    assert changed["delete"] == {
        "VpcEndpoint net-ecr.api",
        *{f"{kind} net-flow-logs" for kind in ("FlowLog", "LogGroup", "Role", "RolePolicy")},
    }
    stack.destroy()
    assert [each for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]] == []
    assert logs.describe_log_groups()["logGroups"] == []


def test_ipv6_comes_to_what_exists(world: World) -> None:
    stack = Lifecycle.begin(world, "ipv6")
    ec2 = world.aws("ec2")
    plain: dict[str, Any] = {"tiers": ["public", "private"], "flow_log_days": 0}
    stack.up(vpc(**plain))
    changed = stack.up(vpc(**plain, ipv6=True))
    assert changed == {
        "update": {"Vpc net", "Subnet net-public-a", "Subnet net-private-a"},
        "create": {"EgressOnlyInternetGateway net", "Route net-public-ipv6", "Route net-private-a-ipv6"},
    }
    assert stack.drift() == {}
    outputs = stack.outputs()
    assert outputs["ipv6_cidr"].endswith("/56")
    tables = ec2.describe_route_tables(RouteTableIds=outputs["private_route_table_ids"])["RouteTables"]
    ways = [route for table in tables for route in table["Routes"] if route.get("DestinationIpv6CidrBlock") == "::/0"]
    assert [way["EgressOnlyInternetGatewayId"][:5] for way in ways] == ["eigw-"]
    (subnet,) = ec2.describe_subnets(SubnetIds=outputs["private_subnet_ids"])["Subnets"]
    (block,) = [each["Ipv6CidrBlock"] for each in subnet["Ipv6CidrBlockAssociationSet"]]
    assert block.endswith("/64")
    assert subnet["AssignIpv6AddressOnCreation"] is True
    stack.destroy()


def test_mistakes_are_refused_before_the_first_resource(world: World) -> None:
    stack = Lifecycle.begin(world, "mistakes")
    printed = stack.refused(vpc(cidr="10.0.0.0/20", addresses={"private": 1000}, interface_endpoints=["ecr.apy"]))
    assert "use a /18, or need less" in printed
    assert "did you mean ecr.api?" in printed
    resources = json.loads(stack.pulumi("stack", "export"))["deployment"].get("resources", [])
    assert [each for each in resources if each["custom"] and each["type"].startswith("aws:")] == []
