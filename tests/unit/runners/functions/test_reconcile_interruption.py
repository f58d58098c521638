from collections.abc import Mapping
from typing import Any

import pytest
from pavedpath_runners.configuration import Market
from pavedpath_runners.functions import interruption, reconcile
from pavedpath_runners.ports import ConflictError, Instance, UnavailableError

from tests.unit.runners.functions.lines import Lines


def raising(error: Exception | None) -> None:
    if error:
        raise error


OUTAGE = ExceptionGroup("2", [UnavailableError("EC2"), ExceptionGroup("1", [ConflictError("JOB#7")])])


@pytest.mark.parametrize("error", [None, UnavailableError("EC2"), OUTAGE], ids=["none", "one", "group"])
def test_what_an_outage_prevents_is_told_and_left_to_the_next_minute(error: Exception | None) -> None:
    lines = Lines()
    reconcile.handle(lambda: raising(error), lines)
    assert {event for event, _ in lines.said} <= {"reconcile_postponed"}
    assert len(lines.said) == (0 if error is None else 2 if isinstance(error, ExceptionGroup) else 1)


@pytest.mark.parametrize("error", [KeyError("x"), ExceptionGroup("2", [UnavailableError("EC2"), KeyError("x")])])
def test_a_defect_is_told_and_raised(error: Exception) -> None:
    lines = Lines()
    with pytest.raises(type(error)):
        reconcile.handle(lambda: raising(error), lines)
    assert lines.said[-1] == ("reconcile_failed", {"why": "KeyError: 'x'"})


def instance(identity: str, reclaimed: bool) -> Instance:
    return Instance(identity, "dev-7-1", "running", "c7g.large", "eu-west-1a", 0.0, Market.SPOT, reclaimed)


MACHINES = [instance("i-1", reclaimed=True), instance("i-2", reclaimed=False)]


def news(kind: str, identity: str, **more: str) -> Mapping[str, Any]:
    return {"source": "aws.ec2", "detail-type": kind, "detail": {"instance-id": identity, **more}}


@pytest.mark.parametrize(
    ("event", "told", "asked"),
    [
        (news(interruption.NOTICE, "i-9", **{"instance-action": "terminate"}), ["i-9 is taken"], 0),
        (news(interruption.CHANGE, "i-1", state="terminated"), ["i-1 terminated, taken"], 1),
        (news(interruption.CHANGE, "i-1", state="shutting-down"), ["i-1 shutting-down, taken"], 1),
        (news(interruption.CHANGE, "i-2", state="terminated"), ["i-2 terminated"], 1),
        (news(interruption.CHANGE, "i-9", state="terminated"), [], 1),
        (news(interruption.CHANGE, "i-1", state="running"), [], 0),
        (news("EC2 Instance Rebalance Recommendation", "i-1"), [], 0),
    ],
    ids=["notice", "taken", "being-taken", "ended-itself", "another's", "running", "other-news"],
)
def test_what_ec2_takes_away_or_has_ended_is_told(event: Mapping[str, Any], told: list[str], asked: int) -> None:
    found: list[str] = []
    looks: list[int] = []

    def instances(identity: str) -> list[Instance]:
        looks.append(1)
        return [each for each in MACHINES if each.id == identity]

    def ended(machine: Instance) -> None:
        found.append(f"{machine.id} {machine.state}{', taken' if machine.reclaimed else ''}")

    interruption.handle(event, lambda identity: found.append(f"{identity} is taken"), ended, instances)
    assert (found, len(looks)) == (told, asked)
