"""Releases, and the tags that they make."""

import re

from pavedpath_sandbox.github.access import role_on
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import already_exists, custom, invalid, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.pullrequests import WRITERS, is_merged
from pavedpath_sandbox.github.refs import move
from pavedpath_sandbox.github.render import full_name, node_id, person, repository, repository_url
from pavedpath_sandbox.github.store import Json, Record

_FIELDS = ("tag_name", "target_commitish", "name", "body", "draft", "prerelease")


def _view(call: Call, owner: Record, record: Record) -> Json:
    base, web = repository_url(call, owner), f"{call.urls.web}/{full_name(call, owner)}"
    url, tag = f"{base}/releases/{record.id}", record["tag_name"]
    shown_tag = f"untagged-{record.id}" if record["draft"] else tag
    return {
        "url": url,
        "html_url": f"{web}/releases/tag/{shown_tag}",
        "assets_url": f"{url}/assets",
        "upload_url": f"{url}/assets{{?name,label}}",
        "tarball_url": None if record["draft"] else f"{base}/tarball/{tag}",
        "zipball_url": None if record["draft"] else f"{base}/zipball/{tag}",
        "id": record.id,
        "node_id": node_id("release", record.id),
        **{name: record[name] for name in (*_FIELDS, "published_at")},
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "author": person(call, record["author"]),
        "assets": [],
        "immutable": False,
    }


def _newest_first(call: Call, owner: Record) -> list[Record]:
    return call.store.children("release", owner.id)[::-1]


def _published(call: Call, owner: Record) -> list[Record]:
    return [one for one in _newest_first(call, owner) if not one["draft"]]


def listing(call: Call) -> Reply:
    """The releases, newest first; drafts only for who may push."""
    owner = call.repository
    found = _newest_first(call, owner) if _writes(call) else _published(call, owner)
    return page(call, [_view(call, owner, one) for one in found])


def _writes(call: Call) -> bool:
    return role_on(call.store, call.actor, call.repository, call.organization) in WRITERS


def _release(call: Call) -> Record:
    return call.need(call.store.by_id("release", call.number("release_id"), call.repository.id))


def get(call: Call) -> Reply:
    """A release; a draft only for who may push."""
    release = _release(call)
    if release["draft"] and not _writes(call):
        raise not_found()
    return ok(_view(call, call.repository, release))


def _of_tag(call: Call, owner: Record, tag: str) -> Record | None:
    return next((one for one in _published(call, owner) if one["tag_name"] == tag), None)


def get_by_tag(call: Call) -> Reply:
    """The release of a tag."""
    owner = call.repository
    return ok(_view(call, owner, call.need(_of_tag(call, owner, call.path["tag"]))))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _latest(call: Call, owner: Record) -> Record | None:
    """The release that was last made the latest, or where all leave it to GitHub (`legacy`) the highest version."""
    found = [one for one in _published(call, owner) if not one["prerelease"] and one["make_latest"] != "false"]
    chosen = max(
        (one for one in found if one["make_latest"] == "true"), key=lambda one: one["latest_since"], default=None
    )
    return chosen or max(found, key=lambda one: (_version(one["tag_name"]), one.id), default=None)


def get_latest(call: Call) -> Reply:
    """The latest release."""
    owner = call.repository
    return ok(_view(call, owner, call.need(_latest(call, owner))))


def _checked(call: Call, owner: Record, body: Json, own: Record | None) -> None:
    tag = body["tag_name"]
    if not re.fullmatch(r"[^\s~^:?*\[\\]+", tag) or ".." in tag or tag.endswith((".lock", "/", ".")):
        raise custom("Release", "tag_name", "tag_name is not a valid tag")
    held = _of_tag(call, owner, tag)
    if held and not body["draft"] and (own is None or held.id != own.id):
        raise already_exists("Release", "tag_name")
    latest = call.body.get("make_latest") == "true"
    if latest and (body["draft"] or body["prerelease"]):
        raise unprocessable("Validation Failed", ["Latest release cannot be draft or prerelease"])


def _publish(call: Call, owner: Record, body: Json) -> Json:
    """Make the tag if it is not there, as a push of the user; returns what publishing changes."""
    git, ref = Git(call.store, owner), f"refs/tags/{body['tag_name']}"
    if git.ref(ref) is None:
        sha = git.resolve(body["target_commitish"])
        if sha is None:
            raise invalid("Release", "target_commitish")
        move(call, owner, ref, sha)
    return {"published_at": call.store.now()}


