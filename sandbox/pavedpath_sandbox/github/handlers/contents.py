"""Files: read, write and delete them one commit at a time."""

import base64
import binascii
from stat import S_ISDIR
from typing import Any

from pavedpath_sandbox.github.call import Call, Reply, created, ok
from pavedpath_sandbox.github.commitview import content_entry, git_commit, with_content
from pavedpath_sandbox.github.errors import conflict, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import FILE_MODE, Entry, Git
from pavedpath_sandbox.github.refs import move
from pavedpath_sandbox.github.signatures import author_of, web_flow
from pavedpath_sandbox.github.store import Json, Record


def get(call: Call) -> Reply:
    """A file with its content, or what a directory holds, at a branch, tag or commit."""
    repository = call.repository
    git, ref = Git(call.store, repository), call.query.get("ref") or repository["default_branch"]
    if not git.refs():
        raise not_found("This repository is empty.")
    sha = git.resolve(ref)
    if sha is None:
        raise not_found(f"No commit found for the ref {ref}")
    entry = git.lookup(git.commit(sha).tree.decode(), call.path["path"].strip("/"))
    if entry is None:
        raise not_found()
    accept = call.headers.get("accept", "")
    if S_ISDIR(entry.mode):
        inside = git.entries(entry.sha, f"{entry.path}/" if entry.path else "")
        return ok([content_entry(call, repository, ref, one) for one in inside])
    if "raw" in accept:
        text = (git.blob(entry.sha) or b"").decode(errors="replace")
        return Reply(200, text, media="application/vnd.github.raw")
    return ok(with_content(call, repository, content_entry(call, repository, ref, entry)))


def _path(call: Call) -> str:
    path = call.path["path"].rstrip("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in path.split("/")):
        raise unprocessable("path contains a malformed path component")
    return path


def _tip(git: Git, repository: Record, branch: str) -> tuple[str | None, str | None]:
    """Commit and tree at the tip of a branch; both None in an empty repository."""
    ref = git.ref(f"refs/heads/{branch}")
    if ref:
        return ref["sha"], git.commit(ref["sha"]).tree.decode()
    if git.refs("refs/heads/"):
        raise not_found(f"Branch {branch} not found")
    if branch != repository["default_branch"]:
        raise not_found(f"Branch {branch} not found")
    return None, None


def _write(call: Call, repository: Record, branch: str, tip: str | None, tree: str | None) -> Json:
    git, author = Git(call.store, repository), author_of(call, call.body.get("author") or call.body.get("committer"))
    named: dict[str, Any] | None = call.body.get("committer")
    committer = author_of(call, named) if named else web_flow(call)
    parents = [tip] if tip else []
    sha = git.write_commit(tree or git.write_tree({}), parents, call.body["message"], author, committer)
    move(call, repository, f"refs/heads/{branch}", sha, refusal=409)
    return git_commit(call, repository, git.commit(sha))


def put(call: Call) -> Reply:
    """Make a file or, given the hash of what it replaces, change it."""
    repository, path = call.repository, _path(call)
    git, branch = Git(call.store, repository), call.body.get("branch") or repository["default_branch"]
    try:
        data = base64.b64decode("".join(call.body["content"].split()), validate=True)
    except binascii.Error as error:
        raise unprocessable("content is not valid Base64") from error
    tip, tree = _tip(git, repository, branch)
    found = git.lookup(tree, path) if tree else None
    _check_sha(path, found, call.body.get("sha"))
    if tree and _blocked(git, tree, path):
        raise unprocessable(f"{path} is below something that is a file")
    mode = found.mode if found else FILE_MODE
    written = git.write_path(tree, path, (mode, git.write_blob(data)))
    commit = _write(call, repository, branch, tip, written)
    entry = git.lookup(written or "", path)
    shown = content_entry(call, repository, branch, entry) if entry else None
    return (ok if found else created)({"content": shown, "commit": commit})


def _check_sha(path: str, found: Entry | None, sha: str | None) -> None:
    if found and S_ISDIR(found.mode):
        raise unprocessable(f"{path} is a directory")
    if found and not sha:
        raise unprocessable('Invalid request.\n\n"sha" wasn\'t supplied.')
    if sha and (found is None or found.sha != sha):
        raise conflict(f"{path} does not match {sha}")


def _blocked(git: Git, tree: str, path: str) -> bool:
    parts = path.split("/")
    above = [git.lookup(tree, "/".join(parts[:depth])) for depth in range(1, len(parts))]
    return any(entry is not None and not S_ISDIR(entry.mode) for entry in above)


def delete(call: Call) -> Reply:
    """Delete a file, given the hash of what is deleted."""
    repository, path = call.repository, _path(call)
    git, branch = Git(call.store, repository), call.body.get("branch") or repository["default_branch"]
    tip, tree = _tip(git, repository, branch)
    found = git.lookup(tree, path) if tree else None
    if found is None:
        raise not_found()
    _check_sha(path, found, call.body["sha"])
    commit = _write(call, repository, branch, tip, git.write_path(tree, path, None))
    return ok({"content": None, "commit": commit})
