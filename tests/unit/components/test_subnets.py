import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.subnets import (
    RESERVED_ADDRESSES,
    ZONE_LETTERS,
    Subnet,
    SubnetTier,
    check_plan,
    overlaps,
    plan_subnets,
)

letters = st.sets(st.sampled_from(ZONE_LETTERS), min_size=1, max_size=6)
tiers = st.sets(st.sampled_from(SubnetTier), min_size=1)


needs = st.dictionaries(st.sampled_from(SubnetTier), st.integers(1, 9000))


@st.composite
def cidrs(draw: st.DrawFn) -> str:
    prefix = draw(st.integers(16, 22))
    blocks = ipaddress.IPv4Network("10.0.0.0/8").num_addresses >> (32 - prefix)
    start = int(ipaddress.IPv4Address("10.0.0.0")) + (draw(st.integers(0, blocks - 1)) << (32 - prefix))
    return f"{ipaddress.IPv4Address(start)}/{prefix}"


def zones(chosen: set[str]) -> list[str]:
    return [f"eu-west-1{letter}" for letter in chosen]


def test_a_zone_is_the_whole_name() -> None:
    assert list(check_plan("10.0.0.0/16", ["us-east-1a\n"]))


@given(cidrs(), letters, tiers)
def test_subnets_lie_inside_and_apart(cidr: str, chosen: set[str], wanted: set[SubnetTier]) -> None:
    plan = [ipaddress.IPv4Network(subnet.cidr) for subnet in plan_subnets(cidr, zones(chosen), wanted)]
    assert len(plan) == len(chosen) * len(wanted)
    assert all(subnet.subnet_of(ipaddress.IPv4Network(cidr)) for subnet in plan)
    assert not any(a.overlaps(b) for i, a in enumerate(plan) for b in plan[i + 1 :])
    assert all(subnet.prefixlen <= 28 for subnet in plan)


@given(cidrs(), letters, letters, tiers, tiers)
def test_what_exists_never_moves(
    cidr: str, some: set[str], more: set[str], few: set[SubnetTier], others: set[SubnetTier]
) -> None:
    before = {(s.zone, s.tier): s.cidr for s in plan_subnets(cidr, zones(some), few)}
    grown = set(sorted(some | more)[:6]) | some
    after = {(s.zone, s.tier): s.cidr for s in plan_subnets(cidr, zones(set(sorted(grown)[:6])), few | others)}
    assert all(after[key] == place for key, place in before.items() if key in after)


@given(cidrs(), letters)
def test_the_order_of_zones_does_not_matter(cidr: str, chosen: set[str]) -> None:
    forwards, backwards = sorted(zones(chosen)), sorted(zones(chosen), reverse=True)
    assert plan_subnets(cidr, forwards, SubnetTier) == plan_subnets(cidr, backwards, SubnetTier)


@given(st.text(), st.lists(st.text(), max_size=8))
def test_rubbish_is_a_problem_and_never_a_traceback(cidr: str, names: list[str]) -> None:
    problems = list(check_plan(cidr, names))
    assert problems
    assert all(str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("cidr", "why"),
    [
        ("10.0.0.0/15", "/16 to /22"),
        ("10.0.0.0/23", "/16 to /22"),
        ("10.0.0.1/16", "not an IPv4 network"),
        ("8.8.0.0/16", "not a private range"),
        ("127.0.0.0/16", "not a private range"),
        ("169.254.0.0/16", "not a private range"),
    ],
)
def test_ranges_that_cannot_be(cidr: str, why: str) -> None:
    assert any(why in problem.why for problem in check_plan(cidr, ["us-east-1a"]))
    with pytest.raises(ValueError, match=why):
        plan_subnets(cidr, ["us-east-1a"], SubnetTier)


def test_the_shares_are_those_of_every_release() -> None:
    plan = plan_subnets("10.10.0.0/16", ["us-east-1a", "us-east-1h"], SubnetTier)
    assert {f"{subnet.tier}-{subnet.letter}": subnet.cidr for subnet in plan} == {
        "public-a": "10.10.24.0/22",
        "public-h": "10.10.248.0/22",
        "private-a": "10.10.0.0/20",
        "private-h": "10.10.224.0/20",
        "isolated-a": "10.10.16.0/21",
        "isolated-h": "10.10.240.0/21",
    }


