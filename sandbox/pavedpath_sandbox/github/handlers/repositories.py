"""Repositories and their settings."""

import re
from collections.abc import Callable
from typing import Any

from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import custom, forbidden, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import FILE_MODE, Git
from pavedpath_sandbox.github.handlers.accounts import visible_repositories
from pavedpath_sandbox.github.handlers.labels import add_default_labels
from pavedpath_sandbox.github.render import repository, repository_full
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.signatures import author_of, web_flow
from pavedpath_sandbox.github.store import DuplicateError, Json, Record

_DEFAULTS: Json = {
    "description": None,
    "homepage": None,
    "has_issues": True,
    "has_projects": True,
    "has_wiki": True,
    "has_downloads": True,
    "has_discussions": False,
    "is_template": False,
    "archived": False,
    "allow_squash_merge": True,
    "allow_merge_commit": True,
    "allow_rebase_merge": True,
    "allow_auto_merge": False,
    "allow_update_branch": False,
    "allow_forking": False,
    "delete_branch_on_merge": False,
    "use_squash_pr_title_as_default": False,
    "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
    "squash_merge_commit_message": "COMMIT_MESSAGES",
    "merge_commit_title": "MERGE_MESSAGE",
    "merge_commit_message": "PR_TITLE",
    "web_commit_signoff_required": False,
}

_SCANNING = ("secret_scanning", "secret_scanning_push_protection", "dependabot_security_updates")


def _visibility(call: Call, current: str = "public") -> str:
    wanted = call.body.get("visibility")
    if wanted is None and "private" in call.body:
        wanted = "private" if call.body["private"] else "public"
    if wanted == "internal" and not call.plan_allows(Plan.ENTERPRISE):
        raise custom(
            "Repository", "visibility", "Only organizations on GitHub Enterprise can have internal repositories."
        )
    return wanted or current


def _name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", text)[:100].removesuffix(".git")
    if name in {"", ".", ".."}:
        raise custom("Repository", "name", "name is invalid", "Repository creation failed.")
    return name


def _settings(call: Call) -> Json:
    changes = {name: call.body[name] for name in _DEFAULTS.keys() & call.body.keys() if call.body[name] is not None}
    return changes | {name: changes[name] or None for name in ("description", "homepage") if name in changes}


def create(call: Call) -> Reply:
    """Make a repository in the organisation, with a first commit if `auto_init` says so."""
    if templates := [name for name in ("gitignore_template", "license_template") if call.body.get(name)]:
        raise unprocessable(f"The sandbox has none of GitHub's templates; leave out {' and '.join(templates)}.")
    organization, name = call.organization, _name(call.body["name"])
    body: Json = {
        **_DEFAULTS,
        **_settings(call),
        "name": name,
        "visibility": _visibility(call),
        "default_branch": "main",
        "topics": [],
        "has_pages": False,
        "pushed_at": call.store.now(),
        "security_and_analysis": {one: {"status": "disabled"} for one in _SCANNING},
        "vulnerability_alerts": False,
        "automated_security_fixes": False,
    }
    try:
        record = call.store.insert("repository", organization.id, name.lower(), body)
    except DuplicateError as error:
        message = "name already exists on this account"
        raise custom("Repository", "name", message, "Repository creation failed.") from error
    if stale := call.store.find("redirect", organization.id, name.lower()):
        call.store.delete(stale)
    add_default_labels(call, record)
    if call.body.get("team_id"):
        team = call.need(call.store.by_id("team", call.body["team_id"], organization.id))
        call.store.insert("team_repository", team.id, str(record.id), {"permission": team["permission"]})
    if call.body.get("auto_init"):
        _first_commit(call, record)
    call.emit("repository", {"action": "created", "repository": repository(call, record)}, record)
    return created(repository_full(call, record, "admin"))


def _first_commit(call: Call, record: Record) -> None:
    git = Git(call.store, record)
    text = f"# {record['name']}\n" + (f"{record['description']}\n" if record["description"] else "")
    tree = git.write_tree({"README.md": (FILE_MODE, git.write_blob(text.encode()))})
    commit = git.write_commit(tree, [], "Initial commit", author_of(call, None), web_flow(call))
    git.set_ref(f"refs/heads/{record['default_branch']}", commit)


def get(call: Call) -> Reply:
    """A repository."""
    record = call.repository
    return ok(repository_full(call, record, role_on(call.store, call.actor, record, call.organization)))


def listing(call: Call) -> Reply:
    """The organisation's repositories that the user may see."""
    kind, order = call.query.get("type", "all"), call.query.get("sort") or "created"
    seen = [
        (one, role)
        for one, role in visible_repositories(call, call.organization)
        if kind not in {"public", "private"} or (one["visibility"] == "public") == (kind == "public")
    ]
    keys: dict[str, Callable[[tuple[Record, str]], Any]] = {
        "created": lambda pair: pair[0].id,
        "updated": lambda pair: pair[0].updated_at,
        "pushed": lambda pair: pair[0]["pushed_at"],
        "full_name": lambda pair: pair[0].key,
    }
    direction = call.query.get("direction") or ("asc" if order == "full_name" else "desc")
    seen.sort(key=keys[order], reverse=direction == "desc")
    return page(call, [repository(call, one, role) for one, role in seen])


