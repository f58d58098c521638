import json
from typing import Any

import pytest
from pavedpath import InvalidArgumentsError, NatMode, SubnetTier, Vpc, VpcArgs

from tests.mocks import Graph, run

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


def vpc(**args: object) -> Graph:
    given: VpcArgs = {"cidr": "10.0.0.0/16", "zones": ZONES, **args}  # pyright: ignore[reportAssignmentType]  # the test chooses the names
    return run(lambda: Vpc("net", given))


@pytest.mark.parametrize(("nat", "count"), [(NatMode.NONE, 0), (NatMode.ONE, 1), (NatMode.PER_ZONE, 3)])
def test_nat_gateways_by_mode(nat: NatMode, count: int) -> None:
    graph = vpc(nat=nat)
    assert len(graph.of_type("aws:ec2/natGateway:NatGateway")) == count
    assert len(graph.of_type("aws:ec2/eip:Eip")) == count


def test_each_zone_keeps_its_own_way_out_when_it_has_a_gateway() -> None:
    graph = vpc(nat=NatMode.PER_ZONE)
    ways = {
        node.name: node.inputs["natGatewayId"]
        for node in graph.of_type("aws:ec2/route:Route")
        if "natGatewayId" in node.inputs
    }
    assert ways == {f"net-private-{letter}": f"net-nat-{letter}-id" for letter in "abc"}


def test_a_nat_gateway_waits_for_the_internet_gateway() -> None:
    graph = vpc(nat=NatMode.ONE)
    gateway = graph.one("aws:ec2/internetGateway:InternetGateway")
    assert gateway.urn in graph.one("aws:ec2/natGateway:NatGateway").depends_on


def test_going_from_one_gateway_to_one_a_zone_keeps_every_resource() -> None:
    before, after = vpc(nat=NatMode.ONE), vpc(nat=NatMode.PER_ZONE)
    assert set(before.nodes) <= set(after.nodes)
    for urn, node in before.nodes.items():
        if node.type_ != "aws:ec2/route:Route":
            assert after.nodes[urn].inputs == node.inputs


def test_a_named_zone_keeps_the_one_gateway_when_an_earlier_zone_comes() -> None:
    before = vpc(nat=NatMode.ONE, zones=ZONES[1:])
    after = vpc(nat=NatMode.ONE, zones=ZONES, nat_zone="us-east-1b")
    assert {urn: node.inputs for urn, node in after.nodes.items() if urn in before.nodes and "nat" in node.name} == {
        urn: node.inputs for urn, node in before.nodes.items() if "nat" in node.name
    }
    assert after.one("aws:ec2/natGateway:NatGateway").name == "net-nat-b"
    assert {
        node.inputs["natGatewayId"] for node in after.of_type("aws:ec2/route:Route") if "natGatewayId" in node.inputs
    } == {"net-nat-b-id"}


def test_a_zone_for_a_gateway_that_could_not_stand_there_is_refused() -> None:
    assert problems(nat=NatMode.ONE, nat_zone="us-east-1d") == [
        ("nat_zone", "name one of us-east-1a, us-east-1b, us-east-1c")
    ]
    for mode in (NatMode.NONE, NatMode.PER_ZONE):
        assert problems(nat=mode, nat_zone="us-east-1a") == [("nat_zone", "leave it out, or nat=one")]


def test_default_security_group_is_emptied() -> None:
    group = vpc().one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert (group.inputs["ingress"], group.inputs["egress"]) == ([], [])


def test_no_subnet_gives_addresses_on_the_internet() -> None:
    subnets = vpc().of_type("aws:ec2/subnet:Subnet")
    assert len(subnets) == 9
    assert not any(node.inputs["mapPublicIpOnLaunch"] for node in subnets)


def test_isolated_subnets_have_no_route() -> None:
    graph = vpc(nat=NatMode.PER_ZONE)
    assert not [node for node in graph.of_type("aws:ec2/route:Route") if "isolated" in node.name]


def test_nat_without_its_tiers_is_refused_before_the_first_resource() -> None:
    with pytest.raises(InvalidArgumentsError, match=r"nat = 'one'.*missing: "):
        vpc(nat=NatMode.ONE, tiers=[SubnetTier.ISOLATED])


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        vpc(cidr="11.0.0.0/8", zones=["nowhere", "us-east-1a", "eu-west-1a"], nat=NatMode.ONE, tiers=[])
    assert [problem.argument for problem in caught.value.problems] == ["cidr", "cidr", "zones", "zones", "nat"]


def problems(**args: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgumentsError) as caught:
        vpc(**args)
    return [(problem.argument, problem.fix) for problem in caught.value.problems]


class TestSizes:
    def test_a_tier_gets_what_it_needs_and_the_others_their_share(self) -> None:
        cidrs = {
            node.name: node.inputs["cidrBlock"]
            for node in vpc(zones=ZONES[:1], addresses={"private": 200}).of_type("aws:ec2/subnet:Subnet")
        }
        assert cidrs == {
            "net-private-a": "10.0.0.0/24",
            "net-isolated-a": "10.0.16.0/21",
            "net-public-a": "10.0.24.0/22",
        }

    def test_too_small_a_range_is_refused_with_the_prefix_that_does(self) -> None:
        assert problems(cidr="10.0.0.0/20", addresses={"private": 1000}) == [("cidr", "use a /18, or need less")]

    def test_an_unknown_tier_is_named(self) -> None:
        assert problems(addresses={"privat": 1}) == [
            ("addresses.privat", "did you mean 'private'? It takes: isolated, private, public")
        ]


