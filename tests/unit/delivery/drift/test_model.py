"""Findings together: sorted, each once, with exceptions."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.drift.model import Accepted, Audit, Finding, Severity, Unchecked, conclude
from pavedpath_delivery.drift.run import Asked, DriftReport, check, exceptions, lines
from pavedpath_delivery.drift.stacks import findings, repositories
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.stack.diff import PropertyChange, ResourceChange

TODAY = date(2026, 4, 6)
REASON = "the receiver is replaced next month"


def finding(rule: str, where: str, severity: Severity = Severity.LOW) -> Finding:
    return Finding(rule, where, "is", "should be", "why", "fix", severity)


FINDINGS = st.lists(
    st.builds(finding, st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.sampled_from(list(Severity)))
)
EXCEPTIONS = st.lists(
    st.builds(
        Accepted,
        rule=st.sampled_from("abc"),
        where=st.sampled_from(["", "x"]),
        reason=st.just(REASON),
        expires=st.dates(TODAY - timedelta(days=3), TODAY + timedelta(days=3)),
    )
)


@given(FINDINGS, EXCEPTIONS, st.randoms())
def test_every_finding_is_shown_once_whatever_their_order(
    found: list[Finding], accepted: list[Accepted], random: Random
) -> None:
    drift = conclude([Audit(tuple(found))], accepted, TODAY)
    shuffled = list(found)
    random.shuffle(shuffled)
    assert conclude([Audit((each,)) for each in shuffled], accepted, TODAY) == drift
    both = [*drift.findings, *(each for each, _ in drift.accepted)]
    assert sorted(both, key=lambda each: each.key) == sorted(set(found), key=lambda each: each.key)
    assert list(drift.findings) == sorted(drift.findings, key=lambda each: each.key)
    for each, by in drift.accepted:
        assert by.covers(each)
        assert by.expires >= TODAY
    assert not any(by.covers(each) for each in drift.findings for by in accepted if by.expires >= TODAY)


def test_an_exception_holds_to_its_last_day_and_then_shows() -> None:
    one = finding("webhook-secret", "acme/shop: webhook 1")
    accepted = Accepted(rule="webhook-secret", reason=REASON, expires=TODAY)
    held = conclude([Audit((one,))], [accepted], TODAY)
    assert DriftReport(held).code is Exit.OK
    over = conclude([Audit((one,))], [accepted], TODAY + timedelta(days=1))
    assert DriftReport(over).code is Exit.CHANGES
    assert over.expired == (accepted,)
    assert conclude([], [accepted], TODAY).unused == (accepted,)


def test_a_file_of_exceptions_names_every_mistake(tmp_path: Path) -> None:
    def read(entries: str) -> Sequence[Accepted]:
        file = tmp_path / "exceptions.yaml"
        file.write_text(f"version: 1\nexceptions: [{entries}]")
        return exceptions(file, datetime.combine(TODAY, time.min, UTC))

    entry = f"{{rule: a, reason: {REASON}, expires: 2026-05-01}}"
    assert read(entry)[0].rule == "a"
    with pytest.raises(DeliveryError) as error:
        read(f"{entry}, {entry.replace('2026-05', '2027-05')}")
    assert "expires 2027-05-01, in more than 90 days" in str(error.value)
    assert "it is there twice" in str(error.value)
    with pytest.raises(DeliveryError) as error:
        read("{rule: a, reason: short, until: 1}")
    assert {"exceptions.0.reason", "exceptions.0.expires", "exceptions.0.until"} <= {
        line.partition(":")[0].strip() for line in str(error.value).splitlines()
    }


def test_what_could_not_be_looked_at_at_all_is_no_success() -> None:
    part = conclude([Audit(unchecked=(Unchecked("acme/shop: keys", "403"),))], (), TODAY)
    assert DriftReport(part).code is Exit.OK
    assert "not checked: acme/shop: keys: 403" in lines(part)
    whole = conclude([Audit(unchecked=(Unchecked("acme/shop", "404", whole=True),))], (), TODAY)
    assert DriftReport(whole).code is Exit.FAILED


def test_names_in_the_summary_cannot_break_its_table() -> None:
    drift = conclude([Audit((finding("a", "x | y\n<b>"),))], (), TODAY)
    summary = DriftReport(drift).summary()
    assert "| low | x \\| y &lt;b> | is | should be | fix |" in summary.splitlines()


def test_wrong_questions_are_refused_at_once() -> None:
    with pytest.raises(DeliveryError) as error:
        check(Asked(repositories=["shop"], releases=["a/b/c"], organization="acme"))
    for each in ("shop is not OWNER/REPO", "a/b/c is not NAMESPACE/NAME", "--organization compares"):
        assert each in str(error.value)
    with pytest.raises(DeliveryError, match="nothing to look at"):
        check(Asked())


def test_a_stack_tells_declared_and_live_value_of_each_property() -> None:
    urn = "urn:pulumi:dev::p::aws:sqs/queue:Queue::jobs"
    change = ResourceChange(urn, "aws:sqs/queue:Queue", "update", (PropertyChange("delay", "update", 0, 30),))
    (found,) = findings("dev", change)
    assert (found.where, found.found, found.wanted) == ("stack dev: aws:sqs:Queue jobs delay", "30", "0")
    (gone,) = findings("dev", ResourceChange(urn, "aws:sqs/queue:Queue", "delete"))
    assert (gone.rule, gone.severity) == ("stack-gone", Severity.HIGH)


def test_a_state_names_the_repositories_that_it_manages() -> None:
    kind = "github:index/repository:Repository"
    resources = [
        {"type": kind, "id": "a", "outputs": {"name": "shop"}},
        {"type": kind, "id": "read", "external": True},
        {"type": "other", "id": "b"},
    ]
    assert list(repositories({"deployment": {"resources": resources}})) == ["shop"]
