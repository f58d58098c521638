"""The forge and its transport against scripted answers: what the sandbox's GitHub cannot be brought to say."""

import base64
import json
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pavedpath_runners.adapters.github import Answer, AppTransport, GitHubError, GithubForge, app_jwt
from pavedpath_runners.configuration import Fleet, Level, Pool
from pavedpath_runners.ports import Attempt, Page, RunActiveError, RunnerBusyError, ThrottledError, UnavailableError
from urllib3 import PoolManager


@dataclass
class Script:
    """Answers by path without its query; whatever else is asked is an error of the test."""

    answers: Mapping[str, Answer | Sequence[Answer]]
    asked: list[tuple[str, str, Mapping[str, Any] | None]] = field(default_factory=list[Any])

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        before = sum(1 for _, each, _ in self.asked if each.partition("?")[0] == path.partition("?")[0])
        self.asked.append((method, path, body))
        held = self.answers[path.partition("?")[0]]
        return held if isinstance(held, Answer) else held[before]


def ok(json: Any, **headers: str) -> Answer:
    return Answer(200, headers, json)


RUN = "/repos/acme/orders/actions/runs/1"


@pytest.mark.parametrize(
    ("head", "own"), [({"id": 1}, True), ({"id": 2}, False), (None, False)], ids=["own", "fork", "deleted-fork"]
)
def test_a_fork_is_told_by_its_repository(fleet: Fleet, clock: Any, head: Any, own: bool) -> None:
    script = Script({RUN: ok({"repository": {"id": 1}, "head_repository": head})})
    assert GithubForge(script, fleet, clock).is_own("acme/orders", 1) is own


def test_a_run_that_is_not_there_yet_is_nobodys(fleet: Fleet, clock: Any) -> None:
    with pytest.raises(UnavailableError):
        GithubForge(Script({RUN: Answer(404, {})}), fleet, clock).is_own("acme/orders", 1)


LIMITED = {"message": "You have exceeded a secondary rate limit. Please wait."}


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (Answer(429, {"retry-after": "17"}), 17.0),
        (Answer(403, {"retry-after": "30"}, LIMITED), 30.0),
        (Answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000090"}), 90.0),
        (Answer(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1789999999"}), 1.0),
        (Answer(403, {"x-ratelimit-remaining": "55"}, LIMITED), 60.0),
        (Answer(429, {}), 60.0),
        (Answer(502, {}), 0.0),
    ],
    ids=["429", "secondary", "primary", "primary-over", "secondary-without-time", "429-without-time", "outage"],
)
def test_limits_say_how_long_to_wait(fleet: Fleet, clock: Any, answer: Answer, after: float) -> None:
    with pytest.raises(UnavailableError) as caught:
        GithubForge(Script({RUN: answer}), fleet, clock).is_own("acme/orders", 1)
    assert caught.value.retry_after == after
    # Of an outage it is unknown whether GitHub acted.
    assert isinstance(caught.value, ThrottledError) == (answer.status != 502)


@pytest.mark.parametrize("status", [401, 403, 422])
def test_other_refusals_are_defects(fleet: Fleet, clock: Any, status: int) -> None:
    answer = Answer(status, {"x-ratelimit-remaining": "55"}, {"message": "Resource not accessible by integration"})
    with pytest.raises(GitHubError, match=f"{status} Resource not accessible"):
        GithubForge(Script({RUN: answer}), fleet, clock).is_own("acme/orders", 1)


RERUN = "/repos/acme/orders/actions/jobs/5/rerun"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The workflow run containing this job is already running", RunActiveError),
        ("Resource not accessible by integration", GitHubError),
    ],
)
def test_why_a_job_is_not_run_again(fleet: Fleet, clock: Any, message: str, told: type[Exception]) -> None:
    script = Script({RERUN: Answer(403, {}, {"message": message})})
    with pytest.raises(told, match=message):
        GithubForge(script, fleet, clock).rerun("acme/orders", 5)


