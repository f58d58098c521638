"""What a delivery may do: nothing without a signature; with one, one event at the most, and always an answer."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pavedpath_runners import receiver
from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.control import ControlPlane
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.ports import UnavailableError, World
from pavedpath_runners.receiver import MAXIMUM_BYTES, Request, Response, is_signed, job_facts, parse, receive
from pavedpath_runners.records import Delivery

from tests.unit.runners.ledger_model import LedgerModel

SECRET = b"the webhook's secret"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
POOL = Pool("small", ("self-hosted", "linux", "arm64", "dev"), ("c7g.large",), ("subnet-1",), "lt-1", maximum=10)
FLEET = Fleet(name="dev", organization="Acme", pools=(POOL,), repositories=("orders", "storefront"))


class Recorder:
    """A control plane that remembers what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.taken: list[tuple[Delivery, JobEvent]] = []
        self.error = error

    def take(self, delivery: Delivery, event: JobEvent) -> None:
        self.taken.append((delivery, event))
        if self.error:
            raise self.error


class Stopped:
    """A clock that stands still."""

    def now(self) -> float:
        return NOW


class Sent:
    """A queue that remembers what was sent."""

    def __init__(self) -> None:
        self.jobs: list[int] = []

    def send(self, job: int, key: str, delay: float = 0.0) -> None:
        self.jobs.append(job)

    def postpone(self, receipt: str, seconds: float) -> None:
        raise AssertionError("a receiver receives no messages")


class Silence:
    """Telemetry that nobody reads."""

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None: ...
    def seconds(self, metric: str, value: float, **dimensions: str) -> None: ...
    def say(self, event: str, **fields: object) -> None: ...


def payload(action: str = "queued", **changes: Any) -> dict[str, Any]:
    job = {
        "id": 11,
        "run_id": 7,
        "status": "queued",
        "conclusion": None,
        "labels": ["self-hosted", "linux", "arm64", "dev"],
        "created_at": "2026-09-21T14:13:00Z",
        "started_at": "2026-09-21T14:13:00Z",
        "completed_at": None,
        "runner_name": None,
        "steps": [],
    }
    repository = {"full_name": "acme/orders", "private": True, "owner": {"login": "acme"}}
    found = {"action": action, "workflow_job": job | changes.pop("job", {}), "repository": repository}
    found["repository"] |= changes.pop("repository", {})
    return found | changes


def sign(body: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def request(content: object, secret: bytes = SECRET, **headers: str) -> Request:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given_headers = {
        "X-Hub-Signature-256": sign(body, secret),
        "X-GitHub-Event": "workflow_job",
        "X-GitHub-Delivery": GUID,
    }
    return Request("POST", given_headers | {name.replace("_", "-"): value for name, value in headers.items()}, body)


def answer(asked: Request, control: Recorder, fleet: Fleet = FLEET) -> Response:
    return receive(asked, [SECRET], fleet, control, NOW)


def test_a_job_of_the_fleet_is_taken_once() -> None:
    control = Recorder()
    assert answer(request(payload()), control) == Response(200, "taken")
    ((delivery, event),) = control.taken
    assert delivery == Delivery(GUID, NOW)
    assert (event.action, event.organization, event.public) == (Action.QUEUED, "acme", False)
    assert event.facts == job_facts(payload()["workflow_job"], "acme/orders")
    assert (event.facts.id, event.facts.run_id, event.facts.queued_at) == (11, 7, NOW - 20)
    assert (event.facts.started_at, event.facts.ended_at, event.facts.runner) == (0.0, 0.0, "")


def test_a_running_and_an_ended_job_have_their_times_and_their_runner() -> None:
    facts = job_facts(
        payload()["workflow_job"]
        | {
            "status": "completed",
            "conclusion": "success",
            "started_at": "2026-09-21T14:13:10+00:00",
            "completed_at": "2026-09-21T14:13:20.500Z",
            "runner_name": "dev-11-1",
        },
        "acme/orders",
    )
    assert (facts.started_at, facts.ended_at) == (NOW - 10, NOW + 0.5)
    assert (facts.conclusion, facts.runner) == ("success", "dev-11-1")


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title], ids=["lower", "upper", "title"])
def test_headers_are_found_in_any_case(case: Callable[[str], str]) -> None:
    asked, control = request(payload()), Recorder()
    headers = {case(name): value for name, value in asked.headers.items()}
    assert answer(Request("POST", headers, asked.body), control).status == 200
    assert len(control.taken) == 1


