"""Pull requests: what they show, who reviews them, and when they may be merged."""

import base64
from typing import Any

import pytest

OWNER, MEMBER = "owner-token", "member-token"
R = "/repos/acme/app"


def rules(c: Any, *wanted: dict[str, Any], bypass: bool = False) -> None:
    conditions: dict[str, Any] = {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}}
    actors = [{"actor_type": "OrganizationAdmin", "actor_id": 1, "bypass_mode": "pull_request"}] if bypass else []
    body = {"name": "main", "enforcement": "active", "conditions": conditions, "rules": list(wanted)}
    c.post(f"{R}/rulesets", {**body, "bypass_actors": actors})


def reviewed(count: int = 1, **more: Any) -> dict[str, Any]:
    plain = {
        "dismiss_stale_reviews_on_push": False,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_approving_review_count": count,
        "required_review_thread_resolution": False,
    }
    return {"type": "pull_request", "parameters": {**plain, **more}}


def checked(*contexts: str, strict: bool = False, app: int | None = None) -> dict[str, Any]:
    bound = {} if app is None else {"integration_id": app}
    wanted = [{"context": one, **bound} for one in contexts]
    parameters: dict[str, Any] = {"required_status_checks": wanted, "strict_required_status_checks_policy": strict}
    return {"type": "required_status_checks", "parameters": parameters}


@pytest.fixture
def c(github: Any) -> Any:
    github.repository()
    github.put(f"{R}/collaborators/dev", {"permission": "push"})
    github.write(R, "a.txt", "".join(f"{number}\n" for number in range(10)))
    return github


def branch(c: Any, name: str = "topic") -> None:
    sha = c.get(f"{R}/git/ref/heads/main")["object"]["sha"]
    c.post(f"{R}/git/refs", {"ref": f"refs/heads/{name}", "sha": sha})


def change(c: Any, path: str, text: str, on: str, token: str = OWNER) -> str:
    held = c.send("GET", f"{R}/contents/{path}?ref={on}")
    sha = {"sha": held.json()["sha"]} if held.status_code == 200 else {}
    content = base64.b64encode(text.encode()).decode()
    body = {"message": f"Change {path}", "content": content, "branch": on, **sha}
    return c.put(f"{R}/contents/{path}", body, status=200 if sha else 201, token=token)["commit"]["sha"]


def propose(c: Any, head: str = "topic", token: str = MEMBER, **more: Any) -> str:
    number = c.post(f"{R}/pulls", {"title": "Topic", "head": head, "base": "main", **more}, token=token)["number"]
    return f"{R}/pulls/{number}"


def topic(c: Any, text: str = "new\n", **more: Any) -> str:
    branch(c)
    change(c, "new.txt", text, "topic", MEMBER)
    return propose(c, **more)


def state(c: Any, pull: str) -> str:
    return c.get(pull)["mergeable_state"]


def refused(c: Any, pull: str, **body: Any) -> str:
    return c.put(f"{pull}/merge", body, status=405)["message"]


def test_what_a_pull_request_shows(c: Any) -> None:
    pull = topic(c)
    shown = c.get(pull)
    assert (shown["commits"], shown["additions"], shown["changed_files"]) == (1, 1, 1)
    assert (shown["mergeable"], shown["mergeable_state"]) == (True, "clean")
    assert (shown["head"]["label"], shown["user"]["login"]) == ("acme:topic", "dev")
    assert [one["filename"] for one in c.get(f"{pull}/files")] == ["new.txt"]
    assert [one["commit"]["message"] for one in c.get(f"{pull}/commits")] == ["Change new.txt"]
    assert c.get(f"{R}/git/ref/pull/1/head")["object"]["sha"] == shown["head"]["sha"]
    assert [one["number"] for one in c.get(f"{R}/commits/{shown['head']['sha']}/pulls")] == [1]


