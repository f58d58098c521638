import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from pavedpath_sandbox.github.settings import Plan, Settings

SECRET = "shared"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; answers with `status` after `delay` seconds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.delay = 0.0
        self.meeting: threading.Barrier | None = None
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = cast(Receiver, self.server)
        body = self.rfile.read(int(self.headers["content-length"]))
        receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        time.sleep(receiver.delay)
        if receiver.meeting:
            receiver.meeting.wait(timeout=100)  # raises, and nothing is answered, if the others do not come meanwhile
        self.send_response(receiver.status)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing."""


@pytest.fixture
def receiver() -> Generator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hook(github: Any, receiver: Receiver, scope: str, *events: str, content_type: str = "json") -> str:
    config = {"url": receiver.url, "content_type": content_type, "secret": SECRET}
    made = github.post(f"{scope}/hooks", {"name": "web", "config": config, "events": list(events)})
    github.deliveries()
    return f"{scope}/hooks/{made['id']}"


def test_deliveries_are_signed_and_kept(github: Any, receiver: Receiver) -> None:
    path = github.repository()
    url = hook(github, receiver, path, "push")
    github.write(path, "a", "x")
    github.deliveries()
    assert [headers["x-github-event"] for headers, _ in receiver.received] == ["ping", "push"]
    headers, body = receiver.received[1]
    for name, algorithm in (("x-hub-signature-256", hashlib.sha256), ("x-hub-signature", hashlib.sha1)):
        digest = hmac.new(SECRET.encode(), body, algorithm).hexdigest()
        assert headers[name].partition("=")[2] == digest
    payload = json.loads(body)
    assert (payload["ref"], payload["repository"]["full_name"], payload["sender"]["login"]) == (
        "refs/heads/main",
        "acme/app",
        "acme-admin",
    )
    [commit] = payload["commits"]
    assert (commit["added"], commit["modified"], commit["removed"]) == (["a"], [], [])
    assert (commit["id"], payload["head_commit"]) == (payload["after"], commit)
    push, ping = github.get(f"{url}/deliveries")
    assert (push["event"], ping["event"], push["status_code"], push["status"]) == ("push", "ping", 200, "OK")
    assert push["guid"] == headers["x-github-delivery"]
    kept = github.get(f"{url}/deliveries/{push['id']}")
    assert kept["request"]["payload"] == payload
    assert kept["response"]["payload"] == "thanks"
    assert github.get(url)["last_response"]["code"] == 200
    assert SECRET not in json.dumps(github.get(url))


def test_a_failed_delivery_can_be_sent_again(github: Any, receiver: Receiver) -> None:
    path = github.repository()
    url = hook(github, receiver, path, "push")
    receiver.status = 503
    github.write(path, "a", "x")
    github.deliveries()
    failed = github.get(f"{url}/deliveries?status=failure")[0]
    assert failed["status_code"] == 503
    receiver.status = 200
    github.post(f"{url}/deliveries/{failed['id']}/attempts", status=202)
    github.deliveries()
    assert receiver.received[-1][1] == receiver.received[-2][1]
    again = github.get(f"{url}/deliveries")[0]
    assert (again["guid"], again["redelivery"], again["status_code"]) == (failed["guid"], True, 200)
    assert again["id"] != failed["id"]


def test_a_slow_receiver_is_given_up(settings: Settings, start: Callable[..., Any], receiver: Receiver) -> None:
    receiver.delay = 1.0
    with start(replace(settings, delivery_timeout=0.1)) as github:
        url = hook(github, receiver, "/orgs/acme", "push")
        assert github.get(f"{url}/deliveries")[0]["status"] == "timed out"


def test_only_what_is_asked_for_is_sent(github: Any, receiver: Receiver) -> None:
    path, other = github.repository(), github.repository("other")
    url = hook(github, receiver, path, "push")
    hook(github, receiver, "/orgs/acme", "repository", content_type="form")
    github.write(other, "a", "x")
    github.patch(url, {"active": False})
    github.write(path, "a", "x")
    github.delete(other)
    github.deliveries()
    assert [headers["x-github-event"] for headers, _ in receiver.received] == ["ping", "ping", "repository"]
    assert receiver.received[-1][1].startswith(b"payload=%7B")


def test_a_job_that_its_environment_holds_back_is_told_as_queued_waiting_and_queued(
    settings: Settings, start: Callable[..., Any], receiver: Receiver
) -> None:
    """Which is not the order of its states that one would guess from them, and runners' fleets have to live with it."""
    with start(replace(settings, plan=Plan.ENTERPRISE)) as github:
        path = github.repository()
        user = github.get("/user", token="member-token")["id"]
        rules = {"reviewers": [{"type": "User", "id": user}]}
        environment = github.put(f"{path}/environments/prod", rules, status=200)["id"]
        url = hook(github, receiver, path, "workflow_job")
        jobs = [{"name": "deploy", "labels": ["linux"], "environment": "prod"}, {"name": "free", "labels": ["linux"]}]
        run = github.post("/_sandbox/runs", {"repository": "app", "jobs": jobs}, status=200)["id"]

        def told(name: str) -> list[tuple[str, str]]:
            """Actions and states of a job's deliveries, oldest first."""
            github.deliveries()
            held = [github.get(f"{url}/deliveries/{each['id']}") for each in reversed(github.get(f"{url}/deliveries"))]
            news = [each["request"]["payload"] for each in held if each["event"] == "workflow_job"]
            return [
                (each["action"], each["workflow_job"]["status"])
                for each in news
                if each["workflow_job"]["name"] == name
            ]

        assert told("free") == [("queued", "queued")]
        assert told("deploy") == [("queued", "queued"), ("waiting", "waiting")]
        answer = {"environment_ids": [environment], "state": "approved", "comment": ""}
        approved = f"{path}/actions/runs/{run}/pending_deployments"
        github.post(approved, answer, status=200, token="member-token")
        assert told("deploy") == [("queued", "queued"), ("waiting", "waiting"), ("queued", "queued")]