# Who sent it


FORGED = {
    "none": "",
    "empty": "sha256=",
    "sha1": "sha1=" + "0" * 40,
    "zeros": "sha256=" + "0" * 64,
    "of another body": sign(b"another body"),
    "of another secret": sign(b"{}", b"x"),
    "not ASCII": "sha256=ü\ud800",
}


def test_a_wrong_signature_in_any_form_is_refused() -> None:
    control = Recorder()
    for form, signature in FORGED.items():
        asked = Request("POST", {**request(b"{}").headers, "X-Hub-Signature-256": signature}, b"{}")
        assert answer(asked, control).status == 401, form
    assert control.taken == []


def test_during_a_rotation_both_secrets_sign() -> None:
    body = b"{}"
    both = [b"new", b"old"]
    assert [is_signed(body, sign(body, each), both) for each in (b"new", b"old", b"older")] == [True, True, False]


def test_an_empty_secret_proves_nothing() -> None:
    assert not is_signed(b"{}", sign(b"{}", b""), [b""])
    assert not is_signed(b"{}", sign(b"{}", b""), [])


def test_every_secret_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    class Text(str):
        """A signature that nobody may compare by itself."""

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared with ==")

        __hash__ = str.__hash__

    monkeypatch.setattr(receiver, "hmac", SimpleNamespace(new=hmac.new, compare_digest=watched))
    assert is_signed(b"{}", Text(sign(b"{}", b"new")), [b"new", b"old"])
    assert [one for one, _ in compared] == [sign(b"{}", each).encode() for each in (b"new", b"old")]


@given(
    body=st.binary(max_size=300) | st.just(json.dumps(payload()).encode()),
    headers=st.dictionaries(
        st.sampled_from(["X-Hub-Signature-256", "x-github-event", "X-GitHub-Delivery", "x-other"]),
        st.sampled_from(["workflow_job", "ping", GUID, sign(b"", b"wrong")]) | st.text(max_size=80),
    ),
    method=st.sampled_from(["POST", "GET", "post", ""]),
)
def test_nothing_unsigned_is_parsed_or_reaches_the_control_plane(
    body: bytes, headers: Mapping[str, str], method: str
) -> None:
    control = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver, "json", SimpleNamespace(loads=_never))
        patch.setattr(receiver, "parse", _never)
        response = receive(Request(method, headers, body), [SECRET], FLEET, control, NOW)
    assert response.status in (401, 405)
    assert control.taken == []


def test_a_forged_body_is_not_even_parsed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver, "json", SimpleNamespace(loads=_never))
        assert answer(request(payload(), b"another secret"), Recorder()).status == 401


def _never(*_: object) -> object:
    raise AssertionError("an unsigned body was read")


# What it holds

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(sorted([*payload()["workflow_job"], *payload()["repository"], "action", "workflow_job"]))


def _damaged(at: str, value: object) -> bytes:
    found = payload()
    for place in (found["workflow_job"], found["repository"], found):
        if at in place:
            place[at] = value
            break
    return json.dumps(found).encode()


@given(st.binary(max_size=300) | st.builds(_damaged, FIELDS, JSON) | JSON.map(lambda each: json.dumps(each).encode()))
@example(b"[" * 100_000)
@example(b'{"action": "\\ud800"}')
@example(b"9" * 5000)
@example("{}".encode("utf-16"))
@example(_damaged("created_at", "0001-01-01T00:00:00+23:59"))
@example(_damaged("labels", ["\ud800"]))
@example(_damaged("id", 10**30))
def test_any_signed_bytes_have_an_answer(body: bytes) -> None:
    control = Recorder()
    response = answer(request(body), control)
    assert response.status in (200, 202, 400, 422)
    assert (response == Response(200, "taken")) == (len(control.taken) == 1)
    for _, event in control.taken:
        texts = (event.organization, event.facts.repository, event.facts.runner, *event.facts.labels)
        assert "".join(texts).encode(), "a store takes it"


def test_what_cannot_be_read_is_named_whole() -> None:
    found = payload(job={"id": "11", "labels": "linux", "created_at": None}, repository={"private": "yes"})
    with pytest.raises(ValueError, match="no id") as raised:
        parse(found)
    assert str(raised.value) == (
        "repository.private is neither true nor false; workflow_job.id is no id;"
        " workflow_job.labels is no list of texts; workflow_job.created_at is no time"
    )
    control = Recorder()
    assert answer(request(found), control) == Response(422, str(raised.value))
    assert control.taken == []


