"""People with a role of their own on a repository."""

from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, no_content, ok, page
from pavedpath_sandbox.github.errors import unprocessable
from pavedpath_sandbox.github.handlers.accounts import user_named
from pavedpath_sandbox.github.identity import add_user
from pavedpath_sandbox.github.render import READ_ROLES, ROLES, account, organization_of
from pavedpath_sandbox.github.store import Json, Record


def _with_role(call: Call, user: Record, role: str) -> Json:
    held = ROLES[: ROLES.index(role) + 1]
    permissions = {one: one in held for one in ROLES}
    return account(call.urls, user) | {"permissions": permissions, "role_name": READ_ROLES.get(role, role)}


def listing(call: Call) -> Reply:
    """Everybody with a role, or with `affiliation=direct` those who have one of their own."""
    repository, organization = call.repository, organization_of(call)
    direct = {int(one.key) for one in call.store.children("collaborator", repository.id)}
    everybody = {int(one.key) for one in call.store.children("membership", organization.id)} | direct
    wanted = {
        "direct": direct,
        "outside": direct - {int(one.key) for one in call.store.children("membership", organization.id)},
    }.get(call.query.get("affiliation", "all"), everybody)
    users = [user for identity in sorted(wanted) if (user := call.store.by_id("user", identity))]
    roles = [(user, role_on(call.store, user, repository, organization)) for user in users]
    asked = call.query.get("permission")
    return page(call, [_with_role(call, user, role) for user, role in roles if role and asked in (None, role)])


def check(call: Call) -> Reply:
    """204 for a collaborator, 404 for anybody else."""
    call.need(_role_record(call))
    return no_content()


def _role_record(call: Call) -> Record | None:
    user = user_named(call)
    return user if role_on(call.store, user, call.repository, organization_of(call)) else None


def put(call: Call) -> Reply:
    """Give a user, whose account is made if there is none, a role; an invitation counts as accepted at once."""
    permission = call.body.get("permission", "push")
    permission = {"read": "pull", "write": "push"}.get(permission, permission)
    if permission not in ROLES:
        raise unprocessable(f"Invalid permission: {permission}; it is one of {', '.join(ROLES)}.")
    repository, user = call.repository, add_user(call.store, call.path["username"])
    call.store.put("collaborator", repository.id, str(user.id), {"permission": permission})
    return no_content()


def remove(call: Call) -> Reply:
    """Take a user's own role away."""
    if held := call.store.find("collaborator", call.repository.id, str(user_named(call).id)):
        call.store.delete(held)
    return no_content()


def permission(call: Call) -> Reply:
    """The role of a user, `none` without one."""
    user = user_named(call)
    role = role_on(call.store, user, call.repository, organization_of(call))
    if role is None:
        plain = account(call.urls, user) | {"role_name": "none", "permissions": dict.fromkeys(ROLES, False)}
        return ok({"permission": "none", "role_name": "none", "user": plain})
    coarse = {"pull": "read", "triage": "read", "push": "write", "maintain": "write"}.get(role, role)
    name = READ_ROLES.get(role, role)
    return ok({"permission": coarse, "role_name": name, "user": _with_role(call, user, role)})


def list_invitations(call: Call) -> Reply:
    """Nobody waits: an invitation is accepted at once."""
    call.need(call.repository)
    return page(call, [])
