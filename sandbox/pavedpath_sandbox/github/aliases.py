"""Other addresses of the same things: by id instead of by name, and by a name of the past."""

from collections.abc import Mapping
from urllib.parse import quote

from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import ROOT, Record, Store


def canonical(store: Store, settings: Settings, path: str) -> str:
    """The path by names for a path by ids (`/repositories/1/…`, `/organizations/2/team/3/…`, `/teams/3/…`)."""
    parts = path.strip("/").split("/")
    if len(parts) < 2 or not (parts[1].isascii() and parts[1].isdigit()):
        return path
    identity = int(parts[1])
    found: list[str] | None = None
    if parts[0] == "repositories" and (repository := store.by_id("repository", identity)):
        owner = store.by_id("organization", repository.parent)
        found = ["repos", owner["login"] if owner else "", repository["name"], *parts[2:]]
    elif parts[0] == "organizations" and (organization := store.by_id("organization", identity)):
        if len(parts) > 3 and parts[2] == "team" and parts[3].isdigit():
            found = _team(store, organization, int(parts[3]), parts[4:])
        else:
            found = ["orgs", organization["login"], *parts[2:]]
    elif parts[0] == "teams" and (organization := store.find("organization", ROOT, settings.organization.lower())):
        found = _team(store, organization, identity, parts[2:])
    elif parts[0] == "user" and (user := store.by_id("user", identity)):
        found = ["users", user["login"], *parts[2:]]
    return _join(found) if found else path


def _team(store: Store, organization: Record, identity: int, rest: list[str]) -> list[str] | None:
    team = store.by_id("team", identity, organization.id)
    return ["orgs", organization["login"], "teams", team.key, *rest] if team else None


def _join(parts: list[str]) -> str:
    return "/" + "/".join(parts)


def moved(store: Store, parameters: Mapping[str, str], path: str) -> str | None:
    """Where a renamed repository is now, None if the path names one that exists or never did."""
    if not {"owner", "repo"} <= parameters.keys() or not path.startswith("/repos/"):
        return None
    owner = store.find("organization", ROOT, parameters["owner"].lower())
    name = parameters["repo"].lower()
    if owner is None or store.find("repository", owner.id, name):
        return None
    redirect = store.find("redirect", owner.id, name)
    if redirect is None or store.by_id("repository", redirect["repository"]) is None:
        return None
    rest = path.strip("/").split("/")[3:]
    return _join(["repositories", quote(str(redirect["repository"])), *rest])
