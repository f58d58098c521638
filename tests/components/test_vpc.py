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
