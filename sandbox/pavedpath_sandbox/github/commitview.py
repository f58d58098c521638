"""Commits, trees and the like as GitHub shows them."""

import base64
import difflib
from datetime import UTC, datetime
from stat import S_ISDIR, S_ISLNK
from urllib.parse import quote

from dulwich.objects import Commit

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.gitdata import Change, Entry, Git
from pavedpath_sandbox.github.render import account, full_name, repository_url
from pavedpath_sandbox.github.store import ROOT, Json, Record

UNSIGNED: Json = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
_LARGEST_PATCH = 1_000_000


def object_node_id(prefix: str, repository: Record, sha: str) -> str:
    """A global id of a git object."""
    return f"{prefix}_{base64.urlsafe_b64encode(f'{repository.id}:{sha}'.encode()).decode().rstrip('=')}"


def identity(raw: bytes, seconds: int) -> Json:
    """Name, email and time of who made a commit or tag."""
    name, _, email = raw.decode(errors="replace").rpartition(" <")
    return {
        "name": name,
        "email": email.removesuffix(">"),
        "date": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def git_commit(call: Call, repository: Record, commit: Commit) -> Json:
    """Schema `git-commit`."""
    base, sha = repository_url(call, repository), commit.id.decode()
    web = f"{call.urls.web}/{full_name(call, repository)}/commit"
    return {
        "sha": sha,
        "node_id": object_node_id("C", repository, sha),
        "url": f"{base}/git/commits/{sha}",
        "html_url": f"{web}/{sha}",
        "author": identity(commit.author, commit.author_time),
        "committer": identity(commit.committer, commit.commit_time),
        "message": commit.message.decode(errors="replace"),
        "tree": {"sha": commit.tree.decode(), "url": f"{base}/git/trees/{commit.tree.decode()}"},
        "parents": [
            {"sha": parent, "url": f"{base}/git/commits/{parent}", "html_url": f"{web}/{parent}"}
            for parent in (one.decode() for one in commit.parents)
        ],
        "verification": UNSIGNED,
    }


def _user_behind(call: Call, raw: bytes) -> Json | None:
    email = raw.decode(errors="replace").rpartition("<")[2].removesuffix(">")
    login = email.removesuffix("@users.noreply.github.com").rpartition("+")[2]
    user = call.store.find("user", ROOT, login.lower()) if email.endswith("@users.noreply.github.com") else None
    return account(call.urls, user) if user else None


def commit(call: Call, repository: Record, item: Commit) -> Json:
    """Schema `commit`, without the files."""
    base, shown = repository_url(call, repository), git_commit(call, repository, item)
    url = f"{base}/commits/{shown['sha']}"
    inner = {name: shown[name] for name in ("author", "committer", "message", "tree", "verification")}
    return {
        "sha": shown["sha"],
        "node_id": shown["node_id"],
        "commit": {**inner, "url": shown["url"], "comment_count": 0},
        "url": url,
        "html_url": shown["html_url"],
        "comments_url": f"{url}/comments",
        "author": _user_behind(call, item.author),
        "committer": _user_behind(call, item.committer),
        "parents": [{**one, "url": f"{base}/commits/{one['sha']}"} for one in shown["parents"]],
    }


def commit_with_files(call: Call, repository: Record, item: Commit) -> Json:
    """Schema `commit`, with its changes against the first parent."""
    git = Git(call.store, repository)
    before = git.commit(item.parents[0].decode()).tree.decode() if item.parents else None
    sha = item.id.decode()
    files = [diff_entry(call, repository, sha, change) for change in git.changes(before, item.tree.decode())]
    return commit(call, repository, item) | {"stats": stats(files), "files": files}


def stats(files: list[Json]) -> Json:
    """Sums over changed files."""
    added, removed = sum(one["additions"] for one in files), sum(one["deletions"] for one in files)
    return {"additions": added, "deletions": removed, "total": added + removed}


def diff_entry(call: Call, repository: Record, sha: str, change: Change) -> Json:
    """Schema `diff-entry`; a patch only for text."""
    git = Git(call.store, repository)
    old, new = (git.blob(one) or b"" if one else b"" for one in (change.old, change.new))
    lines: list[str] = []
    if b"\0" not in old + new and len(old) + len(new) < _LARGEST_PATCH:
        before, after = (one.decode(errors="replace").splitlines() for one in (old, new))
        lines = list(difflib.unified_diff(before, after, lineterm=""))[2:]
    added, removed = sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)
    path, web = quote(change.path), f"{call.urls.web}/{full_name(call, repository)}"
    entry: Json = {
        "sha": change.new or change.old,
        "filename": change.path,
        "status": "added" if change.old is None else "removed" if change.new is None else "modified",
        "additions": added,
        "deletions": removed,
        "changes": added + removed,
        "blob_url": f"{web}/blob/{sha}/{path}",
        "raw_url": f"{web}/raw/{sha}/{path}",
        "contents_url": f"{repository_url(call, repository)}/contents/{path}?ref={sha}",
    }
    return entry | ({"patch": "\n".join(lines)} if lines else {})


def content_entry(call: Call, repository: Record, ref: str, entry: Entry) -> Json:
    """What a file and a directory have in common in the contents interface; addresses carry `?ref=`."""
    git, base = Git(call.store, repository), repository_url(call, repository)
    path, name = quote(entry.path), full_name(call, repository)
    directory = S_ISDIR(entry.mode)
    kind = "dir" if directory else "symlink" if S_ISLNK(entry.mode) else "file"
    own = f"{base}/contents/{path}?ref={quote(ref, safe='')}"
    git_url = f"{base}/git/{'trees' if directory else 'blobs'}/{entry.sha}"
    html = f"{call.urls.web}/{name}/{'tree' if directory else 'blob'}/{quote(ref)}/{path}"
    return {
        "type": kind,
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": 0 if directory else len(git.blob(entry.sha) or b""),
        "url": own,
        "html_url": html,
        "git_url": git_url,
        "download_url": None if directory else f"{call.urls.web}/raw/{name}/{quote(ref)}/{path}",
        "_links": {"self": own, "git": git_url, "html": html},
    }


def with_content(call: Call, repository: Record, shown: Json) -> Json:
    """A file with its content, in Base64 with a line break after every 60 characters as GitHub sends it."""
    data = Git(call.store, repository).blob(shown["sha"]) or b""
    encoded = base64.b64encode(data).decode()
    lines = [encoded[start : start + 60] for start in range(0, len(encoded), 60)]
    return shown | {"type": "file", "encoding": "base64", "content": "".join(f"{line}\n" for line in lines)}
