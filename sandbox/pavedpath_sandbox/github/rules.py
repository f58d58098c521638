"""What rulesets allow: pure functions of rulesets, refs and actors.

How patterns, targets and bypasses work:
https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pavedpath_sandbox.github.store import Json, as_list, as_object

# RepositoryRole actors are known by these numbers
# (https://docs.github.com/rest/repos/rules, bypass_actors.actor_id).
ROLE_IDS = {"maintain": 2, "push": 4, "admin": 5}


@dataclass(frozen=True)
class Actor:
    """Who writes: `role` on the repository, as GitHub's API names it."""

    user: int
    owner: bool
    role: str | None
    teams: frozenset[int]
    integration: int | None = None


@dataclass(frozen=True)
class Target:
    """A ref of a repository."""

    repository: int
    name: str
    ref: str
    default_branch: str


@dataclass(frozen=True)
class NewCommit:
    """A commit that an update brings."""

    message: str
    author_email: str
    committer_email: str
    merge: bool
    signed: bool


@dataclass(frozen=True)
class Check:
    """What was reported last under a name for a commit: success, failure or pending, and by which app."""

    context: str
    state: str
    app: int | None


@dataclass(frozen=True)
class Merge:
    """A pull request as rules see it when it is merged.

    `approvals` counts those of users with write access; `unowned` are changed files that no code owner has approved;
    `last_push_approved` says that somebody else than who pushed last approved that state.
    """

    method: str
    approvals: int
    changes_requested: bool
    unowned: tuple[str, ...]
    last_push_approved: bool
    behind: bool


@dataclass(frozen=True)
class Update:
    """A write to a ref: created, deleted, forced or moved forward, directly or by merging a pull request.

    `checks` are those of the commit that is pushed, or of the pull request's head; `deployed` the environments that
    it was deployed to.
    """

    created: bool
    deleted: bool
    forced: bool
    commits: tuple[NewCommit, ...]
    ref: str
    checks: tuple[Check, ...] = ()
    deployed: frozenset[str] = frozenset()
    merge: Merge | None = None


def glob_matches(pattern: str, text: str) -> bool:
    """Ruby's `File.fnmatch` with FNM_PATHNAME: `*` and `?` stop at a slash, `**/` crosses directories."""
    expression, position = "", 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            expression, position = expression + "(?:.*/)?", position + 3
        elif rest.startswith("**"):
            expression, position = expression + ".*", position + 2
        elif rest[0] == "*":
            expression, position = expression + "[^/]*", position + 1
        elif rest[0] == "?":
            expression, position = expression + "[^/]", position + 1
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            negate = rest[1] in "!^"
            members = rest[1 + negate : end].replace("\\", "\\\\").replace("[", "\\[")
            expression, position = expression + f"[{'^' if negate else ''}{members}]", position + end + 1
        else:
            expression, position = expression + re.escape(rest[0]), position + 1
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _selected(condition: Json, matches: Callable[[str], bool]) -> bool:
    includes, excludes = condition.get("include", []), condition.get("exclude", [])
    return any(map(matches, includes)) and not any(map(matches, excludes))


def applies(ruleset: Json, target: Target) -> bool:
    """Whether a ruleset is in force on a ref."""
    kind = {"branch": "refs/heads/", "tag": "refs/tags/"}.get(ruleset["target"])
    if ruleset["enforcement"] != "active" or kind is None or not target.ref.startswith(kind):
        return False
    conditions: Json = as_object(ruleset.get("conditions"))
    if names := conditions.get("repository_name"):
        if not _selected(
            names, lambda pattern: pattern == "~ALL" or glob_matches(pattern.lower(), target.name.lower())
        ):
            return False
    elif identities := conditions.get("repository_id"):
        if target.repository not in identities.get("repository_ids", []):
            return False
    elif "repository_property" in conditions:
        return False  # the sandbox's repositories have no properties to be chosen by

    def matches(pattern: str) -> bool:
        if pattern == "~DEFAULT_BRANCH":
            return target.ref == f"refs/heads/{target.default_branch}"
        return pattern == "~ALL" or glob_matches(pattern, target.ref)

    return _selected(as_object(conditions.get("ref_name")), matches)


def bypass_mode(ruleset: Json, actor: Actor) -> str | None:
    """The widest way in which an actor may bypass a ruleset: always, exempt, pull_request or None."""
    modes = {
        entry.get("bypass_mode", "always")
        for entry in as_list(ruleset.get("bypass_actors"))
        if _is_actor(entry["actor_type"], entry.get("actor_id"), actor)
    }
    return next((mode for mode in ("always", "exempt", "pull_request") if mode in modes), None)


def _is_actor(kind: str, identity: int | None, actor: Actor) -> bool:
    if kind == "OrganizationAdmin":
        return actor.owner
    if kind == "RepositoryRole":
        held = ROLE_IDS.get(actor.role or "")
        return held is not None and identity is not None and held >= identity
    if kind == "Team":
        return identity in actor.teams
    if kind == "User":
        return identity == actor.user
    return kind == "Integration" and identity is not None and identity == actor.integration


def pattern_matches(parameters: Json, text: str) -> bool:
    """Whether text satisfies a metadata rule (operator, pattern, negate)."""
    pattern = parameters["pattern"]
    found = {
        "starts_with": text.startswith(pattern),
        "ends_with": text.endswith(pattern),
        "contains": pattern in text,
        "regex": parameters["operator"] == "regex" and re.search(pattern, text) is not None,
    }[parameters["operator"]]
    return found != bool(parameters.get("negate"))


