"""A virtual network over several zones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component, parse
from .errors import Problem
from .subnets import NatMode, Subnet, SubnetTier, check_plan, plan_subnets


class VpcArgs(TypedDict):
    """Arguments of `Vpc`."""

    cidr: str
    """IPv4 range of the VPC, /16 to /22, private (RFC 1918)."""
    zones: Sequence[str]
    """Availability zones, 1 to 6 names of one region, for example us-east-1a."""
    tiers: NotRequired[Sequence[SubnetTier]]
    """Which subnets each zone gets. Default: all three."""
    nat: NotRequired[NatMode]
    """How private subnets reach the internet. Default: none."""


@dataclass(frozen=True)
class _Vpc:
    cidr: str
    zones: Sequence[str]
    tiers: Sequence[SubnetTier] = field(default_factory=lambda: tuple(SubnetTier))
    nat: NatMode = NatMode.NONE

    def problems(self) -> Iterator[Problem]:
        yield from check_plan(self.cidr, self.zones)
        missing = {SubnetTier.PUBLIC, SubnetTier.PRIVATE} - set(self.tiers)
        if self.nat is not NatMode.NONE and missing:
            yield Problem(
                "nat",
                str(self.nat),
                f"a NAT gateway stands in a public subnet and serves private ones; missing: {sorted(missing)}",
                "add the tiers, or nat=none",
            )


class Vpc(Component):
    """A VPC with public, private and isolated subnets in each zone.

    Creates: the VPC; its default security group, emptied of every rule; an internet gateway (with a public tier); one
    subnet for each zone and tier at a place that never moves (see `pavedpath.subnets`); route tables (one public, one
    isolated, one private for each zone); NAT gateways with their addresses by `nat`; a gateway endpoint for S3, which
    is free and keeps that traffic inside AWS.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    vpc_id: pulumi.Output[str]
    """Id of the VPC."""
    public_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the public subnets, in the order of the zones' names."""
    private_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the private subnets, in the order of the zones' names."""
    isolated_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the isolated subnets, in the order of the zones' names."""

    def __init__(self, name: str, args: VpcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_Vpc, args, "Vpc", name)
        super().__init__(name, opts)
        self._name = name
        self._vpc = aws.ec2.Vpc(
            name, cidr_block=parsed.cidr, enable_dns_hostnames=True, enable_dns_support=True, opts=self.child()
        )
        aws.ec2.DefaultSecurityGroup(name, vpc_id=self._vpc.id, ingress=[], egress=[], opts=self.child())
        plan = plan_subnets(parsed.cidr, parsed.zones, parsed.tiers)
        subnets = {planned: self._subnet(planned) for planned in plan}
        gateway = self._internet_gateway(subnets)
        tables = self._public_routes(subnets, gateway) | self._isolated_routes(subnets)
        tables |= self._private_routes(subnets, self._nat_gateways(subnets, parsed.nat, gateway))
        self._s3_endpoint(parsed.zones[0][:-1], tables)

        self.vpc_id = self._vpc.id
        self.public_subnet_ids = _ids(subnets, SubnetTier.PUBLIC)
        self.private_subnet_ids = _ids(subnets, SubnetTier.PRIVATE)
        self.isolated_subnet_ids = _ids(subnets, SubnetTier.ISOLATED)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "isolated_subnet_ids": self.isolated_subnet_ids,
            }
        )

    def _subnet(self, planned: Subnet) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._name}-{planned.tier}-{planned.letter}",
            vpc_id=self._vpc.id,
            cidr_block=planned.cidr,
            availability_zone=planned.zone,
            map_public_ip_on_launch=False,  # an address on the internet is asked for by name, never by where one lands
            opts=self.child(),
        )

    def _route_table(
        self, suffix: str, members: dict[Subnet, aws.ec2.Subnet], target: dict[str, pulumi.Input[str]] | None = None
    ) -> dict[str, aws.ec2.RouteTable]:
        table_name = f"{self._name}-{suffix}"
        table = aws.ec2.RouteTable(table_name, vpc_id=self._vpc.id, opts=self.child())
        if target:
            aws.ec2.Route(
                table_name,
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                gateway_id=target.get("gateway_id"),
                nat_gateway_id=target.get("nat_gateway_id"),
                opts=self.child(),
            )
        for planned, subnet in members.items():
            aws.ec2.RouteTableAssociation(
                f"{self._name}-{planned.tier}-{planned.letter}",
                route_table_id=table.id,
                subnet_id=subnet.id,
                opts=self.child(),
            )
        return {suffix: table}

    def _internet_gateway(self, subnets: dict[Subnet, aws.ec2.Subnet]) -> aws.ec2.InternetGateway | None:
        if not _tier(subnets, SubnetTier.PUBLIC):
            return None
        return aws.ec2.InternetGateway(self._name, vpc_id=self._vpc.id, opts=self.child())

    def _public_routes(
        self, subnets: dict[Subnet, aws.ec2.Subnet], gateway: aws.ec2.InternetGateway | None
    ) -> dict[str, aws.ec2.RouteTable]:
        if gateway is None:
            return {}
        return self._route_table("public", _tier(subnets, SubnetTier.PUBLIC), {"gateway_id": gateway.id})

    def _isolated_routes(self, subnets: dict[Subnet, aws.ec2.Subnet]) -> dict[str, aws.ec2.RouteTable]:
        members = _tier(subnets, SubnetTier.ISOLATED)
        return self._route_table("isolated", members) if members else {}

    def _nat_gateways(
        self, subnets: dict[Subnet, aws.ec2.Subnet], nat: NatMode, gateway: aws.ec2.InternetGateway | None
    ) -> dict[str, aws.ec2.NatGateway]:
        public = list(_tier(subnets, SubnetTier.PUBLIC).items())
        chosen = {NatMode.NONE: [], NatMode.ONE: public[:1], NatMode.PER_ZONE: public}[nat]
        gateways: dict[str, aws.ec2.NatGateway] = {}
        for planned, subnet in chosen:
            nat_name = f"{self._name}-nat-{planned.letter}"
            address = aws.ec2.Eip(nat_name, domain="vpc", opts=self.child())
            gateways[planned.letter] = aws.ec2.NatGateway(
                nat_name,
                allocation_id=address.id,
                subnet_id=subnet.id,
                opts=self.child(depends_on=[gateway]),  # AWS fails a NAT gateway in a VPC that has none attached yet
            )
        return gateways

    def _private_routes(
        self, subnets: dict[Subnet, aws.ec2.Subnet], gateways: dict[str, aws.ec2.NatGateway]
    ) -> dict[str, aws.ec2.RouteTable]:
        tables: dict[str, aws.ec2.RouteTable] = {}
        for planned, subnet in _tier(subnets, SubnetTier.PRIVATE).items():
            gateway = gateways.get(planned.letter) or next(iter(gateways.values()), None)
            target: dict[str, pulumi.Input[str]] | None = {"nat_gateway_id": gateway.id} if gateway else None
            # One table a zone even with one gateway: going to per_zone then changes a route and moves no subnet.
            tables |= self._route_table(f"private-{planned.letter}", {planned: subnet}, target)
        return tables

    def _s3_endpoint(self, region: str, tables: dict[str, aws.ec2.RouteTable]) -> None:
        aws.ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables.values()],
            opts=self.child(),
        )


def _tier(subnets: dict[Subnet, aws.ec2.Subnet], tier: SubnetTier) -> dict[Subnet, aws.ec2.Subnet]:
    return {planned: subnet for planned, subnet in subnets.items() if planned.tier is tier}


def _ids(subnets: dict[Subnet, aws.ec2.Subnet], tier: SubnetTier) -> pulumi.Output[Sequence[str]]:
    return pulumi.Output.all(*[subnet.id for subnet in _tier(subnets, tier).values()])
