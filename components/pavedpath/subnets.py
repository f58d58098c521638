"""Address planning for a VPC: pure functions of plain data.

The plan is positional. A VPC is cut into eight equal zone blocks, one for each zone letter a-h, and each zone block
has one fixed place for each tier. A subnet's place therefore depends on nothing but its own zone and tier: adding or
removing a zone or a tier moves no other subnet.

Source of the limits: AWS, "VPC CIDR blocks" (a VPC is /16 to /28) and "Subnet sizing" (a subnet is /16 to /28).
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .errors import Problem

ZONE_LETTERS = "abcdefgh"
_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d[a-h]")
_RFC_1918 = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_WIDEST_VPC, _NARROWEST_VPC = 16, 22


class SubnetTier(StrEnum):
    """What a subnet's route table reaches: the internet both ways, outwards through NAT, or nothing outside the VPC."""

    PUBLIC = "public"
    PRIVATE = "private"
    ISOLATED = "isolated"


class NatMode(StrEnum):
    """How private subnets reach the internet: not at all, through one NAT gateway, or through one in each zone."""

    NONE = "none"
    ONE = "one"
    PER_ZONE = "per_zone"


# Prefix bits below the zone block, and which block of that size: private takes the first half, isolated the third
# quarter, public the seventh eighth. The last eighth stays free for a tier to come.
_PLACES = {SubnetTier.PRIVATE: (1, 0), SubnetTier.ISOLATED: (2, 2), SubnetTier.PUBLIC: (3, 6)}


@dataclass(frozen=True)
class Subnet:
    """One planned subnet."""

    zone: str
    tier: SubnetTier
    cidr: str

    @property
    def letter(self) -> str:
        """The zone's letter, which names the subnet within its VPC."""
        return self.zone[-1]


def plan_subnets(cidr: str, zones: Iterable[str], tiers: Iterable[SubnetTier]) -> tuple[Subnet, ...]:
    """Plan one subnet for each zone and tier inside `cidr` (IPv4, /16 to /22).

    Raises:
        ValueError: `check_plan` would have reported a problem.
    """
    zones, tiers = list(zones), list(tiers)
    problems = list(check_plan(cidr, zones))
    if problems:
        raise ValueError("; ".join(map(str, problems)))
    blocks = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=3))
    return tuple(
        Subnet(zone, tier, str(_place(blocks[ZONE_LETTERS.index(zone[-1])], tier)))
        for tier in sorted(set(tiers), key=list(SubnetTier).index)
        for zone in sorted(zones)
    )


def check_plan(cidr: str, zones: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with a VPC's address range and zones."""
    yield from check_cidr(cidr)
    yield from check_zones(zones)


def check_zones(zones: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with a VPC's zones."""
    if not 1 <= len(zones) <= 6:
        yield Problem("zones", zones, "a VPC of this kind spans 1 to 6 zones", "name between one and six zones")
    for zone in zones:
        if not _ZONE.fullmatch(zone):
            yield Problem("zones", zone, "it is not the name of an availability zone", "write it like us-east-1a")
    repeated = sorted({zone for zone in zones if zones.count(zone) > 1})
    if repeated:
        yield Problem("zones", repeated, "a zone is named twice", "name each zone once")
    regions = sorted({zone[:-1] for zone in zones if _ZONE.fullmatch(zone)})
    if len(regions) > 1:
        yield Problem("zones", regions, "a VPC lies in one region", "name zones of one region")


def check_cidr(cidr: str) -> Iterator[Problem]:
    """Yield what is wrong with a VPC's address range."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        yield Problem("cidr", cidr, f"it is not an IPv4 network ({error})", "write it like 10.10.0.0/16")
        return
    if not _WIDEST_VPC <= network.prefixlen <= _NARROWEST_VPC:
        yield Problem(
            "cidr",
            cidr,
            "a VPC of this kind is /16 to /22, so that its smallest subnet is a /28",
            "choose such a prefix",
        )
    if not any(network.subnet_of(private) for private in _RFC_1918):
        yield Problem("cidr", cidr, "it is not a private range (RFC 1918)", "choose one inside 10.0.0.0/8")


def _place(block: ipaddress.IPv4Network, tier: SubnetTier) -> ipaddress.IPv4Network:
    bits, index = _PLACES[tier]
    return list(block.subnets(prefixlen_diff=bits))[index]
