"""Sending in virtual time, remembering through kills, and never a word of the address or the secret."""

import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.notify.ledger import Entry, Ledger
from pavedpath_delivery.notify.messages import Channel, Event
from pavedpath_delivery.notify.run import Outcome, Plan, Told, notify, problems
from pavedpath_delivery.notify.send import Answer, Delivery, Sender, Unreachable, key, signature
from typer.testing import CliRunner, Result

from tests.unit.delivery.notify.test_messages import NOTICE
from tests.unit.delivery.virtual import VirtualClock

SECRET = "correct-horse-battery"
PATH = "/services/T000/B000/s3cr3t-address"
ENVIRON = {"NOTIFY_URL": f"https://hooks.test{PATH}", "NOTIFY_SECRET": SECRET}


@dataclass
class Receiver:
    """Gives the planned answers, the last one for ever; keeps what it got."""

    answers: list[Answer | Exception]
    got: list[tuple[bytes, dict[str, str]]] = field(default_factory=list[tuple[bytes, dict[str, str]]])

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        answer = self.answers[min(len(self.got), len(self.answers) - 1)]
        self.got.append((body, dict(headers)))
        if isinstance(answer, Exception):
            raise answer
        return answer


def sender(receiver: Receiver, clock: VirtualClock | None = None, jitter: float = 0.5, budget: float = 60) -> Sender:
    return Sender(receiver, clock or VirtualClock(), lambda: jitter, budget=budget)


DELIVERY = Delivery(b"{}", "msg_1", b"key")


def test_what_is_taken_at_once_is_sent_once() -> None:
    receiver = Receiver([Answer(204)])
    assert sender(receiver).send(DELIVERY) == 1
    assert len(receiver.got) == 1


@pytest.mark.parametrize("first", [Answer(503), Answer(429), Answer(408), Unreachable("ConnectError")])
def test_it_backs_off_and_comes_again_under_the_same_id(first: Answer | Exception) -> None:
    receiver, clock = Receiver([first, first, first, Answer(200)]), VirtualClock()
    assert sender(receiver, clock).send(DELIVERY) == 4
    assert clock.elapsed == (1 + 2 + 4) * 0.75
    assert {headers["Idempotency-Key"] for _, headers in receiver.got} == {"msg_1"}
    assert {headers["webhook-id"] for _, headers in receiver.got} == {"msg_1"}


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.5), (1.0, 1.0)])
def test_chance_moves_only_a_part_of_the_wait(jitter: float, seconds: float) -> None:
    clock = VirtualClock()
    sender(Receiver([Answer(500), Answer(200)]), clock, jitter).send(DELIVERY)
    assert clock.elapsed == seconds


@pytest.mark.parametrize("asked", ["17", "Thu, 01 Jan 2026 00:00:17 GMT"])
def test_it_waits_as_long_as_the_receiver_asks(asked: str) -> None:
    clock = VirtualClock()
    assert sender(Receiver([Answer(429, asked), Answer(200)]), clock).send(DELIVERY) == 2
    assert clock.elapsed == 17


def test_a_wait_beyond_the_budget_is_not_waited() -> None:
    receiver, clock = Receiver([Answer(429, "61"), Answer(200)]), VirtualClock()
    with pytest.raises(DeliveryError, match="answered 429; 1 attempts in 0 s"):
        sender(receiver, clock).send(DELIVERY)
    assert clock.elapsed == 0


def test_it_gives_up_after_six_attempts_within_the_budget() -> None:
    receiver, clock = Receiver([Unreachable("ConnectTimeout")]), VirtualClock()
    with pytest.raises(DeliveryError, match=r"no answer \(ConnectTimeout\); 6 attempts"):
        sender(receiver, clock).send(DELIVERY)
    assert len(receiver.got) == 6
    assert clock.elapsed <= 60


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
def test_a_refusal_is_final(status: int) -> None:
    receiver = Receiver([Answer(status, text="no_service"), Answer(200)])
    with pytest.raises(DeliveryError, match=rf"answered {status} \(no_service\)"):
        sender(receiver).send(DELIVERY)
    assert len(receiver.got) == 1


def test_an_answer_that_repeats_what_was_sent_is_not_shown() -> None:
    with pytest.raises(DeliveryError) as error:
        sender(Receiver([Answer(400, text=f"bad request to {PATH} by {SECRET}")])).send(DELIVERY)
    assert "bad request" not in str(error.value)


