"""A virtual network over several zones."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from .component import Component
from .errors import Problem
from .iam import Statement, identity_policy, service_trust
from .shapes import read
from .subnets import NatMode, Subnet, SubnetTier, check_plan, plan_subnets

# Source: AWS, "Gateway endpoints"; these two alone, and they are free.
_GATEWAY_SERVICES = ("dynamodb", "s3")
# Source: AWS, "AWS services that integrate with AWS PrivateLink": what stands behind com.amazonaws.<region>.
_INTERFACE_SERVICE_NAMES = """
    access-analyzer account acm-pca airflow.api airflow.env airflow.ops apigateway appconfig appconfigdata
    application-autoscaling athena autoscaling autoscaling-plans backup backup-gateway batch bedrock bedrock-agent
    bedrock-agent-runtime bedrock-runtime cassandra cloudformation cloudhsmv2 cloudtrail codeartifact.api
    codeartifact.repositories codebuild codecommit codedeploy codedeploy-commands-secure codepipeline cognito-idp
    comprehend config databrew dataexchange datasync devops-guru dms ds ebs ec2 ec2messages ecr.api ecr.dkr ecs
    ecs-agent ecs-telemetry eks eks-auth elasticache elasticbeanstalk elasticbeanstalk-health elasticfilesystem
    elasticloadbalancing elasticmapreduce email-smtp emr-containers emr-serverless events evidently execute-api fis
    fsx git-codecommit glue grafana guardduty guardduty-data imagebuilder inspector2 iot.data kafka kendra
    kinesis-firehose kinesis-streams kms lakeformation lambda logs macie2 monitoring network-firewall pi
    proxy-runtime quicksight ram rds rds-data redshift redshift-data rekognition resource-groups
    rolesanywhere sagemaker.api sagemaker.featurestore-runtime sagemaker.metrics sagemaker.runtime scheduler
    secretsmanager securityhub servicecatalog servicediscovery sns sqs ssm ssm-contacts ssm-incidents ssmmessages
    states storagegateway sts support synthetics tagging textract transcribe transfer transfer.server
    verifiedpermissions vpc-lattice wellarchitected workspaces xray
"""
_INTERFACE_SERVICES = tuple(_INTERFACE_SERVICE_NAMES.split())
# Source: AWS, API reference of CloudWatch Logs PutRetentionPolicy, retentionInDays.
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180),
    *(365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Days that CloudWatch may be told to keep a log."""


class SubnetAddressesArgs(TypedDict):
    """Usable addresses that each subnet of a tier needs; AWS keeps five more of every subnet for itself."""

    public: NotRequired[int]
    """In each public subnet. Default: an eighth of the zone's addresses."""
    private: NotRequired[int]
    """In each private subnet. Default: half of the zone's addresses."""
    isolated: NotRequired[int]
    """In each isolated subnet. Default: a quarter of the zone's addresses."""


class VpcArgs(TypedDict):
    """Arguments of `Vpc`."""

    cidr: str
    """IPv4 range of the VPC, /16 to /22, private (RFC 1918)."""
    zones: Sequence[str]
    """Availability zones, 1 to 6 names of one region, for example us-east-1a."""
    tiers: NotRequired[Sequence[SubnetTier]]
    """Which subnets each zone gets. Default: all three."""
    addresses: NotRequired[SubnetAddressesArgs]
    """Sizes of the subnets by need; changing one later replaces that tier's subnets. Default: fixed shares."""
    nat: NotRequired[NatMode]
    """How private subnets reach the internet. Default: none."""
    nat_zone: NotRequired[str]
    """Zone of the one gateway of nat=one; another one replaces the gateway and its address. Default: the first of the
    zones by name, so that it must be named before an earlier zone is added."""
    gateway_endpoints: NotRequired[Sequence[str]]
    """Services that every subnet reaches inside AWS, free: s3, dynamodb. Default: s3."""
    interface_endpoints: NotRequired[Sequence[str]]
    """Services that the VPC reaches without the internet, by their short names, for example ecr.api, ecr.dkr, sts,
    kms, logs. AWS charges each by the hour and zone, and by data. Default: none."""
    flow_log_days: NotRequired[int]
    """Days that CloudWatch keeps the log of all connections; 0 logs none. Default: 30."""
    ipv6: NotRequired[bool]
    """Whether subnets get IPv6 ranges of Amazon's, too; private ones then reach the internet by IPv6 (never the other
    way round), whatever `nat` says. AWS does not take a range back while subnets use it. Default: false."""


