"""Who may connect."""

from collections.abc import Iterator
from ipaddress import ip_network

from policy.model import Data, Finding, Resource, at, each, resource_rule

_GROUPS = ("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
_INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
# By version of the protocol. A larger network is a good part of the internet, such as either half of it.
_SHORTEST_PREFIX = {4: 8, 6: 16}


def open_network(cidr: Data) -> bool:
    """Whether an address range is the internet, or a good part of it."""
    try:
        network = ip_network(str(cidr), strict=False)
    except ValueError:
        return False
    return not network.is_private and network.prefixlen < _SHORTEST_PREFIX[network.version]


@resource_rule("no-open-ingress", "No security group lets the whole internet in.", *_GROUPS, _RULE, _INGRESS)
def no_open_ingress(resource: Resource) -> Iterator[Finding]:
    """Ingress from 0.0.0.0/0 or ::/0, in whichever of the resources it is written."""
    if resource.type in _GROUPS:
        entries = each(resource.get("ingress"))
    elif resource.type == _RULE and resource.get("type") != "ingress":
        entries = ()
    else:
        entries = (resource.properties,)
    for entry in entries:
        sources = [
            source
            for key in ("cidrBlocks", "ipv6CidrBlocks", "cidrIpv4", "cidrIpv6")
            for source in each(at(entry, key))
        ]
        for source in filter(open_network, sources):
            yield Finding(
                f"{_ports(entry)} open to {source}",
                "name the networks or the security group that connect, or put a load balancer with authentication "
                "before it",
            )


def _ports(entry: Data) -> str:
    protocol = at(entry, "protocol") or at(entry, "ipProtocol")
    first, last = (_whole(at(entry, key)) for key in ("fromPort", "toPort"))
    if protocol in ("-1", "all") or first is None:
        return "every port is"
    return f"port {first} is" if first == last or last is None else f"ports {first} to {last} are"


def _whole(value: Data) -> int | None:
    return int(value) if isinstance(value, int | float) else None
