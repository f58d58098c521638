"""Releases and the tags that they make."""

from typing import Any

import pytest

R = "/repos/acme/app"


@pytest.fixture
def c(github: Any) -> Any:
    github.repository()
    return github


def release(c: Any, tag: str, **more: Any) -> Any:
    return c.post(f"{R}/releases", {"tag_name": tag, **more})


def latest(c: Any) -> str:
    return c.get(f"{R}/releases/latest")["tag_name"]


def test_a_release_makes_its_tag_and_a_draft_does_not(c: Any) -> None:
    tip = c.get(f"{R}/commits/main")["sha"]
    release(c, "v1.0.0")
    assert c.get(f"{R}/git/ref/tags/v1.0.0")["object"]["sha"] == tip
    draft = release(c, "v1.1.0", draft=True)
    c.get(f"{R}/git/ref/tags/v1.1.0", status=404)
    c.get(f"{R}/releases/tags/v1.1.0", status=404)
    assert (latest(c), draft["published_at"]) == ("v1.0.0", None)
    assert len(c.get(f"{R}/releases", token="member-token")) == 1
    c.get(f"{R}/releases/{draft['id']}", status=404, token="member-token")
    c.patch(f"{R}/releases/{draft['id']}", {"draft": False})
    c.get(f"{R}/git/ref/tags/v1.1.0")
    assert latest(c) == "v1.1.0"
    assert [one["tag_name"] for one in c.get(f"{R}/releases")] == ["v1.1.0", "v1.0.0"]
    c.delete(f"{R}/releases/{draft['id']}")
    c.get(f"{R}/git/ref/tags/v1.1.0")


def test_an_annotated_tag_is_released_as_it_is(c: Any) -> None:
    tip = c.get(f"{R}/commits/main")["sha"]
    tag = c.post(f"{R}/git/tags", {"tag": "v1", "message": "One", "object": tip, "type": "commit"})["sha"]
    c.post(f"{R}/git/refs", {"ref": "refs/tags/v1", "sha": tag})
    release(c, "v1")
    assert c.get(f"{R}/git/ref/tags/v1")["object"] | {"url": ""} == {"type": "tag", "sha": tag, "url": ""}


def test_which_release_is_the_latest(c: Any) -> None:
    release(c, "v2.0.0")
    release(c, "v1.9.1", make_latest="false")
    release(c, "v3.0.0-rc1", prerelease=True)
    assert latest(c) == "v2.0.0"
    old = release(c, "v1.9.2", make_latest="legacy")
    assert latest(c) == "v2.0.0"
    c.patch(f"{R}/releases/{old['id']}", {"make_latest": "true"})
    assert latest(c) == "v1.9.2"


def test_what_cannot_be_released(c: Any) -> None:
    release(c, "v1")
    assert c.post(f"{R}/releases", {"tag_name": "v1"}, status=422)["errors"][0]["code"] == "already_exists"
    c.post(f"{R}/releases", {"tag_name": "bad tag"}, status=422)
    wrong = c.post(f"{R}/releases", {"tag_name": "v2", "target_commitish": "none"}, status=422)
    assert wrong["errors"][0]["field"] == "target_commitish"
    c.post(f"{R}/releases", {"tag_name": "v2", "draft": True, "make_latest": "true"}, status=422)
    c.post(f"{R}/releases", {"tag_name": "v2"}, status=403, token="member-token")


def test_rulesets_on_tags_hold_for_releases_too(c: Any) -> None:
    conditions: dict[str, Any] = {"ref_name": {"include": ["refs/tags/v*"], "exclude": []}}
    body = {"name": "tags", "target": "tag", "enforcement": "active", "conditions": conditions}
    c.post(f"{R}/rulesets", {**body, "rules": [{"type": "creation"}, {"type": "deletion"}]})
    message = c.post(f"{R}/releases", {"tag_name": "v1"}, status=422)["message"]
    assert "Cannot create ref due to creations being restricted." in message
    release(c, "other")


def test_notes_name_the_pull_requests_since_the_previous_tag(c: Any) -> None:
    release(c, "v1.0.0")
    for name in ("one", "two"):
        sha = c.get(f"{R}/commits/main")["sha"]
        c.post(f"{R}/git/refs", {"ref": f"refs/heads/{name}", "sha": sha})
        c.write(R, f"{name}.txt", name, branch=name)
        number = c.post(f"{R}/pulls", {"title": f"Add {name}", "head": name, "base": "main"})["number"]
        c.put(f"{R}/pulls/{number}/merge", {"merge_method": "squash"}, status=200)
        made = release(c, f"v1.{number}.0", generate_release_notes=True)
        assert made["body"].splitlines()[:2] == [
            "## What's Changed",
            f"* Add {name} by @acme-admin in http://github.test/acme/app/pull/{number}",
        ]
    assert made["body"].endswith("/acme/app/compare/v1.1.0...v1.2.0")
    notes = {"tag_name": "v1.2.0", "previous_tag_name": "v1.0.0"}
    assert "Add one" in c.post(f"{R}/releases/generate-notes", notes, status=200)["body"]
    c.post(f"{R}/releases/generate-notes", notes | {"previous_tag_name": "none"}, status=404)
