"""GitHub Apps: an app proves itself with a JSON Web Token and gets tokens of its installation."""

import secrets as randomness

from pavedpath_sandbox.github.call import Call, Reply, created, ok, page
from pavedpath_sandbox.github.errors import unprocessable
from pavedpath_sandbox.github.identity import app_of, token_key
from pavedpath_sandbox.github.render import account, app_view, organization_of
from pavedpath_sandbox.github.store import ROOT, Json, Record, Store, as_list, timestamp

HOUR = 3600


def register(
    store: Store, organization: Record, name: str, public_key: str, permissions: Json, first: int | None = None
) -> tuple[Record, Record]:
    """Make an app and install it in the organisation, for all repositories; returns app and installation.

    With `first` the app gets that id, and its installation the next.
    """
    login = f"{name}[bot]"
    bot = store.find("user", ROOT, login) or store.insert("user", ROOT, login, {"login": login, "name": login})
    app = store.put(
        "app",
        ROOT,
        name,
        {"name": name, "public_key": public_key, "permissions": permissions, "user": bot.id},
        identity=first,
    )
    store.put("user", ROOT, login, {"app": app.id})
    body: Json = {"organization": organization.id}
    return app, store.put(
        "installation", app.id, str(organization.id), body, identity=None if first is None else first + 1
    )


def _app(call: Call) -> Record:
    return app_of(call.store, call.settings.clock, call.headers.get("authorization"))


def get_app(call: Call) -> Reply:
    """The app itself."""
    shown = app_view(call, _app(call).id)
    return ok({**(shown or {}), "installations_count": 1})


def _installation(call: Call, app: Record, record: Record) -> Json:
    organization = organization_of(call)
    return {
        "id": record.id,
        "account": account(call.urls, organization),
        "repository_selection": "all",
        "access_tokens_url": f"{call.urls.api}/app/installations/{record.id}/access_tokens",
        "repositories_url": f"{call.urls.api}/installation/repositories",
        "html_url": f"{call.urls.web}/organizations/{organization['login']}/settings/installations/{record.id}",
        "app_id": app.id,
        "app_slug": app["name"],
        "target_id": organization.id,
        "target_type": "Organization",
        "permissions": app["permissions"],
        "events": [],
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "single_file_name": None,
        "suspended_by": None,
        "suspended_at": None,
    }


def list_installations(call: Call) -> Reply:
    """Where the app is installed."""
    app, organization = _app(call), organization_of(call)
    # For this list alone, GitHub's description wants an account to be both a user and an enterprise.
    both = {"name": organization["name"], "slug": organization.key}
    times = {"created_at": organization.created_at, "updated_at": organization.updated_at}
    shown = [_installation(call, app, one) for one in call.store.children("installation", app.id)]
    return page(call, [one | {"account": one["account"] | both | times} for one in shown])


def get_installation(call: Call) -> Reply:
    """An installation of the app."""
    app = _app(call)
    return ok(
        _installation(call, app, call.need(call.store.by_id("installation", call.number("installation_id"), app.id)))
    )


def installation_here(call: Call) -> Reply:
    """The app's installation for the organisation or repository that the path names."""
    app = _app(call)
    found = call.child("installation", app, str(call.organization.id))
    if "repo" in call.path:
        call.need(call.repository)
    return ok(_installation(call, app, found))


def create_token(call: Call) -> Reply:
    """A token that acts as the installation for an hour, for fewer repositories or permissions if asked."""
    app = _app(call)
    installation = call.need(call.store.by_id("installation", call.number("installation_id"), app.id))
    organization = organization_of(call)
    permissions: Json = call.body.get("permissions") or app["permissions"]
    order = {"read": 1, "write": 2, "admin": 3}
    beyond = [one for one, level in permissions.items() if order[level] > order.get(app["permissions"].get(one), 0)]
    if beyond:
        raise unprocessable(
            f"The permissions requested are not granted to this installation: {', '.join(sorted(beyond))}."
        )
    named = [
        call.store.find("repository", organization.id, one.lower()) for one in as_list(call.body.get("repositories"))
    ]
    named += [call.store.by_id("repository", one, organization.id) for one in as_list(call.body.get("repository_ids"))]
    if None in named:
        raise unprocessable(
            "There is at least one repository that does not exist or is not accessible to the parent installation."
        )
    chosen = [one.id for one in named if one]
    for old in call.store.children("token", installation.id):
        if old["expires_at"] <= call.store.now():
            call.store.delete(old)
    token, expires = f"ghs_{randomness.token_hex(18)}", timestamp(call.settings.clock() + HOUR)
    body: Json = {
        "user": app["user"],
        "expires_at": expires,
        "repositories": chosen or None,
        "permissions": permissions,
    }
    call.store.insert("token", installation.id, token_key(token), body)
    selection = "selected" if chosen else "all"
    return created(
        {"token": token, "expires_at": expires, "permissions": permissions, "repository_selection": selection}
    )