@pytest.mark.parametrize(
    "name", ["acme", "acme/orders/x", "acme/../admin", "acme/or ders", "acme/orders?x=1", "acme/ö"]
)
def test_a_repository_that_would_lead_a_path_astray_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^repository\.full_name is not OWNER/NAME$"):
        parse(payload(repository={"full_name": name}))


def test_an_action_that_is_not_known_is_none_of_the_fleets() -> None:
    assert parse(payload("deferred")) == "the action 'deferred' is not known"
    control = Recorder()
    assert answer(request(payload("deferred")), control).status == 202
    assert control.taken == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (Request("GET", request(payload()).headers, request(payload()).body), 405),
        (request(b" " * (MAXIMUM_BYTES + 1)), 413),
        (request(b" " * MAXIMUM_BYTES), 400),
        (request(b"payload=%7B%7D"), 400),
        (request(payload(), X_GitHub_Delivery=""), 400),
        (request(payload(), X_GitHub_Delivery="a\nb"), 400),
        (request({"zen": "Keep it logically awesome."}, X_GitHub_Event="ping"), 200),
        (request({"ref": "refs/heads/main"}, X_GitHub_Event="push"), 202),
        (request({}, X_GitHub_Event=""), 202),
    ],
    ids=["get", "too-long", "just-not-too-long", "form", "no-guid", "bad-guid", "ping", "push", "no-event"],
)
def test_what_is_no_event_of_a_job_does_nothing(asked: Request, status: int) -> None:
    control = Recorder()
    assert answer(asked, control).status == status
    assert control.taken == []


def test_a_body_that_is_too_long_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request(b" " * (MAXIMUM_BYTES + 1))
    monkeypatch.setattr(receiver, "hmac", SimpleNamespace(new=_never))
    assert answer(asked, Recorder()).status == 413


# Whose it is


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (payload(repository={"owner": {"login": "other"}}), "by the policy of organization"),
        (payload(repository={"full_name": "acme/billing"}), "by the policy of repository"),
        (payload(repository={"private": False}), "by the policy of public"),
        (payload(job={"labels": ["ubuntu-latest"]}), "by the policy of labels"),
        (payload(job={"created_at": "2026-08-01T00:00:00Z"}), "the job is older than 30 days"),
    ],
    ids=["organization", "repository", "public", "labels", "replayed"],
)
def test_policy_refuses_without_telling_github_to_try_again(found: dict[str, Any], reason: str) -> None:
    control = Recorder()
    assert answer(request(found), control) == Response(202, f"ignored: {reason}")
    assert control.taken == []
    # News of a machine of ours is news, whoever's job it runs.
    found["workflow_job"]["runner_name"] = "dev-3-1"
    assert answer(request(found), control) == Response(200, "taken")


def test_a_fleet_without_a_list_serves_every_private_repository() -> None:
    wide = Fleet(name="dev", organization="acme", pools=(POOL,))
    found = payload(repository={"private": True, "full_name": "acme/anything"})
    assert answer(request(found), Recorder(), wide).status == 200


# What happens to it


def test_github_learns_that_it_is_to_send_it_again() -> None:
    control = Recorder(UnavailableError("arn:aws:dynamodb:table"))
    assert answer(request(payload()), control) == Response(503, "not taken now; it will be sent again")
    assert len(control.taken) == 1


def test_a_delivery_that_comes_again_does_nothing_more() -> None:
    ledger, sent = LedgerModel(), Sent()
    nothing = cast(Any, None)  # what a receiver must not call
    control = ControlPlane(FLEET, World(Stopped(), ledger, nothing, nothing, nothing, sent, Silence()))
    for _ in range(2):
        assert receive(request(payload()), [SECRET], FLEET, control, NOW) == Response(200, "taken")
    assert [job.id for job in ledger.open_jobs()] == [11]
    assert (sent.jobs, set(ledger.deliveries)) == ([11], {GUID})


def test_no_answer_tells_the_secret_or_what_was_sent() -> None:
    bodies = [payload(), payload("x"), payload(job={"id": None}), b"{", payload(repository={"owner": {"login": "o"}})]
    for content in bodies:
        for secret in (SECRET, b"wrong"):
            asked = request(content, secret)
            response = answer(asked, Recorder())
            assert SECRET.decode() not in response.body
            assert sign(asked.body) not in response.body