@dataclass(frozen=True)
class _Addresses:
    public: int | None = None
    private: int | None = None
    isolated: int | None = None

    def by_tier(self) -> dict[SubnetTier, int]:
        stated = {tier: getattr(self, tier) for tier in SubnetTier}
        return {tier: need for tier, need in stated.items() if need is not None}


@dataclass(frozen=True)
class _Vpc:
    cidr: str
    zones: Sequence[str]
    tiers: Sequence[SubnetTier] = field(default_factory=lambda: tuple(SubnetTier))
    addresses: _Addresses = _Addresses()
    nat: NatMode = NatMode.NONE
    nat_zone: str | None = None
    gateway_endpoints: Sequence[str] = ("s3",)
    interface_endpoints: Sequence[str] = ()
    flow_log_days: int = 30
    ipv6: bool = False

    def problems(self) -> Iterator[Problem]:
        yield from check_plan(self.cidr, self.zones, self.tiers, self.addresses.by_tier())
        missing = {SubnetTier.PUBLIC, SubnetTier.PRIVATE} - set(self.tiers)
        if self.nat is not NatMode.NONE and missing:
            yield Problem(
                "nat",
                str(self.nat),
                f"a NAT gateway stands in a public subnet and serves private ones; missing: {sorted(missing)}",
                "add the tiers, or nat=none",
            )
        if self.nat_zone is not None and self.nat is not NatMode.ONE:
            why = f"it is where the one gateway stands, and nat is {self.nat}"
            yield Problem("nat_zone", self.nat_zone, why, "leave it out, or nat=one")
        elif self.nat_zone is not None and self.nat_zone not in self.zones:
            fix = f"name one of {', '.join(sorted(self.zones))}"
            yield Problem("nat_zone", self.nat_zone, "the gateway would stand in none of the zones", fix)
        yield from _unknown_services("gateway_endpoints", self.gateway_endpoints, _GATEWAY_SERVICES)
        yield from _unknown_services("interface_endpoints", self.interface_endpoints, _INTERFACE_SERVICES)
        if self.interface_endpoints and SubnetTier.PRIVATE not in self.tiers:
            why = "interface endpoints stand in private subnets, and there are none"
            yield Problem("interface_endpoints", None, why, "add the tier private, or name no endpoints")
        if self.flow_log_days and self.flow_log_days not in RETENTION_DAYS:
            fix = f"choose 0 (no log) or {', '.join(map(str, RETENTION_DAYS))}"
            yield Problem("flow_log_days", self.flow_log_days, "CloudWatch does not take this number of days", fix)


def _unknown_services(argument: str, given: Sequence[str], known: Sequence[str]) -> Iterator[Problem]:
    for service in given:
        if service not in known:
            near = difflib.get_close_matches(service, known, n=1)
            fix = f"did you mean {near[0]}?" if near else f"name one of {', '.join(known)}"
            yield Problem(argument, service, "AWS has no such endpoint", fix)
    for twice in sorted({service for service in given if given.count(service) > 1}):
        yield Problem(argument, twice, "it is named twice", "name it once")


