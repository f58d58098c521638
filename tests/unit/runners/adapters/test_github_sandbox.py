"""The forge as an app against the sandbox's GitHub, which is strict: what GitHub's description of its API does not
allow, asked or answered, is an error."""

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest
from pavedpath_runners.adapters.github import GithubForge
from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.ports import Attempt, NameTakenError, Page, RunActiveError, RunnerBusyError

from tests.unit.runners.github_server import Sandbox, serve

SCOPES = pytest.mark.parametrize("scope", ["", "acme/orders"], ids=["organization", "repository"])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sandbox]:
    with serve(tmp_path_factory.mktemp("github")) as started:
        yield started


@SCOPES
def test_a_runner_from_its_configuration_to_its_removal(sandbox: Sandbox, fleet: Fleet, pool: Pool, scope: str) -> None:
    forge = sandbox.forge(fleet, scope)
    identity, configuration = forge.register("dev-7-1", pool, scope)
    assert len(configuration) > 100
    with pytest.raises(NameTakenError, match="dev-7-1"):
        forge.register("dev-7-1", pool, scope)
    forge.register("other-7-1", pool, scope)
    found = forge.registration("dev-7-1", scope)
    assert found
    assert (found.id, found.online, found.busy, found.scope) == (identity, False, False, scope)
    assert forge.registrations(scope).found == [found]
    assert forge.registration("dev-7-2", scope) is None
    sandbox.post(f"/_sandbox/runners/{identity}/connect")
    assert [each.online for each in forge.registrations(scope).found] == [True]
    forge.remove(identity, scope)
    forge.remove(identity, scope)
    assert forge.registrations(scope).found == []


def test_more_runners_than_a_page_holds(sandbox: Sandbox, fleet: Fleet, pool: Pool) -> None:
    forge = sandbox.forge(fleet)
    ids = [forge.register(f"dev-{number}-9", pool, "")[0] for number in range(101)]
    first = forge.registrations("")
    second = forge.registrations("", first.after)
    assert second.after == ""
    assert sorted(each.id for each in (*first.found, *second.found)) == sorted(ids)
    for identity in ids:
        forge.remove(identity, "")


def test_a_job_from_the_queue_to_its_end_and_again(sandbox: Sandbox, fleet: Fleet, pool: Pool) -> None:
    forge = sandbox.forge(fleet)
    run, [build, other] = sandbox.run("build", "test")
    assert forge.is_own("acme/orders", run)
    queued = forge.job("acme/orders", build["id"])
    assert queued
    assert (queued.status, queued.runner, queued.conclusion, queued.labels) == (
        "queued",
        "",
        "",
        ("self-hosted", "linux", "arm64"),
    )
    assert (queued.run_id, queued.started_at, queued.ended_at) == (run, 0.0, 0.0)
    assert abs(queued.queued_at - time.time()) < 600
    waiting = forge.waiting("acme/orders", list)
    assert {each.id: (each.status, each.public) for each in waiting} == {
        build["id"]: ("queued", False),
        other["id"]: ("queued", False),
    }
    assert forge.waiting("acme/storefront", list) == []

    identity, _ = forge.register("dev-9-1", pool, "")
    sandbox.post(f"/_sandbox/runners/{identity}/connect")
    running = forge.job("acme/orders", build["id"])
    assert running
    assert (running.status, running.runner) == ("in_progress", "dev-9-1")
    assert [each.busy for each in forge.registrations("").found] == [True]
    with pytest.raises(RunnerBusyError):
        forge.remove(identity, "")
    assert {each.status for each in forge.waiting("acme/orders", list)} == {"in_progress", "queued"}

    sandbox.job(build["id"], conclusion="failure")
    with pytest.raises(RunActiveError):
        forge.rerun("acme/orders", build["id"])
    sandbox.job(other["id"], hosted=True)
    sandbox.job(other["id"], conclusion="success")
    ended = forge.job("acme/orders", build["id"])
    assert ended
    assert (ended.status, ended.conclusion) == ("completed", "failure")
    assert ended.ended_at >= ended.started_at > 0
    assert forge.registrations("").found == [], "an ephemeral runner is gone with its job"
    assert forge.waiting("acme/orders", list) == []

    forge.rerun("acme/orders", build["id"])
    [again] = forge.waiting("acme/orders", list)
    assert (again.run_id, again.status) == (run, "queued")
    assert again.id != build["id"]
    sandbox.job(again.id, hosted=True)
    sandbox.job(again.id, conclusion="success")


def test_a_job_that_nobody_knows(sandbox: Sandbox, fleet: Fleet) -> None:
    assert sandbox.forge(fleet).job("acme/orders", 2**40) is None


class Receiver(HTTPServer):
    """Refuses deliveries as long as it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 503
        self.guids: list[str] = []
        self.arrived = threading.Condition()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver = cast(Receiver, self.server)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(receiver.status)
        self.end_headers()
        with receiver.arrived:
            receiver.guids.append(self.headers["x-github-delivery"])
            receiver.arrived.notify_all()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing."""


@pytest.fixture
def receiver() -> Generator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def until(server: Receiver, count: int) -> None:
    with server.arrived:
        assert server.arrived.wait_for(lambda: len(server.guids) >= count, 120)


@SCOPES
def test_a_delivery_that_failed_is_sent_again(sandbox: Sandbox, fleet: Fleet, receiver: Receiver, scope: str) -> None:
    owner = f"/repos/{scope}" if scope else "/orgs/acme"
    config = {"url": f"http://127.0.0.1:{receiver.server_port}/", "content_type": "json"}
    hook = sandbox.post(f"{owner}/hooks", {"name": "web", "config": config, "events": ["workflow_job"]})["id"]
    fleet = replace(fleet, repository_hooks={"orders": hook}) if scope else replace(fleet, hook_id=hook)
    forge, before = sandbox.forge(fleet, scope), time.time() - 60
    _, [job] = sandbox.run("build")
    until(receiver, 2)  # the ping, and `queued`
    [first] = settled(forge, scope, before, 503)
    assert (first.guid, first.again, first.scope) == (receiver.guids[1], False, scope)
    assert forge.attempts(scope, time.time() + 60) == Page([])

    forge.redeliver(first)
    until(receiver, 3)
    assert receiver.guids[2] == first.guid
    [again, _] = settled(forge, scope, before, 503, 503)
    assert (again.guid, again.again) == (first.guid, True)
    assert again.id > first.id
    receiver.status = 200
    forge.redeliver(again)
    until(receiver, 4)
    settled(forge, scope, before, 200, 503, 503)
    sandbox.client.delete(f"{owner}/hooks/{hook}")
    sandbox.job(job["id"], hosted=True)
    sandbox.job(job["id"], conclusion="success")


def settled(forge: GithubForge, scope: str, since: float, *statuses: int) -> Sequence[Attempt]:
    """The attempts, the newest first, once the server has written the outcome of the last one down."""
    found: Sequence[Attempt] = ()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = forge.attempts(scope, since).found
        if [each.status for each in found] == list(statuses):
            return found
        time.sleep(0.02)
    raise AssertionError(f"attempts of {statuses} are expected: {found}")
