"""What GitHub's webhook deliveries do: who sent them is proven first, then they become events of the control plane.

The order is the security of it. Until the signature over the raw body is proven, nothing is read of the body but its
length, and nothing is called. Then a delivery costs one write to the ledger and one message to the queue; GitHub
gives ten seconds, and is never called back from here.

A replay: GitHub signs the body alone, so whoever once saw a delivery may send it again under another delivery id, and
the ledger's memory of ids does not see it. The ledger knows the job itself, though, for as long as `record_days`, and
a state never goes back; a body whose job is older than that is refused.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from .configuration import Fleet
from .decisions import matching
from .events import Action, JobEvent
from .ports import JobFacts, UnavailableError
from .records import Delivery

MAXIMUM_BYTES = 1 << 20
"""Longest body that is looked at. GitHub sends up to 25 MB and a Lambda function URL takes 6 MB, but `workflow_job`
is 10 to 30 KB, some 250 bytes a step: 1 MiB leaves room for the longest job, and costs at most a millisecond to
verify."""

_GUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LARGEST_ID = 2**63 - 1
_DAY = 86400.0


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came in."""

    method: str
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes
    """Raw, as it was signed."""

    def header(self, name: str) -> str:
        """Return a header's value; empty without it. `name` is in lower case."""
        return next((value for key, value in self.headers.items() if key.lower() == name), "")


@dataclass(frozen=True)
class Response:
    """The answer. GitHub counts a delivery as failed whose status is 400 or more; the reconciler has those sent
    again."""

    status: int
    body: str
    """Why, for whoever reads GitHub's list of deliveries. It holds nothing secret."""


NOT_NOW = Response(503, "not taken now; it will be sent again")
"""What went wrong is in the log of whoever raised it; GitHub's list of deliveries is not the place for it."""


class Control(Protocol):
    """What takes the events: `control.ControlPlane`."""

    def take(self, delivery: Delivery, event: JobEvent) -> None:
        """Write it down and ask for the launch; a delivery that was taken before does nothing.

        Raises:
            UnavailableError: it was not taken, or it is not known whether it was.
        """
        ...


def receive(request: Request, secrets: Sequence[bytes], fleet: Fleet, control: Control, now: float) -> Response:
    """Answer one delivery.

    Args:
        request: what came in.
        secrets: the webhook's secret; during a rotation the one before it, too. Empty ones prove nothing.
        fleet: whose policy says which repositories' jobs are taken.
        control: is called for jobs' events alone, once at the most.
        now: seconds since 1970.

    Returns:
        Response: 200 if it was taken, now or before, or is GitHub's ping; 202 if it is none of the fleet's;
            400 or 422 if GitHub has sent what cannot be read; 401, 405 or 413 if it is not GitHub's; 503 if the
            ledger or the queue does not answer.
    """
    unproven = _unproven(request, secrets)
    if unproven:
        return unproven
    event = _event(request, fleet, now)
    if isinstance(event, Response):
        return event
    try:
        control.take(Delivery(request.header("x-github-delivery"), now), event)
    except UnavailableError:
        return NOT_NOW
    return Response(200, "taken")


def _unproven(request: Request, secrets: Sequence[bytes]) -> Response | None:
    if request.method != "POST":
        return Response(405, "only POST")
    if len(request.body) > MAXIMUM_BYTES:
        return Response(413, f"the body is longer than {MAXIMUM_BYTES} bytes")
    if not is_signed(request.body, request.header("x-hub-signature-256"), secrets):
        return Response(401, "the signature is missing or not of this webhook's secret")
    return None


def _event(request: Request, fleet: Fleet, now: float) -> JobEvent | Response:
    kind = request.header("x-github-event")
    if kind != "workflow_job":
        return Response(200, "pong") if kind == "ping" else Response(202, "ignored: not a workflow_job")
    if not _GUID.fullmatch(request.header("x-github-delivery")):
        return Response(400, "X-GitHub-Delivery is missing or no delivery's id")
    try:
        payload = json.loads(request.body)
    except (ValueError, RecursionError):
        return Response(400, "the body is no JSON; give the webhook the content type application/json")
    try:
        event = parse(payload)
    except ValueError as error:
        return Response(422, str(error))
    if isinstance(event, str):
        return Response(202, f"ignored: {event}")
    refused = refusal(event, fleet, now)
    return Response(202, f"ignored: {refused}") if refused else event


def is_signed(body: bytes, signature: str, secrets: Sequence[bytes]) -> bool:
    """Whether one of the secrets has signed the body, as GitHub's "Validating webhook deliveries" says.

    All secrets are tried, and each is compared in constant time, so that the time tells neither how much of a forged
    signature is right nor which secret it is.
    """
    given = signature.encode(errors="replace")
    # An empty secret would let everyone sign.
    fits = [
        hmac.compare_digest(b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode(), given)
        for secret in secrets
        if secret
    ]
    return any(fits)


