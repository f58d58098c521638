"""A repository's git data: real objects with real hashes, refs, and what can be asked of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from stat import S_ISDIR
from typing import cast

from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree

from pavedpath_sandbox.github.store import Record, Store

FILE_MODE = 0o100644
DIRECTORY_MODE = 0o040000


@dataclass(frozen=True)
class Signature:
    """Who made a commit or tag, and when (Unix seconds, UTC)."""

    name: str
    email: str
    seconds: int

    @property
    def identity(self) -> bytes:
        """As git writes it, without the time."""
        return f"{self.name} <{self.email}>".encode()


@dataclass(frozen=True)
class Entry:
    """A file, directory or submodule in a tree, by its path from the root."""

    path: str
    mode: int
    sha: str


@dataclass(frozen=True)
class Change:
    """One path that differs between two trees; `old` and `new` are blob hashes."""

    path: str
    old: str | None
    new: str | None


class Git:
    """The git data of one repository."""

    def __init__(self, store: Store, repository: Record) -> None:
        self._store = store
        self._id = repository.id

    def put(self, item: ShaFile) -> str:
        """Keep an object; returns its hash."""
        sha = item.id.decode()
        self._store.git_put(self._id, sha, item.type_num, item.as_raw_string())
        return sha

    def get(self, sha: str) -> ShaFile | None:
        """The object of that hash."""
        found = self._store.git_get(self._id, sha)
        return ShaFile.from_raw_string(found[0], found[1]) if found else None

    def commit(self, sha: str) -> Commit:
        """A commit that must exist."""
        return cast(Commit, self.get(sha))

    def refs(self, prefix: str = "refs/") -> list[Record]:
        """Refs whose full name starts so, in the order of their names."""
        found = [ref for ref in self._store.children("ref", self._id) if ref.key.startswith(prefix)]
        return sorted(found, key=lambda ref: ref.key)

    def ref(self, name: str) -> Record | None:
        """A ref by its full name."""
        return self._store.find("ref", self._id, name)

    def set_ref(self, name: str, sha: str) -> Record:
        """Make or move a ref."""
        return self._store.put("ref", self._id, name, {"sha": sha})

    def delete_ref(self, ref: Record) -> None:
        """Delete a ref."""
        self._store.delete(ref)

    def resolve(self, name: str) -> str | None:
        """The hash of the commit that a branch, tag, full ref or hash means."""
        for full in (f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}", name):
            if ref := self.ref(full):
                return self._peeled(ref["sha"])
        return self._peeled(name) if isinstance(self.get(name), Commit | Tag) else None

    def _peeled(self, sha: str) -> str | None:
        item = self.get(sha)
        while isinstance(item, Tag):
            item = self.get(item.object[1].decode())
        return item.id.decode() if isinstance(item, Commit) else None

    def write_commit(self, tree: str, parents: list[str], message: str, author: Signature, committer: Signature) -> str:
        """Make a commit; returns its hash."""
        commit = Commit()
        commit.tree = tree.encode()
        commit.parents = [ObjectID(parent.encode()) for parent in parents]
        commit.author, commit.committer = author.identity, committer.identity
        commit.author_time, commit.commit_time = author.seconds, committer.seconds
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        commit.message = message.encode()
        return self.put(commit)

    def entries(self, tree_sha: str | None, prefix: str = "") -> list[Entry]:
        """What a tree holds directly."""
        tree = self.get(tree_sha) if tree_sha else None
        if not isinstance(tree, Tree):
            return []
        return [Entry(prefix + item.path.decode(), item.mode, item.sha.decode()) for item in tree.items()]

    def walk_tree(self, tree_sha: str | None, prefix: str = "") -> Iterator[Entry]:
        """Everything below a tree, directories before what they hold."""
        for entry in self.entries(tree_sha, prefix):
            yield entry
            if S_ISDIR(entry.mode):
                yield from self.walk_tree(entry.sha, entry.path + "/")

    def lookup(self, tree_sha: str, path: str) -> Entry | None:
        """The entry at a path; the empty path is the tree itself."""
        entry = Entry("", DIRECTORY_MODE, tree_sha)
        for name in path.split("/") if path else []:
            if not S_ISDIR(entry.mode):
                return None
            inside = {one.path: one for one in self.entries(entry.sha)}
            if name not in inside:
                return None
            entry = inside[name]
        return Entry(path, entry.mode, entry.sha)

    def write_path(self, tree_sha: str | None, path: str, entry: tuple[int, str] | None) -> str | None:
        """The tree with the path set to (mode, hash) or removed; None when nothing is left in it."""
        head, _, rest = path.partition("/")
        items = {one.path: (one.mode, one.sha) for one in self.entries(tree_sha)}
        if rest:
            below = items.get(head)
            subtree = self.write_path(below[1] if below and S_ISDIR(below[0]) else None, rest, entry)
            changed = (DIRECTORY_MODE, subtree) if subtree else None
        else:
            changed = entry
        if changed:
            items[head] = changed
        else:
            items.pop(head, None)
        return self.write_tree(items) if items else None

    def write_tree(self, items: dict[str, tuple[int, str]]) -> str:
        """Make a tree of names to (mode, hash); returns its hash."""
        tree = Tree()
        for name, (mode, sha) in items.items():
            tree.add(name.encode(), mode, ObjectID(sha.encode()))
        return self.put(tree)

    def write_blob(self, data: bytes) -> str:
        """Make a blob; returns its hash."""
        return self.put(Blob.from_string(data))

    def blob(self, sha: str) -> bytes | None:
        """The content of a blob."""
        item = self.get(sha)
        return item.data if isinstance(item, Blob) else None

    def history(self, sha: str) -> Iterator[Commit]:
        """A commit and its ancestors, newest first, each after all of its children that were reached."""
        waiting, seen = [self.commit(sha)], {sha}
        while waiting:
            # The order of insertion breaks ties: commits made within one second stay newest first.
            waiting.sort(key=lambda commit: commit.commit_time, reverse=True)
            commit = waiting.pop(0)
            yield commit
            for parent in (name.decode() for name in commit.parents):
                if parent not in seen:
                    seen.add(parent)
                    waiting.append(self.commit(parent))

    def touches(self, commit: Commit, path: str) -> bool:
        """Whether a commit changed the path relative to each of its parents."""
        here = self.lookup(commit.tree.decode(), path)
        parents = [self.commit(parent.decode()) for parent in commit.parents]
        before = [self.lookup(parent.tree.decode(), path) for parent in parents]
        return all(one != here for one in before) if before else here is not None

    def changes(self, old_tree: str | None, new_tree: str) -> list[Change]:
        """Files that differ between two trees, by path."""
        old = {one.path: one.sha for one in self.walk_tree(old_tree) if not S_ISDIR(one.mode)}
        new = {one.path: one.sha for one in self.walk_tree(new_tree) if not S_ISDIR(one.mode)}
        paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
        return [Change(path, old.get(path), new.get(path)) for path in paths]

    def is_ancestor(self, ancestor: str, sha: str) -> bool:
        """Whether a commit is the other or one of its ancestors."""
        return any(commit.id.decode() == ancestor for commit in self.history(sha))
