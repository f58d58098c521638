"""Settings of GitHub Actions: what may run, with which token, and what its OIDC subject says."""

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import conflict, not_found, unprocessable
from pavedpath_sandbox.github.handlers.scopes import Scope
from pavedpath_sandbox.github.render import full_name, owner_of, repository
from pavedpath_sandbox.github.store import Json, Record, as_list

_DEFAULTS: dict[str, Json] = {
    "permissions": {
        "enabled": True,
        "enabled_repositories": "all",
        "allowed_actions": "all",
        "sha_pinning_required": False,
    },
    "selected-actions": {"github_owned_allowed": True, "verified_allowed": False, "patterns_allowed": []},
    "workflow": {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False},
    "access": {"access_level": "none"},
    "retention": {"days": 90},
    "fork-approval": {"approval_policy": "first_time_contributors"},
    "fork-private": {
        "run_workflows_from_fork_pull_requests": False,
        "send_write_tokens_to_workflows": False,
        "send_secrets_and_variables": False,
        "require_approval_for_fork_pr_workflows": True,
    },
    "self-hosted": {"enabled_repositories": "all"},
}
_MOST_DAYS = 400
_IMMUTABLE_SINCE = "2026-07-15"
"""Repositories made since then have their ids in the OIDC subject unless that is turned off."""


def setting(call: Call, owner: Record, name: str) -> Json:
    """A group of settings, defaults filled in."""
    held = call.store.find("setting", owner.id, name)
    return {**_DEFAULTS.get(name, {}), **(held.body if held else {})}


def _path(call: Call, owner: Record) -> str:
    if owner.kind == "repository":
        return f"{call.urls.api}/repos/{full_name(call, owner)}"
    return f"{call.urls.api}/orgs/{owner['login']}"


def _save(call: Call, owner: Record, name: str, fields: tuple[str, ...] | None = None) -> None:
    wanted = fields or tuple(_DEFAULTS[name])
    changes = {field: call.body[field] for field in wanted if call.body.get(field) is not None}
    call.store.put("setting", owner.id, name, changes)


def get_permissions(call: Call, scope: Scope) -> Reply:
    """Whether Actions runs here, and which actions."""
    owner = scope(call)
    held, base = setting(call, owner, "permissions"), f"{_path(call, owner)}/actions/permissions"
    organization = owner.kind == "organization"
    which = "enabled_repositories" if organization else "enabled"
    shown = {which: held[which], "sha_pinning_required": held["sha_pinning_required"]}
    if held["enabled"] and held["enabled_repositories"] != "none":
        shown["allowed_actions"] = held["allowed_actions"]
        if held["allowed_actions"] == "selected":
            shown["selected_actions_url"] = f"{base}/selected-actions"
    if organization and held["enabled_repositories"] == "selected":
        shown["selected_repositories_url"] = f"{base}/repositories"
    return ok(shown)


def set_permissions(call: Call, scope: Scope) -> Reply:
    """Change whether Actions runs here, and which actions."""
    _save(call, scope(call), "permissions")
    return no_content()


def _selected_only(call: Call, owner: Record) -> None:
    if setting(call, owner, "permissions")["allowed_actions"] != "selected":
        raise conflict("The allowed_actions policy is not set to selected, so that there are no selected actions.")


def get_selected_actions(call: Call, scope: Scope) -> Reply:
    """The actions that may run; 409 unless only selected ones may."""
    owner = scope(call)
    _selected_only(call, owner)
    return ok(setting(call, owner, "selected-actions"))


def set_selected_actions(call: Call, scope: Scope) -> Reply:
    """Choose the actions that may run."""
    owner = scope(call)
    _selected_only(call, owner)
    _save(call, owner, "selected-actions")
    return no_content()


def get_group(call: Call, scope: Scope, name: str) -> Reply:
    """A group of settings that is shown as it is kept."""
    return ok(setting(call, scope(call), name))


def set_group(call: Call, scope: Scope, name: str) -> Reply:
    """Change such a group."""
    owner = scope(call)
    if name == "access" and owner["visibility"] == "public":
        raise unprocessable("Access policy only applies to internal and private repositories.")
    _save(call, owner, name)
    return no_content()


