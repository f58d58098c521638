"""Teams, who is in them, and which repositories they reach."""

import re

from pavedpath_sandbox.github.access import is_owner
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import not_found, unprocessable
from pavedpath_sandbox.github.handlers.accounts import organization_full, user_named
from pavedpath_sandbox.github.identity import add_user
from pavedpath_sandbox.github.render import ROLES, account, node_id, organization_of, repository
from pavedpath_sandbox.github.store import ROOT, DuplicateError, Json, Record, as_list

_FIELDS = ("description", "privacy", "notification_setting", "permission")


def slug_of(name: str) -> str:
    """The slug that GitHub makes of a team's name."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def team_simple(call: Call, record: Record) -> Json:
    """Schema `team-simple`."""
    organization = organization_of(call)
    url = f"{call.urls.api}/organizations/{organization.id}/team/{record.id}"
    return {
        "id": record.id,
        "node_id": node_id("team", record.id),
        "name": record["name"],
        "slug": record.key,
        "description": record["description"],
        "privacy": record["privacy"],
        "notification_setting": record["notification_setting"],
        "permission": record["permission"],
        "url": url,
        "html_url": f"{call.urls.web}/orgs/{organization['login']}/teams/{record.key}",
        "members_url": f"{url}/members{{/member}}",
        "repositories_url": f"{url}/repos",
        "type": "organization",
        "organization_id": organization.id,
    }


def _team(call: Call, record: Record) -> Json:
    parent = call.store.by_id("team", record["parent"]) if record["parent"] else None
    return team_simple(call, record) | {"parent": team_simple(call, parent) if parent else None}


def _full(call: Call, record: Record) -> Json:
    return _team(call, record) | {
        "members_count": len(call.store.children("team_member", record.id)),
        "repos_count": len(call.store.children("team_repository", record.id)),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "organization": organization_full(call, call.organization),
    }


def named(call: Call) -> Record:
    """The team that the path names, or 404."""
    return call.child("team", call.organization, call.path["team_slug"].lower())


def children(call: Call, team: Record) -> list[Record]:
    """The teams directly below a team."""
    return [one for one in call.store.children("team", team.parent) if one["parent"] == team.id]


def _parent(call: Call, organization: Record, own: Record | None) -> int | None:
    identity: int | None = call.body.get("parent_team_id")
    if identity is None:
        return None
    above = call.store.by_id("team", identity, organization.id)
    if above is None:
        raise unprocessable("Validation Failed", [{"resource": "Team", "code": "missing", "field": "parent_team_id"}])
    while above and own:
        if above.id == own.id:
            raise unprocessable("Parent team cannot be the team itself or one of its child teams.")
        above = call.store.by_id("team", above["parent"]) if above["parent"] else None
    return identity


def listing(call: Call) -> Reply:
    """The organisation's teams; secret ones only for owners and members."""
    owner = is_owner(call.store, call.actor, call.organization)
    found = [
        one
        for one in call.store.children("team", call.organization.id)
        if owner or one["privacy"] != "secret" or call.store.find("team_member", one.id, str(call.actor.id))
    ]
    return page(call, [_team(call, one) for one in found])


def create(call: Call) -> Reply:
    """Make a team; its maker is a maintainer, unless `maintainers` names others."""
    organization, name = call.organization, call.body["name"]
    parent = _parent(call, organization, None)
    body: Json = {"description": None, "notification_setting": "notifications_enabled", "permission": "pull"}
    body |= {field: call.body[field] for field in _FIELDS if call.body.get(field)}
    body |= {"name": name, "parent": parent, "privacy": call.body.get("privacy", "closed" if parent else "secret")}
    if parent and body["privacy"] == "secret":
        raise unprocessable("A child team cannot be secret.")
    try:
        record = call.store.insert("team", organization.id, slug_of(name), body)
    except DuplicateError as error:
        message = "Name must be unique for this org"
        errors = [{"resource": "Team", "code": "custom", "field": "name", "message": message}]
        raise unprocessable("Validation Failed", errors) from error
    for login in as_list(call.body.get("maintainers")) or [call.actor["login"]]:
        user = call.need(call.store.find("user", ROOT, login.lower()))
        call.store.insert("team_member", record.id, str(user.id), {"role": "maintainer"})
    for full in as_list(call.body.get("repo_names")):
        granted = call.child("repository", organization, full.partition("/")[2].lower())
        call.store.insert("team_repository", record.id, str(granted.id), {"permission": record["permission"]})
    return created(_full(call, record))


def get(call: Call) -> Reply:
    """A team."""
    return ok(_full(call, named(call)))


