"""Pull requests: how they are shown, what their reviews come to, and how they follow their branches."""

from pavedpath_sandbox.github import codeowners
from pavedpath_sandbox.github.access import role_on, teams_of
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.gitdata import Change, Git
from pavedpath_sandbox.github.handlers.teams import team_simple
from pavedpath_sandbox.github.protection import rulesets_on
from pavedpath_sandbox.github.render import account, full_name, node_id, owner_of, person, repository, repository_url
from pavedpath_sandbox.github.rules import Merge
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object
from pavedpath_sandbox.github.threeway import merge_base

WRITERS = {"push", "maintain", "admin"}
"""Roles whose reviews count."""


def ends(call: Call, owner: Record, pull: Record) -> tuple[str, str]:
    """The commits that a pull request is between: its base's tip while it is open, afterwards that of then."""
    base = Git(call.store, owner).ref(f"refs/heads/{pull['base']}") if pull["state"] == "open" else None
    return (base["sha"] if base else pull["base_sha"]), pull["head_sha"]


def changes_of(git: Git, base: str, head: str) -> list[Change]:
    """Files that a head changes since it left its base."""
    shared = merge_base(git, base, head)
    return git.changes(git.commit(shared).tree.decode() if shared else None, git.commit(head).tree.decode())


def association(call: Call, owner: Record, user: int | None) -> str:
    """What a user is to a repository, as `author_association`."""
    return "MEMBER" if call.store.find("membership", owner.parent, str(user)) else "CONTRIBUTOR"


def _links(base: str, web: str, pull: Record) -> Json:
    own, issue = f"{base}/pulls/{pull['number']}", f"{base}/issues/{pull['number']}"
    return {
        "self": own,
        "html": web,
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{own}/comments",
        "review_comment": f"{base}/pulls/comments{{/number}}",
        "commits": f"{own}/commits",
        "statuses": f"{base}/statuses/{pull['head_sha']}",
    }


def simple_view(call: Call, owner: Record, pull: Record) -> Json:
    """Schema `pull-request-simple`."""
    base_sha, head_sha = ends(call, owner, pull)
    web = f"{call.urls.web}/{full_name(call, owner)}/pull/{pull['number']}"
    links = _links(repository_url(call, owner), web, pull)
    organization, shown = owner_of(call, owner), repository(call, owner)

    def end(branch: str, sha: str) -> Json:
        label, user = f"{organization['login']}:{branch}", account(call.urls, organization)
        return {"label": label, "ref": branch, "sha": sha, "user": user, "repo": shown}

    same = ("number", "state", "title", "body", "draft", "closed_at", "merged_at", "merge_commit_sha")
    return {
        "url": links["self"],
        "id": pull.id,
        "node_id": node_id("pull", pull.id),
        "html_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        **{f"{name}_url": links[name] for name in links if name not in {"self", "html"}},
        **{name: pull[name] for name in same},
        "locked": False,
        "user": person(call, pull["user"]),
        "labels": [],
        "milestone": None,
        "created_at": pull.created_at,
        "updated_at": pull.updated_at,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": requested_users(call, pull),
        "requested_teams": requested_teams(call, pull),
        "head": end(pull["head"], head_sha),
        "base": end(pull["base"], base_sha),
        "_links": {name: {"href": link} for name, link in links.items()},
        "author_association": association(call, owner, pull["user"]),
        "auto_merge": None,
    }


def requested_users(call: Call, pull: Record) -> list[Json]:
    """Users who are asked for a review."""
    return [one for one in (person(call, identity) for identity in pull["requested_reviewers"]) if one]


def requested_teams(call: Call, pull: Record) -> list[Json]:
    """Teams that are asked for a review."""
    found = [call.store.by_id("team", identity) for identity in pull["requested_teams"]]
    return [team_simple(call, one) | {"parent": None} for one in found if one]


def review_view(call: Call, owner: Record, pull: Record, review: Record) -> Json:
    """Schema `pull-request-review`."""
    shown = simple_view(call, owner, pull)
    html = f"{shown['html_url']}#pullrequestreview-{review.id}"
    submitted = {"submitted_at": review["submitted_at"]} if review["submitted_at"] else {}
    return submitted | {
        "id": review.id,
        "node_id": node_id("review", review.id),
        "user": person(call, review["user"]),
        "body": review["body"],
        "state": review["state"],
        "html_url": html,
        "pull_request_url": shown["url"],
        "_links": {"html": {"href": html}, "pull_request": {"href": shown["url"]}},
        "commit_id": review["commit_id"],
        "author_association": association(call, owner, review["user"]),
    }


def _standing(call: Call, owner: Record, pull: Record) -> list[Record]:
    """The latest opinion of every reviewer who may write; comments are none."""
    latest: dict[int, Record] = {}
    for review in call.store.children("review", pull.id):
        if review["state"] in {"APPROVED", "CHANGES_REQUESTED", "DISMISSED"} and review["user"] != pull["user"]:
            latest[review["user"]] = review
    organization = owner_of(call, owner)
    users = {identity: call.store.by_id("user", identity) for identity in latest}
    return [
        review
        for identity, review in latest.items()
        if (user := users[identity]) and role_on(call.store, user, owner, organization) in WRITERS
    ]