def test_what_cannot_be_proposed(c: Any) -> None:
    branch(c)
    body = {"title": "T", "head": "topic", "base": "main"}
    assert "No commits between" in c.post(f"{R}/pulls", body, status=422)["errors"][0]["message"]
    change(c, "new.txt", "x", "topic")
    for wrong in ({"head": "none"}, {"base": "none"}, {"head": "other:topic"}):
        answer = c.post(f"{R}/pulls", {**body, **wrong}, status=422)
        assert (answer["errors"][0]["code"], [answer["errors"][0]["field"]]) == ("invalid", list(wrong))
    c.post(f"{R}/pulls", body)
    assert "already exists" in c.post(f"{R}/pulls", body, status=422)["errors"][0]["message"]


def test_lists_are_filtered_and_ordered(c: Any) -> None:
    topic(c)
    branch(c, "second")
    change(c, "b.txt", "b", "second")
    second = propose(c, "second")
    c.patch(second, {"state": "closed"})

    def numbers(query: str) -> list[int]:
        return [one["number"] for one in c.get(f"{R}/pulls?{query}")]

    assert (numbers(""), numbers("state=closed"), numbers("state=all")) == ([1], [2], [2, 1])
    assert (numbers("state=all&direction=asc"), numbers("state=all&head=acme:second")) == ([1, 2], [2])
    assert numbers("base=other") == []
    c.patch(second, {"state": "open"})
    assert numbers("") == [2, 1]


def test_nobody_approves_an_own_pull_request(c: Any) -> None:
    pull = topic(c)
    for event in ("APPROVE", "REQUEST_CHANGES"):
        answer = c.post(f"{pull}/reviews", {"event": event, "body": "b"}, status=422, token=MEMBER)
        assert "your own pull request" in answer["errors"][0]
    c.post(f"{pull}/reviews", {"event": "COMMENT", "body": "b"}, status=200, token=MEMBER)
    c.post(f"{pull}/requested_reviewers", {"reviewers": ["dev"]}, status=422)


def test_approvals_are_counted_and_a_request_for_changes_blocks(c: Any) -> None:
    rules(c, reviewed(1))
    pull = topic(c)
    assert state(c, pull) == "blocked"
    assert "At least 1 approving review is required" in refused(c, pull)
    c.post(f"{pull}/requested_reviewers", {"reviewers": ["acme-admin"]})
    c.post(f"{pull}/reviews", {"event": "REQUEST_CHANGES", "body": "No"}, status=200)
    assert c.get(pull)["requested_reviewers"] == []
    assert "Changes have been requested" in refused(c, pull)
    review = c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)["id"]
    assert state(c, pull) == "clean"
    c.put(f"{pull}/reviews/{review}/dismissals", {"message": "Wait"}, status=200)
    assert state(c, pull) == "blocked"
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    merged = c.put(f"{pull}/merge", status=200, token=MEMBER)
    tip = c.get(f"{R}/commits/main")
    assert (tip["sha"], len(tip["parents"])) == (merged["sha"], 2)
    assert tip["commit"]["message"] == "Merge pull request #1 from acme/topic\n\nTopic"
    shown = c.get(pull)
    assert (shown["state"], shown["merged"], shown["merged_by"]["login"]) == ("closed", True, "dev")
    assert shown["merge_commit_sha"] == merged["sha"]
    assert shown["commits"] == 1


def test_an_approval_of_who_may_not_write_does_not_count(c: Any) -> None:
    rules(c, reviewed(1))
    branch(c)
    change(c, "new.txt", "x", "topic")
    pull = propose(c, token=OWNER)
    c.put(f"{R}/collaborators/dev", {"permission": "pull"})
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200, token=MEMBER)
    assert "At least 1 approving review" in refused(c, pull)
    c.put(f"{R}/collaborators/dev", {"permission": "push"})
    c.put(f"{pull}/merge", status=200)


