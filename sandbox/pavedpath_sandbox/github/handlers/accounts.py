"""Users, the organisation, its members, and what GitHub says of itself."""

from pavedpath_sandbox.github.access import is_owner, role_on
from pavedpath_sandbox.github.call import Call, Reply, no_content, ok, page
from pavedpath_sandbox.github.errors import forbidden
from pavedpath_sandbox.github.identity import add_user
from pavedpath_sandbox.github.render import account, organization_simple
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.store import ROOT, Json, Record

_MEMBER_RIGHTS = {
    "members_can_create_repositories": True,
    "members_can_create_public_repositories": True,
    "members_can_create_private_repositories": True,
    "members_can_create_internal_repositories": False,
    "members_can_create_pages": True,
    "members_can_create_public_pages": True,
    "members_can_create_private_pages": True,
    "members_can_fork_private_repositories": False,
    "members_allowed_repository_creation_type": "all",
    "web_commit_signoff_required": False,
    "two_factor_requirement_enabled": True,
    "advanced_security_enabled_for_new_repositories": False,
    "dependabot_alerts_enabled_for_new_repositories": False,
    "dependabot_security_updates_enabled_for_new_repositories": False,
    "dependency_graph_enabled_for_new_repositories": False,
    "secret_scanning_enabled_for_new_repositories": False,
    "secret_scanning_push_protection_enabled_for_new_repositories": False,
    "billing_email": None,
}