def test_the_signature_is_that_of_the_specification() -> None:
    raw = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
    body = b'{"test": 2432232314}'
    mine = signature(key(f"whsec_{raw}"), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    digest = hmac.new(
        b"0123456789abcdef0123456789abcdef", b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + body, hashlib.sha256
    )
    assert mine == f"v1,{base64.b64encode(digest.digest()).decode()}"
    with pytest.raises(DeliveryError, match="no base64") as error:
        key("whsec_not!base64")
    assert "not!base64" not in str(error.value)


def plan(channel: Channel = Channel.WEBHOOK, **environ: str) -> Plan:
    return Plan(channel, NOTICE, {**ENVIRON, **environ})


def told(receiver: Receiver, clock: VirtualClock, path: Path, wish: Plan | None = None) -> Told:
    wish = wish or plan()
    return notify(wish, lambda _: sender(receiver, clock), Ledger(path, wish.window))


def test_the_same_is_told_once_within_the_window(tmp_path: Path) -> None:
    receiver, clock, state = Receiver([Answer(200)]), VirtualClock(), tmp_path / "state.json"
    assert told(receiver, clock, state).outcome is Outcome.SENT
    assert told(receiver, clock, state).outcome is Outcome.KNOWN
    other = Plan(Channel.SLACK, NOTICE, ENVIRON)
    assert told(receiver, clock, state, other).outcome is Outcome.SENT
    clock.sleep(3600)
    assert told(receiver, clock, state).outcome is Outcome.SENT
    ids = [headers["webhook-id"] for _, headers in receiver.got]
    assert len(set(ids)) == 3


def test_what_was_not_taken_comes_again_under_its_id(tmp_path: Path) -> None:
    receiver, clock, state = Receiver([Answer(400), Answer(200)]), VirtualClock(), tmp_path / "state.json"
    with pytest.raises(DeliveryError):
        told(receiver, clock, state)
    clock.sleep(600)
    assert told(receiver, clock, state).outcome is Outcome.SENT
    assert len({headers["webhook-id"] for _, headers in receiver.got}) == 1


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b'{"told": {"x": 1}}', b"\xff", b'{"told": {"x": {"at": "n"}}}'])
def test_a_broken_state_is_no_reason_not_to_tell(tmp_path: Path, rubbish: bytes) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(rubbish)
    assert told(Receiver([Answer(200)]), VirtualClock(), state).outcome is Outcome.SENT
    assert told(Receiver([Answer(200)]), VirtualClock(), state).outcome is Outcome.KNOWN


def test_the_state_stays_small_and_holds_no_secret(tmp_path: Path) -> None:
    clock, state = VirtualClock(), tmp_path / "state.json"
    ledger = Ledger(state, timedelta(days=365))
    state.write_text(
        json.dumps(
            {"told": {str(n): {"id": "x" * 36, "at": clock.now().isoformat(), "taken": True} for n in range(5000)}}
        )
    )
    clock.sleep(1)
    ledger.note("newest", Entry("id", clock.now(), taken=True), clock.now())
    assert len(json.loads(state.read_text())["told"]) == 1000
    assert ledger.find("newest", clock.now()) is not None
    told(Receiver([Answer(200)]), clock, tmp_path / "other.json")
    kept = (tmp_path / "other.json").read_text()
    assert SECRET not in kept
    assert PATH not in kept


@pytest.mark.parametrize(
    ("channel", "environ", "why"),
    [
        (Channel.SLACK, {"NOTIFY_URL": ""}, "no NOTIFY_URL"),
        (Channel.SLACK, {"NOTIFY_URL": f"http://hooks.test{PATH}"}, "no https address"),
        (Channel.SLACK, {"NOTIFY_URL": f"http://[::1{PATH}"}, "no https address"),
        (Channel.SLACK, {"NOTIFY_URL": f"https://hooks.test:https{PATH}"}, "no https address"),
        (Channel.SLACK, {"NOTIFY_URL": PATH}, "no https address"),
        (Channel.WEBHOOK, {"NOTIFY_SECRET": ""}, "no NOTIFY_SECRET"),
    ],
)
def test_without_a_safe_address_and_a_secret_nothing_is_sent(
    channel: Channel, environ: dict[str, str], why: str
) -> None:
    receiver = Receiver([Answer(200)])
    with pytest.raises(DeliveryError, match=why) as error:
        notify(plan(channel, **environ), lambda _: sender(receiver), None)
    assert error.value.code is Exit.USAGE
    assert PATH not in str(error.value)
    assert receiver.got == []


def test_what_cannot_be_told_is_named_at_once() -> None:
    from dataclasses import replace

    wrong = replace(NOTICE, application=" ", version="", url="javascript:alert(1)")
    assert problems(wrong) == ["--app is empty", "--version is empty", "--url is no http or https address"]
    assert problems(replace(NOTICE, url="https://x.test/" + "a" * 2000)) == ["--url has more than 2000 characters"]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((self.path, dict(self.headers), body))
        status = server.statuses.pop(0) if server.statuses else 200
        if server.stall.is_set():
            server.stalled.set()
            server.release.wait(120)
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Retry-After", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that the base class gives it
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.stall, self.stalled, self.release = threading.Event(), threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{PATH}"


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.release.set()
        made.shutdown()


