import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.subnets import ZONE_LETTERS, SubnetTier, check_plan, plan_subnets

letters = st.sets(st.sampled_from(ZONE_LETTERS), min_size=1, max_size=6)
tiers = st.sets(st.sampled_from(SubnetTier), min_size=1)


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
