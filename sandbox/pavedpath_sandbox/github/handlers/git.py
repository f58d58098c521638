"""Branches, commits, and the git database."""

import base64
import binascii
import re
from stat import S_ISDIR
from typing import Any, cast
from urllib.parse import quote

from dulwich.objects import Blob, Commit, Tag, Tree

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.commitview import (
    UNSIGNED,
    commit,
    commit_with_files,
    diff_entry,
    git_commit,
    identity,
    object_node_id,
)
from pavedpath_sandbox.github.errors import conflict, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.protection import is_protected
from pavedpath_sandbox.github.refs import move
from pavedpath_sandbox.github.render import full_name, repository_url
from pavedpath_sandbox.github.signatures import author_of
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

_EMPTY = "Git Repository is empty."
_KINDS: dict[type, str] = {Blob: "blob", Tree: "tree", Commit: "commit", Tag: "tag"}


def _git(call: Call) -> tuple[Record, Git]:
    repository = call.repository
    return repository, Git(call.store, repository)


def _filled(call: Call) -> tuple[Record, Git]:
    repository, git = _git(call)
    if not git.refs():
        raise conflict(_EMPTY)
    return repository, git


def _object(git: Git, sha: str, kind: type) -> Any:
    item = git.get(sha)
    if not isinstance(item, kind):
        raise not_found()
    return item


def _branch_url(call: Call, repository: Record, name: str) -> str:
    return f"{repository_url(call, repository)}/branches/{quote(name, safe='')}"


def list_branches(call: Call) -> Reply:
    """All branches, or only those that are protected or not."""
    repository, git = _git(call)
    shown: list[Json] = []
    for ref in git.refs("refs/heads/"):
        name = ref.key.removeprefix("refs/heads/")
        protected = is_protected(call, repository, name)
        if call.query.get("protected") in (None, protected):
            url = f"{repository_url(call, repository)}/commits/{ref['sha']}"
            shown.append({"name": name, "commit": {"sha": ref["sha"], "url": url}, "protected": protected})
    return page(call, shown)


def get_branch(call: Call) -> Reply:
    """A branch and the commit at its tip."""
    repository, git = _git(call)
    name = call.path["branch"]
    ref = git.ref(f"refs/heads/{name}")
    if ref is None:
        raise not_found("Branch not found")
    url, protected = _branch_url(call, repository, name), is_protected(call, repository, name)
    checks: Json = {"enforcement_level": "off", "contexts": [], "checks": []}
    return ok(
        {
            "name": name,
            "commit": commit(call, repository, git.commit(ref["sha"])),
            "_links": {"self": url, "html": f"{call.urls.web}/{full_name(call, repository)}/tree/{quote(name)}"},
            "protected": protected,
            "protection": {"enabled": False, "required_status_checks": checks},
            "protection_url": f"{url}/protection",
        }
    )


def list_tags(call: Call) -> Reply:
    """All tags and the commits that they mean."""
    repository, git = _git(call)
    base = repository_url(call, repository)
    shown: list[Json] = []
    for ref in git.refs("refs/tags/"):
        name, sha = ref.key.removeprefix("refs/tags/"), git.resolve(ref.key)
        if sha:
            shown.append(
                {
                    "name": name,
                    "commit": {"sha": sha, "url": f"{base}/commits/{sha}"},
                    "zipball_url": f"{base}/zipball/refs/tags/{name}",
                    "tarball_url": f"{base}/tarball/refs/tags/{name}",
                    "node_id": object_node_id("REF", repository, ref.key),
                }
            )
    return page(call, shown)


def list_commits(call: Call) -> Reply:
    """Commits from a branch or commit backwards, of one path, author or time if asked."""
    repository, git = _filled(call)
    start = git.resolve(call.query.get("sha") or repository["default_branch"])
    if start is None:
        raise not_found()
    path, author = call.query.get("path"), call.query.get("author")
    shown = [commit(call, repository, one) for one in git.history(start) if not path or git.touches(one, path)]
    since, until = call.query.get("since"), call.query.get("until")
    return page(
        call,
        [
            one
            for one in shown
            if (not since or one["commit"]["committer"]["date"] >= since)
            and (not until or one["commit"]["committer"]["date"] <= until)
            and (not author or author in (as_object(one["author"]).get("login"), one["commit"]["author"]["email"]))
        ],
    )


def get_commit(call: Call) -> Reply:
    """A commit with its files, by hash, branch or tag."""
    repository, git = _filled(call)
    sha = git.resolve(call.path["ref"])
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {call.path['ref']}")
    return ok(commit_with_files(call, repository, git.commit(sha)))


