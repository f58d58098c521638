"""Webhooks of repositories and of the organisation, and their deliveries."""

import json
from uuid import uuid4

from pavedpath_sandbox.github.call import Call, Event, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.deliveries import add, payload_of, redeliver
from pavedpath_sandbox.github.errors import GitHubError, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.scopes import Scope
from pavedpath_sandbox.github.render import full_name, organization_simple, repository
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

_MOST = 20
_ZEN = "Approachable is better than simple."


def _url(call: Call, hook: Record) -> str:
    if scope := call.store.by_id("repository", hook.parent):
        return f"{call.urls.api}/repos/{full_name(call, scope)}/hooks/{hook.id}"
    return f"{call.urls.api}/orgs/{call.organization['login']}/hooks/{hook.id}"


def _config(hook: Record) -> Json:
    shown = dict(hook["config"])
    return shown | ({"secret": "********"} if shown.get("secret") else {})


def _hook(call: Call, hook: Record) -> Json:
    url = _url(call, hook)
    last = next((one for one in reversed(call.store.children("delivery", hook.id)) if "status" in one.body), None)
    response: Json = {"code": None, "status": "unused", "message": None}
    if last:
        active = 200 <= last["status_code"] < 300
        response = {
            "code": last["status_code"] or None,
            "status": "active" if active else "misconfigured",
            "message": last["status"],
        }
    shown: Json = {
        "type": "Repository" if hook["target_type"] == "repository" else "Organization",
        "id": hook.id,
        "name": "web",
        "active": hook["active"],
        "events": hook["events"],
        "config": _config(hook),
        "url": url,
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "created_at": hook.created_at,
        "updated_at": hook.updated_at,
    }
    if hook["target_type"] == "repository":
        shown |= {"test_url": f"{url}/tests", "last_response": response}
    return shown


def named(call: Call, scope: Scope) -> Record:
    """The hook that the path names, or 404."""
    return call.need(call.store.by_id("hook", call.number("hook_id"), scope(call).id))


