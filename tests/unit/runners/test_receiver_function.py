"""The webhook's function: the form of a function URL's events, and secrets that change under way."""

import base64
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.functions import wiring
from pavedpath_runners.functions.webhook import (
    FRESH_SECONDS,
    PATIENCE_SECONDS,
    ROTATION_SECONDS,
    Webhook,
    WebhookSecrets,
    handler,
    request_of,
)
from pavedpath_runners.ports import UnavailableError
from pavedpath_runners.receiver import Request

from tests.unit.runners.test_receiver import FLEET, NOW, Recorder, payload, request

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient


class Hands:
    """A clock that is set by hand."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


class Held(WebhookSecrets):
    """Secrets that are simply there, or not."""

    def __init__(self, *held: tuple[bytes, ...]) -> None:
        self.held = list(held)

    def values(self) -> tuple[bytes, ...]:
        if not self.held:
            raise UnavailableError("Secrets Manager GetSecretValue: ThrottlingException")
        return self.held[0]

    def renewed(self) -> bool:
        if len(self.held) > 1:
            del self.held[0]
            return True
        return False


class Lines:
    """Telemetry that is kept."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.said: list[Mapping[str, object]] = []

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        self.counted.append(dimensions["status"])

    def seconds(self, metric: str, value: float, **dimensions: str) -> None: ...

    def say(self, event: str, **fields: object) -> None:
        self.said.append(fields)


def event(asked: Request, encoded: bool = True) -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/",
        "headers": {name.lower(): value for name, value in asked.headers.items()},
        "requestContext": {"http": {"method": asked.method, "path": "/"}},
        "body": base64.b64encode(asked.body).decode() if encoded else asked.body.decode(),
        "isBase64Encoded": encoded,
    }


def webhook(control: Recorder, secrets: WebhookSecrets, lines: Lines | None = None) -> Webhook:
    return Webhook(secrets, FLEET, control, Hands(), lines or Lines())


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
def test_a_delivery_is_taken(encoded: bool) -> None:
    control, lines = Recorder(), Lines()
    answer = webhook(control, Held((b"s",)), lines).answer(event(request(payload(), b"s"), encoded))
    assert (answer["statusCode"], answer["body"]) == (200, "taken")
    assert len(control.taken) == 1
    assert lines.counted == ["200"]
    assert [each["answer"] for each in lines.said] == ["taken"]


@given(st.binary())
def test_the_body_is_what_was_signed(body: bytes) -> None:
    found = request_of(event(Request("POST", {"X-A": "b"}, body)))
    assert found == Request("POST", {"x-a": "b"}, body)


@pytest.mark.parametrize(
    "body", [{"body": "%", "isBase64Encoded": True}, {"body": "ö=", "isBase64Encoded": True}, {"body": "\ud800"}]
)
def test_what_is_not_encoded_as_it_says_is_refused(body: dict[str, Any]) -> None:
    control = Recorder()
    assert webhook(control, Held((b"s",))).answer({**event(request(b"")), **body})["statusCode"] == 400
    assert control.taken == []


@pytest.mark.parametrize("empty", [{}, {"body": None, "headers": None}], ids=["nothing", "nulls"])
def test_an_event_without_anything_is_refused(empty: dict[str, Any]) -> None:
    assert webhook(Recorder(), Held((b"s",))).answer(empty)["statusCode"] == 405


def test_what_nobody_signed_leaves_no_word_in_the_log() -> None:
    lines = Lines()
    asked = request({"password": "x"}, b"forged", X_GitHub_Event="forged")
    assert webhook(Recorder(), Held((b"s",)), lines).answer(event(asked))["statusCode"] == 401
    assert (lines.counted, lines.said) == (["401"], [])


def test_a_secret_that_was_changed_is_read_again_at_once() -> None:
    control = Recorder()
    answer = webhook(control, Held((b"old",), (b"new", b"old"))).answer(event(request(payload(), b"new")))
    assert answer["statusCode"] == 200
    assert len(control.taken) == 1


def test_a_cold_start_without_its_configuration_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def throttled() -> Fleet:
        raise UnavailableError("SSM GetParameter: ThrottlingException")

    monkeypatch.setenv("PAVEDPATH_WEBHOOK_SECRET", "arn")
    monkeypatch.setattr(wiring, "configuration", throttled)
    assert handler(event(request(payload())), cast(Any, None))["statusCode"] == 503


def test_without_secrets_github_is_to_send_it_again() -> None:
    control = Recorder()
    answer = webhook(control, Held()).answer(event(request(payload())))
    assert answer["statusCode"] == 503
    assert control.taken == []


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Generator["SecretsManagerClient"]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield cast("Any", boto3).client("secretsmanager", region_name="us-east-1")


def test_after_a_change_both_secrets_sign_for_a_day(manager: "SecretsManagerClient") -> None:
    arn = manager.create_secret(Name="webhook", SecretString="first")["ARN"]
    clock = Hands(manager.get_secret_value(SecretId=arn)["CreatedDate"].timestamp())
    secrets = WebhookSecrets(manager, arn, clock)
    assert secrets.values() == (b"first",)

    manager.put_secret_value(SecretId=arn, SecretString="second")
    assert secrets.values() == (b"first",), "what was just read is used"
    assert not secrets.renewed(), "and not read again at once, whatever anyone sends"
    clock.at += PATIENCE_SECONDS + 1
    assert secrets.renewed()
    assert secrets.values() == (b"second", b"first")
    clock.at += PATIENCE_SECONDS + 1
    assert not secrets.renewed(), "nothing has changed"

    clock.at += ROTATION_SECONDS
    assert secrets.values() == (b"second",)


class Unwell:
    """Secrets Manager, which answers once."""

    def __init__(self, manager: "SecretsManagerClient") -> None:
        self.manager: SecretsManagerClient | None = manager

    def get_secret_value(self, **asked: str) -> object:
        if self.manager is None:
            raise UnavailableError("throttled")
        return self.manager.get_secret_value(**asked)  # pyright: ignore[reportArgumentType]  # one method of boto3's


def test_an_outage_is_bridged_with_what_was_read_before(manager: "SecretsManagerClient") -> None:
    arn = manager.create_secret(Name="webhook", SecretString="first")["ARN"]
    clock = Hands(manager.get_secret_value(SecretId=arn)["CreatedDate"].timestamp() + ROTATION_SECONDS)
    client = Unwell(manager)
    secrets = WebhookSecrets(client, arn, clock)  # pyright: ignore[reportArgumentType]  # the one method that it calls
    assert secrets.values() == (b"first",)
    client.manager = None
    clock.at += FRESH_SECONDS + 1
    assert secrets.values() == (b"first",)
    assert not secrets.renewed()
    fresh = WebhookSecrets(client, arn, clock)  # pyright: ignore[reportArgumentType]  # the same
    with pytest.raises(UnavailableError):
        fresh.values()
