"""A staged rotation in Secrets Manager, killed at each of its calls, against a stand-in that keeps AWS's rules."""
# ruff: noqa: N803  the arguments have boto3's names

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.rotate.run import in_aws, in_plain_words
from pavedpath_delivery.rotate.staged import Outcome, Rotation, Stages, Step, merged
from pavedpath_delivery.rotate.trial import Trial
from typer.testing import CliRunner

from tests.unit.delivery.virtual import VirtualClock


class Killed(BaseException):
    """The run ended here."""


@dataclass
class Manager:
    """One secret of Secrets Manager."""

    texts: dict[str, str] = field(default_factory=lambda: {"v1": "old"})
    stages: dict[str, list[str]] = field(default_factory=lambda: {"v1": ["AWSCURRENT"]})
    rotated_by_function: bool = False
    kill_after: int = -1
    """Calls after which the run is killed: the call happens, its answer does not."""
    calls: int = 0

    def _called(self) -> None:
        self.calls += 1
        if self.calls - 1 == self.kill_after:
            raise Killed

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        stages = {version: list(names) for version, names in self.stages.items() if names}
        self._called()
        return {"VersionIdsToStages": stages, "RotationEnabled": self.rotated_by_function}

    def get_secret_value(self, SecretId: str, VersionId: str) -> dict[str, Any]:
        self._called()
        return {"SecretString": self.texts[VersionId]}

    def put_secret_value(
        self, SecretId: str, ClientRequestToken: str, SecretString: str, VersionStages: list[str]
    ) -> None:
        for names in self.stages.values():
            names[:] = [name for name in names if name not in VersionStages]
        self.texts[ClientRequestToken] = SecretString
        self.stages[ClientRequestToken] = list(VersionStages)
        self._called()

    def update_secret_version_stage(
        self,
        SecretId: str,
        VersionStage: str,
        RemoveFromVersionId: str,
        MoveToVersionId: str = "",
    ) -> None:
        if VersionStage not in self.stages[RemoveFromVersionId]:
            raise ClientError({"Error": {"Code": "InvalidParameterException"}}, "UpdateSecretVersionStage")
        self.stages[RemoveFromVersionId].remove(VersionStage)
        if MoveToVersionId:
            self.stages[MoveToVersionId].append(VersionStage)
        if VersionStage == "AWSCURRENT":
            for names in self.stages.values():
                if "AWSPREVIOUS" in names:
                    names.remove("AWSPREVIOUS")
            self.stages[RemoveFromVersionId].append("AWSPREVIOUS")
        self._called()

    def at(self, stage: str) -> list[str]:
        return [self.texts[version] for version, names in self.stages.items() if stage in names]


def rotation(manager: Manager, *, good: bool = True, name: str = "") -> Rotation:
    return Rotation(manager, "dev/orders/database", lambda _: good, name)


def test_a_value_that_works_becomes_current_and_the_old_one_stays_at_hand() -> None:
    manager = Manager()
    assert rotation(manager).run(lambda: "new") is Outcome.ROTATED
    assert (manager.at("AWSCURRENT"), manager.at("AWSPREVIOUS"), manager.at("AWSPENDING")) == (["new"], ["old"], [])


def test_a_value_that_does_not_work_is_withdrawn() -> None:
    manager = Manager()
    with pytest.raises(DeliveryError, match="not accepted and is withdrawn") as error:
        rotation(manager, good=False).run(lambda: "new")
    assert "new value" in str(error.value)
    assert (manager.at("AWSCURRENT"), manager.at("AWSPENDING")) == (["old"], [])


