"""Address planning for a VPC: pure functions of plain data.

The plan is positional. A VPC is cut into eight equal zone blocks, one for each zone letter a-h, and in each zone block
every tier has its own place. A subnet's place depends on nothing but its own zone, its own tier and what that tier
needs: adding or removing a zone or a tier, or another tier's need, moves no subnet.

Source of the limits: AWS, "VPC CIDR blocks" (a VPC is /16 to /28; of Amazon's IPv6 addresses it gets a /56) and
"Subnet CIDR blocks" (a subnet is /16 to /28, /64 for IPv6, and AWS keeps the first four addresses and the last one).
"""

import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .errors import Problem

ZONE_LETTERS = "abcdefgh"
RESERVED_ADDRESSES = 5
"""How many addresses of each subnet AWS keeps for itself."""
_ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d[a-h]")
_RFC_1918 = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_WIDEST_VPC, _NARROWEST_VPC = 16, 22
_NARROWEST_SUBNET = 28
_ZONE_BITS = 3


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
# Which /64 of its zone a tier's subnet takes of the VPC's /56: eight for each zone.
_IPV6_PLACES = {SubnetTier.PRIVATE: 0, SubnetTier.ISOLATED: 1, SubnetTier.PUBLIC: 2}


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

    def ipv6_cidr(self, block: str) -> str:
        """Return the subnet's /64 of the VPC's IPv6 `block`, a /56; its place is as fixed as the IPv4 one."""
        index = 8 * ZONE_LETTERS.index(self.letter) + _IPV6_PLACES[self.tier]
        start = int(ipaddress.IPv6Network(block).network_address) + (index << 64)
        return str(ipaddress.IPv6Network((start, 64)))


def plan_subnets(
    cidr: str, zones: Iterable[str], tiers: Iterable[SubnetTier], addresses: Mapping[SubnetTier, int] | None = None
) -> tuple[Subnet, ...]:
    """Plan one subnet for each zone and tier inside `cidr` (IPv4, /16 to /22).

    Args:
        cidr: range of the VPC.
        zones: names of its zones.
        tiers: which subnets each zone gets.
        addresses: usable addresses that each subnet of a tier needs: it becomes the smallest one that has them. A
            tier without a need gets its usual share of the zone: private a half, isolated a quarter, public an eighth.

    Raises:
        ValueError: `check_plan` would have reported a problem.
    """
    zones, tiers, needs = list(zones), set(tiers), dict(addresses or {})
    problems = list(check_plan(cidr, zones, tiers, needs))
    if problems:
        raise ValueError("; ".join(map(str, problems)))
    return tuple(
        Subnet(zone, tier, str(_place(_zone_block(cidr, zone[-1]), tier, needs.get(tier))))
        for tier in sorted(tiers, key=list(SubnetTier).index)
        for zone in sorted(zones)
    )


def check_plan(
    cidr: str,
    zones: Sequence[str],
    tiers: Iterable[SubnetTier] = (),
    addresses: Mapping[SubnetTier, int] | None = None,
) -> Iterator[Problem]:
    """Yield what is wrong with a VPC's address range, its zones, and the sizes that its subnets need in the range."""
    in_cidr = list(check_cidr(cidr))
    yield from in_cidr
    yield from check_zones(zones)
    needs = dict(addresses or {})
    in_needs = [
        Problem(f"addresses.{tier}", need, "a subnet has at least one address", "give 1 or more, or leave it out")
        for tier, need in needs.items()
        if need < 1
    ]
    yield from in_needs
    if not in_cidr and not in_needs:
        yield from _check_room(cidr, {*tiers, *needs}, needs)


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


def overlaps(ranges: Mapping[str, str]) -> Iterator[Problem]:
    """Yield each pair of environments whose ranges share addresses; what is no range is left to `check_cidr`.

    Args:
        ranges: IPv4 range of each environment by its name.
    """
    networks: dict[str, ipaddress.IPv4Network] = {}
    for name, cidr in ranges.items():
        try:
            networks[name] = ipaddress.IPv4Network(cidr)
        except ValueError:
            continue
    for (one, first), (other, second) in itertools.combinations(networks.items(), 2):
        if first.overlaps(second):
            why = f"{one} and {other} ({second}) share addresses, so the two could never be connected"
            yield Problem(one, str(first), why, "give each environment a range of its own")


def _check_room(cidr: str, tiers: Iterable[SubnetTier], needs: Mapping[SubnetTier, int]) -> Iterator[Problem]:
    prefix = ipaddress.IPv4Network(cidr).prefixlen
    if not needs or _fits(prefix, tiers, needs):
        return
    wanted = ", ".join(f"{tier} {needs[tier]}" if tier in needs else f"{tier} its share" for tier in sorted(tiers))
    enough = [wider for wider in range(prefix - 1, _WIDEST_VPC - 1, -1) if _fits(wider, tiers, needs)]
    yield Problem(
        "cidr",
        cidr,
        f"it is too small for the addresses that a subnet of each tier needs ({wanted})",
        f"use a /{enough[0]}, or need less" if enough else "need less: even a /16 is too small",
    )


def _fits(prefix: int, tiers: Iterable[SubnetTier], needs: Mapping[SubnetTier, int]) -> bool:
    block = ipaddress.IPv4Network((0, prefix + _ZONE_BITS))
    if any(needs[tier] + RESERVED_ADDRESSES > block.num_addresses for tier in needs):
        return False
    places = [_place(block, tier, needs.get(tier)) for tier in tiers]
    return not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))


def _zone_block(cidr: str, letter: str) -> ipaddress.IPv4Network:
    return list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=_ZONE_BITS))[ZONE_LETTERS.index(letter)]


def _place(block: ipaddress.IPv4Network, tier: SubnetTier, need: int | None) -> ipaddress.IPv4Network:
    """Return a tier's place in its zone's block: around the start of its usual share, as large as it needs."""
    bits, index = _PLACES[tier]
    share = list(block.subnets(prefixlen_diff=bits))[index]
    if need is None:
        return share
    prefix = min(32 - (need + RESERVED_ADDRESSES - 1).bit_length(), _NARROWEST_SUBNET)
    return ipaddress.IPv4Network((int(share.network_address), prefix), strict=False)