def update(call: Call) -> Reply:
    """Change a team."""
    record = named(call)
    changes: Json = {field: call.body[field] for field in _FIELDS if field in call.body}
    if "parent_team_id" in call.body:
        changes["parent"] = _parent(call, call.organization, record)
    name = call.body.get("name", record["name"])
    try:
        updated = call.store.update(record, changes | {"name": name}, key=slug_of(name))
    except DuplicateError as error:
        raise unprocessable("Name must be unique for this org") from error
    return ok(_full(call, updated))


def delete(call: Call) -> Reply:
    """Delete a team and the teams below it."""
    waiting = [named(call)]
    while waiting:
        team = waiting.pop()
        waiting += children(call, team)
        call.store.delete(team)
    return no_content()


def list_children(call: Call) -> Reply:
    """The teams directly below a team."""
    return page(call, [_team(call, one) for one in children(call, named(call))])


def members_of(call: Call, team: Record) -> dict[int, str]:
    """Users and their roles, those of teams below included, as members."""
    held = dict[int, str]()
    for below in children(call, team):
        held |= dict.fromkeys(members_of(call, below), "member")
    return held | {int(one.key): one["role"] for one in call.store.children("team_member", team.id)}


def list_members(call: Call) -> Reply:
    """Members of a team and of the teams below it."""
    role = call.query.get("role", "all")
    found = [
        call.store.by_id("user", identity)
        for identity, held in members_of(call, named(call)).items()
        if role in ("all", held)
    ]
    return page(call, [account(call.urls, one) for one in found if one])


def _membership(call: Call, team: Record, user: Record) -> Reply:
    role = members_of(call, team).get(user.id)
    if role is None:
        raise not_found()
    organization = call.organization
    owner = is_owner(call.store, user, organization)
    url = f"{call.urls.api}/organizations/{organization.id}/team/{team.id}/memberships/{user['login']}"
    # An owner of the organisation is a maintainer of every team, whatever was asked for.
    return ok({"url": url, "role": "maintainer" if owner else role, "state": "active"})


def get_membership(call: Call) -> Reply:
    """Role of a user in a team."""
    return _membership(call, named(call), user_named(call))


def set_membership(call: Call) -> Reply:
    """Add a user or change the role; who is not yet a member of the organisation, or nobody yet, becomes one."""
    team, user = named(call), add_user(call.store, call.path["username"])
    if call.store.find("membership", team.parent, str(user.id)) is None:
        call.store.insert("membership", team.parent, str(user.id), {"role": "member", "state": "active"})
    call.store.put("team_member", team.id, str(user.id), {"role": call.body.get("role", "member")})
    return _membership(call, team, user)


def remove_membership(call: Call) -> Reply:
    """Remove a user from a team."""
    call.store.delete(call.child("team_member", named(call), str(user_named(call).id)))
    return no_content()


def list_repositories(call: Call) -> Reply:
    """The repositories that a team reaches."""
    found = [
        (call.store.by_id("repository", int(grant.key)), grant["permission"])
        for grant in call.store.children("team_repository", named(call).id)
    ]
    return page(call, [repository(call, one, role) | _role_name(role) for one, role in found if one])


def _role_name(role: str) -> Json:
    return {"role_name": {"pull": "read", "push": "write"}.get(role, role)}


def check_repository(call: Call) -> Reply:
    """204 if the team reaches the repository, or the repository with the role if that media type is asked for."""
    organization = call.organization
    found = call.child("repository", organization, call.path["repo"].lower())
    role: str = call.child("team_repository", named(call), str(found.id))["permission"]
    if "repository+json" not in call.headers.get("accept", ""):
        return no_content()
    return ok(repository(call, found, role) | _role_name(role))


def put_repository(call: Call) -> Reply:
    """Give a team a role on a repository."""
    team = named(call)
    found = call.child("repository", call.organization, call.path["repo"].lower())
    permission = call.body.get("permission") or team["permission"]
    permission = {"read": "pull", "write": "push"}.get(permission, permission)
    if permission not in ROLES:
        raise unprocessable(f"Invalid permission: {permission}; it is one of {', '.join(ROLES)}.")
    call.store.put("team_repository", team.id, str(found.id), {"permission": permission})
    return no_content()


def remove_repository(call: Call) -> Reply:
    """Take a repository from a team."""
    found = call.child("repository", call.organization, call.path["repo"].lower())
    if grant := call.store.find("team_repository", named(call).id, str(found.id)):
        call.store.delete(grant)
    return no_content()


def teams_of_repository(call: Call) -> Reply:
    """The teams that reach a repository."""
    found = call.repository
    grants = call.store.everywhere("team_repository", str(found.id))
    shown = [(call.store.by_id("team", grant.parent), grant["permission"]) for grant in grants]
    return page(call, [_team(call, team) | {"permission": role} for team, role in shown if team])