def test_deliveries_that_a_kill_interrupted_are_sent_at_the_next_start(
    settings: Settings, start: Callable[..., Any], receiver: Receiver
) -> None:
    with start(settings) as github:
        path = github.repository()
        url = hook(github, receiver, path, "push")
        github.github.deliverer.wake = lambda: None
        github.write(path, "a", "x")
    assert len(receiver.received) == 1
    with start(settings) as github:
        github.get(path)
        github.deliveries()
        assert [one["status_code"] for one in github.get(f"{url}/deliveries")] == [200, 200]
    assert len(receiver.received) == 2


def test_hooks_are_checked(github: Any) -> None:
    path = github.repository()
    config = {"url": "http://127.0.0.1:9/a"}
    github.post(f"{path}/hooks", {"config": config})
    answer = github.post(f"{path}/hooks", {"config": config}, status=422)
    assert answer["errors"][0]["message"] == "Hook already exists on this repository"
    other = github.post(f"{path}/hooks", {"config": {"url": "http://127.0.0.1:9/b"}})
    github.patch(f"{path}/hooks/{other['id']}", {"config": config}, status=422)
    github.post(f"{path}/hooks", {"config": {"url": "ftp://x"}}, status=422)
    github.get(f"{path}/hooks/abc", status=404)
    assert other["events"] == ["push"]


def test_deliveries_come_in_pages(github: Any, receiver: Receiver) -> None:
    path = github.repository()
    url = hook(github, receiver, path, "push")
    for _ in range(4):
        github.post(f"{url}/pings", status=204)
    github.deliveries()
    first = github.send("GET", f"{url}/deliveries?per_page=3")
    following = first.headers["link"].partition(";")[0].strip("<>").partition("/api/v3")[2]
    second = github.send("GET", following)
    assert (len(first.json()), len(second.json()), "link" in second.headers) == (3, 2, False)