def _public_user(call: Call, record: Record) -> Json:
    return account(call.urls, record) | {
        "name": record["name"],
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def get_authenticated(call: Call) -> Reply:
    """The user whose token it is."""
    private = {
        "private_gists": 0,
        "total_private_repos": 0,
        "owned_private_repos": 0,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": True,
        "plan": {"name": "free", "space": 976562499, "collaborators": 0, "private_repos": 10000},
    }
    return ok(_public_user(call, call.actor) | private)


def user_named(call: Call, name: str = "username") -> Record:
    """The user that the path names, or 404."""
    return call.need(call.store.find("user", ROOT, call.path[name].lower()))


def get_user(call: Call) -> Reply:
    """A user, or an organisation, by login."""
    login = call.path["username"].lower()
    found = call.store.find("user", ROOT, login) or call.store.find("organization", ROOT, login)
    return ok(_public_user(call, call.need(found)))


def no_keys(call: Call) -> Reply:
    """The sandbox's users have no SSH and GPG keys."""
    user_named(call)
    return page(call, [])


def organization_full(call: Call, record: Record) -> Json:
    """Schema `organization-full`; owners see more of it."""
    repositories = call.store.children("repository", record.id)
    private = sum(1 for one in repositories if one["visibility"] != "public")
    shown = organization_simple(call.urls, record) | {
        "name": record["name"],
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": len(repositories) - private,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": f"{call.urls.web}/{record['login']}",
        "type": "Organization",
        "is_verified": False,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "archived_at": None,
    }
    if call.user is None or not is_owner(call.store, call.user, record):
        return shown
    seats = len(call.store.children("membership", record.id))
    plan = {"name": call.settings.plan.name.lower(), "space": 976562499, "private_repos": 999999}
    return {
        **shown,
        **_MEMBER_RIGHTS,
        **record.body,
        "total_private_repos": private,
        "owned_private_repos": private,
        "private_gists": 0,
        "disk_usage": 0,
        "collaborators": 0,
        "plan": plan | {"filled_seats": seats, "seats": max(seats, 10)},
    }


def get_organization(call: Call) -> Reply:
    """The organisation."""
    return ok(organization_full(call, call.organization))


def update_organization(call: Call) -> Reply:
    """Change settings of the organisation."""
    if call.body.get("members_can_create_internal_repositories") and not call.plan_allows(Plan.ENTERPRISE):
        raise forbidden("Internal repositories need GitHub Enterprise.")
    known = {*_MEMBER_RIGHTS, "name", "description", "default_repository_permission", "blog", "company", "email"}
    record = call.store.update(call.organization, {name: call.body[name] for name in known & call.body.keys()})
    return ok(organization_full(call, record))


def list_organizations(call: Call) -> Reply:
    """The organisations of the user."""
    mine = [
        one
        for one in call.store.children("organization", ROOT)
        if call.store.find("membership", one.id, str(call.actor.id))
    ]
    return page(call, [organization_simple(call.urls, one) for one in mine])


def list_members(call: Call) -> Reply:
    """Members of the organisation, of one role if `role` says so."""
    role = call.query.get("role", "all")
    members = [
        call.need(call.store.by_id("user", int(one.key)))
        for one in call.store.children("membership", call.organization.id)
        if role in ("all", one["role"])
    ]
    return page(call, [account(call.urls, one) for one in members])


def check_member(call: Call) -> Reply:
    """204 for a member, 404 for anybody else."""
    call.child("membership", call.organization, str(user_named(call).id))
    return no_content()


def _membership(call: Call, organization: Record, user: Record) -> Reply:
    held = call.child("membership", organization, str(user.id))
    base = f"{call.urls.api}/orgs/{organization['login']}"
    return ok(
        {
            "url": f"{base}/memberships/{user['login']}",
            "state": held["state"],
            "role": held["role"],
            "organization_url": base,
            "organization": organization_simple(call.urls, organization),
            "user": account(call.urls, user),
            "permissions": {"can_create_repository": True},
        }
    )


def get_membership(call: Call) -> Reply:
    """Role and state of a member."""
    return _membership(call, call.organization, user_named(call))


def get_own_membership(call: Call) -> Reply:
    """Role and state of the user."""
    return _membership(call, call.organization, call.actor)


def set_membership(call: Call) -> Reply:
    """Invite a user, who accepts at once, or change the role.

    An account is made for a login that has none: on GitHub everybody has one already.
    """
    organization, user = call.organization, add_user(call.store, call.path["username"])
    role = call.body.get("role", "member")
    owners = [one for one in call.store.children("membership", organization.id) if one["role"] == "admin"]
    if role != "admin" and [one.key for one in owners] == [str(user.id)]:
        raise forbidden("You can't demote the last owner of an organization.")
    call.store.put("membership", organization.id, str(user.id), {"role": role, "state": "active"})
    return _membership(call, organization, user)


def remove_member(call: Call) -> Reply:
    """Remove a user from the organisation and from its teams."""
    organization, user = call.organization, user_named(call)
    held = call.child("membership", organization, str(user.id))
    if user.id == call.actor.id:
        raise forbidden("Cannot remove the last owner of an organization.")
    for team in call.store.children("team", organization.id):
        if joined := call.store.find("team_member", team.id, str(user.id)):
            call.store.delete(joined)
    call.store.delete(held)
    return no_content()


def meta(_call: Call) -> Reply:
    """What GitHub says of itself; the sandbox is on loopback and nowhere else."""
    local = ["127.0.0.0/8"]
    names = ("hooks", "web", "api", "git", "packages", "pages", "importer", "actions", "dependabot")
    return ok({"verifiable_password_authentication": False, **dict.fromkeys(names, local)})


def rate_limit(call: Call) -> Reply:
    """How much of the limits is used; asking costs nothing."""
    core = call.limits.status(call.user["login"] if call.user else "anonymous")
    search = {**core, "limit": 30, "used": 0, "remaining": 30}
    return ok({"resources": {"core": core, "graphql": core, "search": search}, "rate": core})


def visible_repositories(call: Call, organization: Record) -> list[tuple[Record, str]]:
    """The repositories that the user may see, with the role on each."""
    roles = [
        (one, role_on(call.store, call.actor, one, organization))
        for one in call.store.children("repository", organization.id)
    ]
    return [(one, role) for one, role in roles if role]