def update(call: Call) -> Reply:
    """Change a repository: its settings, name, visibility, default branch, or whether it is archived."""
    record, changes = call.repository, _settings(call)
    if record["archived"] and call.body.get("archived") is not False:
        raise forbidden("Repository was archived so is read-only.")
    visibility = _visibility(call, record["visibility"])
    if call.body.get("visibility") == record["visibility"]:
        raise custom("Repository", "visibility", f"Visibility is already {visibility}.")
    changes["visibility"] = visibility
    if branch := call.body.get("default_branch"):
        changes["default_branch"] = _existing_branch(call, record, branch)
    if scanning := call.body.get("security_and_analysis"):
        changes["security_and_analysis"] = _scanning(call, record, visibility, scanning)
    merges = ("allow_merge_commit", "allow_squash_merge", "allow_rebase_merge")
    if not any(changes.get(name, record[name]) for name in merges):
        raise custom("Repository", "merge_commit_allowed", "Sorry, you need to allow at least one merge strategy.")
    key = record.key
    if call.body.get("name") and _name(call.body["name"]) != record["name"]:
        changes["name"], key = _name(call.body["name"]), _name(call.body["name"]).lower()
    try:
        updated = call.store.update(record, changes, key=key)
    except DuplicateError as error:
        raise custom("Repository", "name", "name already exists on this account") from error
    if key != record.key:
        _redirect(call, record, key)
        payload = {"action": "renamed", "changes": {"repository": {"name": {"from": record["name"]}}}}
        call.emit("repository", payload | {"repository": repository(call, updated)}, updated)
    return ok(repository_full(call, updated, role_on(call.store, call.actor, updated, call.organization)))


def _redirect(call: Call, old: Record, new_key: str) -> None:
    call.store.put("redirect", old.parent, old.key, {"repository": old.id})
    if stale := call.store.find("redirect", old.parent, new_key):
        call.store.delete(stale)


def _existing_branch(call: Call, record: Record, branch: str) -> str:
    git = Git(call.store, record)
    if not git.refs("refs/heads/"):
        message = "Cannot update default branch for an empty repository. Please init the repository and push first."
        raise custom("Repository", "default_branch", message)
    if git.ref(f"refs/heads/{branch}") is None:
        message = f"The branch {branch} was not found. Please push that ref first or create it via the Git Data API."
        raise custom("Repository", "default_branch", message)
    return branch


def _scanning(call: Call, record: Record, visibility: str, wanted: Json) -> Json:
    enabled = [name for name, value in wanted.items() if value and value.get("status") == "enabled"]
    if "advanced_security" in enabled and visibility == "public":
        raise unprocessable("Advanced security is always available for public repos.")
    if (
        set(enabled) - {"dependabot_security_updates"}
        and visibility != "public"
        and not call.plan_allows(Plan.ENTERPRISE)
    ):
        raise unprocessable(
            f"{' and '.join(sorted(enabled))} is not available for this repository: it is private and "
            "the organization has no GitHub Advanced Security."
        )
    return {**record["security_and_analysis"], **{name: value for name, value in wanted.items() if value}}


def delete(call: Call) -> Reply:
    """Delete a repository and everything in it."""
    record = call.repository
    call.emit("repository", {"action": "deleted", "repository": repository(call, record)}, record)
    for grant in call.store.everywhere("team_repository", str(record.id)):
        call.store.delete(grant)
    call.store.delete(record)
    return no_content()


def get_topics(call: Call) -> Reply:
    """The topics."""
    return ok({"names": call.repository["topics"]})


def replace_topics(call: Call) -> Reply:
    """Set the topics: at most 20, lower case, up to 50 characters each."""
    names = [name.lower() for name in call.body["names"]]
    wrong = [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,49}", name)]
    if wrong or len(names) > 20:
        raise unprocessable(
            "Validation Failed",
            [
                {
                    "resource": "Repository",
                    "code": "custom",
                    "field": "topics",
                    "message": "Topics must start with a lowercase letter or number, consist of 50 characters or less, "
                    f"and can include hyphens; at most 20 of them: {', '.join(wrong) or len(names)}",
                }
            ],
        )
    return ok({"names": call.store.update(call.repository, {"topics": list(dict.fromkeys(names))})["topics"]})


def switch(call: Call, name: str, on: bool) -> Reply:
    """Turn a feature on or off."""
    record = call.repository
    if name == "automated_security_fixes" and on and not record["vulnerability_alerts"]:
        raise unprocessable("Vulnerability alerts must be enabled to configure automated security fixes.")
    call.store.update(record, {name: on})
    return no_content()


def check_vulnerability_alerts(call: Call) -> Reply:
    """204 if on, 404 if off."""
    if not call.repository["vulnerability_alerts"]:
        raise not_found("Vulnerability alerts are disabled.")
    return no_content()


def check_security_fixes(call: Call) -> Reply:
    """Whether Dependabot opens pull requests."""
    return ok({"enabled": call.repository["automated_security_fixes"], "paused": False})


def no_pages(call: Call) -> Reply:
    """The sandbox publishes no pages, so that no repository has any."""
    raise not_found(f"{call.repository['name']} has no Pages site.")
