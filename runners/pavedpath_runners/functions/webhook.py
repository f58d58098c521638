"""The function behind the webhook's URL: a Lambda function URL's event in, the receiver's answer out."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pavedpath_runners.adapters.aws import calling, code_of
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import Clock, Telemetry, UnavailableError
from pavedpath_runners.receiver import NOT_NOW, Control, Request, Response, receive

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

FRESH_SECONDS = 300.0
"""How long a secret that was read is used without another look."""
PATIENCE_SECONDS = 10.0
"""How soon it is read again because a signature did not fit: whoever sends forged ones costs no more reads."""
ROTATION_SECONDS = 86400.0
"""How long after a change of the secret the one before it still signs."""


def handler(event: Mapping[str, Any], context: wiring.Context) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer a request of the function's URL."""
    from pavedpath_runners.control import ControlPlane

    secrets = _secrets(wiring.client("secretsmanager"), wiring.variable("PAVEDPATH_WEBHOOK_SECRET"))
    try:
        fleet = wiring.configuration()
    except UnavailableError:
        return _told(NOT_NOW)
    world = wiring.world(fleet)
    return Webhook(secrets, fleet, ControlPlane(fleet, world), wiring.CLOCK, world.telemetry).answer(event)


class WebhookSecrets:
    """The webhook's secret and, for a day after its change, the one before it.

    A rotation: a new value is put into the secret, then GitHub is told it. In between GitHub signs with the old one,
    which is the version AWSPREVIOUS; after a day a leaked old one is worth nothing.

    Args:
        client: boto3's Secrets Manager client.
        arn: the secret's; its string is the webhook's secret.
        clock: tells how old what was read is.
    """

    def __init__(self, client: "SecretsManagerClient", arn: str, clock: Clock) -> None:
        self._client, self._arn, self._clock = client, arn, clock
        self._values: Sequence[bytes] = ()
        self._read_at = float("-inf")

    def values(self) -> Sequence[bytes]:
        """Return the secrets that sign now. Raises UnavailableError if there is nothing to go on with."""
        if self._clock.now() - self._read_at > FRESH_SECONDS:
            try:
                self._read()
            except UnavailableError:
                if not self._values:
                    raise
        return self._values

    def renewed(self) -> bool:
        """Read them again, unless that was done a moment ago; whether they are others than before."""
        if self._clock.now() - self._read_at <= PATIENCE_SECONDS:
            return False
        before = self._values
        try:
            self._read()
        except UnavailableError:
            return False
        return self._values != before

    def _read(self) -> None:
        now = self._clock.now()
        with calling("Secrets Manager GetSecretValue"):
            current = self._client.get_secret_value(SecretId=self._arn)
        found = [current["SecretString"].encode()]
        if now - current["CreatedDate"].timestamp() < ROTATION_SECONDS:
            found += self._previous()
        self._values, self._read_at = tuple(found), now

    def _previous(self) -> Sequence[bytes]:
        try:
            with calling("Secrets Manager GetSecretValue"):
                held = self._client.get_secret_value(SecretId=self._arn, VersionStage="AWSPREVIOUS")
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":
                return []  # It has never been changed.
            raise
        return [held["SecretString"].encode()]


class Webhook:
    """The function, with what it works with."""

    def __init__(
        self, secrets: WebhookSecrets, fleet: Fleet, control: Control, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._secrets, self._fleet, self._control = secrets, fleet, control
        self._clock, self._telemetry = clock, telemetry

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a function URL's event (payload format 2.0)."""
        request = request_of(event)
        response = self._receive(request) if request else Response(400, "the body is not base64")
        if response.status == 401 and request and self._secrets.renewed():
            response = self._receive(request)
        self._tell(request, response)
        return _told(response)

    def _receive(self, request: Request) -> Response:
        try:
            secrets = self._secrets.values()
        except UnavailableError:
            return NOT_NOW
        return receive(request, secrets, self._fleet, self._control, self._clock.now())

    def _tell(self, request: Request | None, response: Response) -> None:
        self._telemetry.count("Deliveries", status=str(response.status))
        if request is None or response.status in (401, 405, 413):
            return  # Nobody has signed it: not a word of it goes into the log, nor does it fill it.
        self._telemetry.say(
            "delivery",
            status=response.status,
            answer=response.body,
            kind=request.header("x-github-event"),
            guid=request.header("x-github-delivery"),
        )


@cache
def _secrets(client: Any, arn: str) -> WebhookSecrets:
    return WebhookSecrets(client, arn, wiring.CLOCK)


def _told(response: Response) -> dict[str, Any]:
    return {
        "statusCode": response.status,
        "headers": {"content-type": "text/plain; charset=utf-8"},
        "body": response.body,
    }


def request_of(event: Mapping[str, Any]) -> Request | None:
    """Return the request that a function URL's event holds; None if its body cannot be decoded.

    The source of the form: "Invoking Lambda function URLs", request payload format 2.0.
    """
    text: str = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError:
        return None
    method = event.get("requestContext", {}).get("http", {}).get("method", "")
    return Request(method, event.get("headers") or {}, body)