def _tell(call: Call, owner: Record, record: Record, action: str) -> None:
    shown: Json = {"release": _view(call, owner, record), "repository": repository(call, owner)}
    call.emit("release", {"action": action, **shown}, owner)


def create(call: Call) -> Reply:
    """Release a tag, which is made of `target_commitish` if it is not there; a draft makes none."""
    owner = call.repository
    given = {name: call.body[name] for name in (*_FIELDS, "make_latest") if call.body.get(name) is not None}
    usual: Json = {"name": None, "body": None, "draft": False, "prerelease": False, "make_latest": "true"}
    body: Json = {**usual, "target_commitish": owner["default_branch"], **given, "published_at": None}
    _checked(call, owner, body, None)
    if call.body.get("generate_release_notes"):
        notes = _notes(call, owner, body["tag_name"], body["target_commitish"], None)
        body["name"] = body["name"] or notes["name"]
        body["body"] = "\n\n".join(part for part in (body["body"], notes["body"]) if part)
    if not body["draft"]:
        body |= _publish(call, owner, body)
    body |= {"author": call.actor.id, "latest_since": _count(call, owner)}
    record = call.store.insert("release", owner.id, f"{body['tag_name']}#{body['latest_since']}", body)
    for action in ("created",) if body["draft"] else ("created", "published", "released"):
        _tell(call, owner, record, action)
    return created(_view(call, owner, record))


def _count(call: Call, owner: Record) -> int:
    return 1 + max((one["latest_since"] for one in call.store.children("release", owner.id)), default=0)


def update(call: Call) -> Reply:
    """Change a release; one that is no draft any more is published."""
    owner, record = call.repository, _release(call)
    changes = {name: call.body[name] for name in (*_FIELDS, "make_latest") if call.body.get(name) is not None}
    body: Json = {**record.body, **changes}
    _checked(call, owner, body, record)
    publishes = record["draft"] and not body["draft"]
    if publishes:
        changes |= _publish(call, owner, body)
    if publishes or changes.get("make_latest") == "true":
        changes["latest_since"] = _count(call, owner)
    record = call.store.update(record, changes)
    _tell(call, owner, record, "published" if publishes else "edited")
    return ok(_view(call, owner, record))


def delete(call: Call) -> Reply:
    """Delete a release; its tag stays."""
    record = _release(call)
    _tell(call, call.repository, record, "deleted")
    call.store.delete(record)
    return no_content()


def list_assets(call: Call) -> Reply:
    """No files: the sandbox takes none."""
    call.need(_release(call))
    return page(call, [])


def _notes(call: Call, owner: Record, tag: str, target: str, previous: str | None) -> Json:
    git = Git(call.store, owner)
    head = git.resolve(f"refs/tags/{tag}") or git.resolve(target)
    if head is None:
        raise not_found(f"No commit found for {target}")
    reached = {commit.id.decode() for commit in git.history(head)}
    before = previous or _previous_tag(git, tag, reached)
    since = git.resolve(f"refs/tags/{before}") if before else None
    if previous and since is None:
        raise not_found(f"No tag {previous}")
    fresh = reached - {commit.id.decode() for commit in git.history(since)} if since else reached
    web = f"{call.urls.web}/{full_name(call, owner)}"
    lines: list[str] = []
    for pull in call.store.children("pull", owner.id):
        if is_merged(pull) and pull["merge_commit_sha"] in fresh:
            login = (person(call, pull["user"]) or {"login": "ghost"})["login"]
            lines.append(f"* {pull['title']} by @{login} in {web}/pull/{pull['number']}")
    changes = f"{web}/compare/{before}...{tag}" if before else f"{web}/commits/{tag}"
    text = ["## What's Changed", *lines, ""] if lines else []
    return {"name": tag, "body": "\n".join([*text, f"**Full Changelog**: {changes}"])}


def _previous_tag(git: Git, tag: str, reached: set[str]) -> str | None:
    """The highest version among the other tags that the release has behind it."""
    names = [one.key.removeprefix("refs/tags/") for one in git.refs("refs/tags/")]
    behind = [name for name in names if name != tag and git.resolve(f"refs/tags/{name}") in reached]
    return max(behind, key=_version, default=None)


def generate_notes(call: Call) -> Reply:
    """What a release would say: the pull requests merged since the previous tag."""
    target = call.body.get("target_commitish") or call.repository["default_branch"]
    previous = call.body.get("previous_tag_name")
    return ok(_notes(call, call.repository, call.body["tag_name"], target, previous))