def _checked(config: Json) -> Json:
    url = str(config.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise unprocessable(
            "Validation Failed",
            [
                {
                    "resource": "Hook",
                    "code": "custom",
                    "field": "url",
                    "message": "url must be an address of http or https",
                }
            ],
        )
    kept = {name: config[name] for name in ("url", "content_type", "insecure_ssl", "secret") if config.get(name)}
    return {"content_type": "form", **kept, "insecure_ssl": str(kept.get("insecure_ssl", "0"))}


def listing(call: Call, scope: Scope) -> Reply:
    """The hooks."""
    return page(call, [_hook(call, one) for one in call.store.children("hook", scope(call).id)])


def create(call: Call, scope: Scope) -> Reply:
    """Make a hook; it is sent a ping."""
    owner, config = scope(call), _checked(as_object(call.body.get("config")))
    if call.body.get("name", "web") != "web":
        raise unprocessable(
            "Validation Failed",
            [{"resource": "Hook", "code": "custom", "field": "name", "message": "name must be web"}],
        )
    held = call.store.children("hook", owner.id)
    _unique(held, owner, config["url"])
    if len(held) >= _MOST:
        raise unprocessable(f"The {owner.kind} has {_MOST} hooks already, which is the limit.")
    body = {
        "active": call.body.get("active", True),
        "events": list(dict.fromkeys(as_list(call.body.get("events")) or ["push"])),
        "config": config,
        "target_type": owner.kind,
    }
    hook = call.store.insert("hook", owner.id, uuid4().hex, body)
    _ping(call, hook)
    return created(_hook(call, hook))


def _unique(others: list[Record], owner: Record, url: str) -> None:
    if any(one["config"]["url"] == url for one in others):
        message = f"Hook already exists on this {owner.kind}"
        raise unprocessable("Validation Failed", [{"resource": "Hook", "code": "custom", "message": message}])


def _ping(call: Call, hook: Record) -> None:
    scope = call.store.by_id("repository", hook.parent)
    payload: Json = {"zen": _ZEN, "hook_id": hook.id, "hook": _hook(call, hook)}
    if scope:
        payload["repository"] = repository(call, scope)
    else:
        payload["organization"] = organization_simple(call.urls, call.organization)
    add(call.store, hook, Event("ping", payload, scope))


def get(call: Call, scope: Scope) -> Reply:
    """A hook."""
    return ok(_hook(call, named(call, scope)))


def update(call: Call, scope: Scope) -> Reply:
    """Change a hook. A config that is given replaces the old one, its secret too."""
    owner, hook = scope(call), named(call, scope)
    changes: Json = {}
    if "config" in call.body:
        changes["config"] = _checked(call.body["config"])
        others = [one for one in call.store.children("hook", owner.id) if one.id != hook.id]
        _unique(others, owner, changes["config"]["url"])
    if "active" in call.body:
        changes["active"] = call.body["active"]
    events = [*(as_list(call.body.get("events")) or hook["events"]), *as_list(call.body.get("add_events"))]
    removed = set(as_list(call.body.get("remove_events")))
    changes["events"] = list(dict.fromkeys(one for one in events if one not in removed))
    return ok(_hook(call, call.store.update(hook, changes)))


def delete(call: Call, scope: Scope) -> Reply:
    """Delete a hook and its deliveries."""
    call.store.delete(named(call, scope))
    return no_content()


def get_config(call: Call, scope: Scope) -> Reply:
    """The config of a hook, without its secret."""
    return ok(_config(named(call, scope)))


def update_config(call: Call, scope: Scope) -> Reply:
    """Change parts of a hook's config."""
    hook = named(call, scope)
    config = _checked(hook["config"] | call.body)
    return ok(_config(call.store.update(hook, {"config": config})))


def ping(call: Call, scope: Scope) -> Reply:
    """Send a ping."""
    _ping(call, named(call, scope))
    return no_content()


def test_push(call: Call, scope: Scope) -> Reply:
    """Send the last push again, if the hook wants pushes."""
    hook, found = named(call, scope), call.repository
    tip = Git(call.store, found).ref(f"refs/heads/{found['default_branch']}")
    if tip and {"push", "*"} & set(hook["events"]):
        payload = {"ref": tip.key, "before": tip["sha"], "after": tip["sha"], "repository": repository(call, found)}
        add(call.store, hook, Event("push", payload, found))
    return no_content()


def _item(delivery: Record) -> Json:
    return {
        "id": delivery.id,
        "guid": delivery["guid"],
        "delivered_at": delivery.get("delivered_at", delivery.created_at),
        "redelivery": delivery["redelivery"],
        "duration": delivery.get("duration", 0),
        "status": delivery.get("status", "pending"),
        "status_code": delivery.get("status_code", 0),
        "event": delivery["event"],
        "action": delivery["action"],
        "installation_id": None,
        "repository_id": delivery["repository"],
        "throttled_at": None,
    }


def list_deliveries(call: Call, scope: Scope) -> Reply:
    """Deliveries, newest first, by cursor: `Link` names the next page's."""
    hook = named(call, scope)
    # One that is still on its way is not in the list yet: it has not failed.
    items = [one for one in reversed(call.store.children("delivery", hook.id)) if "status" in one.body]
    if call.query.get("status") in {"success", "failure"}:
        wanted = call.query["status"] == "success"
        items = [one for one in items if (200 <= one.get("status_code", 0) < 300) == wanted]
    size = min(max(int(call.query.get("per_page") or 30), 1), 100)
    cursor = str(call.query.get("cursor") or "")
    if cursor:
        if not cursor.isdigit():
            raise GitHubError(400, "Invalid cursor")
        items = [one for one in items if one.id <= int(cursor)]
    headers = {}
    if len(items) > size:
        url = f"{call.urls.api}{call.full_path}?per_page={size}&cursor={items[size].id}"
        headers = {"link": f'<{url}>; rel="next"'}
    return Reply(200, [_item(one) for one in items[:size]], headers)


def _delivery(call: Call, hook: Record) -> Record:
    return call.need(call.store.by_id("delivery", call.number("delivery_id"), hook.id))


def get_delivery(call: Call, scope: Scope) -> Reply:
    """A delivery with what was sent and answered."""
    hook = named(call, scope)
    record = _delivery(call, hook)
    request = {"headers": record.get("request_headers"), "payload": json.loads(payload_of(call.store, record))}
    response = {"headers": record.get("response_headers"), "payload": record.get("response_payload")}
    return ok(_item(record) | {"url": hook["config"]["url"], "request": request, "response": response})


def redeliver_delivery(call: Call, scope: Scope) -> Reply:
    """Send a delivery again."""
    hook = named(call, scope)
    if not hook["active"]:
        raise not_found()
    redeliver(call.store, hook, _delivery(call, hook))
    return Reply(202, {})
