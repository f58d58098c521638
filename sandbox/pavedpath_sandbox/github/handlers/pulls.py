"""Pull requests between branches of one repository, their reviews, and their comments."""

from pavedpath_sandbox.github import merging, pullrequests
from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.commitview import commit, diff_entry, stats
from pavedpath_sandbox.github.errors import conflict, custom, forbidden, invalid, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.merging import Wanted, commits_of, merge_into, mergeability
from pavedpath_sandbox.github.pullrequests import (
    WRITERS,
    changes_of,
    close,
    ends,
    is_merged,
    simple_view,
    tell,
)
from pavedpath_sandbox.github.render import owner_of, person
from pavedpath_sandbox.github.store import ROOT, Json, Record, as_list


def pull_of(call: Call, parameter: str = "pull_number") -> Record:
    """The pull request that the path names."""
    return call.child("pull", call.repository, str(call.number(parameter)))


def full_view(call: Call, owner: Record, pull: Record) -> Json:
    """Schema `pull-request`."""
    git, (base, head) = Git(call.store, owner), ends(call, owner, pull)
    files = [diff_entry(call, owner, head, one) for one in changes_of(git, base, head)]
    mergeable, state = mergeability(call, owner, pull)
    sums = stats(files)
    return simple_view(call, owner, pull) | {
        "merged": is_merged(pull),
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": state,
        "merged_by": person(call, pull["merged_by"]),
        "comments": len(call.store.children("comment", pull.id)),
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": len(commits_of(git, base, head)),
        "additions": sums["additions"],
        "deletions": sums["deletions"],
        "changed_files": len(files),
    }


def listing(call: Call) -> Reply:
    """The pull requests, by state, head (`owner:branch`) and base, in the order that is asked for."""
    owner, asked = call.repository, call.query
    state, order = asked.get("state") or "open", asked.get("sort") or "created"
    found = [
        one
        for one in call.store.children("pull", owner.id)
        if state in {"all", one["state"]}
        and asked.get("head") in (None, f"{owner_of(call, owner)['login']}:{one['head']}")
        and asked.get("base") in (None, one["base"])
    ]
    if order == "updated":
        found.sort(key=lambda one: (one.updated_at, one.id))
    direction = asked.get("direction") or ("desc" if order == "created" else "asc")
    return page(call, [simple_view(call, owner, one) for one in (found[::-1] if direction == "desc" else found)])


def of_commit(call: Call) -> Reply:
    """The pull requests that brought a commit, or would bring it."""
    owner = call.repository
    git = Git(call.store, owner)
    sha = git.resolve(call.path["commit_sha"])
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {call.path['commit_sha']}")

    def has(pull: Record) -> bool:
        base, head = ends(call, owner, pull)
        return pull["merge_commit_sha"] == sha or sha in {one.id.decode() for one in commits_of(git, base, head)}

    return page(call, [simple_view(call, owner, one) for one in call.store.children("pull", owner.id) if has(one)])


def _branch(call: Call, field: str) -> str:
    organization, name = call.organization["login"], call.body[field]
    if ":" in name:
        user, _, name = name.partition(":")
        if user.lower() != organization.lower():
            raise invalid("PullRequest", field)  # there are no forks here
    if Git(call.store, call.repository).ref(f"refs/heads/{name}") is None:
        raise invalid("PullRequest", field)
    return name


def create(call: Call) -> Reply:
    """Ask for a branch to be merged into another."""
    owner, head, base = call.repository, _branch(call, "head"), _branch(call, "base")
    if not call.body.get("title"):
        raise unprocessable('Invalid request.\n\n"title" wasn\'t supplied.')
    git = Git(call.store, owner)
    tips = [call.need(git.ref(f"refs/heads/{name}"))["sha"] for name in (base, head)]
    pulls = call.store.children("pull", owner.id)
    if any(one["state"] == "open" and (one["head"], one["base"]) == (head, base) for one in pulls):
        label = f"{call.organization['login']}:{head}"
        raise custom("PullRequest", "base", f"A pull request already exists for {label}.")
    if not commits_of(git, *tips):
        raise custom("PullRequest", "base", f"No commits between {base} and {head}")
    number = 1 + max((one["number"] for one in pulls), default=0)
    empty = ("closed_at", "merged_at", "merge_commit_sha", "merged_by")
    body: Json = {
        "number": number,
        "state": "open",
        "title": call.body["title"],
        "body": call.body.get("body"),
        "draft": bool(call.body.get("draft")),
        "head": head,
        "base": base,
        "base_sha": tips[0],
        "head_sha": tips[1],
        "user": call.actor.id,
        "pushed_by": call.actor.id,
        "requested_reviewers": [],
        "requested_teams": [],
        **dict.fromkeys(empty),
    }
    pull = call.store.insert("pull", owner.id, str(number), body)
    git.set_ref(f"refs/pull/{number}/head", tips[1])
    tell(call, owner, pull, "opened")
    return created(full_view(call, owner, pull))


def get(call: Call) -> Reply:
    """A pull request, and whether it can be merged."""
    return ok(full_view(call, call.repository, pull_of(call)))