def compare(call: Call) -> Reply:
    """What `head` has that `base` has not (`base...head`)."""
    repository, git = _filled(call)
    names = call.path["basehead"].split("...")
    ends = [git.resolve(name) for name in names]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        raise not_found()
    base, head = ends[0], ends[1]
    ours, theirs = list(git.history(base)), list(git.history(head))
    known, reached = {one.id for one in ours}, {one.id for one in theirs}
    ahead = [one for one in theirs if one.id not in known]
    behind = [one for one in ours if one.id not in reached]
    shared = next((one for one in theirs if one.id in known), None)
    if shared is None:
        raise not_found(f"No common ancestor between {names[0]} and {names[1]}.")
    changes = git.changes(shared.tree.decode(), git.commit(head).tree.decode())
    url = f"{repository_url(call, repository)}/compare/{call.path['basehead']}"
    web = f"{call.urls.web}/{full_name(call, repository)}/compare/{call.path['basehead']}"
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    return ok(
        {
            "url": url,
            "html_url": web,
            "permalink_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "base_commit": commit(call, repository, git.commit(base)),
            "merge_base_commit": commit(call, repository, shared),
            "status": status,
            "ahead_by": len(ahead),
            "behind_by": len(behind),
            "total_commits": len(ahead),
            "commits": [commit(call, repository, one) for one in reversed(ahead)],
            "files": [diff_entry(call, repository, head, one) for one in changes],
        }
    )


def _ref(call: Call, repository: Record, git: Git, ref: Record) -> Json:
    sha = ref["sha"]
    kind, base = _KINDS[type(git.get(sha))], repository_url(call, repository)
    return {
        "ref": ref.key,
        "node_id": object_node_id("REF", repository, ref.key),
        "url": f"{base}/git/{quote(ref.key)}",
        "object": {"type": kind, "sha": sha, "url": f"{base}/git/{kind}s/{sha}"},
    }


def get_ref(call: Call) -> Reply:
    """A ref by its full name without `refs/`."""
    repository, git = _filled(call)
    return ok(_ref(call, repository, git, call.need(git.ref("refs/" + call.path["ref"].removeprefix("refs/")))))


def matching_refs(call: Call) -> Reply:
    """Refs whose names start so."""
    repository, git = _filled(call)
    return page(call, [_ref(call, repository, git, one) for one in git.refs("refs/" + call.path["ref"])])


def create_ref(call: Call) -> Reply:
    """Make a branch or tag of a commit that exists."""
    repository, git = _filled(call)
    name, sha = call.body["ref"], call.body["sha"]
    if (
        not re.fullmatch(r"refs/[^/\s~^:?*\[\\]+/[^\s~^:?*\[\\]+", name)
        or ".." in name
        or name.endswith((".lock", "/", "."))
    ):
        raise unprocessable("Reference name is not valid.")
    if git.get(sha) is None:
        raise unprocessable("Object does not exist")
    if git.ref(name):
        raise unprocessable("Reference already exists")
    move(call, repository, name, sha)
    return created(_ref(call, repository, git, call.need(git.ref(name))))


def update_ref(call: Call) -> Reply:
    """Move a ref; backwards or sideways only with `force`."""
    repository, git = _filled(call)
    name, sha = "refs/" + call.path["ref"], call.body["sha"]
    held = git.ref(name)
    if held is None:
        raise unprocessable("Reference does not exist")
    if not isinstance(git.get(sha), Commit | Tag):
        raise unprocessable("Object does not exist")
    if name.startswith("refs/heads/") and not call.body.get("force") and not git.is_ancestor(held["sha"], sha):
        raise unprocessable("Update is not a fast forward")
    move(call, repository, name, sha)
    return ok(_ref(call, repository, git, call.need(git.ref(name))))


def delete_ref(call: Call) -> Reply:
    """Delete a ref; never the default branch."""
    repository, git = _filled(call)
    name = "refs/" + call.path["ref"]
    if git.ref(name) is None:
        raise unprocessable("Reference does not exist")
    if name == f"refs/heads/{repository['default_branch']}":
        raise unprocessable("Cannot delete the default branch")
    move(call, repository, name, None)
    return no_content()


def create_blob(call: Call) -> Reply:
    """Keep a blob."""
    repository, git = _filled(call)
    content = call.body["content"]
    try:
        encoded = call.body.get("encoding") == "base64"
        data = base64.b64decode(content, validate=False) if encoded else content.encode()
    except binascii.Error as error:
        raise unprocessable("content is not valid Base64") from error
    sha = git.write_blob(data)
    return created({"sha": sha, "url": f"{repository_url(call, repository)}/git/blobs/{sha}"})


def get_blob(call: Call) -> Reply:
    """A blob in Base64."""
    repository, git = _git(call)
    sha = call.path["file_sha"]
    data = cast(Blob, _object(git, sha, Blob)).data
    return ok(
        {
            "sha": sha,
            "node_id": object_node_id("B", repository, sha),
            "size": len(data),
            "url": f"{repository_url(call, repository)}/git/blobs/{sha}",
            "content": base64.b64encode(data).decode() + "\n",
            "encoding": "base64",
        }
    )