def runner(name: str, identity: int = 1) -> Mapping[str, Any]:
    return {"id": identity, "name": name, "status": "online", "busy": False}


def test_runners_of_other_fleets_are_none_of_ours(fleet: Fleet, clock: Any) -> None:
    ours = ["dev-7-1", "DEV-8-12", "dev-warm-small-0", f"dev-{'7' * 20}-x-{'0' * 20}"]
    others = ["dev-2-7-1", "dev", "dev-x", "prod-7-1", "mydev-7-1", "dev-7"]
    held = [runner(name, number) for number, name in enumerate([*ours, *others])]
    script = Script({"/orgs/acme/actions/runners": ok({"runners": held})})
    assert [each.name for each in GithubForge(script, fleet, clock).registrations("").found] == ours


def test_a_page_of_runners_is_one_request(fleet: Fleet, clock: Any) -> None:
    held = [[runner(f"dev-{number}-1", number) for number in some] for some in (range(100), range(100, 130))]
    path = "/repos/acme/orders/actions/runners"
    script = Script({path: [ok({"runners": page}) for page in held]})
    forge = GithubForge(script, fleet, clock)
    first = forge.registrations("acme/orders")
    assert (len(first.found), first.after) == (100, "2")
    second = forge.registrations("acme/orders", first.after)
    assert (len(second.found), second.after) == (30, "")
    assert {each.scope for each in second.found} == {"acme/orders"}
    assert [asked for _, asked, _ in script.asked] == [f"{path}?per_page=100&page={n}" for n in (1, 2)]


def delivery(identity: int, guid: str, code: int, minute: int, **more: object) -> Mapping[str, Any]:
    held = {"id": identity, "guid": guid, "status_code": code, "status": "OK" if code == 200 else "failed"}
    return (
        held | {"delivered_at": f"2026-09-21T12:{minute:02}:00Z", "event": "workflow_job", "redelivery": False} | more
    )


NOON = 1789992000.0


DELIVERIES = "/orgs/acme/hooks/3/deliveries"


def test_attempts_at_jobs_deliveries_that_are_over(fleet: Fleet, clock: Any) -> None:
    held = [
        delivery(9, "pending", 0, 59, status="pending"),
        delivery(8, "again", 200, 50, redelivery=True),
        delivery(6, "ping", 500, 35, event="ping"),
        delivery(5, "again", 502, 30),
    ]
    link = '<https://api.github.com/x?per_page=100&cursor=v1_5>; rel="next", <https://api.github.com/x>; rel="first"'
    script = Script({DELIVERIES: [ok(held, link=link), ok([])]})
    forge = GithubForge(script, replace(fleet, hook_id=3), clock)
    page = forge.attempts("", NOON)
    assert page.found == [
        Attempt(8, "again", NOON + 3000, 200, again=True),
        Attempt(5, "again", NOON + 1800, 502),
    ]
    assert page.after == "v1_5"
    assert forge.attempts("", NOON, page.after).after == ""
    assert [path for _, path, _ in script.asked] == [
        f"{DELIVERIES}?per_page=100",
        f"{DELIVERIES}?per_page=100&cursor=v1_5",
    ]


def test_deliveries_are_not_read_further_back_than_asked(fleet: Fleet, clock: Any) -> None:
    link = '<https://api.github.com/x?cursor=older>; rel="next"'
    held = [delivery(2, "new", 500, 1), delivery(1, "old", 500, 0)]
    page = GithubForge(Script({DELIVERIES: ok(held, link=link)}), replace(fleet, hook_id=3), clock).attempts(
        "", NOON + 60
    )
    assert ([each.guid for each in page.found], page.after) == (["new"], "")