def update(call: Call) -> Reply:
    """Change title, text or base; close it, or open it again."""
    owner, pull = call.repository, pull_of(call)
    role = role_on(call.store, call.actor, owner, call.organization)
    if call.actor.id != pull["user"] and role not in WRITERS:
        raise forbidden("Must have push access, or be the author.")
    changes: Json = {name: call.body[name] for name in ("title", "body") if name in call.body}
    if "base" in call.body:
        changes["base"] = _branch(call, "base")
    state = call.body.get("state", pull["state"])
    if changes:
        pull = call.store.update(pull, changes)
        tell(call, owner, pull, "edited")
    if state == "closed" and pull["state"] == "open":
        pull = close(call, owner, pull)
        tell(call, owner, pull, "closed")
    elif state == "open" and pull["state"] == "closed":
        pull = _reopen(call, owner, pull)
    return ok(full_view(call, owner, pull))


def _reopen(call: Call, owner: Record, pull: Record) -> Record:
    git = Git(call.store, owner)
    head, base = (git.ref(f"refs/heads/{pull[end]}") for end in ("head", "base"))
    if is_merged(pull) or head is None or base is None:
        raise custom("PullRequest", "state", "state cannot be changed. The pull request cannot be reopened.")
    pull = call.store.update(pull, {"state": "open", "closed_at": None, "head_sha": head["sha"]})
    tell(call, owner, pull, "reopened")
    return pull


def list_commits(call: Call) -> Reply:
    """The commits, oldest first."""
    owner, pull = call.repository, pull_of(call)
    found = commits_of(Git(call.store, owner), *ends(call, owner, pull))
    return page(call, [commit(call, owner, one) for one in found])


def list_files(call: Call) -> Reply:
    """The files that change."""
    owner, pull = call.repository, pull_of(call)
    base, head = ends(call, owner, pull)
    return page(call, [diff_entry(call, owner, head, one) for one in changes_of(Git(call.store, owner), base, head)])


def check_merged(call: Call) -> Reply:
    """204 if it was merged, else 404."""
    if not is_merged(pull_of(call)):
        raise not_found()
    return no_content()


def merge(call: Call) -> Reply:
    """Merge it, if its head is still the one that the caller has seen (`sha`)."""
    owner, pull = call.repository, pull_of(call)
    if call.body.get("sha") not in (None, pull["head_sha"]):
        raise conflict("Head branch was modified. Review and try the merge again.")
    wanted = Wanted(
        call.body.get("merge_method") or "merge", call.body.get("commit_title"), call.body.get("commit_message")
    )
    sha = merging.merge(call, owner, pull, wanted)
    return ok({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


def update_branch(call: Call) -> Reply:
    """Merge the base into the head."""
    owner, pull = call.repository, pull_of(call)
    if call.body.get("expected_head_sha") not in (None, pull["head_sha"]):
        raise unprocessable("expected head sha didn't match current head ref.")
    base, head = ends(call, owner, pull)
    if Git(call.store, owner).is_ancestor(base, head):
        raise unprocessable("There are no new commits on the base branch.")
    if merge_into(call, owner, pull["head"], base, f"Merge branch '{pull['base']}' into {pull['head']}") is None:
        raise unprocessable("merge conflict between base and head")
    return Reply(202, {"message": "Updating pull request branch.", "url": simple_view(call, owner, pull)["url"]})


def list_requested(call: Call) -> Reply:
    """Who is asked for a review."""
    pull = pull_of(call)
    users, teams = pullrequests.requested_users(call, pull), pullrequests.requested_teams(call, pull)
    return ok({"users": users, "teams": teams})


def _asked(call: Call, owner: Record) -> tuple[list[Record], list[Record]]:
    organization = call.organization
    logins, slugs = as_list(call.body.get("reviewers")), as_list(call.body.get("team_reviewers"))
    users = [call.store.find("user", ROOT, login.lower()) for login in logins]
    teams = [call.store.find("team", organization.id, slug) for slug in slugs]
    found = [user for user in users if user and role_on(call.store, user, owner, organization)]
    if len(found) < len(users) or None in teams:
        raise unprocessable("Reviews may only be requested from collaborators. One or more are not collaborators.")
    return found, [team for team in teams if team]


def request_reviewers(call: Call) -> Reply:
    """Ask users and teams for a review; never the author."""
    owner, pull = call.repository, pull_of(call)
    users, teams = _asked(call, owner)
    if any(user.id == pull["user"] for user in users):
        raise unprocessable("Review cannot be requested from pull request author.")
    changes: Json = {
        "requested_reviewers": list(dict.fromkeys([*pull["requested_reviewers"], *(user.id for user in users)])),
        "requested_teams": list(dict.fromkeys([*pull["requested_teams"], *(team.id for team in teams)])),
    }
    pull = call.store.update(pull, changes)
    for user in users:
        tell(call, owner, pull, "review_requested", {"requested_reviewer": person(call, user.id)})
    for team in teams:
        tell(call, owner, pull, "review_requested", {"requested_team": {"id": team.id, "slug": team.key}})
    return created(simple_view(call, owner, pull))


def remove_reviewers(call: Call) -> Reply:
    """Ask them no more."""
    owner, pull = call.repository, pull_of(call)
    gone = {one.id for group in _asked(call, owner) for one in group}
    changes = {
        name: [one for one in pull[name] if one not in gone] for name in ("requested_reviewers", "requested_teams")
    }
    pull = call.store.update(pull, changes)
    tell(call, owner, pull, "review_request_removed")
    return ok(simple_view(call, owner, pull))