def refusal(event: JobEvent, fleet: Fleet, now: float) -> str:
    """Why an event is none of the fleet's; empty if it is.

    Most jobs of an organisation run on GitHub's own machines: their events end here, before the ledger is asked.
    """
    if event.facts.runner.startswith(f"{fleet.name}-"):
        return ""  # It is news of a machine of ours, whoever's job runs on it.
    policy = matching.refusal(fleet, event)
    if policy:
        return f"by the policy of {policy}"
    if now - event.facts.queued_at > fleet.record_days * _DAY:
        return f"the job is older than {fleet.record_days} days"
    return ""


def parse(payload: object) -> JobEvent | str:
    """Return the event of a `workflow_job` payload, or why it is none that matters.

    Raises:
        ValueError: fields are missing or of another type than GitHub documents; it names them all.
    """
    fields = _Fields()
    whole = fields.object(payload, "payload")
    action = fields.text(whole, "action", "payload")
    if not fields.wrong and action not in set(Action):
        return f"the action {action!r} is not known"
    job = fields.object(whole.get("workflow_job"), "workflow_job")
    repository = fields.object(whole.get("repository"), "repository")
    owner = fields.object(repository.get("owner"), "repository.owner")
    private = fields.flag(repository, "private", "repository")
    name = fields.text(repository, "full_name", "repository")
    if not _REPOSITORY.fullmatch(name):
        fields.wrong.append("repository.full_name is not OWNER/NAME")
    organization = fields.text(owner, "login", "repository.owner")
    facts = _facts(fields, job, name)
    if fields.wrong:
        raise ValueError("; ".join(fields.wrong))
    return JobEvent(Action(action), facts, organization, public=not private)


def job_facts(job: object, repository: str) -> JobFacts:
    """Return the facts of a job as GitHub's API and its webhook show it.

    Args:
        job: the object `workflow_job` of an event, or one of the API's `jobs`.
        repository: OWNER/NAME.

    Raises:
        ValueError: fields are missing or of another type than GitHub documents; it names them all.
    """
    fields = _Fields()
    facts = _facts(fields, fields.object(job, "workflow_job"), repository)
    if fields.wrong:
        raise ValueError("; ".join(fields.wrong))
    return facts


def _facts(fields: "_Fields", job: Mapping[str, Any], repository: str) -> JobFacts:
    where = "workflow_job"
    status = fields.text(job, "status", where)
    # GitHub fills `started_at` with the time of queueing as long as nothing runs.
    waits = status in ("queued", "waiting", "pending", "requested")
    return JobFacts(
        id=fields.identity(job, "id", where),
        repository=repository,
        run_id=fields.identity(job, "run_id", where),
        run_attempt=fields.identity({"run_attempt": 1, **job}, "run_attempt", where),
        status=status,
        conclusion=fields.text(job, "conclusion", where, optional=True),
        labels=fields.texts(job, "labels", where),
        queued_at=fields.time(job, "created_at", where),
        started_at=0.0 if waits else fields.time(job, "started_at", where, optional=True),
        ended_at=fields.time(job, "completed_at", where, optional=True),
        runner=fields.text(job, "runner_name", where, optional=True),
    )


class _Fields:
    """Reads fields of JSON objects, and remembers all that are not as documented."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def object(self, value: object, where: str) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return cast(Mapping[str, Any], value)
        self.wrong.append(f"{where} is no object")
        return {}

    def text(self, held: Mapping[str, Any], key: str, where: str, *, optional: bool = False) -> str:
        value = held.get(key)
        if optional and value is None:
            return ""
        if _is_text(value):
            return cast(str, value)
        self.wrong.append(f"{where}.{key} is no text")
        return ""

    def texts(self, held: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
        value = held.get(key)
        if isinstance(value, list) and all(_is_text(each) for each in cast(list[object], value)):
            return tuple(cast(list[str], value))
        self.wrong.append(f"{where}.{key} is no list of texts")
        return ()

    def flag(self, held: Mapping[str, Any], key: str, where: str) -> bool:
        value = held.get(key)
        if isinstance(value, bool):
            return value
        self.wrong.append(f"{where}.{key} is neither true nor false")
        return False

    def identity(self, held: Mapping[str, Any], key: str, where: str) -> int:
        value = held.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_ID:
            return value
        self.wrong.append(f"{where}.{key} is no id")
        return 0

    def time(self, held: Mapping[str, Any], key: str, where: str, *, optional: bool = False) -> float:
        value = held.get(key)
        if optional and value is None:
            return 0.0
        try:
            at = datetime.fromisoformat(cast(str, value))
            return at.replace(tzinfo=at.tzinfo or UTC).timestamp()
        except (TypeError, ValueError, OverflowError):
            self.wrong.append(f"{where}.{key} is no time")
            return 0.0


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()  # JSON can write halves of surrogate pairs, which no store takes.
    except UnicodeEncodeError:
        return False
    return True
