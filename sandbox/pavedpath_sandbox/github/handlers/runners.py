"""Self-hosted runners, their labels, their tokens, and the groups that they are in."""

import base64
import json
import secrets as randomness

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import conflict, forbidden, not_found, unprocessable
from pavedpath_sandbox.github.handlers.scopes import Scope
from pavedpath_sandbox.github.render import repository
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.store import DuplicateError, Json, Record, Store, as_list, timestamp

HOUR = 3600
_DEFAULT_GROUP = 1
"""The id of every organisation's default group."""
_SYSTEM_LABELS = ("self-hosted", "linux", "x64")


def default_group(store: Store, organization: int) -> Record:
    """The group of runners that are put into no other; every organisation has one."""
    body: Json = {
        "name": "Default",
        "visibility": "all",
        "default": True,
        "selected": [],
        "allows_public_repositories": False,
        "restricted_to_workflows": False,
        "selected_workflows": [],
    }
    return store.find("runner_group", organization, "default") or store.insert(
        "runner_group", organization, "default", body
    )


def _group_id(group: Record) -> int:
    return _DEFAULT_GROUP if group["default"] else group.id


def _find_group(call: Call, organization: int, identity: int) -> Record:
    if identity == _DEFAULT_GROUP:
        return default_group(call.store, organization)
    return call.need(call.store.by_id("runner_group", identity, organization))


def _organization_id(owner: Record) -> int:
    return owner.parent if owner.kind == "repository" else owner.id


def label_list(runner: Record) -> list[Json]:
    """The labels as GitHub shows them: those of the system are read-only."""
    return [
        {"id": position, "name": name, "type": "read-only" if name.lower() in _SYSTEM_LABELS else "custom"}
        for position, name in enumerate(runner["labels"], 1)
    ]


def runner_view(call: Call, runner: Record) -> Json:
    """Schema `runner`."""
    group = call.store.by_id("runner_group", runner["group"])
    return {
        "id": runner.id,
        "name": runner["name"],
        "os": "linux",
        "status": runner["status"],
        "busy": runner["busy"],
        "ephemeral": runner["ephemeral"],
        "runner_group_id": _group_id(group) if group else _DEFAULT_GROUP,
        "labels": label_list(runner),
    }


def listing(call: Call, scope: Scope) -> Reply:
    """The runners, of one name if `name` says so."""
    name = call.query.get("name")
    found = [one for one in call.store.children("runner", scope(call).id) if name in (None, one["name"])]
    return page(call, [runner_view(call, one) for one in found], "runners")


def named(call: Call, scope: Scope) -> Record:
    """The runner that the path names, or 404."""
    return call.need(call.store.by_id("runner", call.number("runner_id"), scope(call).id))


def get(call: Call, scope: Scope) -> Reply:
    """A runner."""
    return ok(runner_view(call, named(call, scope)))


def delete(call: Call, scope: Scope) -> Reply:
    """Remove a runner; 422 while it runs a job."""
    runner = named(call, scope)
    if runner["busy"]:
        raise unprocessable(f'Bad request - Runner "{runner["name"]}" is still running a job')
    call.store.delete(runner)
    return no_content()


def generate_jitconfig(call: Call, scope: Scope) -> Reply:
    """Register an ephemeral runner and hand out what it starts with; 409 if the name is taken."""
    owner, name = scope(call), call.body["name"]
    group = _find_group(call, _organization_id(owner), call.body["runner_group_id"])
    body: Json = {
        "name": name,
        "status": "offline",
        "busy": False,
        "ephemeral": True,
        "group": group.id,
        "labels": list(dict.fromkeys(call.body["labels"])),
    }
    try:
        runner = call.store.insert("runner", owner.id, name.lower(), body)
    except DuplicateError as error:
        raise conflict("Already exists - A runner with the name already exists") from error
    files = {
        ".runner": {
            "AgentId": str(runner.id),
            "AgentName": name,
            "PoolId": str(_group_id(group)),
            "PoolName": group["name"],
            "Ephemeral": "True",
            "DisableUpdate": "True",
            "WorkFolder": call.body.get("work_folder", "_work"),
            "GitHubUrl": f"{call.urls.web}/{owner.get('login') or owner['name']}",
        },
        ".credentials": {"Scheme": "OAuth", "Data": {"ClientId": randomness.token_hex(16)}},
    }
    encoded = {name: base64.b64encode(json.dumps(content).encode()).decode() for name, content in files.items()}
    config = base64.b64encode(json.dumps(encoded).encode()).decode()
    return created({"runner": runner_view(call, runner), "encoded_jit_config": config})


def token(call: Call, scope: Scope) -> Reply:
    """A token with which a runner registers or is removed; it lasts an hour."""
    call.need(scope(call))
    expires = timestamp(call.settings.clock() + HOUR)
    return created({"token": randomness.token_hex(15).upper(), "expires_at": expires})


def _labels(runner: Record) -> Reply:
    shown = label_list(runner)
    return ok({"total_count": len(shown), "labels": shown})


def list_labels(call: Call, scope: Scope) -> Reply:
    """The labels of a runner."""
    return _labels(named(call, scope))


def _system(runner: Record) -> list[str]:
    return [name for name in runner["labels"] if name.lower() in _SYSTEM_LABELS]


def change_labels(call: Call, scope: Scope, *, keep: bool) -> Reply:
    """Add custom labels, or (`keep` false) put them in the place of the old ones."""
    runner = named(call, scope)
    before = runner["labels"] if keep else _system(runner)
    labels = list(dict.fromkeys([*before, *call.body.get("labels", [])]))
    return _labels(call.store.update(runner, {"labels": labels}))