def _unowned(call: Call, owner: Record, pull: Record, approvers: set[int]) -> tuple[str, ...]:
    git, (base, head) = Git(call.store, owner), ends(call, owner, pull)
    tree = git.commit(base).tree.decode()
    entry = next((found for place in codeowners.PLACES if (found := git.lookup(tree, place))), None)
    lines = codeowners.parse((git.blob(entry.sha) or b"").decode(errors="replace")) if entry else []
    organization = owner_of(call, owner)
    known: set[str] = set()
    for identity in approvers:
        if user := call.store.by_id("user", identity):
            known.add(f"@{user['login']}".lower())
            known |= {
                f"@{organization['login']}/{team.key}".lower() for team in teams_of(call.store, user, organization)
            }
    waiting: list[str] = []
    for change in changes_of(git, base, head):
        owners = {one.lower() for one in codeowners.owners_of(lines, change.path)}
        if owners and not owners & known:
            waiting.append(change.path)
    return tuple(waiting)


def merge_facts(call: Call, owner: Record, pull: Record, method: str) -> Merge:
    """What rules look at when a pull request is merged."""
    git, (base, head) = Git(call.store, owner), ends(call, owner, pull)
    standing = _standing(call, owner, pull)
    approvals = [one for one in standing if one["state"] == "APPROVED"]
    last = [one for one in approvals if one["commit_id"] == head and one["user"] != pull["pushed_by"]]
    return Merge(
        method=method,
        approvals=len(approvals),
        changes_requested=any(one["state"] == "CHANGES_REQUESTED" for one in standing),
        unowned=_unowned(call, owner, pull, {one["user"] for one in approvals}),
        last_push_approved=bool(last),
        behind=not git.is_ancestor(base, head),
    )


def tell(call: Call, owner: Record, pull: Record, action: str, more: Json | None = None) -> None:
    """Tell hooks of a pull request."""
    shown: Json = {
        "number": pull["number"],
        "pull_request": simple_view(call, owner, pull) | {"merged": is_merged(pull)},
    }
    call.emit("pull_request", {"action": action, **shown, "repository": repository(call, owner), **(more or {})}, owner)


def tell_review(call: Call, owner: Record, pull: Record, review: Record, action: str) -> None:
    """Tell hooks of a review."""
    view = review_view(call, owner, pull, review)
    shown: Json = {"review": view | {"state": view["state"].lower()}, "pull_request": simple_view(call, owner, pull)}
    call.emit("pull_request_review", {"action": action, **shown, "repository": repository(call, owner)}, owner)


def is_merged(pull: Record) -> bool:
    """Whether a pull request was merged."""
    return pull["merged_at"] is not None


def close(call: Call, owner: Record, pull: Record, *, merged: str | None = None) -> Record:
    """Close a pull request, as merged if there is a commit of that."""
    now, (base, _) = call.store.now(), ends(call, owner, pull)
    body: Json = {"state": "closed", "closed_at": now, "base_sha": base}
    if merged:
        body |= {"merged_at": now, "merge_commit_sha": merged, "merged_by": call.actor.id}
    return call.store.update(pull, body)


def follow(call: Call, owner: Record, ref: str, old: str | None, new: str | None) -> None:
    """Do to the open pull requests what the move of a branch does: synchronise, mark as merged, or close them."""
    if not ref.startswith("refs/heads/"):
        return
    branch, git = ref.removeprefix("refs/heads/"), Git(call.store, owner)
    for pull in call.store.children("pull", owner.id):
        if pull["state"] != "open" or branch not in (pull["head"], pull["base"]):
            continue
        if new is None:
            tell(call, owner, close(call, owner, pull), "closed")
        elif branch == pull["head"]:
            _synchronise(call, owner, pull, old, new)
        elif git.is_ancestor(pull["head_sha"], new):
            tell(call, owner, close(call, owner, pull, merged=new), "closed")


def _synchronise(call: Call, owner: Record, pull: Record, old: str | None, new: str) -> None:
    git, (base, before) = Git(call.store, owner), ends(call, owner, pull)
    pull = call.store.update(pull, {"head_sha": new, "pushed_by": call.actor.id})
    git.set_ref(f"refs/pull/{pull['number']}/head", new)
    tell(call, owner, pull, "synchronize", {"before": old, "after": new})
    stale = any(
        as_object(rule.get("parameters")).get("dismiss_stale_reviews_on_push")
        for ruleset in rulesets_on(call, owner, f"refs/heads/{pull['base']}")
        for rule in as_list(ruleset["rules"])
        if rule["type"] == "pull_request"
    )
    # Bringing in the base changes nothing that was reviewed.
    if not stale or changes_of(git, base, before) == changes_of(git, base, new):
        return
    for review in call.store.children("review", pull.id):
        if review["state"] == "APPROVED":
            tell_review(call, owner, pull, call.store.update(review, {"state": "DISMISSED"}), "dismissed")