def create_commit(call: Call) -> Reply:
    """Keep a commit; no ref moves."""
    repository, git = _filled(call)
    _object(git, call.body["tree"], Tree)
    parents = as_list(call.body.get("parents"))
    if missing := [parent for parent in parents if not isinstance(git.get(parent), Commit)]:
        raise unprocessable(f"Parent SHA does not exist or is not a commit object: {', '.join(missing)}")
    author = author_of(call, call.body.get("author"))
    committer = author_of(call, call.body["committer"]) if call.body.get("committer") else author
    sha = git.write_commit(call.body["tree"], parents, call.body["message"], author, committer)
    return created(git_commit(call, repository, git.commit(sha)))


def get_git_commit(call: Call) -> Reply:
    """A commit as git has it."""
    repository, git = _git(call)
    return ok(git_commit(call, repository, _object(git, call.path["commit_sha"], Commit)))


def _tree(call: Call, repository: Record, git: Git, sha: str, recursive: bool) -> Json:
    base = f"{repository_url(call, repository)}/git"
    shown: list[Json] = []
    for entry in git.walk_tree(sha) if recursive else git.entries(sha):
        kind = "tree" if S_ISDIR(entry.mode) else "commit" if entry.mode == 0o160000 else "blob"
        item: Json = {"path": entry.path, "mode": f"{entry.mode:06o}", "type": kind, "sha": entry.sha}
        size = {"size": len(git.blob(entry.sha) or b"")} if kind == "blob" else {}
        shown.append(item | size | {"url": f"{base}/{kind}s/{entry.sha}"})
    return {"sha": sha, "url": f"{base}/trees/{sha}", "tree": shown, "truncated": False}


def get_tree(call: Call) -> Reply:
    """A tree by its hash, or by a branch, tag or commit."""
    repository, git = _git(call)
    name = call.path["tree_sha"]
    commit_sha = None if isinstance(git.get(name), Tree) else git.resolve(name)
    sha = git.commit(commit_sha).tree.decode() if commit_sha else name
    _object(git, sha, Tree)
    return ok(_tree(call, repository, git, sha, bool(call.query.get("recursive"))))


def create_tree(call: Call) -> Reply:
    """Keep a tree: `base_tree` with entries set, or removed where `sha` is null."""
    repository, git = _filled(call)
    tree: str | None = call.body.get("base_tree")
    if tree:
        _object(git, tree, Tree)
    for item in call.body["tree"]:
        path, mode = item["path"].strip("/"), int(item.get("mode", "100644"), 8)
        if "content" in item:
            tree = git.write_path(tree, path, (mode, git.write_blob(item["content"].encode())))
        elif item.get("sha") is None:
            tree = git.write_path(tree, path, None)
        elif git.get(item["sha"]) is None:
            raise unprocessable(f"tree.sha {item['sha']} is not a valid object")
        else:
            tree = git.write_path(tree, path, (mode, item["sha"]))
    return created(_tree(call, repository, git, tree or git.write_tree({}), False))


def _tag(call: Call, repository: Record, tag: Tag) -> Json:
    base, sha, (kind, target) = repository_url(call, repository), tag.id.decode(), tag.object
    name = _KINDS[cast(type, kind)]
    return {
        "node_id": object_node_id("TA", repository, sha),
        "tag": tag.name.decode(),
        "sha": sha,
        "url": f"{base}/git/tags/{sha}",
        "message": (tag.message or b"").decode(errors="replace"),
        "tagger": identity(tag.tagger or b"", tag.tag_time or 0),
        "object": {"sha": target.decode(), "type": name, "url": f"{base}/git/{name}s/{target.decode()}"},
        "verification": UNSIGNED,
    }


def create_tag(call: Call) -> Reply:
    """Keep an annotated tag; a ref must be made for it."""
    repository, git = _filled(call)
    target = git.get(call.body["object"])
    if target is None or _KINDS[type(target)] != call.body["type"]:
        raise unprocessable(f"Object {call.body['object']} is not a {call.body['type']}")
    tagger = author_of(call, call.body.get("tagger"))
    tag = Tag()
    tag.name, tag.message = call.body["tag"].encode(), call.body["message"].encode()
    tag.object = (type(target), target.id)
    tag.tagger, tag.tag_time, tag.tag_timezone = tagger.identity, tagger.seconds, 0
    git.put(tag)
    return created(_tag(call, repository, tag))


def get_tag(call: Call) -> Reply:
    """An annotated tag by its hash."""
    repository, git = _git(call)
    return ok(_tag(call, repository, _object(git, call.path["tag_sha"], Tag)))
