"""Moving refs: the one place where rulesets are enforced and pushes are announced."""

from dataclasses import replace
from itertools import islice

from dulwich.objects import Commit

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.checks import checks_of
from pavedpath_sandbox.github.commitview import identity
from pavedpath_sandbox.github.deployments import deployed
from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.protection import binding_rules
from pavedpath_sandbox.github.pullrequests import follow
from pavedpath_sandbox.github.render import account, full_name, repository
from pavedpath_sandbox.github.rules import Merge, NewCommit, Update, violations
from pavedpath_sandbox.github.store import Json, Record

ZERO = "0" * 40
_MOST_TOLD = 20
"""Commits that the hook of a push names; GitHub names up to 2048."""


def _update(git: Git, ref: str, old: str | None, new: str | None) -> Update:
    commits: list[NewCommit] = []
    forced = False
    if new and ref.startswith("refs/heads/"):
        known = {commit.id for commit in git.history(old)} if old else set[bytes]()
        fresh = [commit for commit in git.history(new) if commit.id not in known]
        forced = bool(old) and not git.is_ancestor(old or "", new)
        commits = [
            NewCommit(
                message=commit.message.decode(errors="replace"),
                author_email=commit.author.decode(errors="replace").rpartition("<")[2].rstrip(">"),
                committer_email=commit.committer.decode(errors="replace").rpartition("<")[2].rstrip(">"),
                merge=len(commit.parents) > 1,
                signed=commit.gpgsig is not None,
            )
            for commit in fresh
        ]
    return Update(created=old is None, deleted=new is None, forced=forced, commits=tuple(commits), ref=ref)


def move(
    call: Call,
    record: Record,
    ref: str,
    new: str | None,
    *,
    refusal: int = 422,
    merge: Merge | None = None,
    head: str | None = None,
) -> None:
    """Create, move or (`new` None) delete a ref, as a direct write of the user or by merging a pull request.

    `head` is the commit whose checks count, by default the new one. Raises GitHubError with status `refusal` if a
    ruleset that the user cannot bypass forbids it: 409 where files are written, 422 where refs are, 405 for merges.
    """
    git = Git(call.store, record)
    held = git.ref(ref)
    old = held["sha"] if held else None
    update = _update(git, ref, old, new)
    rules = binding_rules(call, record, ref, pull=merge is not None)
    judged = head or new
    if judged and {"required_status_checks", "required_deployments"} & {rule["type"] for rule in rules}:
        checks, environments = checks_of(call, record, judged), deployed(call, record, judged)
        update = replace(update, checks=checks, deployed=environments)
    update = replace(update, merge=merge)
    if reasons := list(dict.fromkeys(violations(rules, update))):
        raise GitHubError(refusal, "Repository rule violations found\n\n" + "\n\n".join(reasons) + "\n\n")
    if new is None:
        if held:
            git.delete_ref(held)
    else:
        git.set_ref(ref, new)
    pushed = call.store.update(record, {"pushed_at": call.store.now()})
    _announce(call, pushed, update, old, new)
    follow(call, pushed, ref, old, new)


def _pushed(call: Call, record: Record, update: Update, old: str | None, new: str | None) -> list[Json]:
    """The commits of a push as hooks are told them, oldest first, with the files that each touches."""
    if new is None or not update.ref.startswith("refs/heads/"):
        return []
    git = Git(call.store, record)
    known = {commit.id for commit in git.history(old)} if old else set[bytes]()
    fresh = [commit for commit in islice(git.history(new), _MOST_TOLD) if commit.id not in known]
    return [_told(call, record, commit) for commit in reversed(fresh)]


def _told(call: Call, record: Record, commit: Commit) -> Json:
    git, sha = Git(call.store, record), commit.id.decode()
    before = git.commit(commit.parents[0].decode()).tree.decode() if commit.parents else None
    changes = git.changes(before, commit.tree.decode())
    author, committer = (
        identity(raw, seconds)
        for raw, seconds in ((commit.author, commit.author_time), (commit.committer, commit.commit_time))
    )
    return {
        "id": sha,
        "tree_id": commit.tree.decode(),
        "message": commit.message.decode(errors="replace"),
        "timestamp": committer["date"],
        "url": f"{call.urls.web}/{full_name(call, record)}/commit/{sha}",
        "author": author,
        "committer": committer,
        "distinct": True,
        "added": [one.path for one in changes if one.old is None],
        "removed": [one.path for one in changes if one.new is None],
        "modified": [one.path for one in changes if one.old and one.new],
    }


def _announce(call: Call, record: Record, update: Update, old: str | None, new: str | None) -> None:
    told = _pushed(call, record, update, old, new)
    payload: Json = {
        "ref": update.ref,
        "before": old or ZERO,
        "after": new or ZERO,
        "created": update.created,
        "deleted": update.deleted,
        "forced": update.forced,
        "pusher": {"name": call.actor["login"], "email": None},
        "commits": told,
        "head_commit": told[-1] if told else None,
        "repository": repository(call, record),
    }
    call.emit("push", payload, record)
    if update.created or update.deleted:
        kind = "branch" if update.ref.startswith("refs/heads/") else "tag"
        name = update.ref.split("/", 2)[2]
        short: Json = {"ref": name, "ref_type": kind, "pusher_type": "user", "repository": payload["repository"]}
        extra = {"master_branch": record["default_branch"], "description": None} if update.created else {}
        call.emit(
            "create" if update.created else "delete", short | extra | {"sender": account(call.urls, call.actor)}, record
        )
