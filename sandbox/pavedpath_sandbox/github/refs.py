"""Moving refs: the one place where rulesets are enforced and pushes are announced."""

from pavedpath_sandbox.github.access import is_owner, role_on, teams_of
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.render import account, repository
from pavedpath_sandbox.github.rules import Actor, NewCommit, Target, Update, applies, bypass_mode, violations
from pavedpath_sandbox.github.store import Json, Record

ZERO = "0" * 40


def actor_of(call: Call, record: Record) -> Actor:
    """The user as rulesets see one."""
    organization, user = call.need(call.store.by_id("organization", record.parent)), call.actor
    return Actor(
        user=user.id,
        owner=is_owner(call.store, user, organization),
        role=role_on(call.store, user, record, organization),
        teams=frozenset(team.id for team in teams_of(call.store, user, organization)),
        integration=user.get("app"),
    )


def rulesets_on(call: Call, record: Record, ref: str) -> list[Record]:
    """The repository's and organisation's rulesets in force on a ref."""
    target = Target(record.id, record["name"], ref, record["default_branch"])
    every = call.store.children("ruleset", record.parent) + call.store.children("ruleset", record.id)
    return [one for one in every if applies(one.body, target)]


def is_protected(call: Call, record: Record, branch: str) -> bool:
    """Whether any ruleset is in force on a branch."""
    return bool(rulesets_on(call, record, f"refs/heads/{branch}"))


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


def move(call: Call, record: Record, ref: str, new: str | None, *, refusal: int = 422) -> None:
    """Create, move or (`new` None) delete a ref, as a direct write of the user.

    Raises GitHubError with status `refusal` if a ruleset that the user cannot bypass forbids it: 409 where files
    are written, 422 where refs are.
    """
    git, actor = Git(call.store, record), actor_of(call, record)
    held = git.ref(ref)
    old = held["sha"] if held else None
    update = _update(git, ref, old, new)
    rules = [
        rule
        for ruleset in rulesets_on(call, record, ref)
        if bypass_mode(ruleset.body, actor) not in {"always", "exempt"}
        for rule in ruleset["rules"]
    ]
    if reasons := list(dict.fromkeys(violations(rules, update))):
        raise GitHubError(refusal, "Repository rule violations found\n\n" + "\n\n".join(reasons) + "\n\n")
    if new is None:
        if held:
            git.delete_ref(held)
    else:
        git.set_ref(ref, new)
    pushed = call.store.update(record, {"pushed_at": call.store.now()})
    _announce(call, pushed, update, old, new)


def _announce(call: Call, record: Record, update: Update, old: str | None, new: str | None) -> None:
    payload: Json = {
        "ref": update.ref,
        "before": old or ZERO,
        "after": new or ZERO,
        "created": update.created,
        "deleted": update.deleted,
        "forced": update.forced,
        "pusher": {"name": call.actor["login"], "email": None},
        "commits": [],
        "head_commit": None,
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
