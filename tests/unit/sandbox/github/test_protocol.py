"""What all operations share: limits, pages, conditional requests, strictness, the log, and state that lasts."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.github.call import Call, Reply
from pavedpath_sandbox.github.description import Router
from pavedpath_sandbox.github.routes import HANDLERS, Handler
from pavedpath_sandbox.github.settings import Settings, read_tokens


def test_the_primary_limit(settings: Settings, start: Callable[..., Any], clock: Any) -> None:
    with start(replace(settings, rate_limit=3)) as github:
        for remaining in ("2", "1", "0"):
            assert github.send("GET", "/user").headers["x-ratelimit-remaining"] == remaining
        refused = github.send("GET", "/user")
        assert refused.status_code == 403
        assert refused.json()["message"].startswith("API rate limit exceeded")
        assert github.get("/rate_limit")["resources"]["core"]["remaining"] == 0
        assert int(refused.headers["x-ratelimit-reset"]) == int(clock.now) + 3600
        github.get("/user", token="member-token")
        clock.now += 3601
        github.get("/user")


def test_the_secondary_limit(settings: Settings, start: Callable[..., Any], clock: Any) -> None:
    with start(replace(settings, secondary_limit=10)) as github:
        github.repository()
        github.repository("other")
        clock.now += 20
        refused = github.send("GET", "/user")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
        assert refused.json()["documentation_url"].endswith("secondary-rate-limits")
        clock.now += 40
        github.get("/user")


def test_conditional_requests_cost_nothing(github: Any) -> None:
    path = github.repository()
    first = github.send("GET", path)
    again = github.send("GET", path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"]
    github.patch(path, {"description": "changed"})
    assert github.send("GET", path, headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_pages(github: Any) -> None:
    path = github.repository()
    for number in range(41):
        github.post(f"{path}/actions/variables", {"name": f"V{number:02}", "value": "x"})
    seen, links = list[str](), dict[str, str]()
    url = f"{path}/actions/variables?per_page=10"
    while url:
        answer = github.send("GET", url)
        assert answer.json()["total_count"] == 41
        seen += [one["name"] for one in answer.json()["variables"]]
        links = dict(part.split("; ")[::-1] for part in answer.headers["link"].split(", "))
        url = links.get('rel="next"', "<>")[1:-1].partition("/api/v3")[2]
    assert seen == [f"V{number:02}" for number in range(41)]
    assert 'rel="first"' in links
    assert len(github.get(f"{path}/actions/variables?per_page=500")["variables"]) == 41
    assert len(github.get(f"{path}/actions/variables")["variables"]) == 10  # where others have 30


def odd(_call: Call) -> Reply:
    return Reply(201, {"names": []})


def wrong(_call: Call) -> Reply:
    return Reply(200, {"names": "not a list"})


def test_a_wrong_answer_is_caught(
    settings: Settings, start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    handlers: dict[str, Handler] = {
        **HANDLERS,
        "repos/replace-all-topics": wrong,
        "repos/get-all-topics": odd,
    }
    with start(settings, handlers) as github:
        path = github.repository()
        message = github.put(f"{path}/topics", {"names": []}, status=500)["message"]
        assert "repos/replace-all-topics" in message
        assert "PUT /repos/{owner}/{repo}/topics" in message
        assert '/names: value is not of type "array"' in message
        assert "status 201 is not one of [200, 404]" in github.get(f"{path}/topics", status=500)["message"]
    with start(replace(settings, strict=False), handlers) as github:
        github.put("/repos/acme/app/topics", {"names": []}, status=200)
    assert any('"violation"' in record.message for record in caplog.records)


def test_a_caught_answer_changes_nothing(settings: Settings, start: Callable[..., Any]) -> None:
    def handler(call: Call) -> Reply:
        HANDLERS["repos/replace-all-topics"](call)
        return Reply(200, {})

    with start(settings, {**HANDLERS, "repos/replace-all-topics": handler}) as github:
        path = github.repository()
        github.put(f"{path}/topics", {"names": ["a"]}, status=500)
        assert github.get(f"{path}/topics") == {"names": []}


def test_a_crash_is_a_500_and_undone(settings: Settings, start: Callable[..., Any]) -> None:
    def crash(call: Call) -> Reply:
        HANDLERS["repos/replace-all-topics"](call)
        raise ZeroDivisionError

    with start(settings, {**HANDLERS, "repos/replace-all-topics": crash}) as github:
        path = github.repository()
        assert github.put(f"{path}/topics", {"names": ["a"]}, status=500)["message"] == "Server Error"
        assert github.get(f"{path}/topics") == {"names": []}


def test_what_is_not_served_says_so(settings: Settings, start: Callable[..., Any]) -> None:
    with start(settings) as strict:
        path = strict.repository()
        answer = strict.get(f"{path}/milestones", status=501)
        assert "issues/list-milestones" in answer["message"]
        assert strict.get("/no/such/thing", status=404)["message"] == "Not Found"
    with start(replace(settings, strict=False)) as lenient:
        assert "issues/list-milestones" in lenient.get(f"{path}/milestones", status=404)["message"]


def test_neither_tokens_nor_secrets_are_logged(
    github: Any, seal: Callable[..., dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = github.repository()
    body = seal(github.get(f"{path}/actions/secrets/public-key"), "hush-hush")
    github.put(f"{path}/actions/secrets/A", body, status=201)
    github.put(f"{path}/actions/secrets/A", body | {"encrypted_value": 5}, status=422)
    github.post("/_sandbox/secrets/decrypt", {"repository": "app", "name": "A"}, status=200)
    config = {"url": "http://127.0.0.1:9/x", "secret": "hook-secret"}
    github.post(f"{path}/hooks", {"config": config})
    github.deliveries()
    for secret in ("owner-token", "hush-hush", body["encrypted_value"], "hook-secret"):
        assert secret not in caplog.text
    entries = [json.loads(one.message) for one in caplog.records if one.name == "pavedpath_sandbox.github"]
    assert {"actions/create-or-update-repo-secret"} <= {one.get("operation") for one in entries}


def test_state_outlives_the_server(settings: Settings, start: Callable[..., Any]) -> None:
    with start(settings) as github:
        path = github.repository()
        sha = github.write(path, "a", "x")["commit"]["sha"]
        github.put(f"{path}/environments/dev", status=200)
        key = github.get(f"{path}/environments/dev/secrets/public-key")
    with start(settings) as github:
        assert github.get(f"{path}/branches/main")["commit"]["sha"] == sha
        assert github.get(f"{path}/environments/dev/secrets/public-key") == key


def test_tokens_are_read_from_lines(tmp_path: Any) -> None:
    path = tmp_path / "tokens"
    path.write_text("# people\nsecret-one\nsecret-two dev  # a member\n")
    assert read_tokens(path, "acme") == {"secret-one": "acme-admin", "secret-two": "dev"}
    path.write_text("one\ntwo\nthree a b\none dev\n")
    with pytest.raises(ValueError, match="line 2, 3, 4") as caught:
        read_tokens(path, "acme")
    assert "three" not in str(caught.value)
    path.write_text("\n")
    with pytest.raises(ValueError, match="no token"):
        read_tokens(path, "acme")


SEGMENT = st.text(min_size=1, max_size=6).filter(lambda text: text not in {".", ".."})


@given(owner=SEGMENT, name=SEGMENT, rest=st.lists(SEGMENT, min_size=1, max_size=4))
def test_paths_are_split_before_they_are_decoded(owner: str, name: str, rest: list[str]) -> None:
    from urllib.parse import quote

    router = Router({"GET /repos/{owner}/{repo}/contents/{path}": "contents", "GET /repos/{owner}/{repo}": "repo"})
    path = "/".join(quote(one, safe="") for one in ("repos", owner, name, "contents", *rest))
    found = router.match("GET", "/" + path)
    assert found is not None
    assert found.parameters == {"owner": owner, "repo": name, "path": "/".join(rest)}
    assert router.match("PUT", "/" + path) is None