def remove_label(call: Call, scope: Scope) -> Reply:
    """Remove one custom label."""
    runner, name = named(call, scope), call.path["name"]
    if name not in runner["labels"]:
        raise not_found()
    if name in _system(runner):
        raise unprocessable(f"The label {name} is read-only.")
    rest = [one for one in runner["labels"] if one != name]
    return _labels(call.store.update(runner, {"labels": rest}))


def _group(call: Call, group: Record) -> Json:
    url = f"{call.urls.api}/orgs/{call.organization['login']}/actions/runner-groups/{_group_id(group)}"
    shown = {
        "id": _group_id(group),
        "name": group["name"],
        "visibility": group["visibility"],
        "default": group["default"],
        "runners_url": f"{url}/runners",
        "hosted_runners_url": f"{url}/hosted-runners",
        "inherited": False,
        "allows_public_repositories": group["allows_public_repositories"],
        "restricted_to_workflows": group["restricted_to_workflows"],
        "selected_workflows": group["selected_workflows"],
        "workflow_restrictions_read_only": False,
    }
    return shown | ({"selected_repositories_url": f"{url}/repositories"} if group["visibility"] == "selected" else {})


def _named_group(call: Call) -> Record:
    return _find_group(call, call.organization.id, call.number("runner_group_id"))


def list_groups(call: Call) -> Reply:
    """The groups, the default one first."""
    default_group(call.store, call.organization.id)
    found = call.store.children("runner_group", call.organization.id)
    return page(call, [_group(call, one) for one in found], "runner_groups")


def create_group(call: Call) -> Reply:
    """Make a group; organisations have more than the default one from Team on."""
    organization, name = call.organization, call.body["name"]
    if not call.plan_allows(Plan.TEAM):
        raise forbidden("Upgrade to GitHub Team to create runner groups.")
    default = default_group(call.store, organization.id)
    chosen = as_list(call.body.get("selected_repository_ids"))
    fields = ("visibility", "allows_public_repositories", "restricted_to_workflows", "selected_workflows")
    body = default.body | {"name": name, "default": False, "selected": _known(call, chosen)}
    body |= {field: call.body[field] for field in fields if call.body.get(field) is not None}
    try:
        group = call.store.insert("runner_group", organization.id, name.lower(), body)
    except DuplicateError as error:
        raise conflict("Runner group with this name already exists") from error
    _move_runners(call, group, as_list(call.body.get("runners")))
    return created(_group(call, group))


def _known(call: Call, identities: list[int]) -> list[int]:
    wanted = list(dict.fromkeys(identities))
    if missing := [one for one in wanted if call.store.by_id("repository", one, call.organization.id) is None]:
        raise unprocessable(f"Repositories not found in the organization: {', '.join(map(str, missing))}")
    return wanted


def _move_runners(call: Call, group: Record, identities: list[int]) -> None:
    for identity in identities:
        runner = call.need(call.store.by_id("runner", identity, call.organization.id))
        call.store.update(runner, {"group": group.id})


def get_group(call: Call) -> Reply:
    """A group."""
    return ok(_group(call, _named_group(call)))


def update_group(call: Call) -> Reply:
    """Change a group."""
    group = _named_group(call)
    fields = ("name", "visibility", "allows_public_repositories", "restricted_to_workflows", "selected_workflows")
    changes = {field: call.body[field] for field in fields if call.body.get(field) is not None}
    try:
        key = group.key if group["default"] else changes.get("name", group["name"]).lower()
        return ok(_group(call, call.store.update(group, changes, key=key)))
    except DuplicateError as error:
        raise conflict("Runner group with this name already exists") from error


def delete_group(call: Call) -> Reply:
    """Delete a group; its runners go to the default one."""
    group = _named_group(call)
    if group["default"]:
        raise unprocessable("The default runner group cannot be deleted.")
    default = default_group(call.store, call.organization.id)
    for runner in _in_group(call, group):
        call.store.update(runner, {"group": default.id})
    call.store.delete(group)
    return no_content()


def _in_group(call: Call, group: Record) -> list[Record]:
    return [one for one in call.store.everywhere("runner") if one["group"] == group.id]


def list_group_runners(call: Call) -> Reply:
    """The runners in a group."""
    return page(call, [runner_view(call, one) for one in _in_group(call, _named_group(call))], "runners")


def set_group_runners(call: Call) -> Reply:
    """Choose the runners in a group; those that leave go to the default one."""
    group, default = _named_group(call), default_group(call.store, call.organization.id)
    for runner in _in_group(call, group):
        call.store.update(runner, {"group": default.id})
    _move_runners(call, group, call.body["runners"])
    return no_content()


def change_group_runner(call: Call, *, add: bool) -> Reply:
    """Put a runner into a group, or back into the default one."""
    group = _named_group(call) if add else default_group(call.store, call.organization.id)
    _move_runners(call, group, [call.number("runner_id")])
    return no_content()


def list_group_repositories(call: Call) -> Reply:
    """The repositories that were chosen for a group."""
    found = [call.store.by_id("repository", one) for one in _named_group(call)["selected"]]
    return page(call, [repository(call, one) for one in found if one], "repositories")


def set_group_repositories(call: Call) -> Reply:
    """Choose the repositories of a group."""
    call.store.update(_named_group(call), {"selected": _known(call, call.body["selected_repository_ids"])})
    return no_content()


def change_group_repository(call: Call, *, add: bool) -> Reply:
    """Choose one more repository, or one less."""
    group, identity = _named_group(call), call.number("repository_id")
    rest = [one for one in group["selected"] if one != identity]
    call.store.update(group, {"selected": [*rest, *_known(call, [identity])] if add else rest})
    return no_content()
