"""Bare repositories beside the store, for what git's own programs do best: to send packs and to read them.

The store is the truth. A mirror is made anew in every process, and brought up to date before it is used.
"""

import asyncio
import hashlib
import os
import tempfile
import zlib
from pathlib import Path

from dulwich.objects import ShaFile, Tag

from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.store import Record, Store

_TYPES = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_NUMBERS = {name: number for number, name in _TYPES.items()}
# Like GitHub, let clients ask for any commit by hash (actions/checkout does) and leave blobs out.
_SETTINGS = ("uploadpack.allowAnySHA1InWant=true", "uploadpack.allowFilter=true", "gc.auto=0")


class GitError(Exception):
    """A program of git's failed; the text is what it said."""


class Mirrors:
    """The bare repositories of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = tempfile.TemporaryDirectory(prefix="pavedpath-github-git-")
        self._known: dict[int, set[str]] = {}

    def close(self) -> None:
        """Delete them."""
        self._root.cleanup()

    def path(self, repository: Record) -> Path:
        """The bare repository, as it is in the store now."""
        path, git = Path(self._root.name, f"{repository.id}.git"), Git(self._store, repository)
        known = self._known.setdefault(repository.id, set())
        if not known:
            for name in ("objects/pack", "refs/heads", "refs/tags"):
                (path / name).mkdir(parents=True, exist_ok=True)
            (path / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        for sha in self._store.git_names(repository.id) - known:
            self._write_object(path, repository, sha)
            known.add(sha)
        _replace(path / "HEAD", f"ref: refs/heads/{repository['default_branch']}\n")
        _replace(path / "packed-refs", _packed_refs(git))
        return path

    def _write_object(self, path: Path, repository: Record, sha: str) -> None:
        number, data = self._store.git_get(repository.id, sha) or (0, b"")
        content = b"%s %d\0%s" % (_TYPES[number], len(data), data)
        file = path / "objects" / sha[:2] / sha[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(content, 1))

    async def run(self, path: Path, *arguments: str, given: bytes = b"", protocol: str = "") -> bytes:
        """Run a program of git's in a mirror; raises GitError."""
        settings = [part for one in _SETTINGS for part in ("-c", one)]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self._root.name,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_PROTOCOL": protocol,
            "LC_ALL": "C",
        }
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                "git", *settings, *arguments, cwd=path, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError as error:
            raise GitError("The sandbox serves clones and pushes with git, which is not installed.") from error
        output, errors = await process.communicate(given)
        if process.returncode:
            raise GitError(errors.decode(errors="replace").strip() or f"git {arguments[0]}: {process.returncode}")
        return output

    async def unpack(self, path: Path, pack: bytes) -> list[ShaFile]:
        """The objects of a pack that was pushed, thin or not; the mirror has them afterwards, the store has not."""
        said = await self.run(path, "index-pack", "--stdin", "--fix-thin", "--strict", given=pack)
        index = path / "objects" / "pack" / f"pack-{said.decode().split()[-1]}.idx"
        listed = await self.run(path, "show-index", given=index.read_bytes())
        names = [line.split()[1] for line in listed.splitlines()]
        return _batch(await self.run(path, "cat-file", "--batch", given=b"".join(name + b"\n" for name in names)))

    async def complete(self, path: Path, shas: list[str]) -> bool:
        """Whether everything that the commits reach is there."""
        try:
            await self.run(path, "rev-list", "--objects", "--quiet", *shas, "--not", "--all")
        except GitError:
            return False
        return True


def _batch(text: bytes) -> list[ShaFile]:
    found: list[ShaFile] = []
    position = 0
    while position < len(text):
        end = text.index(b"\n", position)
        name, kind, size = text[position:end].split()
        data = text[end + 1 : end + 1 + int(size)]
        header = b"%s %d\0" % (kind, len(data))
        if hashlib.sha1(header + data, usedforsecurity=False).hexdigest().encode() != name:
            raise GitError(f"object {name.decode()} is broken")
        found.append(ShaFile.from_raw_string(_NUMBERS[kind], data))
        position = end + 2 + int(size)
    return found


def _packed_refs(git: Git) -> str:
    lines = ["# pack-refs with: peeled fully-peeled sorted "]
    for ref in git.refs():
        lines.append(f"{ref['sha']} {ref.key}")
        if isinstance(git.get(ref["sha"]), Tag):
            lines.append(f"^{git.resolve(ref['sha'])}")
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
