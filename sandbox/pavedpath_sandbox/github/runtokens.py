"""The token that a workflow run gets (`GITHUB_TOKEN`): one repository, and what `permissions` grants.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#permissions
"""

import secrets as randomness

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import forbidden, unprocessable
from pavedpath_sandbox.github.handlers.actions_settings import setting
from pavedpath_sandbox.github.identity import token_key
from pavedpath_sandbox.github.render import ACTIONS_APP
from pavedpath_sandbox.github.store import ROOT, Json, Record, as_object, timestamp

LOGIN = "github-actions[bot]"
_LIFETIME = 24 * 3600  # a token lives as long as its job, at most a day
_LEVELS = ("none", "read", "write")
NAMES = frozenset(
    {"actions", "attestations", "checks", "contents", "deployments", "discussions", "id-token", "issues", "models"}
    | {"packages", "pages", "pull-requests", "security-events", "statuses"}
)
"""Permissions that a workflow file can give."""
# The permission that a write needs, by how the operation's id begins; the first that fits.
_NEEDED = {
    "pulls/merge": "contents",
    "pulls/update-branch": "contents",
    "pulls/": "pull-requests",
    "issues/": "issues",
    "checks/": "checks",
    "actions/": "actions",
    "repos/create-commit-status": "statuses",
    "repos/create-deployment": "deployments",
    "repos/delete-deployment": "deployments",
    "repos/": "contents",
    "git/": "contents",
}


def issue(call: Call, run: Record, wanted: Json | None) -> str:
    """A new token of a run; `wanted` are its permissions by their names in workflow files, None the default ones.

    Raises GitHubError 422 that names every permission or level that there is not.
    """
    owner = call.need(call.store.by_id("repository", run.parent))
    if wanted is None:
        write = setting(call, owner, "workflow")["default_workflow_permissions"] == "write"
        wanted = dict.fromkeys(NAMES, "write") if write else {"contents": "read", "packages": "read"}
    wrong = [f"{name}: {level}" for name, level in wanted.items() if name not in NAMES or level not in _LEVELS]
    if wrong:
        raise unprocessable(f"Not permissions of a workflow: {', '.join(wrong)}")
    bot = call.store.find("user", ROOT, LOGIN)
    bot = bot or call.store.insert("user", ROOT, LOGIN, {"login": LOGIN, "name": LOGIN, "app": ACTIONS_APP})
    token = f"ghs_{randomness.token_hex(18)}"
    expires = timestamp(call.settings.clock() + _LIFETIME)
    body: Json = {"user": bot.id, "expires_at": expires, "repositories": [owner.id], "permissions": wanted}
    call.store.insert("token", run.id, token_key(token), body)
    return token


def is_of_run(call: Call) -> bool:
    """Whether the request carries the token of a workflow run."""
    return call.user is not None and call.user.get("app") == ACTIONS_APP


def _granted(call: Call) -> Json:
    return as_object(call.token["permissions"]) if call.token else {}


def require(call: Call, permission: str) -> None:
    """Raise GitHubError 403 if the token of a run may not write there."""
    if is_of_run(call) and _granted(call).get(permission) != "write":
        raise forbidden("Resource not accessible by integration")


def require_for(call: Call, operation: str) -> None:
    """The same for an operation; comments on pull requests need either of two permissions."""
    needed = next((name for start, name in _NEEDED.items() if operation.startswith(start)), "administration")
    if not (needed == "issues" and _granted(call).get("pull-requests") == "write"):
        require(call, needed)
