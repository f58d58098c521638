"""What secrets and variables belong to, and which repositories one of the organisation is shown to."""

from collections.abc import Callable

from pavedpath_sandbox.github.call import Call, Reply, no_content, page
from pavedpath_sandbox.github.errors import conflict, not_found, unprocessable
from pavedpath_sandbox.github.handlers.environments import environment_of
from pavedpath_sandbox.github.render import repository
from pavedpath_sandbox.github.store import Json, Record, as_list

Scope = Callable[[Call], Record]
_CHARACTERS = (
    "can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). Spaces are not allowed. "
    "Must start with a letter ([a-z], [A-Z]) or underscores (_)."
)


def of_repository(call: Call) -> Record:
    """The repository."""
    return call.repository


def of_environment(call: Call) -> Record:
    """The environment."""
    return environment_of(call)


def of_organization(call: Call) -> Record:
    """The organisation."""
    return call.organization


def checked_name(name: str, what: str) -> str:
    """The name as it is kept, upper case; raises GitHubError 422."""
    valid = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    if not valid:
        raise unprocessable(f"{what} names {_CHARACTERS}")
    if name.upper().startswith("GITHUB_"):
        raise unprocessable(f"{what} names must not start with GITHUB_.")
    return name.upper()


def sharing(call: Call, before: Record | None) -> Json:
    """To which repositories a secret or variable of the organisation is shown."""
    visibility = call.body.get("visibility", before["visibility"] if before else None)
    selected = call.body.get("selected_repository_ids")
    if selected is not None and visibility != "selected":
        raise unprocessable('selected_repository_ids can only be provided when the visibility is set to "selected".')
    if selected is None:
        selected = as_list(before["selected"]) if before and visibility == "selected" else []
    return {"visibility": visibility, "selected": _repository_ids(call, selected)}


def _repository_ids(call: Call, wanted: list[int]) -> list[int]:
    owner = call.organization
    identities = list(dict.fromkeys(int(one) for one in wanted))
    if missing := [one for one in identities if call.store.by_id("repository", one, owner.id) is None]:
        raise unprocessable(f"Repositories not found in the organization: {', '.join(map(str, missing))}")
    return identities


def shown_sharing(call: Call, record: Record, path: str) -> Json:
    """The fields about sharing of a secret or variable of the organisation."""
    if "visibility" not in record.body:
        return {}
    shown: Json = {"visibility": record["visibility"]}
    if record["visibility"] == "selected":
        url = f"{call.urls.api}/orgs/{call.organization['login']}/actions/{path}/{record.key}/repositories"
        shown["selected_repositories_url"] = url
    return shown


def _selected(call: Call, kind: str) -> Record:
    name = call.path.get("secret_name") or call.path["name"]
    record = call.child(kind, call.organization, name.upper())
    if record["visibility"] != "selected":
        raise conflict(f"{kind} visibility is not set to selected")
    return record


def list_selected(call: Call, kind: str) -> Reply:
    """The repositories that were chosen."""
    found = [call.store.by_id("repository", one) for one in _selected(call, kind)["selected"]]
    return page(call, [repository(call, one) for one in found if one], "repositories")


def set_selected(call: Call, kind: str) -> Reply:
    """Choose the repositories."""
    identities = _repository_ids(call, call.body["selected_repository_ids"])
    call.store.update(_selected(call, kind), {"selected": identities})
    return no_content()


def change_selected(call: Call, kind: str, *, add: bool) -> Reply:
    """Choose one more repository, or one less."""
    record, identity = _selected(call, kind), call.number("repository_id")
    if add and call.store.by_id("repository", identity, call.organization.id) is None:
        raise not_found()
    rest = [one for one in record["selected"] if one != identity]
    call.store.update(record, {"selected": [*rest, identity] if add else rest})
    return no_content()


def visible_to(call: Call, kind: str) -> list[Record]:
    """What of the organisation a repository gets."""
    found = call.repository
    return [
        one
        for one in call.store.children(kind, found.parent)
        if one["visibility"] == "all"
        or (one["visibility"] == "private" and found["visibility"] != "public")
        or (one["visibility"] == "selected" and found.id in one["selected"])
    ]
