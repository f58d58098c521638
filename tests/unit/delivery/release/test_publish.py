"""Releases at a GitHub that is a dictionary, with failures at every step."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub
from pavedpath_delivery.release.hub import Hub
from pavedpath_delivery.release.publish import Released, Wish, publish

HISTORY = [f"{number:040x}" for number in range(1, 7)]  # oldest first, all on main but the last
MAIN, STRAY = HISTORY[:5], HISTORY[5]
R = "/repos/acme/shop"


@dataclass
class FakeGitHub:
    """The repository acme/shop."""

    refs: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    objects: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    releases: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    writes: list[str] = field(default_factory=list[str])
    before_write: Callable[[str], None] = lambda _: None
    after_write: Callable[[str], None] = lambda _: None

    def tag(self, name: str, commit: str, *, annotated: bool = True) -> None:
        if not annotated:
            self.refs[f"refs/tags/{name}"] = ("commit", commit)
            return
        sha = hashlib.sha1(f"{name}{commit}".encode(), usedforsecurity=False).hexdigest()
        self.objects[sha] = {"sha": sha, "object": {"type": "commit", "sha": commit}, "message": ""}
        self.refs[f"refs/tags/{name}"] = ("tag", sha)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            self.before_write(path)
            self.writes.append(path.removeprefix(f"{R}/"))
            answer = self._write(path, json.loads(request.content))
            self.after_write(path)
            return answer
        found = self._read(path)
        return httpx.Response(404, json={"message": "Not Found"}) if found is None else httpx.Response(200, json=found)

    def _write(self, path: str, body: dict[str, Any]) -> httpx.Response:
        if path == f"{R}/git/tags":
            sha = hashlib.sha1(json.dumps(body).encode(), usedforsecurity=False).hexdigest()
            self.objects[sha] = {
                "sha": sha,
                "message": body["message"],
                "object": {"type": body["type"], "sha": body["object"]},
            }
            return httpx.Response(201, json=self.objects[sha])
        if path == f"{R}/git/refs":
            if body["ref"] in self.refs:
                return httpx.Response(422, json={"message": "Reference already exists"})
            self.refs[body["ref"]] = ("tag", body["sha"])
            return httpx.Response(201, json={})
        assert path == f"{R}/releases"
        tag = body["tag_name"]
        assert f"refs/tags/{tag}" in self.refs, "a release without a tag would make a lightweight one"
        if tag in self.releases:
            return httpx.Response(422, json={"message": "Validation Failed", "errors": [{"code": "already_exists"}]})
        self.releases[tag] = {**body, "html_url": f"https://github.com/acme/shop/releases/tag/{tag}"}
        return httpx.Response(201, json=self.releases[tag])

    def _read(self, path: str) -> Any | None:
        routes: dict[str, Callable[..., Any | None]] = {
            "": lambda: {"default_branch": "main"},
            "/git/matching-refs/tags/v": lambda: [{"ref": ref} for ref in self.refs],
            "/git/ref/(tags/.*)": self._ref,
            "/git/tags/(.*)": self.objects.get,
            "/releases/tags/(.*)": self.releases.get,
            "/commits": lambda: [commit(sha) for sha in reversed(MAIN)],
            "/commits/(.*)": self._commit,
            r"/compare/(.*)\.\.\.(.*)": self._compare,
        }
        rest = path.removeprefix(R)
        (found,) = [(match, answer) for route, answer in routes.items() if (match := re.fullmatch(route, rest))]
        return found[1](*found[0].groups())

    def _ref(self, name: str) -> Any | None:
        kind, sha = self.refs.get(f"refs/{name}", ("", ""))
        return {"object": {"type": kind, "sha": sha}} if sha else None

    def _commit(self, name: str) -> Any | None:
        sha = MAIN[-1] if name == "main" else name
        return {"sha": sha} if sha in HISTORY else None

    def _compare(self, base: str, head: str) -> dict[str, Any]:
        if base == "main":
            return {"status": "diverged" if head == STRAY else "identical" if head == MAIN[-1] else "behind"}
        kind, sha = self.refs[f"refs/tags/{base}"]
        start = sha if kind == "commit" else self.objects[sha]["object"]["sha"]
        return {"status": "ahead", "commits": [commit(each) for each in HISTORY if start < each <= head]}


def commit(sha: str) -> dict[str, Any]:
    return {"sha": sha, "commit": {"message": f"feat: number {int(sha, 16)}"}, "parents": [{}]}


@dataclass
class Shelf:
    """Images by reference."""

    references: set[str] = field(default_factory=set[str])

    def has(self, image: str, tag: str) -> bool:
        return f"{image}:{tag}" in self.references


def quiet(_: str) -> None:
    pass


class KilledError(BaseException):
    """The process is killed here: nothing of ours runs after it."""


def run(github: FakeGitHub, version: str = "v1.1.0", *, dry_run: bool = False, **wish: Any) -> Released:
    parsed = Version.parse(version)
    assert parsed is not None
    client = httpx.Client(base_url="https://api.github.com/", transport=httpx.MockTransport(github))
    index = wish.pop("index", Shelf())
    hub = Hub(GitHub(client, "acme"), "acme/shop")
    wish.setdefault("commit", "main")
    return publish(hub, index, Wish(parsed, **wish), lambda _: None, dry_run=dry_run)


@pytest.fixture
def github() -> FakeGitHub:
    made = FakeGitHub()
    made.tag("v1.0.0", MAIN[2])
    return made


def annotation(github: FakeGitHub, tag: str) -> dict[str, Any]:
    kind, sha = github.refs[f"refs/tags/{tag}"]
    assert kind == "tag"
    return github.objects[sha]


def test_a_release_is_an_annotated_tag_and_a_release_with_what_is_new(github: FakeGitHub) -> None:
    done = run(github)
    tag = annotation(github, "v1.1.0")
    assert tag["object"] == {"type": "commit", "sha": MAIN[-1]}
    assert tag["message"].startswith("Release v1.1.0\n\n## Features\n\n- number 4")
    release = github.releases["v1.1.0"]
    assert (release["prerelease"], release["make_latest"]) == (False, "true")
    assert release["body"] == done.notes
    assert "number 3" not in done.notes
    assert (done.made, done.since) == (["the tag", "the release"], "v1.0.0")
    assert done.outputs() == {"version": "v1.1.0", "commit": MAIN[-1], "url": release["html_url"]}


def test_the_first_release_has_everything() -> None:
    done = run(FakeGitHub(), "v0.1.0", commit=MAIN[4])
    assert [f"number {number}" in done.notes for number in (1, 5)] == [True, True]
    assert done.notes.index("number 1") < done.notes.index("number 5")


def test_a_second_run_changes_nothing(github: FakeGitHub) -> None:
    first = run(github)
    writes = list(github.writes)
    second = run(github)
    assert github.writes == writes
    assert (second.made, second.url) == ([], first.url)
    assert "released already" in second.summary()


def test_a_dry_run_writes_nothing_and_shows_the_notes(github: FakeGitHub) -> None:
    done = run(github, dry_run=True)
    assert github.writes == []
    assert (done.made, done.url) == (["the tag", "the release"], "")
    assert "number 4" in done.notes
    with pytest.raises(DeliveryError):
        run(github, commit=STRAY, dry_run=True)


@pytest.mark.parametrize("when", ["before_write", "after_write"])
@pytest.mark.parametrize("what", ["git/tags", "git/refs", "releases"])
def test_what_a_killed_run_left_the_next_one_finishes(github: FakeGitHub, what: str, when: str) -> None:
    def kill(path: str) -> None:
        if path.endswith(what):
            raise KilledError

    setattr(github, when, kill)
    with pytest.raises(KilledError):
        run(github)
    setattr(github, when, quiet)
    writes = len(github.writes)
    run(github)
    assert annotation(github, "v1.1.0")["object"]["sha"] == MAIN[-1]
    assert set(github.releases) == {"v1.1.0"}
    left = {("git/tags", "before_write"): 3, ("git/tags", "after_write"): 3, ("git/refs", "before_write"): 3}
    left |= {("git/refs", "after_write"): 1, ("releases", "before_write"): 1, ("releases", "after_write"): 0}
    assert len(github.writes) - writes == left[what, when]


def test_two_runs_at_the_same_time_make_one_release(github: FakeGitHub) -> None:
    def other(path: str) -> None:
        github.before_write = quiet
        run(github)

    github.before_write = other
    done = run(github)
    assert done.url == github.releases["v1.1.0"]["html_url"]


def test_another_run_that_tagged_another_commit_meanwhile_wins(github: FakeGitHub) -> None:
    github.before_write = lambda _: github.tag("v1.1.0", MAIN[3])
    with pytest.raises(DeliveryError, match="Reference already exists"):
        run(github)
    assert github.releases == {}


@pytest.mark.parametrize(
    ("version", "wish", "says"),
    [
        ("v1.1.0", {"commit": STRAY}, "is not on main"),
        ("v0.9.0", {}, "does not come after v1.0.0"),
        ("v1.0.0", {}, "the tag v1.0.0 is on 000000000000"),
        (
            "v1.1.0",
            {"images": ["ghcr.io/acme/api", "ghcr.io/acme/worker"]},
            "ghcr.io/acme/api:sha-.*, ghcr.io/acme/worker:sha-",
        ),
    ],
)
def test_what_is_refused_writes_nothing(github: FakeGitHub, version: str, wish: dict[str, Any], says: str) -> None:
    with pytest.raises(DeliveryError, match=says) as caught:
        run(github, version, **wish)
    assert caught.value.code is Exit.POLICY
    assert github.writes == []


def test_all_images_are_there_by_the_commits_own_tag(github: FakeGitHub) -> None:
    tag = f"sha-{MAIN[-1][:12]}"
    index = Shelf({f"ghcr.io/acme/api:{tag}"})
    with pytest.raises(DeliveryError) as caught:
        run(github, images=["ghcr.io/acme/api", "ghcr.io/acme/worker"], index=index)
    assert "acme/api" not in str(caught.value)
    index.references.add(f"ghcr.io/acme/worker:{tag}")
    run(github, images=["ghcr.io/acme/api", "ghcr.io/acme/worker"], index=index)


def test_a_hotfix_is_not_the_latest_and_compares_with_its_line(github: FakeGitHub) -> None:
    github.tag("v2.0.0", MAIN[4])
    done = run(github, "v1.0.1", commit=MAIN[3], hotfix=True)
    assert done.since == "v1.0.0"
    assert github.releases["v1.0.1"]["make_latest"] == "false"


def test_a_prerelease_is_marked(github: FakeGitHub) -> None:
    run(github, "v1.1.0-rc.1")
    release = github.releases["v1.1.0-rc.1"]
    assert (release["prerelease"], release["make_latest"]) == (True, "false")


def test_a_tag_that_someone_made_by_hand_is_finished_if_it_is_annotated(github: FakeGitHub) -> None:
    github.tag("v1.1.0", MAIN[-1])
    assert run(github).made == ["the release"]
    github.tag("v1.2.0", MAIN[-1], annotated=False)
    with pytest.raises(DeliveryError, match="not annotated"):
        run(github, "v1.2.0")


@pytest.mark.parametrize(("commit", "says"), [("nowhere", "does not have the commit nowhere")])
def test_a_commit_that_was_not_pushed(github: FakeGitHub, commit: str, says: str) -> None:
    with pytest.raises(DeliveryError, match=says) as caught:
        run(github, commit=commit)
    assert caught.value.code is Exit.USAGE


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(403, json={"message": "API rate limit exceeded"}), r"\(403\): API rate limit exceeded"),
        (httpx.Response(502, text="<html>"), r"\(502\): Bad Gateway"),
        (httpx.ConnectError("connection refused"), "cannot be reached: connection refused"),
    ],
)
def test_a_github_that_does_not_answer_is_told(answer: httpx.Response | Exception, says: str) -> None:
    def reply(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.Client(base_url="https://api.github.com/", transport=httpx.MockTransport(reply))
    with pytest.raises(DeliveryError, match=says):
        Hub(GitHub(client, "acme"), "acme/shop").default_branch()