@pytest.mark.parametrize("status", [400, 422])
def test_a_page_that_github_has_forgotten_is_the_end(fleet: Fleet, clock: Any, status: int) -> None:
    """Whoever was to go on there was away for three days."""
    forge = GithubForge(Script({DELIVERIES: Answer(status, {}, {})}), replace(fleet, hook_id=3), clock)
    assert forge.attempts("", NOON, "v1_5") == Page([])
    with pytest.raises(GitHubError):
        forge.attempts("", NOON)


def test_each_repository_has_its_own_webhook(fleet: Fleet, clock: Any) -> None:
    fleet = replace(fleet, level=Level.REPOSITORY, repository_hooks={"orders": 3})
    path = "/repos/acme/orders/hooks/3/deliveries"
    script = Script({path: ok([delivery(1, "a", 500, 2)]), f"{path}/1/attempts": Answer(404, {})})
    forge = GithubForge(script, fleet, clock)
    (found,) = forge.attempts("acme/orders", NOON).found
    assert found.scope == "acme/orders"
    forge.redeliver(found)
    assert [(method, asked) for method, asked, _ in script.asked][1:] == [("POST", f"{path}/1/attempts")]


def test_without_a_webhook_nothing_has_failed(fleet: Fleet, clock: Any) -> None:
    forge = GithubForge(Script({}), fleet, clock)
    for scope in ("", "acme/orders"):
        assert forge.attempts(scope, 0.0) == Page(())
        forge.redeliver(Attempt(1, "guid", 0.0, 0, scope=scope))


def test_a_busy_runner_is_not_removed(fleet: Fleet, clock: Any) -> None:
    script = Script({"/orgs/acme/actions/runners/4": Answer(422, {}, {"message": "is still running a job"})})
    with pytest.raises(RunnerBusyError):
        GithubForge(script, fleet, clock).remove(4, "")


def test_answers_are_not_printed() -> None:
    assert "hidden" not in repr(Answer(201, {}, {"token": "hidden"}))


# The transport.

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any = KEY) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_the_apps_own_token_is_as_github_wants_it() -> None:
    head, claims, signature = app_jwt(42, pem(), 1_790_000_000.7).split(".")
    assert decoded(head) == {"alg": "RS256", "typ": "JWT"}
    assert decoded(claims) == {"iss": "42", "iat": 1_789_999_940, "exp": 1_790_000_540}
    signed = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(signed, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    "held", ["", "hunter2", pem(ec.generate_private_key(ec.SECP256R1()))], ids=["no", "word", "ec"]
)
def test_another_key_is_one_clear_error_without_the_key(held: str) -> None:
    with pytest.raises(ValueError, match="PAVEDPATH_APP_KEY_SECRET") as caught:
        app_jwt(42, held, 0.0)
    assert not held.strip() or held not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"


class Server(ThreadingHTTPServer):
    """A GitHub that issues tokens, and takes the last one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issued: list[str] = []
        self.seen: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.revoked: set[str] = set()
        self.expires = "2026-09-21T15:13:20Z"  # an hour after the clock's time
        self.status, self.body = 200, b"{}"
        self.token_status = 201
        self.root = f"http://127.0.0.1:{self.server_port}/api/v3/"


class _Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        server = cast(Server, self.server)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        token = self.headers["authorization"].removeprefix("Bearer ")
        server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, sent = server.status, server.body
        if self.path.endswith("/access_tokens"):
            status = server.token_status
            server.issued.append(f"ghs_{len(server.issued)}")
            sent = json.dumps({"token": server.issued[-1], "expires_at": server.expires}).encode()
        elif token in server.revoked:
            status, sent = 401, b'{"message": "Bad credentials"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("X-RateLimit-Remaining", "7")
        self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(sent)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing."""


@pytest.fixture
def server() -> Generator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def learned() -> list[str]:
    return []


@pytest.fixture
def transport(server: Server, clock: Any, learned: list[str]) -> AppTransport:
    return AppTransport(PoolManager(), server.root, 42, 7, pem, clock, learned.append)


