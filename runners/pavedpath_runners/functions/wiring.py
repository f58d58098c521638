"""Puts the functions together: environment, configuration, clients, adapters.

Nothing happens on import, and no client is made before its first call: the webhook's function, whose cold start GitHub
waits for, never loads EC2's model (a tenth of a second and more). What is made is kept for the container's life, and
the configuration is read again after five minutes.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from pavedpath_runners.adapters.clock import SystemClock
from pavedpath_runners.configuration import Fleet
from pavedpath_runners.ports import UnavailableError, World

if TYPE_CHECKING:
    from pavedpath_runners.adapters.telemetry import EmbeddedMetrics, Redaction

FRESH_SECONDS = 300.0
VARIABLES = (
    "PAVEDPATH_FLEET_PARAMETER",
    "PAVEDPATH_TABLE",
    "PAVEDPATH_QUEUE_URL",
    "PAVEDPATH_WEBHOOK_SECRET",
    "PAVEDPATH_APP_KEY_SECRET",
)
CLOCK = SystemClock()


class Context(Protocol):
    """What Lambda tells about an invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function is killed."""
        ...


def remaining(context: Context) -> float:
    """Seconds until the function is killed."""
    return context.get_remaining_time_in_millis() / 1000


def variable(name: str) -> str:
    """A variable of the environment.

    Raises:
        RuntimeError: it or others of `VARIABLES` are not set; it names them all.
    """
    if not os.environ.get(name):
        missing = ", ".join(each for each in dict.fromkeys((*VARIABLES, name)) if not os.environ.get(each))
        raise RuntimeError(
            f"The function's environment lacks {missing}; RunnerFleet sets them all when it is deployed."
        )
    return os.environ[name]


@cache
def client(service: str) -> Any:
    """The low-level client of a service; made with its first call, and shared."""
    return _Deferred(lambda: _made(service))


def secret(arn: str) -> str:
    """The current value of a secret of Secrets Manager.

    Raises:
        UnavailableError: it has none yet: a person puts the App's key there after the deployment, and jobs wait for it.
    """
    from botocore.exceptions import ClientError

    from pavedpath_runners.adapters.aws import calling, code_of

    try:
        with calling("Secrets Manager GetSecretValue"):
            return client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        raise UnavailableError(
            f"{arn} holds nothing, and nothing is launched without it. Put the GitHub App's private key (PEM) there:"
            " aws secretsmanager put-secret-value --secret-id … --secret-string file://…"
        ) from error


@dataclass
class _Kept:
    """What one container has."""

    fleet: Fleet | None = None
    read_at: float = 0.0
    told: str = ""
    """The configuration that the log was told something about."""
    world: World | None = None
    world_of: Fleet | None = None


_KEPT = _Kept()


def forget() -> None:
    """Begin anew, as a new container does."""
    _KEPT.fleet = _KEPT.world = _KEPT.world_of = None
    _KEPT.told = ""
    client.cache_clear()


def configuration() -> Fleet:
    """The fleet's configuration, as it was at most five minutes ago, or since SSM last answered.

    The parameter may be of another version than this code: a deployment writes the two side by side. What is unknown in
    it is ignored, and one that cannot be read leaves the one before in force. The log says so once, and each look at
    one that cannot be read is counted.

    Raises:
        UnavailableError: SSM does not answer, and never has.
        RuntimeError: the parameter does not hold a fleet's configuration, and never has.
    """
    from pavedpath_runners.adapters.aws import calling

    now = CLOCK.now()
    if _KEPT.fleet and now - _KEPT.read_at < FRESH_SECONDS:
        return _KEPT.fleet
    name = variable("PAVEDPATH_FLEET_PARAMETER")
    unknown: list[str] = []
    try:
        with calling("SSM GetParameter"):
            text = client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    except UnavailableError:
        if _KEPT.fleet:
            return _KEPT.fleet
        raise
    try:
        fleet = Fleet.from_json(text, unknown.append)
    except ValueError as error:
        if not _KEPT.fleet:
            raise RuntimeError(f"{name} holds no fleet's configuration: {error}. Deploy its stack again.") from error
        _KEPT.read_at = now
        _telemetry(_KEPT.fleet).count("ConfigurationsRefused")
        _tell_once(_KEPT.fleet, text, "new configuration refused, the one before stays", why=str(error), parameter=name)
        return _KEPT.fleet
    if unknown:
        _tell_once(fleet, text, "unknown settings ignored", settings=sorted(unknown), parameter=name)
    # One that has not changed stays the same object, and so does the world that was made for it.
    kept = _KEPT.fleet if _KEPT.fleet == fleet and _KEPT.fleet else fleet
    _KEPT.fleet, _KEPT.read_at = kept, now
    return kept


def _tell_once(fleet: Fleet, text: str, event: str, **fields: object) -> None:
    if _KEPT.told != text:
        _KEPT.told = text
        _telemetry(fleet).say(event, **fields)


def _telemetry(fleet: Fleet, redaction: "Redaction | None" = None) -> "EmbeddedMetrics":
    from pavedpath_runners.adapters.telemetry import EmbeddedMetrics

    return EmbeddedMetrics(sys.stdout, CLOCK, fleet.name, redaction)


def world(fleet: Fleet) -> World:
    """All that the control plane works with; made anew if the configuration has changed."""
    if _KEPT.world is None or _KEPT.world_of is not fleet:
        _KEPT.world, _KEPT.world_of = _world(fleet), fleet
    return _KEPT.world


def _world(fleet: Fleet) -> World:
    from urllib3 import PoolManager

    from pavedpath_runners.adapters.dynamodb import TableLedger
    from pavedpath_runners.adapters.ec2 import FleetCompute
    from pavedpath_runners.adapters.github import AppTransport, GithubForge
    from pavedpath_runners.adapters.sqs import JobQueue
    from pavedpath_runners.adapters.ssm import ParameterHandover
    from pavedpath_runners.adapters.telemetry import Redaction

    redaction = Redaction()
    arn = variable("PAVEDPATH_APP_KEY_SECRET")

    def key() -> str:
        value = secret(arn)
        redaction.learn(value)
        return value

    # arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME; the fleet's machines are in the same account.
    _, partition, _, region, account, *_ = arn.split(":")
    transport = AppTransport(
        PoolManager(),
        os.environ.get("GITHUB_BASE_URL") or fleet.api_url,
        fleet.app_id,
        fleet.installation_id,
        key,
        CLOCK,
        redaction.learn,
    )
    telemetry = _telemetry(fleet, redaction)
    return World(
        clock=CLOCK,
        ledger=TableLedger(
            client("dynamodb"), variable("PAVEDPATH_TABLE"), CLOCK, fleet.record_days, fleet.delivery_days
        ),
        compute=FleetCompute(client("ec2"), fleet, CLOCK, telemetry),
        handover=ParameterHandover(client("ssm"), fleet, region, account, partition),
        forge=GithubForge(transport, fleet, CLOCK),
        queue=JobQueue(client("sqs"), variable("PAVEDPATH_QUEUE_URL")),
        telemetry=telemetry,
    )


class _Deferred:
    """Stands for a client until one of its methods is wanted."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._held = make, None

    def __getattr__(self, name: str) -> Any:
        if self._held is None:
            self._held = self._make()
        return getattr(self._held, name)


def _made(service: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=3,
        # CreateFleet of type instant answers when the machine is there, after seconds.
        read_timeout=20 if service == "ec2" else 5,
    )
    return cast(Any, boto3).client(service, config=config)
