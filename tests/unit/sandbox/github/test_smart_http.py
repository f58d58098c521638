"""Git's own program against the server: clone, fetch, push, and what a push may not do."""

import hashlib
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.github.handlers.smart_http import commands, packet, packets
from pavedpath_sandbox.github.mirror import GitError

from tests.unit.sandbox.github.test_process import serve, until_ready

R = "/repos/acme/app"


class World:
    """A server, a client of its REST interface, and a directory for clones."""

    def __init__(self, http: httpx.Client, directory: Path) -> None:
        self.http, self.directory = http, directory
        self.url = str(http.base_url).rstrip("/").replace("http://", "http://x:secret-token@") + "/acme/app.git"

    def git(self, *arguments: str, at: str = "clone", ok: bool = True) -> str:
        home = {"HOME": str(self.directory), "GIT_CONFIG_NOSYSTEM": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"}
        who = {f"GIT_{role}_{field}": "dev" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.directory / at,
            env={**home, **who, "GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout + done.stderr

    def commit(self, name: str, text: str) -> str:
        (self.directory / "clone" / name).write_text(text)
        self.git("add", name)
        self.git("commit", "-m", f"Write {name}")
        return self.git("rev-parse", "HEAD").strip()

    def tip(self, ref: str) -> Any:
        answer = self.http.get(f"{R}/git/ref/{ref}")
        return answer.json()["object"]["sha"] if answer.status_code == 200 else None

    def send(self, method: str, path: str, body: Any, status: int) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with serve(tmp_path) as (_, http):
        until_ready(http)
        made = World(http, tmp_path)
        made.send("POST", "/orgs/acme/repos", {"name": "app", "private": True, "auto_init": True}, 201)
        made.git("clone", "-q", made.url, "clone", at=".")
        yield made


def test_clone_push_and_fetch(world: World) -> None:
    sha = world.commit("a.txt", "one\n")
    world.git("push", "origin", "HEAD:main", "HEAD:refs/heads/topic")
    assert world.tip("heads/main") == world.tip("heads/topic") == sha
    assert world.http.get(f"{R}/contents/a.txt").json()["size"] == 4
    world.git("tag", "-a", "v1", "-m", "One")
    world.git("push", "origin", "v1", ":topic")
    assert (world.tip("heads/topic"), world.http.get(f"{R}/tags").json()[0]["commit"]["sha"]) == (None, sha)
    body = {"message": "m", "content": "Yg==", "branch": "main"}
    written = world.send("PUT", f"{R}/contents/b.txt", body, 201)["commit"]["sha"]
    world.git("pull", "-q", "origin", "main")
    assert world.git("rev-parse", "HEAD").strip() == written
    world.git("clone", "-q", "--depth", "1", "--branch", "v1", world.url, "shallow", at=".")
    assert (world.directory / "shallow" / "a.txt").read_text() == "one\n"
    world.git("fetch", "-q", "--depth", "1", "origin", written, at="shallow")


def test_a_big_push_arrives_whole(world: World) -> None:
    for number in range(200):
        (world.directory / "clone" / f"{number}.txt").write_text(f"{number}\n" * 2000)
    # More than git keeps in memory: it asks first with an empty push, then sends in chunks.
    (world.directory / "clone" / "noise").write_bytes(hashlib.shake_256(b"noise").digest(3_000_000))
    world.git("add", ".")
    world.git("commit", "-qm", "Much")
    world.git("push", "-q", "origin", "HEAD:main")
    world.git("clone", "-q", world.url, "again", at=".")
    assert (world.directory / "again" / "199.txt").read_text() == "199\n" * 2000
    world.git("fsck", "--strict", at="again")


def test_rules_hold_for_pushes(world: World) -> None:
    conditions: dict[str, Any] = {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}}
    rules = [{"type": "non_fast_forward"}, {"type": "deletion"}]
    body = {"name": "main", "enforcement": "active", "conditions": conditions, "rules": rules}
    world.send("POST", f"{R}/rulesets", body, 201)
    before = world.commit("a.txt", "one\n")
    world.git("push", "-q", "origin", "HEAD:main")
    world.git("commit", "-q", "--amend", "-m", "Other")
    said = world.git("push", "--force", "origin", "HEAD:main", "HEAD:refs/heads/topic", ok=False)
    assert "Cannot force-push to this branch" in said
    assert (world.tip("heads/main"), world.tip("heads/topic")) == (before, world.git("rev-parse", "HEAD").strip())
    said = world.git("push", "--atomic", "--force", "origin", "HEAD:main", "HEAD:refs/heads/other", ok=False)
    assert ("atomic push failed" in said, world.tip("heads/other")) == (True, None)
    assert "deny updating" in world.git("push", "origin", "HEAD:refs/pull/9/head", ok=False)
    assert "current branch" in world.git("push", "origin", ":main", ok=False)


def test_a_push_to_the_head_of_a_pull_request_moves_it(world: World) -> None:
    world.git("switch", "-qc", "topic")
    world.commit("a.txt", "one\n")
    world.git("push", "-q", "origin", "topic")
    body = {"title": "Topic", "head": "topic", "base": "main"}
    number = world.send("POST", f"{R}/pulls", body, 201)["number"]
    sha = world.commit("a.txt", "two\n")
    world.git("push", "-q", "origin", "topic")
    assert world.http.get(f"{R}/pulls/{number}").json()["head"]["sha"] == sha
    world.git("fetch", "-q", "origin", f"refs/pull/{number}/head")
    assert world.git("rev-parse", "FETCH_HEAD").strip() == sha


def test_the_first_push_into_an_empty_repository_names_its_default_branch(world: World) -> None:
    world.send("POST", "/orgs/acme/repos", {"name": "empty", "private": True}, 201)
    url = world.url.replace("/app.git", "/empty.git")
    world.git("clone", "-q", url, "empty", at=".")
    world.git("push", "-q", url, "HEAD:refs/heads/trunk")
    assert world.http.get("/repos/acme/empty").json()["default_branch"] == "trunk"


def test_who_may_read_and_who_may_write(world: World) -> None:
    wrong = world.url.replace("secret-token", "wrong")
    assert "Authentication failed" in world.git("ls-remote", wrong, ok=False)
    anonymous = world.url.replace("x:secret-token@", "")
    world.git("ls-remote", anonymous, ok=False)
    world.send("PATCH", R, {"private": False}, 200)
    assert "refs/heads/main" in world.git("ls-remote", anonymous)
    world.commit("a.txt", "one\n")
    world.git("push", anonymous, "HEAD:main", ok=False)
    assert "not found" in world.git("ls-remote", world.url.replace("/app.git", "/none.git"), ok=False)
    world.send("PATCH", R, {"archived": True}, 200)
    assert "403" in world.git("push", "origin", "HEAD:main", ok=False)


def test_a_push_that_lacks_objects_moves_nothing(world: World) -> None:
    sha, ref = "1" * 40, "refs/heads/broken"
    body = packet(f"{'0' * 40} {ref}\0report-status\n".replace("0 refs", "0 " + sha + " refs").encode()) + b"0000"
    answer = world.http.post("/acme/app.git/git-receive-pack", content=body)
    assert b"ng refs/heads/broken unpacker error" in answer.content
    assert world.tip("heads/broken") is None


@given(st.lists(st.binary(min_size=1, max_size=200)), st.binary(max_size=20))
def test_packet_lines_are_read_as_they_are_written(lines: list[bytes], rest: bytes) -> None:
    assert packets(b"".join(map(packet, lines)) + b"0000" + rest) == (lines, rest)


@pytest.mark.parametrize("data", [b"zzzz", b"0003", b"00ff", b"00"])
def test_malformed_packet_lines_are_refused(data: bytes) -> None:
    with pytest.raises(GitError):
        packets(data)


def test_malformed_commands_are_refused() -> None:
    with pytest.raises(GitError):
        commands([b"main"])