@given(st.integers(0, 9), st.booleans(), st.booleans())
def test_killed_anywhere_the_next_run_finishes_or_withdraws(kill_after: int, good: bool, good_later: bool) -> None:
    manager = Manager(kill_after=kill_after)
    made = iter(["new", "newer"])
    with suppress(Killed, DeliveryError):
        rotation(manager, good=good).run(lambda: next(made))
    # Whatever is current at this moment works: the old value, or one that was accepted.
    assert manager.at("AWSCURRENT") in (["old"], ["new"] if good else ["old"])
    manager.kill_after = -1
    try:
        rotation(manager, good=good_later).run(lambda: next(made))
    except DeliveryError:
        assert not good_later
    assert len(manager.at("AWSCURRENT")) == 1
    assert manager.at("AWSPENDING") == []
    if good_later:
        assert manager.at("AWSCURRENT") != ["old"]
    if not good and not good_later:
        assert manager.at("AWSCURRENT") == ["old"]


def test_what_waits_is_tried_and_no_other_value_is_made() -> None:
    manager = Manager({"v1": "old", "v2": "waiting"}, {"v1": ["AWSCURRENT"], "v2": ["AWSPENDING"]})

    def never() -> str:
        raise AssertionError("a value is there")

    assert rotation(manager).run(never) is Outcome.RESUMED
    assert manager.at("AWSCURRENT") == ["waiting"]


def test_withdrawing_takes_back_what_waits_and_nothing_else() -> None:
    manager = Manager({"v1": "old", "v2": "waiting"}, {"v1": ["AWSCURRENT"], "v2": ["AWSPENDING"]})
    assert rotation(manager).withdraw() is Outcome.WITHDRAWN
    assert rotation(manager).withdraw() is Outcome.NOTHING
    assert manager.at("AWSCURRENT") == ["old"]


def test_two_at_once_make_one_value_current() -> None:
    manager = Manager()

    def other_comes_in(_: str) -> bool:
        manager.put_secret_value("s", "other", "theirs", ["AWSPENDING"])
        return True

    with pytest.raises(DeliveryError, match="someone else") as error:
        Rotation(manager, "s", other_comes_in).run(lambda: "mine")
    assert error.value.code is Exit.LOCKED
    assert manager.at("AWSCURRENT") == ["old"]


def test_a_secret_with_a_function_of_its_own_is_left_to_it() -> None:
    with pytest.raises(DeliveryError, match="rotate-secret") as error:
        rotation(Manager(rotated_by_function=True)).run(lambda: "new")
    assert error.value.code is Exit.POLICY


def test_a_dry_run_and_a_secret_without_a_value() -> None:
    manager = Manager()
    assert rotation(manager).run(lambda: "new", dry_run=True) is Outcome.DRY
    assert manager.at("AWSPENDING") == []
    assert rotation(manager).withdraw(dry_run=True) is Outcome.NOTHING
    for dry_run in (False, True):
        with pytest.raises(DeliveryError, match="no value yet"):
            rotation(Manager({}, {})).run(lambda: "new", dry_run=dry_run)
        with pytest.raises(DeliveryError, match="no field password"):
            rotation(manager, name="password").run(lambda: "new", dry_run=dry_run)


@pytest.mark.parametrize(
    ("waits", "withdrawn"), [("v2", Outcome.DRY_WITHDRAW), ("v1", Outcome.DRY_RESUME)], ids=["waits", "is-current"]
)
def test_a_dry_run_says_what_happens_to_what_an_interrupted_run_left(waits: str, withdrawn: Outcome) -> None:
    stages = {"v1": ["AWSCURRENT"], "v2": list[str]()}
    stages[waits].append("AWSPENDING")
    manager = Manager({"v1": "old", "v2": "waiting"}, stages)
    before = json.dumps(stages)
    assert rotation(manager).run(lambda: "new", dry_run=True) is Outcome.DRY_RESUME
    assert rotation(manager).withdraw(dry_run=True) is withdrawn
    assert json.dumps(manager.stages) == before


