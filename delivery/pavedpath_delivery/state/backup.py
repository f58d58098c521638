"""Backups of stacks as files, and the way back.

A backup is what `pulumi stack export` writes, secrets encrypted, byte for byte: `pulumi stack import` alone can load
it. Beside it is its checksum in the form that `sha256sum --check` reads.
Source: Pulumi, "State and backends" (export, import).
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.engine import Engine, StackNotFoundError
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.state.checkpoint import (
    Difference,
    comparable,
    differences,
    facts,
    faults,
    has_plain_secrets,
    identical,
)

_TIME = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Backup:
    """One backup file; `written` is when the engine wrote the state in it, None for a new stack."""

    stack: str
    path: Path
    sha256: str
    resources: int
    pending: int
    written: datetime | None


@dataclass(frozen=True)
class Restored:
    """What a restore did, or (dry run) would do.

    `same` is whether the state was the backup's already, `safety` the backup of what was there before, `refusals` why
    the run would be refused were it no dry run.
    """

    stack: str
    path: Path
    differences: Sequence[Difference]
    created: bool
    same: bool = False
    changed: bool = False
    safety: Backup | None = None
    refusals: Sequence[str] = ()


@dataclass(frozen=True)
class _Current:
    """What the backend has; `export` is None if it has nothing that can be read, `damage` says why it cannot."""

    export: Json | None
    missing: bool = False
    damage: str = ""


def back_up(engine: Engine, stack: str, folder: Path, label: str = "") -> Backup:
    """Write the stack's state into the folder; another backup is never overwritten.

    Raises:
        StackNotFoundError: the backend has no such stack.
        StackCommandError: the folder cannot be written.
    """
    text = engine.call("stack", "export", "--stack", stack, stack=stack)
    export: Json = json.loads(text)
    if has_plain_secrets(export):
        raise StackCommandError(f"{stack}: its state holds a secret in plain text, so it was not written to a file.")
    found = facts(export)
    name = f"{engine.project()}.{stack}.{datetime.now(tz=UTC).strftime(_TIME)}{label}.json"
    path, digest = folder / name, hashlib.sha256(text.encode()).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First: a backup that has its name has its checksum.
        write_atomically(checksum_path(path), f"{digest}  {name}\n")
        write_atomically(path, text)
    except OSError as error:
        raise StackCommandError(
            f"{stack}: {folder} cannot be written ({error.strerror}). Fix: another --to."
        ) from error
    return Backup(stack, path, digest, found.resources, found.pending, found.written)


def checksum_path(path: Path) -> Path:
    """Return where a backup's checksum is."""
    return path.with_name(f"{path.name}.sha256")


def write_atomically(path: Path, text: str) -> None:
    """Write a file for its owner alone, all of it or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_backup(path: Path, project: str, stack: str) -> Json:
    """Return the state in a backup file, whose checksum may be missing.

    Raises:
        StackCommandError: it is not there, not what its checksum says, or not of this stack.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StackCommandError(f"{path}: cannot be read ({error.strerror}).", Exit.USAGE) from error
    checksum = checksum_path(path)
    if checksum.exists():
        wanted = checksum.read_text().split(maxsplit=1)[0] if checksum.read_text().strip() else ""
        if hashlib.sha256(content).hexdigest() != wanted:
            raise StackCommandError(
                f"{path}: its SHA-256 is not what {checksum.name} says: one of the two was changed or cut off.\n"
                "Fix: fetch the backup again, or use an older one."
            )
    try:
        export: Json = json.loads(content)
    except ValueError as error:
        raise StackCommandError(f"{path}: not JSON. Fix: name a file that `pavedpath state backup` wrote.") from error
    if problems := faults(export, project, stack):
        raise StackCommandError("\n".join(f"{path}: {problem}." for problem in problems))
    return export


def restore(
    engine: Engine,
    stack: str,
    path: Path,
    say: Callable[[str], None],
    *,
    force: bool = False,
    dry_run: bool = False,
) -> Restored:
    """Put a backup in the place of the stack's state, and check that it is there.

    Args:
        engine: the CLI in the project.
        stack: the stack; it is created if the backend has none.
        path: the backup.
        say: prints a line.
        force: also over a state that is newer or cannot be read, and from a file without a checksum.
        dry_run: only compare, and say what would be refused.

    Raises:
        StackCommandError: the backup is not of this stack, or what is there is newer; or it is not there afterwards.
    """
    then = read_backup(path, engine.project(), stack)
    current = _current(engine, stack)
    now = current.export
    found = differences(now or {}, then)
    if now is not None and identical(now, then):
        return Restored(stack, path, found, current.missing, same=True)
    refusals = [] if force else [*_unverified(path), *_overwritten(stack, current, then)]
    if dry_run:
        return Restored(stack, path, found, current.missing, refusals=refusals)
    if refusals:
        raise StackCommandError("\n".join([*refusals, "--dry-run lists what would change."]))
    safety = None
    if current.missing:
        engine.create(stack)
    elif now is not None and facts(now).resources:
        safety = back_up(engine, stack, path.parent, ".before-restore")
        say(f"{stack}: what was there is in {safety.path}")
    engine.load(stack, then)
    if comparable(engine.export(stack)) != comparable(then):
        raise StackCommandError(
            f"{stack}: the state that was read back is not the backup's: somebody else changed the stack just now,"
            f" or the backend lost something.\nFix: see `pulumi stack export -s {stack}`, then restore again."
        )
    return Restored(stack, path, found, current.missing, changed=True, safety=safety)


def _current(engine: Engine, stack: str) -> _Current:
    try:
        return _Current(engine.export(stack))
    except StackNotFoundError:
        return _Current(None, missing=True)
    except StackCommandError as error:
        if error.code is Exit.LOCKED or not re.search(r"checkpoint|JSON|deserializ|unmarshal", str(error)):
            raise
        return _Current(None, damage=str(error))


def _unverified(path: Path) -> list[str]:
    checksum = checksum_path(path)
    if checksum.exists():
        return []
    return [
        f"{path}: its checksum {checksum.name} is missing, so it may be incomplete.\n"
        "Fix: fetch it, too; or --force, if you know that the file is whole."
    ]


def _overwritten(stack: str, current: _Current, then: Json) -> list[str]:
    """Say what would be lost of the state in the backend."""
    if current.damage:
        return [
            f"{stack}: the state in the backend cannot be read, so it cannot be compared with the backup.\n"
            f"{current.damage}\n"
            "Fix: --force puts the backup in its place (a versioned bucket, and the backend's own .bak, keep it)."
        ]
    now = current.export
    mine, theirs = facts(now).written, facts(then).written
    if not facts(now).resources or mine is None or theirs is None or mine <= theirs:
        return []
    lost = [each.urn for each in differences(now, then) if each.change == "removed"]
    forgotten = f"\nThese resources would be forgotten, but go on existing: {', '.join(lost)}" if lost else ""
    return [
        f"{stack}: the state in the backend is of {mine:%Y-%m-%d %H:%M:%S} UTC, newer than the backup's"
        f" ({theirs:%Y-%m-%d %H:%M:%S} UTC).{forgotten}\n"
        "Fix: --force, if the older one is to take its place; what is there is backed up first."
    ]