def test_a_push_dismisses_stale_approvals_but_bringing_in_the_base_does_not(c: Any) -> None:
    rules(c, reviewed(1, dismiss_stale_reviews_on_push=True), bypass=True)
    pull = topic(c)
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    branch(c, "side")
    change(c, "side.txt", "s", "side")
    c.put(f"{propose(c, 'side')}/merge", status=200)
    c.put(f"{pull}/update-branch", {"expected_head_sha": "0" * 40}, status=422)
    c.put(f"{pull}/update-branch", status=202, token=MEMBER)
    assert [one["state"] for one in c.get(f"{pull}/reviews")] == ["APPROVED"]
    change(c, "new.txt", "newer", "topic", MEMBER)
    assert [one["state"] for one in c.get(f"{pull}/reviews")] == ["DISMISSED"]
    assert state(c, pull) == "blocked"


def test_the_last_push_wants_somebody_elses_approval(c: Any) -> None:
    rules(c, reviewed(1, require_last_push_approval=True))
    pull = topic(c)
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    assert state(c, pull) == "clean"
    change(c, "new.txt", "newer", "topic")  # by the reviewer
    assert "someone other than the last pusher" in refused(c, pull)
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    assert "someone other than the last pusher" in refused(c, pull)


def test_code_owners_must_approve_what_they_own(c: Any) -> None:
    c.post("/orgs/acme/teams", {"name": "Ops"})
    c.delete("/orgs/acme/teams/ops/memberships/acme-admin")  # who makes a team is in it
    c.write(R, ".github/CODEOWNERS", "*.md\n/etc/ @acme/ops\n")
    rules(c, reviewed(1, require_code_owner_review=True))
    branch(c)
    change(c, "etc/x.yaml", "x", "topic", MEMBER)
    change(c, "README.md", "free", "topic", MEMBER)
    pull = propose(c)
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    assert "Waiting on code owner review: etc/x.yaml." in refused(c, pull)
    c.put("/orgs/acme/teams/ops/memberships/acme-admin", {"role": "member"}, status=200)
    c.put(f"{pull}/merge", status=200)


def test_required_checks_count_only_from_the_app_that_they_are_bound_to(c: Any) -> None:
    rules(c, checked("gate", app=15368))
    pull = topic(c)
    sha = c.get(pull)["head"]["sha"]
    assert 'check "gate" is expected' in refused(c, pull)
    c.post(f"{R}/statuses/{sha}", {"state": "success", "context": "gate"})
    assert 'check "gate" is expected' in refused(c, pull)
    c.post("/_sandbox/checks", {"repository": "app", "name": "gate", "head_sha": sha}, status=200)
    assert 'check "gate" is in progress' in refused(c, pull)
    for conclusion, expected in (("failure", "blocked"), ("success", "clean")):
        body = {"repository": "app", "name": "gate", "head_sha": sha, "conclusion": conclusion}
        c.post("/_sandbox/checks", body, status=200)
        assert state(c, pull) == expected
    c.put(f"{pull}/merge", {"merge_method": "squash"}, status=200)


def test_a_job_of_a_run_is_a_check(c: Any) -> None:
    rules(c, checked("gate", app=15368))
    pull = topic(c)
    jobs: list[dict[str, Any]] = [{"name": "gate", "labels": []}]
    run = c.post("/_sandbox/runs", {"repository": "app", "jobs": jobs, "head_branch": "topic"}, status=200)["id"]
    [job] = c.get(f"{R}/actions/runs/{run}/jobs")["jobs"]
    assert "in progress" in refused(c, pull)
    c.post(f"/_sandbox/jobs/{job['id']}", {"hosted": True}, status=200)
    c.post(f"/_sandbox/jobs/{job['id']}", {"conclusion": "success"}, status=200)
    c.put(f"{pull}/merge", status=200)


def test_a_branch_must_be_up_to_date_where_that_is_strict(c: Any) -> None:
    rules(c, checked("gate", strict=True), bypass=True)
    pull = topic(c)
    branch(c, "side")
    change(c, "side.txt", "s", "side")
    c.put(f"{propose(c, 'side')}/merge", status=200)
    c.post(f"{R}/statuses/{c.get(pull)['head']['sha']}", {"state": "success", "context": "gate"})
    assert state(c, pull) == "behind"
    message = c.put(f"{pull}/merge", status=405, token=MEMBER)["message"]
    assert "up to date" in message
    c.put(f"{pull}/update-branch", status=202)
    c.post(f"{R}/statuses/{c.get(pull)['head']['sha']}", {"state": "success", "context": "gate"})
    c.put(f"{pull}/merge", status=200, token=MEMBER)