class TestSizesByNeed:
    @given(cidrs(), letters, tiers, needs)
    def test_a_plan_gives_what_is_needed_or_says_which_prefix_does(
        self, cidr: str, chosen: set[str], wanted: set[SubnetTier], needed: dict[SubnetTier, int]
    ) -> None:
        problems = list(check_plan(cidr, zones(chosen), wanted, needed))
        if problems:
            assert [problem.argument for problem in problems] == ["cidr"]
            prefixes = [int(cidr.partition("/")[2]), 16]
            if "even a /16" not in problems[0].fix:
                prefixes = [int(problems[0].fix.split("/")[1].split(",")[0])]
                assert list(check_plan(f"10.0.0.0/{prefixes[0]}", zones(chosen), wanted, needed)) == []
                prefixes = [prefixes[0] + 1]
            assert all(list(check_plan(f"10.0.0.0/{each}", zones(chosen), wanted, needed)) for each in prefixes)
            return
        plan = plan_subnets(cidr, zones(chosen), wanted, needed)
        networks = [ipaddress.IPv4Network(subnet.cidr) for subnet in plan]
        assert all(network.subnet_of(ipaddress.IPv4Network(cidr)) for network in networks)
        assert not any(a.overlaps(b) for i, a in enumerate(networks) for b in networks[i + 1 :])
        for subnet, network in zip(plan, networks, strict=True):
            if subnet.tier in needed:
                assert network.num_addresses - RESERVED_ADDRESSES >= needed[subnet.tier]
                half = network.num_addresses // 2 - RESERVED_ADDRESSES
                assert network.prefixlen == 28 or half < needed[subnet.tier]

    @given(cidrs(), letters, letters, tiers, tiers, needs, needs)
    def test_nothing_moves_but_a_tier_whose_own_need_changes(
        self,
        cidr: str,
        some: set[str],
        more: set[str],
        few: set[SubnetTier],
        others: set[SubnetTier],
        before: dict[SubnetTier, int],
        after: dict[SubnetTier, int],
    ) -> None:
        grown = set(sorted(some | more)[:6])
        if list(check_plan(cidr, zones(some), few, before)) or list(check_plan(cidr, zones(grown), others, after)):
            return
        old = {(s.zone, s.tier): s.cidr for s in plan_subnets(cidr, zones(some), few, before)}
        new = {(s.zone, s.tier): s.cidr for s in plan_subnets(cidr, zones(grown), others, after)}
        for place in old.keys() & new.keys():
            if before.get(place[1]) == after.get(place[1]):
                assert new[place] == old[place]

    @pytest.mark.parametrize("need", [0, -1])
    def test_less_than_one_address_is_refused(self, need: int) -> None:
        (problem,) = check_plan("10.0.0.0/16", ["us-east-1a"], SubnetTier, {SubnetTier.PRIVATE: need})
        assert problem.argument == "addresses.private"

    def test_a_range_that_is_too_small_is_told_the_prefix_that_does(self) -> None:
        (problem,) = check_plan("10.0.0.0/20", ["us-east-1a"], SubnetTier, {SubnetTier.PRIVATE: 1000})
        assert str(problem) == (
            "cidr = '10.0.0.0/20': it is too small for the addresses that a subnet of each tier needs (isolated its"
            " share, private 1000, public its share). Fix: use a /18, or need less."
        )

    def test_what_no_range_holds_is_told_so(self) -> None:
        (problem,) = check_plan("10.0.0.0/20", ["us-east-1a"], SubnetTier, {SubnetTier.PRIVATE: 100_000})
        assert problem.fix == "need less: even a /16 is too small"


class TestIpv6:
    BLOCK = "2600:1f18:abc:de00::/56"

    def test_every_subnet_has_a_place_of_its_own_in_the_block(self) -> None:
        planned = [Subnet(f"us-east-1{letter}", tier, "") for letter in ZONE_LETTERS for tier in SubnetTier]
        ranges = [ipaddress.IPv6Network(subnet.ipv6_cidr(self.BLOCK)) for subnet in planned]
        assert len(set(ranges)) == len(planned)
        assert all(each.subnet_of(ipaddress.IPv6Network(self.BLOCK)) and each.prefixlen == 64 for each in ranges)

    def test_the_places_are_those_of_every_release(self) -> None:
        places = {
            f"{tier}-{zone[-1]}": Subnet(zone, tier, "").ipv6_cidr(self.BLOCK)
            for zone in ("x-1a", "x-1h")
            for tier in SubnetTier
        }
        assert places == {
            "private-a": "2600:1f18:abc:de00::/64",
            "isolated-a": "2600:1f18:abc:de01::/64",
            "public-a": "2600:1f18:abc:de02::/64",
            "private-h": "2600:1f18:abc:de38::/64",
            "isolated-h": "2600:1f18:abc:de39::/64",
            "public-h": "2600:1f18:abc:de3a::/64",
        }


class TestOverlaps:
    @given(st.dictionaries(st.sampled_from(["dev", "test", "prod"]), cidrs()))
    def test_each_pair_that_shares_an_address_is_named_once(self, ranges: dict[str, str]) -> None:
        found = list(overlaps(ranges))
        networks = {name: ipaddress.IPv4Network(cidr) for name, cidr in ranges.items()}
        shared = {frozenset((a, b)) for a in networks for b in networks if a != b and networks[a].overlaps(networks[b])}
        assert len(found) == len(shared)
        for problem in found:
            assert any(problem.argument in pair and f"{problem.argument} and" in problem.why for pair in shared)

    def test_what_is_no_range_is_left_to_its_own_check(self) -> None:
        assert list(overlaps({"dev": "nonsense", "prod": "10.0.0.0/16"})) == []