def violations(rules: Iterable[Json], update: Update) -> list[str]:
    """Why a write may not be made; empty if it may."""
    return [
        reason
        for rule in rules
        for reason in _violations(rule["type"], as_object(rule.get("parameters")), update)
        if reason
    ]


def _violations(kind: str, parameters: Json, update: Update) -> list[str]:
    if kind in _WITH_PARAMETERS:
        return _WITH_PARAMETERS[kind](parameters, update)
    if kind in _ON_REF:
        applies_to, reason = _ON_REF[kind]
        return [reason] if applies_to(update) else []
    if kind not in _TEXTS or update.deleted:
        return []
    texts, what = _TEXTS[kind]
    if all(pattern_matches(parameters, text) for text in texts(update)):
        return []
    return [f"{what} must {'not ' if parameters.get('negate') else ''}match a given pattern: {parameters['pattern']}"]


def _missing_checks(parameters: Json, update: Update) -> list[str]:
    wanted: list[Json] = parameters["required_status_checks"]
    if update.deleted or (update.created and parameters.get("do_not_enforce_on_create")):
        return []
    states = [_required_state(one, update.checks) for one in wanted]
    words = {"expected": "expected", "pending": "in progress", "failure": "failing"}
    unmet = [(one["context"], words[state]) for one, state in zip(wanted, states, strict=True) if state != "success"]
    kinds = {state for _, state in unmet}
    reasons: list[str] = []
    if len(unmet) == 1:
        reasons.append(f'Required status check "{unmet[0][0]}" is {unmet[0][1]}.')
    elif len(kinds) == 1:
        reasons.append(f"{len(unmet)} of {len(wanted)} required status checks are {kinds.pop()}.")
    elif unmet:
        counted = [f"{[state for _, state in unmet].count(kind)} {kind}" for kind in words.values() if kind in kinds]
        failed = f"{len(unmet)} of {len(wanted)} required status checks have not succeeded"
        reasons.append(f"{failed}: {' and '.join(counted)}.")
    if parameters.get("strict_required_status_checks_policy") and update.merge and update.merge.behind:
        reasons.append("The head branch must be up to date with the base branch.")
    return reasons


def _required_state(wanted: Json, checks: Iterable[Check]) -> str:
    """State of a required check: that of who is bound to report it, the worst where several report it."""
    app = wanted.get("integration_id")
    states = {one.state for one in checks if one.context == wanted["context"] and app in (None, one.app)}
    return next((state for state in ("failure", "pending", "success") if state in states), "expected")


def _unapproved(parameters: Json, update: Update) -> list[str]:
    merge = update.merge
    if merge is None:
        return ["Changes must be made through a pull request."] if _moved(update) else []
    reasons: list[str] = []
    needed = parameters.get("required_approving_review_count", 0)
    if merge.approvals < needed:
        what = "approving review is" if needed == 1 else "approving reviews are"
        reasons.append(f"At least {needed} {what} required by reviewers with write access.")
    if merge.changes_requested:
        reasons.append("Changes have been requested by a reviewer with write access.")
    if parameters.get("require_code_owner_review") and merge.unowned:
        reasons.append(f"Waiting on code owner review: {', '.join(merge.unowned)}.")
    if parameters.get("require_last_push_approval") and not merge.last_push_approved:
        reasons.append("New changes require approval from someone other than the last pusher.")
    methods = parameters.get("allowed_merge_methods") or ["merge", "squash", "rebase"]
    if merge.method not in methods:
        reasons.append(f"Merge method {merge.method} is not allowed here; allowed: {', '.join(methods)}.")
    return reasons


def _undeployed(parameters: Json, update: Update) -> list[str]:
    wanted = as_list(parameters.get("required_deployment_environments"))
    missing = [one for one in wanted if one not in update.deployed]
    return ["Required deployments have not succeeded."] if missing and _moved(update) else []


_WITH_PARAMETERS: dict[str, Callable[[Json, Update], list[str]]] = {
    "required_status_checks": _missing_checks,
    "pull_request": _unapproved,
    "required_deployments": _undeployed,
}


def _moved(update: Update) -> bool:
    return not update.created and not update.deleted


_ON_REF: dict[str, tuple[Callable[[Update], bool], str]] = {
    "creation": (lambda update: update.created, "Cannot create ref due to creations being restricted."),
    "update": (_moved, "Cannot update this protected ref."),
    "deletion": (lambda update: update.deleted, "Cannot delete this protected ref."),
    "non_fast_forward": (lambda update: update.forced, "Cannot force-push to this branch"),
    "merge_queue": (_moved, "Changes must be made through the merge queue"),
    "workflows": (_moved, "Required workflows have not succeeded."),
    "code_scanning": (_moved, "Code scanning is waiting for results."),
    "required_linear_history": (
        lambda update: any(commit.merge for commit in update.commits),
        "This branch must not contain merge commits.",
    ),
    "required_signatures": (
        lambda update: any(not commit.signed for commit in update.commits),
        "Commits must have verified signatures.",
    ),
}


def _short_ref(update: Update) -> list[str]:
    return [update.ref.split("/", 2)[2]] if update.created else []


_TEXTS: dict[str, tuple[Callable[[Update], list[str]], str]] = {
    "commit_message_pattern": (lambda update: [one.message for one in update.commits], "Commit message"),
    "commit_author_email_pattern": (lambda update: [one.author_email for one in update.commits], "Author email"),
    "committer_email_pattern": (lambda update: [one.committer_email for one in update.commits], "Committer email"),
    "branch_name_pattern": (_short_ref, "Branch name"),
    "tag_name_pattern": (_short_ref, "Tag name"),
}
