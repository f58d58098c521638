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
class Update:
    """A direct write to a ref: created, deleted, forced or moved forward."""

    created: bool
    deleted: bool
    forced: bool
    commits: tuple[NewCommit, ...]
    ref: str


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
    """Why a direct write may not be made; empty if it may."""
    return [reason for rule in rules if (reason := _violation(rule["type"], as_object(rule.get("parameters")), update))]


def _violation(kind: str, parameters: Json, update: Update) -> str | None:
    if kind in _ON_REF:
        applies_to, reason = _ON_REF[kind]
        return reason if applies_to(update) else None
    if kind == "required_status_checks":
        return _missing_checks(parameters, update)
    if kind not in _TEXTS or update.deleted:
        return None
    texts, what = _TEXTS[kind]
    if all(pattern_matches(parameters, text) for text in texts(update)):
        return None
    return f"{what} must {'not ' if parameters.get('negate') else ''}match a given pattern: {parameters['pattern']}"


def _missing_checks(parameters: Json, update: Update) -> str | None:
    checks = [check["context"] for check in parameters["required_status_checks"]]
    excused = update.deleted or (update.created and parameters.get("do_not_enforce_on_create"))
    if excused or not checks:
        return None
    if len(checks) == 1:
        return f'Required status check "{checks[0]}" is expected.'
    return f"{len(checks)} of {len(checks)} required status checks are expected."


def _moved(update: Update) -> bool:
    return not update.created and not update.deleted


_ON_REF: dict[str, tuple[Callable[[Update], bool], str]] = {
    "creation": (lambda update: update.created, "Cannot create ref due to creations being restricted."),
    "update": (_moved, "Cannot update this protected ref."),
    "deletion": (lambda update: update.deleted, "Cannot delete this protected ref."),
    "non_fast_forward": (lambda update: update.forced, "Cannot force-push to this branch"),
    "pull_request": (_moved, "Changes must be made through a pull request."),
    "merge_queue": (_moved, "Changes must be made through the merge queue"),
    "required_deployments": (_moved, "Required deployments have not succeeded."),
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
