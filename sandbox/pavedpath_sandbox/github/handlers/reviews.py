"""Reviews of pull requests, and comments on them."""

from uuid import uuid4

from pavedpath_sandbox.github import pullrequests
from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import forbidden, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.actions_settings import setting
from pavedpath_sandbox.github.handlers.pulls import pull_of
from pavedpath_sandbox.github.merging import commits_of
from pavedpath_sandbox.github.pullrequests import WRITERS, ends, review_view, simple_view, tell_review
from pavedpath_sandbox.github.render import node_id, person, repository_url
from pavedpath_sandbox.github.runtokens import is_of_run
from pavedpath_sandbox.github.store import Json, Record

_STATES = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", None: "PENDING"}


def list_reviews(call: Call) -> Reply:
    """The reviews, oldest first; those that are not submitted only to who writes them."""
    owner, pull = call.repository, pull_of(call)
    found = call.store.children("review", pull.id)
    seen = [one for one in found if one["state"] != "PENDING" or one["user"] == call.actor.id]
    return page(call, [review_view(call, owner, pull, one) for one in seen])


def _may_say(call: Call, pull: Record, event: str | None, text: str) -> None:
    own = {"APPROVE": "approve", "REQUEST_CHANGES": "request changes on"}
    if event in own and pull["user"] == call.actor.id:
        raise unprocessable("Unprocessable Entity", [f"Can not {own[event]} your own pull request"])
    approves = setting(call, call.repository, "workflow")["can_approve_pull_request_reviews"]
    if event == "APPROVE" and is_of_run(call) and not approves:
        raise unprocessable("Unprocessable Entity", ["GitHub Actions is not permitted to approve pull requests."])
    if event in {"REQUEST_CHANGES", "COMMENT"} and not text.strip():
        raise unprocessable("Unprocessable Entity", ["Could not submit a review without a body"])


def create_review(call: Call) -> Reply:
    """Review a pull request: approve it, request changes, comment, or (no event) begin a review."""
    owner, pull, event = call.repository, pull_of(call), call.body.get("event")
    if call.body.get("comments"):
        raise unprocessable("The sandbox keeps no comments on lines; write them into the body.")
    text, at = call.body.get("body") or "", call.body.get("commit_id") or pull["head_sha"]
    _may_say(call, pull, event, text)
    if at not in {one.id.decode() for one in commits_of(Git(call.store, owner), *ends(call, owner, pull))}:
        raise unprocessable(f"commit_id {at} is not a commit of the pull request.")
    mine = [one for one in call.store.children("review", pull.id) if one["user"] == call.actor.id]
    if any(one["state"] == "PENDING" for one in mine):
        raise unprocessable("Unprocessable Entity", ["User can only have one pending review per pull request"])
    body: Json = {"user": call.actor.id, "body": text, "commit_id": at, "state": "PENDING", "submitted_at": None}
    review = call.store.insert("review", pull.id, uuid4().hex, body)
    return ok(review_view(call, owner, pull, _submitted(call, owner, pull, review, event) if event else review))


def _submitted(call: Call, owner: Record, pull: Record, review: Record, event: str) -> Record:
    review = call.store.update(review, {"state": _STATES[event], "submitted_at": call.store.now()})
    rest = [one for one in pull["requested_reviewers"] if one != call.actor.id]
    pull = call.store.update(pull, {"requested_reviewers": rest})
    tell_review(call, owner, pull, review, "submitted")
    return review


def _review(call: Call, pull: Record) -> Record:
    return call.need(call.store.by_id("review", call.number("review_id"), pull.id))


def get_review(call: Call) -> Reply:
    """A review."""
    pull = pull_of(call)
    return ok(review_view(call, call.repository, pull, _review(call, pull)))


def _own_pending(call: Call, pull: Record) -> Record:
    review = _review(call, pull)
    if review["user"] != call.actor.id:
        raise not_found()
    if review["state"] != "PENDING":
        raise unprocessable("Unprocessable Entity", ["The review has been submitted already"])
    return review


def submit_review(call: Call) -> Reply:
    """Submit a review that was begun."""
    owner, pull, event = call.repository, pull_of(call), call.body["event"]
    review = _own_pending(call, pull)
    text = call.body.get("body") or review["body"]
    _may_say(call, pull, event, text)
    review = _submitted(call, owner, pull, call.store.update(review, {"body": text}), event)
    return ok(review_view(call, owner, pull, review))


def delete_review(call: Call) -> Reply:
    """Drop a review that was begun."""
    pull = pull_of(call)
    review = _own_pending(call, pull)
    shown = review_view(call, call.repository, pull, review)
    call.store.delete(review)
    return ok(shown)


def dismiss_review(call: Call) -> Reply:
    """Take an approval or a request for changes back."""
    owner, pull = call.repository, pull_of(call)
    review = _review(call, pull)
    if review["state"] not in {"APPROVED", "CHANGES_REQUESTED"}:
        raise unprocessable(
            "Unprocessable Entity", [f"Can not dismiss a {review['state'].lower()} pull request review"]
        )
    review = call.store.update(review, {"state": "DISMISSED"})
    tell_review(call, owner, pull, review, "dismissed")
    return ok(review_view(call, owner, pull, review))


def _comment_view(call: Call, owner: Record, pull: Record, record: Record) -> Json:
    base, web = repository_url(call, owner), simple_view(call, owner, pull)["html_url"]
    return {
        "id": record.id,
        "node_id": node_id("comment", record.id),
        "url": f"{base}/issues/comments/{record.id}",
        "html_url": f"{web}#issuecomment-{record.id}",
        "issue_url": f"{base}/issues/{pull['number']}",
        "body": record["body"],
        "user": person(call, record["user"]),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "author_association": pullrequests.association(call, owner, record["user"]),
    }


def list_comments(call: Call) -> Reply:
    """The comments on a pull request, oldest first."""
    owner, pull = call.repository, pull_of(call, "issue_number")
    since = call.query.get("since") or ""
    found = [one for one in call.store.children("comment", pull.id) if one.updated_at >= since]
    return page(call, [_comment_view(call, owner, pull, one) for one in found])


def create_comment(call: Call) -> Reply:
    """Comment on a pull request."""
    owner, pull = call.repository, pull_of(call, "issue_number")
    body: Json = {"user": call.actor.id, "body": call.body["body"]}
    shown = _comment_view(call, owner, pull, call.store.insert("comment", pull.id, uuid4().hex, body))
    call.emit("issue_comment", {"action": "created", "comment": shown}, owner)
    return created(shown)


def _comment(call: Call, *, write: bool) -> tuple[Record, Record]:
    comment = call.need(call.store.by_id("comment", call.number("comment_id")))
    pull = call.need(call.store.by_id("pull", comment.parent, call.repository.id))
    role = role_on(call.store, call.actor, call.repository, call.organization)
    if write and comment["user"] != call.actor.id and role not in WRITERS:
        raise forbidden("Must have push access, or be the author.")
    return comment, pull


def get_comment(call: Call) -> Reply:
    """A comment."""
    comment, pull = _comment(call, write=False)
    return ok(_comment_view(call, call.repository, pull, comment))


def update_comment(call: Call) -> Reply:
    """Change a comment."""
    comment, pull = _comment(call, write=True)
    return ok(_comment_view(call, call.repository, pull, call.store.update(comment, {"body": call.body["body"]})))


def delete_comment(call: Call) -> Reply:
    """Delete a comment."""
    call.store.delete(_comment(call, write=True)[0])
    return no_content()