class TestEndpoints:
    ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"

    def test_s3_alone_is_there_by_default(self) -> None:
        endpoint = vpc().one(self.ENDPOINT)
        assert (endpoint.name, endpoint.inputs["serviceName"]) == ("net-s3", "com.amazonaws.us-east-1.s3")
        assert len(endpoint.inputs["routeTableIds"]) == 5

    def test_interface_endpoints_let_only_the_vpc_in_and_nothing_out(self) -> None:
        graph = vpc(interface_endpoints=["sts", "ecr.api"], gateway_endpoints=["s3", "dynamodb"])
        assert {node.name for node in graph.of_type(self.ENDPOINT)} == {
            "net-s3",
            "net-dynamodb",
            "net-sts",
            "net-ecr.api",
        }
        group = graph.one("aws:ec2/securityGroup:SecurityGroup")
        assert not {"ingress", "egress"} & set(group.inputs)
        rule = graph.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        assert {key: rule.inputs[key] for key in ("cidrIpv4", "ipProtocol", "fromPort", "toPort")} == {
            "cidrIpv4": "10.0.0.0/16",
            "ipProtocol": "tcp",
            "fromPort": 443,
            "toPort": 443,
        }
        endpoint = graph.one(self.ENDPOINT, "net-ecr.api").inputs
        assert endpoint["privateDnsEnabled"] is True
        assert endpoint["subnetIds"] == [f"net-private-{letter}-id" for letter in "abc"]
        assert endpoint["securityGroupIds"] == ["net-endpoints-id"]

    def test_unknown_services_are_refused_with_the_nearest_name(self) -> None:
        assert problems(interface_endpoints=["ecr.apy", "sts", "sts"], gateway_endpoints=["dynamo"]) == [
            ("gateway_endpoints", "did you mean dynamodb?"),
            ("interface_endpoints", "did you mean ecr.api?"),
            ("interface_endpoints", "name it once"),
        ]

    def test_interface_endpoints_need_private_subnets(self) -> None:
        assert problems(interface_endpoints=["sts"], tiers=[SubnetTier.ISOLATED]) == [
            ("interface_endpoints", "add the tier private, or name no endpoints")
        ]


class TestFlowLogs:
    def test_all_traffic_is_logged_for_a_month_by_default(self) -> None:
        graph = vpc()
        log = graph.one("aws:ec2/flowLog:FlowLog").inputs
        group = graph.one("aws:cloudwatch/logGroup:LogGroup").inputs
        assert (log["trafficType"], log["vpcId"], group["retentionInDays"]) == ("ALL", "net-id", 30)

    def test_the_role_is_the_services_for_this_account_and_writes_to_its_group_alone(self) -> None:
        graph = vpc()
        (trust,) = json.loads(graph.one("aws:iam/role:Role").inputs["assumeRolePolicy"])["Statement"]
        assert trust["Principal"] == {"Service": ["vpc-flow-logs.amazonaws.com"]}
        assert trust["Condition"] == {
            "StringEquals": {"aws:SourceAccount": "123456789012"},
            "ArnLike": {"aws:SourceArn": "arn:aws:ec2:us-east-1:123456789012:vpc-flow-log/*"},
        }
        (may,) = json.loads(graph.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])["Statement"]
        group = "arn:aws:cloudwatch:us-east-1:123456789012:net-flow-logs"
        assert may["Resource"] == [group, f"{group}:*"]

    def test_zero_days_log_nothing(self) -> None:
        graph = vpc(flow_log_days=0)
        assert not [node for node in graph.nodes.values() if "flow-logs" in node.name]

    def test_days_that_cloudwatch_does_not_take_are_refused(self) -> None:
        ((argument, fix),) = problems(flow_log_days=31)
        assert argument == "flow_log_days"
        assert fix.startswith("choose 0 (no log) or 1, 3, 5, 7, 14, 30, 60")


class TestIpv6:
    def test_only_public_subnets_can_be_reached_and_give_no_address_unasked(self) -> None:
        graph = vpc(ipv6=True)
        routes = {
            node.name: node.inputs.get("gatewayId") or node.inputs.get("egressOnlyGatewayId")
            for node in graph.of_type("aws:ec2/route:Route")
            if node.inputs.get("destinationIpv6CidrBlock") == "::/0"
        }
        assert routes == {f"net-{suffix}-ipv6": "net-id" for suffix in ("public", *(f"private-{z}" for z in "abc"))}
        private = graph.one("aws:ec2/route:Route", "net-private-a-ipv6")
        assert private.inputs["egressOnlyGatewayId"] == "net-id"
        subnets = {node.name: node.inputs for node in graph.of_type("aws:ec2/subnet:Subnet")}
        assert subnets["net-private-b"]["ipv6CidrBlock"] == "2600:1f18:abc:de08::/64"
        assert {name for name, inputs in subnets.items() if not inputs["assignIpv6AddressOnCreation"]} == {
            f"net-public-{letter}" for letter in "abc"
        }

    def test_without_it_nothing_speaks_of_it(self) -> None:
        assert "pv6" not in json.dumps([dict[str, Any](node.inputs) for node in vpc().nodes.values()])