def test_who_may_bypass_through_pull_requests_still_cannot_push(c: Any) -> None:
    rules(c, reviewed(2), checked("gate"), bypass=True)
    pull = topic(c)
    c.put(f"{pull}/merge", status=405, token=MEMBER)
    c.write(R, "direct.txt", "x", status=409)
    c.put(f"{pull}/merge", status=200)


def test_squash_and_rebase(c: Any) -> None:
    branch(c)
    for text in ("one", "two"):
        change(c, "new.txt", text, "topic", MEMBER)
    c.put(f"{propose(c)}/merge", {"merge_method": "squash"}, status=200)
    tip = c.get(f"{R}/commits/main")
    assert tip["commit"]["message"] == "Topic (#1)\n\n* Change new.txt\n\n* Change new.txt"
    assert (len(tip["parents"]), tip["author"]["login"]) == (1, "dev")
    branch(c, "again")
    for name in ("x.txt", "y.txt"):
        change(c, name, name, "again", MEMBER)
    change(c, "main.txt", "main", "main")
    c.put(f"{propose(c, 'again')}/merge", {"merge_method": "rebase"}, status=200)
    log = [one["commit"]["message"] for one in c.get(f"{R}/commits")[:3]]
    assert log == ["Change y.txt", "Change x.txt", "Change main.txt"]
    c.get(f"{R}/contents/main.txt")


def test_methods_that_the_repository_or_a_rule_forbids(c: Any) -> None:
    c.patch(R, {"allow_rebase_merge": False})
    rules(c, {"type": "required_linear_history"})
    pull = topic(c)
    assert refused(c, pull, merge_method="rebase").startswith("Rebase merges are not allowed")
    assert "must not contain merge commits" in refused(c, pull)
    c.put(f"{pull}/merge", {"merge_method": "squash"}, status=200)


def test_conflicts_drafts_and_a_head_that_moved(c: Any) -> None:
    branch(c)
    change(c, "a.txt", "mine\n", "topic", MEMBER)
    pull = propose(c)
    seen = c.get(pull)["head"]["sha"]
    change(c, "a.txt", "theirs\n", "main")
    assert (c.get(pull)["mergeable"], state(c, pull)) == (False, "dirty")
    assert refused(c, pull) == "Pull Request is not mergeable"
    change(c, "b.txt", "b", "topic", MEMBER)
    assert "modified" in c.put(f"{pull}/merge", {"sha": seen}, status=409)["message"]
    branch(c, "draft")
    change(c, "d.txt", "d", "draft")
    draft = propose(c, "draft", draft=True)
    assert (state(c, draft), refused(c, draft)) == ("draft", "Pull Request is still a draft")


def test_changes_at_both_ends_of_a_file_are_merged(c: Any) -> None:
    lines = [f"{number}\n" for number in range(10)]
    branch(c)
    change(c, "a.txt", "".join(["first\n", *lines[1:]]), "topic", MEMBER)
    pull = propose(c)
    change(c, "a.txt", "".join([*lines[:-1], "last\n"]), "main")
    c.put(f"{pull}/merge", status=200)
    text = base64.b64decode(c.get(f"{R}/contents/a.txt")["content"]).decode()
    assert text == "".join(["first\n", *lines[1:-1], "last\n"])