class Vpc(Component):
    """A VPC with public, private and isolated subnets in each zone.

    Creates: the VPC; its default security group, emptied of every rule; an internet gateway (with a public tier); one
    subnet for each zone and tier at a place that never moves (see `pavedpath.subnets`); route tables (one public, one
    isolated, one private for each zone); NAT gateways with their addresses by `nat`; gateway endpoints, which are free
    and keep that traffic inside AWS; interface endpoints with one security group that lets only the VPC's range in, on
    port 443; an egress-only gateway (with IPv6 and a private tier); flow logs of all traffic with their CloudWatch log
    group and the role that writes there.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    vpc_id: pulumi.Output[str]
    """Id of the VPC."""
    cidr: pulumi.Output[str]
    """IPv4 range of the VPC."""
    ipv6_cidr: pulumi.Output[str]
    """IPv6 range of the VPC; empty without one."""
    public_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the public subnets, in the order of the zones' names."""
    private_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the private subnets, in the order of the zones' names."""
    isolated_subnet_ids: pulumi.Output[Sequence[str]]
    """Ids of the isolated subnets, in the order of the zones' names."""
    private_route_table_ids: pulumi.Output[Sequence[str]]
    """Ids of the private subnets' route tables, in the order of the zones' names."""

    def __init__(self, name: str, args: VpcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_Vpc, args, "Vpc", name)
        super().__init__(name, opts)
        self._name = name
        self._ipv6 = parsed.ipv6
        self._vpc = aws.ec2.Vpc(
            name,
            cidr_block=parsed.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            assign_generated_ipv6_cidr_block=parsed.ipv6 or None,
            opts=self.child(),
        )
        aws.ec2.DefaultSecurityGroup(name, vpc_id=self._vpc.id, ingress=[], egress=[], opts=self.child())
        plan = plan_subnets(parsed.cidr, parsed.zones, parsed.tiers, parsed.addresses.by_tier())
        subnets = {planned: self._subnet(planned) for planned in plan}
        gateway = self._internet_gateway(subnets)
        tables = self._public_routes(subnets, gateway) | self._isolated_routes(subnets)
        private_tables = self._private_routes(subnets, self._nat_gateways(subnets, parsed, gateway))
        tables |= private_tables
        region = parsed.zones[0][:-1]
        self._gateway_endpoints(region, parsed.gateway_endpoints, tables)
        self._interface_endpoints(region, parsed, _tier(subnets, SubnetTier.PRIVATE))
        if parsed.flow_log_days:
            self._flow_log(parsed.flow_log_days)

        self.vpc_id = self._vpc.id
        self.cidr = self._vpc.cidr_block
        self.ipv6_cidr = self._vpc.ipv6_cidr_block if parsed.ipv6 else pulumi.Output.from_input("")
        self.public_subnet_ids = _ids(subnets, SubnetTier.PUBLIC)
        self.private_subnet_ids = _ids(subnets, SubnetTier.PRIVATE)
        self.isolated_subnet_ids = _ids(subnets, SubnetTier.ISOLATED)
        self.private_route_table_ids = pulumi.Output.all(*[table.id for table in private_tables.values()])
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "cidr": self.cidr,
                "ipv6_cidr": self.ipv6_cidr,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "isolated_subnet_ids": self.isolated_subnet_ids,
                "private_route_table_ids": self.private_route_table_ids,
            }
        )

    def _subnet(self, planned: Subnet) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._name}-{planned.tier}-{planned.letter}",
            vpc_id=self._vpc.id,
            cidr_block=planned.cidr,
            availability_zone=planned.zone,
            map_public_ip_on_launch=False,  # an address on the internet is asked for by name, never by where one lands
            ipv6_cidr_block=self._vpc.ipv6_cidr_block.apply(planned.ipv6_cidr) if self._ipv6 else None,
            # Of a public subnet's IPv6 addresses every one is on the internet.
            assign_ipv6_address_on_creation=planned.tier is not SubnetTier.PUBLIC if self._ipv6 else None,
            opts=self.child(delete_before_replace=True),  # another size lies around the same place
        )

    def _route_table(self, suffix: str, members: dict[Subnet, aws.ec2.Subnet]) -> aws.ec2.RouteTable:
        table = aws.ec2.RouteTable(f"{self._name}-{suffix}", vpc_id=self._vpc.id, opts=self.child())
        for planned, subnet in members.items():
            aws.ec2.RouteTableAssociation(
                f"{self._name}-{planned.tier}-{planned.letter}",
                route_table_id=table.id,
                subnet_id=subnet.id,
                opts=self.child(),
            )
        return table

    def _internet_gateway(self, subnets: dict[Subnet, aws.ec2.Subnet]) -> aws.ec2.InternetGateway | None:
        if not _tier(subnets, SubnetTier.PUBLIC):
            return None
        return aws.ec2.InternetGateway(self._name, vpc_id=self._vpc.id, opts=self.child())

    def _public_routes(
        self, subnets: dict[Subnet, aws.ec2.Subnet], gateway: aws.ec2.InternetGateway | None
    ) -> dict[str, aws.ec2.RouteTable]:
        if gateway is None:
            return {}
        table = self._route_table("public", _tier(subnets, SubnetTier.PUBLIC))
        aws.ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=self.child(),
        )
        if self._ipv6:
            aws.ec2.Route(
                f"{self._name}-public-ipv6",
                route_table_id=table.id,
                destination_ipv6_cidr_block="::/0",
                gateway_id=gateway.id,
                opts=self.child(),
            )
        return {"public": table}

    def _isolated_routes(self, subnets: dict[Subnet, aws.ec2.Subnet]) -> dict[str, aws.ec2.RouteTable]:
        members = _tier(subnets, SubnetTier.ISOLATED)
        return {"isolated": self._route_table("isolated", members)} if members else {}

    def _nat_gateways(
        self, subnets: dict[Subnet, aws.ec2.Subnet], parsed: _Vpc, gateway: aws.ec2.InternetGateway | None
    ) -> dict[str, aws.ec2.NatGateway]:
        public = _tier(subnets, SubnetTier.PUBLIC)
        zones = {
            NatMode.NONE: [],
            NatMode.ONE: [parsed.nat_zone or min(parsed.zones)],
            NatMode.PER_ZONE: parsed.zones,
        }[parsed.nat]
        gateways: dict[str, aws.ec2.NatGateway] = {}
        for planned, subnet in public.items():
            if planned.zone not in zones:
                continue
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
        members = _tier(subnets, SubnetTier.PRIVATE)
        egress_only = (
            aws.ec2.EgressOnlyInternetGateway(self._name, vpc_id=self._vpc.id, opts=self.child())
            if self._ipv6 and members
            else None
        )
        tables: dict[str, aws.ec2.RouteTable] = {}
        for planned, subnet in members.items():
            suffix = f"private-{planned.letter}"
            # One table a zone even with one gateway: going to per_zone then changes a route and moves no subnet.
            table = tables[suffix] = self._route_table(suffix, {planned: subnet})
            gateway = gateways.get(planned.letter) or next(iter(gateways.values()), None)
            if gateway:
                aws.ec2.Route(
                    f"{self._name}-{suffix}",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=gateway.id,
                    opts=self.child(),
                )
            if egress_only:
                aws.ec2.Route(
                    f"{self._name}-{suffix}-ipv6",
                    route_table_id=table.id,
                    destination_ipv6_cidr_block="::/0",
                    egress_only_gateway_id=egress_only.id,
                    opts=self.child(),
                )
        return tables

    def _gateway_endpoints(
        self, region: str, services: Sequence[str], tables: Mapping[str, aws.ec2.RouteTable]
    ) -> None:
        for service in sorted(services):
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables.values()],
                opts=self.child(),
            )

    def _interface_endpoints(self, region: str, parsed: _Vpc, private: Mapping[Subnet, aws.ec2.Subnet]) -> None:
        if not parsed.interface_endpoints:
            return
        endpoints = f"{self._name}-endpoints"
        # No rule of its own: a group that states none lets nothing out, and the rule below is what lets in.
        group = aws.ec2.SecurityGroup(
            endpoints,
            vpc_id=self._vpc.id,
            description="Interface endpoints: HTTPS from inside the VPC",
            opts=self.child(),
        )
        aws.vpc.SecurityGroupIngressRule(
            endpoints,
            security_group_id=group.id,
            cidr_ipv4=parsed.cidr,
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            opts=self.child(),
        )
        for service in sorted(parsed.interface_endpoints):
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=[subnet.id for subnet in private.values()],
                security_group_ids=[group.id],
                opts=self.child(),
            )

    def _flow_log(self, days: int) -> None:
        flow_logs = f"{self._name}-flow-logs"
        group = aws.cloudwatch.LogGroup(flow_logs, retention_in_days=days, opts=self.keeper())
        role = aws.iam.Role(
            flow_logs,
            assume_role_policy=self._vpc.arn.apply(flow_log_trust),
            description=f"Writes the flow logs of the VPC {self._name}",
            opts=self.child(),
        )
        policy = aws.iam.RolePolicy(flow_logs, role=role.id, policy=group.arn.apply(flow_log_policy), opts=self.child())
        aws.ec2.FlowLog(
            flow_logs,
            vpc_id=self._vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=self.child(depends_on=[policy]),  # else the first records could find the role without its rights
        )


def flow_log_trust(vpc_arn: str) -> str:
    """Render the trust of the role that writes flow logs: the service, for flow logs of the VPC's account and region.

    Source: AWS, "IAM role for publishing flow logs to CloudWatch Logs".
    """
    _, partition, _, region, account, _ = vpc_arn.split(":", 5)
    source = f"arn:{partition}:ec2:{region}:{account}:vpc-flow-log/*"
    return service_trust("vpc-flow-logs.amazonaws.com", account, source)


def flow_log_policy(group_arn: str) -> str:
    """Render what that role may do: write to its own log group, which exists, and read the names in it."""
    group = group_arn.removesuffix(":*")
    actions = ["logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    return identity_policy([Statement("WriteFlowLogs", actions, [group, f"{group}:*"])])


def _tier(subnets: dict[Subnet, aws.ec2.Subnet], tier: SubnetTier) -> dict[Subnet, aws.ec2.Subnet]:
    return {planned: subnet for planned, subnet in subnets.items() if planned.tier is tier}


def _ids(subnets: dict[Subnet, aws.ec2.Subnet], tier: SubnetTier) -> pulumi.Output[Sequence[str]]:
    return pulumi.Output.all(*[subnet.id for subnet in _tier(subnets, tier).values()])