def arguments(*more: str, channel: str = "webhook") -> list[str]:
    what = ["--event", "deployed", "--app", "orders", "--environment", "dev", "--version", "v1"]
    return ["notify", "--channel", channel, *what, *more]


@pytest.fixture
def run(server: _Server, monkeypatch: pytest.MonkeyPatch) -> "Runner":
    monkeypatch.setenv("NOTIFY_URL", server.address)
    monkeypatch.setenv("NOTIFY_SECRET", SECRET)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return Runner()


class Runner:
    def __call__(self, *more: str, channel: str = "webhook") -> Result:
        done = CliRunner().invoke(app, arguments(*more, channel=channel))
        assert SECRET not in done.output
        assert "s3cr3t" not in done.output
        return done


def test_the_command_over_the_wire(run: Runner, server: _Server) -> None:
    server.statuses = [503]
    done = run("--output", "json")
    assert done.exit_code == Exit.OK, done.output
    assert json.loads(done.stdout)["attempts"] == 2
    path, headers, body = server.got[1]
    assert path == PATH
    expected = signature(SECRET.encode(), headers["webhook-id"], headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == expected
    assert json.loads(body)["type"] == "deployment.deployed"


def test_slack_gets_blocks_and_no_signature(run: Runner, server: _Server) -> None:
    assert run(channel="slack").exit_code == Exit.OK
    _, headers, body = server.got[0]
    assert "webhook-signature" not in headers
    assert json.loads(body)["blocks"][0]["type"] == "header"


def test_a_failure_is_the_commands_own_unless_best_effort_is_asked_for(run: Runner, server: _Server) -> None:
    server.statuses = [404, 302, 404]
    assert run().exit_code == Exit.FAILED
    assert run().exit_code == Exit.FAILED  # a redirect is not followed
    assert len(server.got) == 2
    done = run("--best-effort")
    assert done.exit_code == Exit.OK
    assert "::warning title=Nobody was notified::" in done.stderr


def test_best_effort_covers_what_is_missing_or_cannot_be_written(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert run("--state", str(tmp_path / "file" / "state.json")).exit_code == Exit.USAGE
    assert run("--state", str(tmp_path / "file" / "state.json"), "--best-effort").exit_code == Exit.OK
    monkeypatch.delenv("NOTIFY_URL")
    assert run().exit_code == Exit.USAGE
    assert run("--best-effort").exit_code == Exit.OK


def test_nothing_is_said_of_the_address_where_nobody_answers(
    run: Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pavedpath_delivery.notify.send import HttpPost

    caplog.set_level(logging.DEBUG)
    for address in (f"http://127.0.0.1:1{PATH}", f"https://127.0.0.1:99999{PATH}", f"https://x\x00{PATH}"):
        with pytest.raises(Unreachable) as error:
            HttpPost(address)(b"{}", {})
        assert "s3cr3t" not in repr(error.value)
        assert error.value.__suppress_context__
    assert "s3cr3t" not in caplog.text


def test_a_dry_run_shows_the_message_and_needs_no_address(
    run: Runner, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_URL")
    done = run("--dry-run", channel="slack")
    assert done.exit_code == Exit.OK
    assert '"type": "header"' in done.stdout
    assert server.got == []


def test_two_jobs_at_once_tell_it_once(server: _Server, tmp_path: Path) -> None:
    def job(_: int) -> Outcome:
        wish = Plan(Channel.WEBHOOK, NOTICE, {"NOTIFY_URL": server.address, "NOTIFY_SECRET": SECRET})
        from pavedpath_delivery.notify.send import HttpPost

        ledger = Ledger(tmp_path / "state.json", wish.window)
        return notify(wish, lambda address: Sender(HttpPost(address), VirtualClock()), ledger).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(job, range(8)))
    assert sorted(outcomes) == [Outcome.KNOWN] * 7 + [Outcome.SENT]
    assert len(server.got) == 1


def test_killed_while_it_sends_the_next_run_sends_under_the_same_id(server: _Server, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    environ = {**os.environ, "NOTIFY_URL": server.address, "NOTIFY_SECRET": SECRET}
    command = [
        sys.executable,
        "-c",
        "from pavedpath_delivery.cli import main; main()",
        *arguments("--state", str(state)),
    ]
    server.stall.set()
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        assert server.stalled.wait(120)
        job.send_signal(signal.SIGKILL)
    server.stall.clear()
    server.release.set()
    again = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("sent:")
    third = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert third.stdout.startswith("already sent:")
    ids = [headers["webhook-id"] for _, headers, _ in server.got]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_events_have_words() -> None:
    from dataclasses import replace

    titles = {replace(NOTICE, event=event).title for event in Event}
    assert len(titles) == len(Event)
    assert all("orders v1.4.0" in title and "prod" in title for title in titles)