def test_old_deliveries_are_forgotten(github: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pavedpath_sandbox.github.deliveries.KEPT", 3)
    url = hook(github, receiver, github.repository(), "push")
    for _ in range(5):
        github.post(f"{url}/pings", status=204)
        github.deliveries()
    assert len(github.get(f"{url}/deliveries")) == 3


def test_deliveries_are_under_way_together_if_that_is_asked(
    settings: Settings, start: Callable[..., Any], receiver: Receiver
) -> None:
    with start(replace(settings, delivery_timeout=120.0)) as github:
        path = github.repository()
        url = hook(github, receiver, path, "workflow_job")
        github.post("/_sandbox/hooks/faults", {"at_once": 3}, status=200)
        receiver.meeting = threading.Barrier(3)
        jobs = [{"name": str(number), "labels": ["self-hosted"]} for number in range(3)]
        github.post("/_sandbox/runs", {"repository": path.rpartition("/")[2], "jobs": jobs}, status=200)
        github.deliveries()
        found = [one["status_code"] for one in github.get(f"{url}/deliveries") if one["event"] == "workflow_job"]
    assert found == [200, 200, 200]


def test_first_attempts_are_lost_doubled_and_late_as_was_asked(github: Any, receiver: Receiver) -> None:
    path = github.repository()
    url = hook(github, receiver, path, "push")
    faults = {"lose_every": 2, "duplicate_every": 3, "delay_every": 5, "delay_seconds": 0.3}
    assert github.post("/_sandbox/hooks/faults", faults, status=200)["lose_every"] == 2
    receiver.received.clear()
    for number in range(1, 6):
        github.write(path, str(number), "x")
    github.deliveries()
    found = list(reversed(github.get(f"{url}/deliveries")))[1:]  # the first is the hook's ping
    assert [one["status_code"] for one in found] == [200, 0, 200, 0, 200]
    first, _, third, _, fifth = (one["guid"] for one in found)
    assert [headers["x-github-delivery"] for headers, _ in receiver.received] == [first, third, third, fifth]
    lost = github.get(f"{url}/deliveries?status=failure")
    assert len(lost) == 2
    github.post(f"{url}/deliveries/{lost[0]['id']}/attempts", status=202)
    github.deliveries()
    assert receiver.received[-1][0]["x-github-delivery"] == lost[0]["guid"]
    told = github.post("/_sandbox/hooks/faults", {"lose_every": 0}, status=200)
    assert {name: told[name] for name in ("lost", "duplicated", "delayed", "redelivered", "lose_every")} == {
        "lost": 2,
        "duplicated": 1,
        "delayed": 1,
        "redelivered": 1,
        "lose_every": 0,
    }
    answer = github.post("/_sandbox/hooks/faults", {"lose": 1, "lose_every": -1}, status=422)
    assert "lose, lose_every: there are lose_every, duplicate_every" in answer["message"]


def test_a_late_delivery_does_not_hold_up_those_after_it(github: Any, receiver: Receiver) -> None:
    path = github.repository()
    hook(github, receiver, path, "push")
    github.post("/_sandbox/hooks/faults", {"delay_every": 2, "delay_seconds": 1.5}, status=200)
    receiver.received.clear()
    deliverer = github.github.deliverer
    wake, deliverer.wake = deliverer.wake, lambda: None  # all three wait when the first is sent
    for name in ("a", "b", "c"):
        github.write(path, name, "x")
    deliverer.wake = wake
    github.get(path)
    github.deliveries()
    written = [json.loads(body)["after"] for _, body in receiver.received]
    pushed = [one["sha"] for one in reversed(github.get(f"{path}/commits"))][-3:]
    assert written == [pushed[0], pushed[2], pushed[1]]