def test_pull_requests_follow_their_branches(c: Any) -> None:
    config = {"url": "http://127.0.0.1:9/x", "content_type": "json"}
    events = ["pull_request", "pull_request_review"]
    hook = c.post(f"{R}/hooks", {"name": "web", "config": config, "events": events})["id"]
    c.patch(R, {"delete_branch_on_merge": True})
    pull = topic(c)
    head = change(c, "new.txt", "newer", "topic", MEMBER)
    assert c.get(pull)["head"]["sha"] == head
    c.post(f"{pull}/reviews", {"event": "APPROVE"}, status=200)
    c.put(f"{pull}/merge", status=200)
    c.get(f"{R}/git/ref/heads/topic", status=404)
    branch(c, "direct")
    sha = change(c, "direct.txt", "x", "direct")
    second = propose(c, "direct")
    c.patch(f"{R}/git/refs/heads/main", {"sha": sha})
    assert c.get(second)["merged"] is True
    branch(c, "gone")
    change(c, "gone.txt", "x", "gone")
    third = propose(c, "gone")
    c.delete(f"{R}/git/refs/heads/gone")
    assert (c.get(third)["state"], c.get(third)["merged"]) == ("closed", False)
    c.patch(third, {"state": "open"}, status=422)
    c.deliveries()
    told = [(one["event"], one["action"]) for one in reversed(c.get(f"{R}/hooks/{hook}/deliveries"))][1:]
    assert told == [
        ("pull_request", "opened"),
        ("pull_request", "synchronize"),
        ("pull_request_review", "submitted"),
        ("pull_request", "closed"),
        ("pull_request", "opened"),
        ("pull_request", "closed"),
        ("pull_request", "opened"),
        ("pull_request", "closed"),
    ]


def test_a_review_can_be_begun_and_submitted_later(c: Any) -> None:
    pull = topic(c)
    begun = c.post(f"{pull}/reviews", {"body": "Fine"}, status=200)
    assert (begun["state"], c.get(f"{pull}/reviews", token=MEMBER)) == ("PENDING", [])
    c.post(f"{pull}/reviews", {}, status=422)
    path = f"{pull}/reviews/{begun['id']}"
    c.post(f"{path}/events", {"event": "APPROVE"}, status=404, token=MEMBER)
    assert c.post(f"{path}/events", {"event": "APPROVE"}, status=200)["state"] == "APPROVED"
    c.delete(path, status=422)
    c.post(f"{pull}/reviews", {"event": "COMMENT"}, status=422)


def test_users_and_teams_are_asked_for_reviews(c: Any) -> None:
    pull = topic(c)
    c.post("/orgs/acme/teams", {"name": "Ops"})
    wanted = {"reviewers": ["acme-admin"], "team_reviewers": ["ops"]}
    c.post(f"{pull}/requested_reviewers", wanted)
    asked = c.get(f"{pull}/requested_reviewers")
    assert ([one["login"] for one in asked["users"]], [one["slug"] for one in asked["teams"]]) == (
        ["acme-admin"],
        ["ops"],
    )
    for wrong in ({"reviewers": ["nobody"]}, {"team_reviewers": ["none"]}):
        c.post(f"{pull}/requested_reviewers", wrong, status=422)
    c.delete(f"{pull}/requested_reviewers", wanted, status=200)
    assert c.get(f"{pull}/requested_reviewers") == {"users": [], "teams": []}


def test_only_the_author_and_who_may_push_change_a_pull_request(c: Any) -> None:
    branch(c)
    change(c, "new.txt", "x", "topic")
    pull = propose(c, token=OWNER)
    c.put(f"{R}/collaborators/dev", {"permission": "pull"})
    c.patch(pull, {"title": "Mine"}, status=403, token=MEMBER)
    c.put(f"{pull}/merge", status=403, token=MEMBER)
    comment = c.post(f"{R}/issues/1/comments", {"body": "Hello"}, token=MEMBER)
    c.patch(f"{R}/issues/comments/{comment['id']}", {"body": "Hello!"}, token=MEMBER)
    assert c.get(pull)["comments"] == 1
    own = c.post(f"{R}/issues/1/comments", {"body": "Plan"})["id"]
    c.patch(f"{R}/issues/comments/{own}", {"body": "x"}, status=403, token=MEMBER)
