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

from pavedpath_delivery.stack.engine import Engine, StackNotFoundError
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.events import Json
from pavedpath_delivery.state.checkpoint import Difference, comparable, differences, facts, faults, has_plain_secrets

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
    """What a restore did, or (dry run) would do; `safety` is the backup of what was there before."""

    stack: str
    path: Path
    differences: Sequence[Difference]
    created: bool
    changed: bool
    safety: Backup | None = None


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


def read_backup(path: Path, project: str, stack: str, *, force: bool = False) -> Json:
    """Return the state in a backup file.

    Raises:
        StackCommandError: it is not there, not whole, or not of this stack; `force` lets a missing checksum pass.
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
    elif not force:
        raise StackCommandError(
            f"{path}: its checksum {checksum.name} is missing, so it may be incomplete.\n"
            "Fix: fetch it, too; or --force, if you know that the file is whole."
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
        force: also over a state that is newer, or that cannot be read.
        dry_run: only compare.

    Raises:
        StackCommandError: the backup is not of this stack, or what is there is newer; or it is not there afterwards.
    """
    then = read_backup(path, engine.project(), stack, force=force)
    now, missing = _now(engine, stack, force=force)
    if now is not None and facts(now).resources and not force:
        _check_age(stack, now, then)
    found = differences(now or {}, then)
    same = now is not None and comparable(now) == comparable(then)
    if dry_run or same:
        return Restored(stack, path, found, missing, changed=False)
    safety = None
    if missing:
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
    return Restored(stack, path, found, missing, changed=True, safety=safety)


def _now(engine: Engine, stack: str, *, force: bool) -> tuple[Json | None, bool]:
    """Return the stack's state, None if there is none or it is damaged; and whether the stack is missing."""
    try:
        return engine.export(stack), False
    except StackNotFoundError:
        return None, True
    except StackCommandError as error:
        if error.code is Exit.LOCKED or not re.search(r"checkpoint|JSON|deserializ|unmarshal", str(error)):
            raise
        if force:
            return None, False
        raise StackCommandError(
            f"{stack}: the state in the backend cannot be read, so it cannot be compared with the backup.\n{error}\n"
            "Fix: --force puts the backup in its place (a versioned bucket, and the backend's own .bak, keep it)."
        ) from error


def _check_age(stack: str, now: Json, then: Json) -> None:
    mine, theirs = facts(now).written, facts(then).written
    if mine is None or theirs is None or mine <= theirs:
        return
    lost = [each.urn for each in differences(now, then) if each.change == "removed"]
    forgotten = f"\nThese resources would be forgotten, but go on existing: {', '.join(lost)}" if lost else ""
    raise StackCommandError(
        f"{stack}: the state in the backend is of {mine:%Y-%m-%d %H:%M:%S} UTC, newer than the backup's"
        f" ({theirs:%Y-%m-%d %H:%M:%S} UTC).{forgotten}\n"
        "Fix: look at the difference with --dry-run; --force restores nevertheless."
    )