def test_requests_carry_the_installations_token(server: Server, transport: AppTransport, learned: list[str]) -> None:
    server.status, server.body = 201, b'{"a": 1}'
    answer = transport.request("POST", "/orgs/acme/x?per_page=1", {"name": "ö"})
    assert (answer.status, answer.json, answer.headers["x-ratelimit-remaining"]) == (201, {"a": 1}, "7")
    (_, issue, asked, _), (method, path, headers, body) = server.seen
    assert issue == "/api/v3/app/installations/7/access_tokens"
    assert len(asked["authorization"].split(".")) == 3
    assert (method, path, json.loads(body)) == ("POST", "/api/v3/orgs/acme/x?per_page=1", {"name": "ö"})
    assert headers["authorization"] == "Bearer ghs_0"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"] == "pavedpath-runners"
    assert learned == ["ghs_0"]


def test_a_token_is_kept_until_five_minutes_before_its_end(server: Server, transport: AppTransport, clock: Any) -> None:
    for passed in (0, 3299, 1):
        clock.time += passed
        transport.request("GET", "/x")
    assert [headers["authorization"] for _, path, headers, _ in server.seen if path.endswith("/x")] == [
        "Bearer ghs_0",
        "Bearer ghs_0",
        "Bearer ghs_1",
    ]


def test_a_token_that_was_revoked_is_replaced_once(server: Server, transport: AppTransport) -> None:
    server.revoked = {"ghs_0"}
    assert transport.request("GET", "/x").status == 200
    server.revoked = {f"ghs_{number}" for number in range(9)}
    assert transport.request("GET", "/x").status == 401
    assert len(server.issued) == 3


@pytest.mark.parametrize(("status", "told"), [(404, GitHubError), (502, UnavailableError), (429, UnavailableError)])
def test_why_there_is_no_token(server: Server, transport: AppTransport, status: int, told: type[Exception]) -> None:
    server.token_status = status
    with pytest.raises(told) as caught:
        transport.request("GET", "/x")
    assert "ghs_" not in str(caught.value)


def test_no_answer_is_unavailable_and_names_no_credentials(server: Server, transport: AppTransport) -> None:
    transport.request("GET", "/x")
    server.shutdown()
    server.server_close()
    with pytest.raises(UnavailableError, match="GitHub GET /x") as caught:
        transport.request("GET", "/x")
    assert "ghs_0" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_an_address_that_is_none_is_a_defect(clock: Any) -> None:
    transport = AppTransport(PoolManager(), "http://127.0.0.1:port", 42, 7, pem, clock)
    with pytest.raises(GitHubError, match=r"127\.0\.0\.1:port is no address"):
        transport.request("GET", "/x")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_limit_comes_through_with_its_time(server: Server, transport: AppTransport, status: int) -> None:
    server.status = status
    answer = transport.request("GET", "/x")
    assert (answer.status, answer.headers["retry-after"]) == (status, "30")
    assert [path for _, path, _, _ in server.seen].count("/api/v3/x") == 1


@pytest.mark.parametrize(("status", "fails"), [(200, True), (502, False)])
def test_an_answer_that_is_no_json(server: Server, transport: AppTransport, status: int, fails: bool) -> None:
    server.status, server.body = status, b"<html>"
    if fails:
        with pytest.raises(UnavailableError):
            transport.request("GET", "/x")
    else:
        assert transport.request("GET", "/x").json is None


def test_labels_and_group_are_the_pools(fleet: Fleet, pool: Pool, clock: Any) -> None:
    made = Answer(201, {}, {"runner": runner("dev-7-1", 5), "encoded_jit_config": "eyJ"})
    script = Script({"/orgs/acme/actions/runners/generate-jitconfig": made})
    assert GithubForge(script, replace(fleet, runner_group_id=9), clock).register("dev-7-1", pool, "") == (5, "eyJ")
    assert script.asked[0][2] == {
        "name": "dev-7-1",
        "runner_group_id": 9,
        "labels": ["self-hosted", "linux", "arm64"],
        "work_folder": "_work",
    }
