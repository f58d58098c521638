"""Exemptions: what counts as one, what they excuse and for how long."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.exemptions import FILE, Exemption, ExemptionsError, apply, parse
from policy.model import Finding
from policy.rules import RULES

TODAY = date(2030, 6, 1)
RULE = "no-open-ingress"
URN = "urn:pulumi:prod::shop::aws:ec2/securityGroup:SecurityGroup::balancer"
FOUND = Finding("port 443 is open to 0.0.0.0/0", "do not", URN)


def entry(**changed: str) -> str:
    fields = {"rule": f'"{RULE}"', "urn": f'"{URN}"', "reason": '"public by purpose"', "until": "2030-12-31", **changed}
    return "[[exemption]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items() if value)


def read(text: str) -> list[Exemption]:
    return parse(text, [rule.name for rule in RULES], TODAY)


def test_the_file_of_the_pack_and_its_example_are_right() -> None:
    text = FILE.read_text()
    read(text)
    example = text[text.index("# [[exemption]]") :].replace("# ", "")
    (found,) = parse(example, [rule.name for rule in RULES], date(2026, 6, 1))
    assert found.rule == RULE


def test_an_exemption_is_read() -> None:
    assert read(entry()) == [Exemption(RULE, URN, "public by purpose", date(2030, 12, 31))]
    assert read("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry(rule='"no-such-rule"'), "exemption 1: no rule is called no-such-rule; the rules are no-public-bucket"),
        (entry(reason=""), "reason must be a text"),
        (entry(reason='""'), "reason must be a text"),
        (entry(until='"2030-12-31"'), "until must be a date such as 2030-01-31"),
        (entry(until="2030-12-31T10:00:00"), "until must be a date"),
        (entry(until="2032-01-01"), "more than a year away"),
        (entry(why='"x"'), "unknown key why"),
        ("[exemption]\n", "two brackets"),
        ("exemption = [3]\n", "exemption 1: it is no table"),
        ("[[exemptions]]\n", "unknown key exemptions"),
        ("=", "not TOML"),
    ],
)
def test_a_mistake_is_told(text: str, said: str) -> None:
    with pytest.raises(ExemptionsError) as error:
        read(text)
    assert said in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ExemptionsError) as error:
        read(entry(rule='"x"', reason="") + entry(until="2040-01-01"))
    assert len(str(error.value).splitlines()) == 3


def test_it_excuses_its_resource_from_its_rule_alone() -> None:
    exemptions = read(entry())
    other = Finding("x", "y", f"{URN}-2")
    assert list(apply([FOUND, other], RULE, exemptions, TODAY)) == [(FOUND, exemptions[0]), (other, None)]
    assert list(apply([FOUND], "required-tags", exemptions, TODAY)) == [(FOUND, None)]


def test_one_that_has_ended_excuses_nothing_and_is_named() -> None:
    exemptions = read(entry(until="2030-05-31"))
    ((found, excused),) = apply([FOUND], RULE, exemptions, TODAY)
    assert excused is None
    assert found.what == f"{FOUND.what} (its exemption ended on 2030-05-31)"
    ((_, excused),) = apply([FOUND], RULE, [*exemptions, *read(entry(until="2030-06-01"))], TODAY)
    assert excused is not None


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    with suppress(ExemptionsError):
        assert read(text) == []