def get_retention(call: Call, scope: Scope) -> Reply:
    """Days for which logs and artifacts are kept."""
    return ok(setting(call, scope(call), "retention") | {"maximum_allowed_days": _MOST_DAYS})


def set_retention(call: Call, scope: Scope) -> Reply:
    """Change those days."""
    if not 1 <= call.body["days"] <= _MOST_DAYS:
        raise unprocessable(f"days must be between 1 and {_MOST_DAYS}.")
    return set_group(call, scope, "retention")


def _enabled_repositories(call: Call) -> list[int]:
    if setting(call, call.organization, "permissions")["enabled_repositories"] != "selected":
        raise conflict("enabled_repositories is not set to selected, so that there are no selected repositories.")
    return setting(call, call.organization, "enabled").get("ids", [])


def list_enabled(call: Call) -> Reply:
    """The repositories in which Actions may run."""
    found = [call.store.by_id("repository", one) for one in _enabled_repositories(call)]
    return page(call, [repository(call, one) for one in found if one], "repositories")


def set_enabled(call: Call) -> Reply:
    """Choose the repositories in which Actions may run."""
    _enabled_repositories(call)
    call.store.put("setting", call.organization.id, "enabled", {"ids": call.body["selected_repository_ids"]})
    return no_content()


def change_enabled(call: Call, *, add: bool) -> Reply:
    """Choose one more repository, or one less."""
    held, identity = _enabled_repositories(call), call.number("repository_id")
    if add and call.store.by_id("repository", identity, call.organization.id) is None:
        raise not_found()
    rest = [one for one in held if one != identity]
    call.store.put("setting", call.organization.id, "enabled", {"ids": [*rest, identity] if add else rest})
    return no_content()


def _immutable(call: Call, owner: Record) -> bool:
    """Whether the subject holds ids: as set for the repository, else for the organisation, else by its age."""
    held = setting(call, owner, "subject").get("use_immutable_subject")
    if held is None and owner.kind == "repository":
        held = setting(call, owner_of(call, owner), "subject").get("use_immutable_subject")
        return owner.created_at >= _IMMUTABLE_SINCE if held is None else held
    return bool(held)


def subject_prefix(call: Call, owner: Record) -> str:
    """How the OIDC subjects of a repository begin."""
    if not _immutable(call, owner):
        return f"repo:{full_name(call, owner)}"
    above = owner_of(call, owner)
    return f"repo:{above['login']}@{above.id}/{owner['name']}@{owner.id}"


def subject_claims(call: Call, owner: Record) -> list[str] | None:
    """The claims that a repository's own subjects are made of, None for GitHub's default."""
    held = setting(call, owner, "subject")
    if held.get("use_default", True):
        return None
    return held.get("include_claim_keys") or setting(call, owner_of(call, owner), "subject").get("include_claim_keys")


def get_subject(call: Call, scope: Scope) -> Reply:
    """Which claims make the OIDC subject."""
    owner = scope(call)
    held, immutable = setting(call, owner, "subject"), _immutable(call, owner)
    if owner.kind == "organization":
        keys = held.get("include_claim_keys", ["repo", "context"])
        return ok({"include_claim_keys": keys, "use_immutable_subject": immutable})
    prefix = subject_prefix(call, owner)
    shown: Json = {"use_default": held.get("use_default", True)}
    if not shown["use_default"]:
        shown["include_claim_keys"] = held.get("include_claim_keys", [])
    return ok(shown | {"use_immutable_subject": immutable, "sub_claim_prefix": prefix})


def set_subject(call: Call, scope: Scope) -> Reply:
    """Choose the claims that make the OIDC subject."""
    owner = scope(call)
    if wrong := [key for key in as_list(call.body.get("include_claim_keys")) if not key.replace("_", "").isalnum()]:
        raise unprocessable(f"Claim keys can only contain alphanumeric characters and underscores: {', '.join(wrong)}")
    _save(call, owner, "subject", ("use_default", "include_claim_keys", "use_immutable_subject"))
    return created({})
