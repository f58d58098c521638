"""The functions as Lambda has them: the environment's variables, and AWS in this process."""

import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import UnavailableError

POOL = Pool("small", ("linux",), ("c7g.large",), ("subnet-a",), "lt-1", maximum=3)
FLEET = Fleet("dev", "acme", (POOL,), app_id=42, installation_id=7)


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """AWS with a deployed fleet's parameter and secrets, and the function's environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_ENDPOINT_URL", "GITHUB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        manager = cast(Any, boto3).client("secretsmanager")
        key = manager.create_secret(Name="key", SecretString="the-apps-private-key")["ARN"]
        values = ("/pavedpath/dev/fleet", "ledger", "https://queue", "arn:webhook", key)
        for name, value in zip(wiring.VARIABLES, values, strict=True):
            monkeypatch.setenv(name, value)
        ssm = cast(Any, boto3).client("ssm")
        write(ssm, FLEET.to_json())
        wiring.forget()
        yield ssm
    wiring.forget()


def write(ssm: Any, text: str) -> None:
    ssm.put_parameter(Name="/pavedpath/dev/fleet", Value=text, Type="String", Overwrite=True)


class Hands:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(wiring, "CLOCK", hands)
    return hands


def test_the_configuration_is_read_once_and_again_after_five_minutes(ssm: Any, clock: Hands) -> None:
    first = wiring.configuration()
    assert first == FLEET
    write(ssm, Fleet("dev", "other", (POOL,)).to_json())
    clock.at += wiring.FRESH_SECONDS - 1
    assert wiring.configuration() is first
    clock.at += 1
    assert wiring.configuration().organization == "other"


def test_the_world_is_kept_until_the_configuration_changes(ssm: Any, clock: Hands) -> None:
    world = wiring.world(wiring.configuration())
    clock.at += wiring.FRESH_SECONDS
    assert wiring.world(wiring.configuration()) is world
    write(ssm, Fleet("dev", "other", (POOL,)).to_json())
    clock.at += wiring.FRESH_SECONDS
    assert wiring.world(wiring.configuration()) is not world


def test_an_outage_of_the_parameter_store_is_bridged(clock: Hands, ssm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = wiring.configuration()

    def throttled(_: str) -> Any:
        raise UnavailableError("SSM GetParameter: ThrottlingException")

    with monkeypatch.context() as broken:
        broken.setattr(wiring, "client", throttled)
        clock.at += wiring.FRESH_SECONDS
        assert wiring.configuration() is first
    wiring.forget()
    with monkeypatch.context() as broken:
        broken.setattr(wiring, "client", throttled)
        with pytest.raises(UnavailableError):
            wiring.configuration()


@pytest.mark.parametrize("text", ["{", '{"nmae": "dev"}', "[]"])
def test_a_broken_configuration_is_one_clear_error(ssm: Any, clock: Hands, text: str) -> None:
    write(ssm, text)
    with pytest.raises(RuntimeError, match="/pavedpath/dev/fleet holds no fleet's configuration"):
        wiring.configuration()


def test_a_configuration_that_cannot_be_read_leaves_the_one_before_in_force(
    ssm: Any, clock: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    first = wiring.configuration()
    changed = Fleet("dev", "other", (POOL,)).to_json()
    write(ssm, changed.replace('"maximum":3', '"maximum":"many"'))
    for _ in range(3):
        clock.at += wiring.FRESH_SECONDS
        assert wiring.configuration() is first
        assert wiring.configuration() is first
    lines, metric = [json.loads(line) for line in capsys.readouterr().out.splitlines()], "ConfigurationsRefused"
    assert [line[metric] for line in lines if metric in line] == [1.0, 1.0, 1.0]
    (said,) = (line for line in lines if line.get("event") == "new configuration refused, the one before stays")
    assert (said["why"], said["parameter"]) == (
        "fleet.pools[0].maximum: int is needed, got 'many'",
        "/pavedpath/dev/fleet",
    )
    write(ssm, changed)
    clock.at += wiring.FRESH_SECONDS
    assert wiring.configuration().organization == "other"


def test_settings_of_a_later_version_are_ignored_and_told_once(
    ssm: Any, clock: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    write(ssm, json.dumps(json.loads(FLEET.to_json()) | {"colour": "red", "b": 1}))
    for _ in range(3):
        assert wiring.configuration() == FLEET
        clock.at += wiring.FRESH_SECONDS
    (said,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert said["event"] == "unknown settings ignored"
    assert said["settings"] == ["fleet.b", "fleet.colour"]


def test_all_missing_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wiring.forget()
    for name in wiring.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAVEDPATH_TABLE", "ledger")
    with pytest.raises(RuntimeError) as caught:
        wiring.configuration()
    for name in wiring.VARIABLES:
        assert (name in str(caught.value)) == (name != "PAVEDPATH_TABLE")


def test_secrets_are_read_and_kept_out_of_the_log(
    ssm: Any, clock: Hands, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that is stored here is none; what is said of that must not say the key."""
    world = wiring.world(wiring.configuration())
    with pytest.raises(ValueError, match="PAVEDPATH_APP_KEY_SECRET"):
        world.forge.is_own("acme/orders", 1)
    world.telemetry.say("failed", why="the-apps-private-key was refused")
    assert json.loads(capsys.readouterr().out)["why"] == "[redacted] was refused"


LIGHT = """
import json, sys
from pavedpath_runners.functions import interruption, launch, reconcile, webhook
heavy = {"boto3", "botocore.session", "urllib3.connectionpool", "cryptography", "pavedpath_runners.control"}
json.dump(sorted(set(sys.modules) & heavy), sys.stdout)
"""


def test_importing_the_functions_loads_nothing_heavy_and_needs_no_environment() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], env={}, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.usefixtures("ssm")
def test_an_empty_secret_says_what_to_do() -> None:
    empty = cast(Any, boto3).client("secretsmanager").create_secret(Name="empty")["ARN"]
    with pytest.raises(UnavailableError, match=r"holds nothing.*Put the GitHub App's private key"):
        wiring.secret(empty)
