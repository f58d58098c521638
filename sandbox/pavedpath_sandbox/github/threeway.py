"""Three-way merges of trees. Files that both sides changed are merged line by line, by git's own `merge-file`."""

import subprocess
import tempfile
from pathlib import Path

from pavedpath_sandbox.github.gitdata import Git

_File = tuple[int, str]
"""Mode and blob."""


def merge_base(git: Git, left: str, right: str) -> str | None:
    """A best common ancestor of two commits: one that is an ancestor of no other common one."""
    reached = {commit.id for commit in git.history(left)}
    common = [commit for commit in git.history(right) if commit.id in reached]
    above = {parent for commit in common for parent in commit.parents}
    return next((commit.id.decode() for commit in common if commit.id not in above), None)


def merge_trees(git: Git, base: str | None, ours: str, theirs: str) -> str | None:
    """The tree with the changes of both sides since `base`, None if they conflict."""
    before, left, right = (_files(git, tree) for tree in (base, ours, theirs))
    merged: str | None = ours
    for path in sorted(right.keys() | before.keys()):
        if right.get(path) in (before.get(path), left.get(path)):
            continue
        if left.get(path) == before.get(path):
            entry = right.get(path)
        else:
            entry = _merged(git, before.get(path), left.get(path), right.get(path))
            if entry is None:
                return None
        merged = git.write_path(merged, path, entry)
        left = {**left, path: entry} if entry else {name: one for name, one in left.items() if name != path}
    merged = merged or git.write_tree({})
    return merged if _files(git, merged) == left else None  # a file where the other side has a directory


def _files(git: Git, tree: str | None) -> dict[str, _File]:
    return {one.path: (one.mode, one.sha) for one in git.walk_tree(tree) if one.mode != 0o040000}


def _merged(git: Git, before: _File | None, left: _File | None, right: _File | None) -> _File | None:
    if left is None or right is None or left[0] != right[0]:
        return None
    texts = [git.blob(one[1]) if one else b"" for one in (left, before, right)]
    if any(text is None or b"\0" in text for text in texts):
        return None
    merged = merge_file(*[text or b"" for text in texts])
    return None if merged is None else (left[0], git.write_blob(merged))


def merge_file(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """The text with the changes of both sides, None if they conflict."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("ours", "base", "theirs")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_bytes(text)
        done = subprocess.run(["git", "merge-file", "-p", *map(str, paths)], capture_output=True, check=False)
    if done.returncode >= 128:  # git gives the number of conflicts, at most 127, and more only for errors
        raise OSError(f"git merge-file: {done.stderr.decode(errors='replace').strip()}")
    return None if done.returncode else done.stdout
