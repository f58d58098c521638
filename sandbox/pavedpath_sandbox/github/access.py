"""Who may do what: roles in the organisation, and on a repository through it, its teams and its collaborators."""

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.description import Operation
from pavedpath_sandbox.github.errors import forbidden, not_found
from pavedpath_sandbox.github.render import ACTIONS_APP, ROLES
from pavedpath_sandbox.github.store import Record, Store

# What pushing covers; every other write to a repository is an administrator's.
_PUSH = (
    "git/",
    "repos/create-or-update-file-contents",
    "repos/delete-file",
    "issues/",
    "actions/cancel",
    "actions/re-run",
    "actions/create-workflow-dispatch",
    "actions/disable-workflow",
    "actions/enable-workflow",
    "checks/",
    "pulls/",
    "repos/create-commit-status",
    "repos/create-deployment",
    "repos/delete-deployment",
    "repos/create-release",
    "repos/update-release",
    "repos/delete-release",
    "repos/generate-release-notes",
)
# What who may read may do: whether they count is seen to where they are used.
_READ = {
    "actions/review-pending-deployments-for-run",
    "pulls/create",
    "pulls/update",
    "pulls/create-review",
    "pulls/submit-review",
    "pulls/delete-pending-review",
    "issues/create-comment",
    "issues/update-comment",
    "issues/delete-comment",
}
# Reads that only an administrator of the repository or organisation has.
_ADMIN_READS = ("secret", "public-key", "webhook", "self-hosted-runner", "org-variable", "actions-permissions")


def is_owner(store: Store, user: Record, organization: Record) -> bool:
    """Whether the user owns the organisation."""
    membership = store.find("membership", organization.id, str(user.id))
    return membership is not None and membership["role"] == "admin"


def is_admin(store: Store, user: Record, organization: Record) -> bool:
    """Whether the user may administer the organisation: an owner, or an app that is installed in it."""
    return user.get("app") not in (None, ACTIONS_APP) or is_owner(store, user, organization)


def _stronger(left: str | None, right: str | None) -> str | None:
    held = [role for role in (left, right) if role in ROLES]
    return max(held, key=ROLES.index, default=None)


def teams_of(store: Store, user: Record, organization: Record) -> list[Record]:
    """The organisation's teams that the user is a member of."""
    return [
        team
        for team in store.children("team", organization.id)
        if store.find("team_member", team.id, str(user.id)) is not None
    ]


def role_on(store: Store, user: Record, repository: Record, organization: Record) -> str | None:
    """The strongest role of a user on a repository, None if the user may not even see it."""
    if is_admin(store, user, organization):
        return "admin"
    if user.get("app") == ACTIONS_APP:
        return "push"  # in the repository of its token, which is seen to where the token is
    role = "pull" if repository["visibility"] == "public" else None
    if store.find("membership", organization.id, str(user.id)):
        default = {"read": "pull", "write": "push", "admin": "admin"}
        role = _stronger(role, default.get(organization["default_repository_permission"]))
    if direct := store.find("collaborator", repository.id, str(user.id)):
        role = _stronger(role, direct["permission"])
    for team in teams_of(store, user, organization):
        if grant := store.find("team_repository", team.id, str(repository.id)):
            role = _stronger(role, grant["permission"])
    return role


def _needed(write: str) -> str:
    if write in _READ:
        return "pull"
    # `deployment-branch-policy` starts like a deployment, and is an administrator's.
    return "push" if write.startswith(_PUSH) and "policy" not in write else "admin"


def authorize(call: Call, operation: Operation) -> None:
    """Raise GitHubError 404 or 403 if the user may not call the operation.

    A user who may not see a repository is told 404, so that its name stays unknown.
    """
    admin_read = operation.method == "GET" and any(part in operation.id for part in _ADMIN_READS)
    if call.user is None or (operation.method == "GET" and not admin_read and "repo" not in call.path):
        return
    if "repo" in call.path and "team_slug" not in call.path:
        record = call.repository
        role = role_on(call.store, call.actor, record, call.organization)
        limited = call.token["repositories"] if call.token else None
        if role is None or (limited is not None and record.id not in limited):
            raise not_found()
        write = operation.method != "GET"
        needed = _needed(operation.id) if write else "admin" if admin_read else "pull"
        if ROLES.index(role) < ROLES.index(needed):
            raise forbidden("Must have admin rights to Repository." if needed == "admin" else "Must have push access.")
        if write and record["archived"] and operation.id not in {"repos/update", "repos/delete"}:
            raise forbidden("Repository was archived so is read-only.")
    elif "org" in call.path and not is_admin(call.store, call.actor, call.organization):
        raise forbidden("You must be an organization owner or have the necessary permission.")