def test_one_field_of_a_json_secret() -> None:
    manager = Manager({"v1": json.dumps({"user": "orders", "password": "old"})})
    rotation(manager, name="password").run(lambda: "new")
    assert json.loads(manager.at("AWSCURRENT")[0]) == {"user": "orders", "password": "new"}
    for text in ("old", "[]", '{"password": 1}'):
        with pytest.raises(DeliveryError, match="no field password") as error:
            merged(text, "password", "new")
        assert "old" not in str(error.value)


def test_the_first_step_follows_from_the_stages() -> None:
    assert Stages.of({"a": ["AWSCURRENT"]}).step is Step.BEGIN
    assert Stages.of({"a": ["AWSCURRENT"], "b": ["AWSPENDING"]}).step is Step.RESUME
    assert Stages.of({"a": ["AWSPREVIOUS"], "b": ["AWSPENDING", "AWSCURRENT"]}).step is Step.TIDY


def test_the_age_in_aws_is_that_of_the_current_version() -> None:
    def version(day: int, stage: str) -> dict[str, Any]:
        return {"VersionId": f"v{day}", "VersionStages": [stage], "CreatedDate": datetime(2026, 3, day, tzinfo=UTC)}

    class Lister:
        def list_secret_version_ids(self, SecretId: str, NextToken: str = "") -> dict[str, Any]:
            if NextToken:
                return {"Versions": [version(9, "AWSPENDING")], "NextToken": ""}
            return {"Versions": [version(1, "AWSPREVIOUS"), version(5, "AWSCURRENT")], "NextToken": "more"}

    found = in_aws(Lister(), "dev/orders/database")
    assert found.since == datetime(2026, 3, 5, tzinfo=UTC)
    assert "interrupted rotation" in found.note


def program(folder: Path, body: str) -> str:
    script = folder / "try.py"
    script.write_text(f"import os, sys, pathlib\nvalue = os.environ['PAVEDPATH_SECRET']\n{body}")
    return f"{sys.executable} {script}"


def test_a_command_gets_the_value_by_its_environment_alone(tmp_path: Path) -> None:
    command = program(tmp_path, "sys.exit(0 if value == 'new' and 'new' not in sys.argv else 1)")
    assert Trial(command, clock=VirtualClock()).accepts("new")
    assert not Trial(command, clock=VirtualClock(), budget=0).accepts("old")


def test_a_value_may_need_a_while_to_be_known(tmp_path: Path) -> None:
    count = tmp_path / "count"
    body = f"path = pathlib.Path({str(count)!r})\nn = len(path.read_text()) if path.exists() else 0\n"
    command = program(tmp_path, body + "path.write_text('x' * (n + 1))\nsys.exit(0 if n == 3 else 1)")
    clock = VirtualClock()
    assert Trial(command, clock=clock, budget=30).accepts("new")
    assert clock.elapsed == 6
    count.unlink()
    assert not Trial(command, clock=VirtualClock(), budget=3).accepts("new")


def test_what_could_not_be_tried_is_told_before_anything_changes() -> None:
    for trial, said in (
        (Trial("no-such-program-here x"), "not on PATH"),
        (Trial("unbalanced 'quote"), "cannot be read"),
        (Trial(url="http://example.test/"), "no https address"),
        (Trial(url="https:///nowhere"), "no https address"),
    ):
        with pytest.raises(DeliveryError, match=said):
            trial.check()
    Trial(url="http://127.0.0.1:9/").check()
    assert not Trial(url="http://127.0.0.1:9/", clock=VirtualClock(), budget=4).accepts("new")


def test_aws_in_plain_words() -> None:
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "secret stuff"}}, "PutSecretValue")
    said = str(in_plain_words(error, "dev/x"))
    assert "AWS refuses PutSecretValue (AccessDeniedException). Fix: use the environment's role" in said
    assert "stuff" not in said


def test_an_untried_value_must_be_asked_for() -> None:
    done = CliRunner().invoke(app, ["rotate", "aws", "dev/orders/database"])
    assert done.exit_code == Exit.USAGE
    assert "--untested" in done.output
