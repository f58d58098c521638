"""Locks of a backend that is a plain store (file, S3): who holds one, and whether the holder still lives.

Source of the layout and of the file's fields: `pkg/backend/diy/lock.go` of pulumi:
`<root>/.pulumi/locks/organization/<project>/<stack>/<uuid>.json`.
"""

import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.s3 import S3Place, explained

# The store's clock and the process table's differ by their rounding alone: both are of this machine.
_CLOCK_SLACK = timedelta(seconds=2)
_IN_MESSAGE = re.compile(
    r"created by (?P<username>[^@\s]+)@(?P<hostname>\S+) \(pid (?P<pid>\d+)\) at (?P<timestamp>\S+)"
)


class Holder(StrEnum):
    """Who holds a lock."""

    DEAD = "dead"
    ALIVE = "alive"
    ELSEWHERE = "elsewhere"


_WHERE = {
    Holder.ALIVE: "a process that is running",
    Holder.ELSEWHERE: "another machine, which cannot be checked",
    Holder.DEAD: "a process that is dead by now",
}


class Lock(BaseModel):
    """A lock file; `path` is where it is, None if not on this machine."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pid: int
    username: str
    hostname: str
    timestamp: datetime
    path: Path | None = None


def judge(lock: Lock, hostname: str, process_started: Callable[[int], datetime | None]) -> Holder:
    """Return whether the lock's holder lives.

    Args:
        lock: the lock.
        hostname: this machine's name.
        process_started: gives when the process of a pid on this machine started, None where there is none.

    A process that started after the lock was written has got the holder's pid by chance: the holder is dead.
    """
    if lock.hostname != hostname:
        return Holder.ELSEWHERE
    started = process_started(lock.pid)
    if started is None or started > lock.timestamp + _CLOCK_SLACK:
        return Holder.DEAD
    return Holder.ALIVE


def process_started(pid: int) -> datetime | None:
    """Return when a process of this machine started; None if there is none, or only what is left of a dead one."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return datetime.fromtimestamp(process.create_time(), tz=UTC)
    except psutil.NoSuchProcess:
        return None


def locked_error(stack: str, held: Iterable[tuple[Lock, Holder]]) -> StackCommandError:
    """Return the error that says who holds a stack, since when, and what to do."""
    lines = [f"{stack} is locked:"]
    known = list(held)
    for lock, holder in known:
        where = _WHERE[holder]
        since = f"{lock.timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"  {lock.username}@{lock.hostname}, process {lock.pid}, since {since} ({where})")
    holders = {holder for _, holder in known}
    if holders == {Holder.DEAD}:
        lines.append("Run this again: `pavedpath stack` frees the lock of a dead process, and repairs what it left.")
    else:
        lines.append("Wait for it to end.")
    if Holder.ALIVE not in holders:  # `pulumi cancel` takes every lock away, a live one too
        if Holder.ELSEWHERE in holders:
            lines.append("Only if you know that it is dead (a CI job: its run is over, or was cancelled):")
        else:
            lines.append("By hand:")
        lines.append(f"  pulumi cancel --yes {stack} && pavedpath stack repair {stack}")
    return StackCommandError("\n".join(lines), Exit.LOCKED)


def locks_in_message(message: str) -> list[Lock]:
    """Return the locks that the engine names when it refuses a stack; empty if that is not what the message says."""
    if "the stack is currently locked" not in message:
        return []
    return [Lock.model_validate(match.groupdict()) for match in _IN_MESSAGE.finditer(message)]


def refused_for_lock(stack: str, message: str) -> StackCommandError | None:
    """Return the error for a refusal of the engine that says that the stack is locked, None for any other message."""
    locks = locks_in_message(message)
    if locks:
        return locked_error(stack, [(lock, judge(lock, socket.gethostname(), process_started)) for lock in locks])
    if "Another update is currently in progress" in message:  # Pulumi Cloud, which keeps the locks itself
        return StackCommandError(f"{stack} is locked:\n  {message.strip()}", Exit.LOCKED)
    return None


def read_locks(backend_url: str, project: str, stack: str, root: Path) -> list[Lock] | None:
    """Return the locks of a stack; None for a backend whose locks cannot be read (they show when it refuses).

    Args:
        backend_url: `file://…` or `s3://bucket/prefix?region=…`.
        project: the project's name.
        stack: the stack's name.
        root: where a relative `file://` path starts.
    """
    key = f".pulumi/locks/organization/{project}/{stack}/"
    if place := S3Place.parse(backend_url):
        texts = [(None, text) for text in _s3_texts(place, f"{place.prefix}{key}", stack)]
    elif (url := urlsplit(backend_url)).scheme == "file":
        texts = _file_texts(root / Path(url.netloc + url.path).expanduser() / key)
    else:
        return None
    locks: list[Lock] = []
    for path, text in texts:
        try:
            locks.append(Lock.model_validate_json(text).model_copy(update={"path": path}))
        except ValidationError as error:
            raise StackCommandError(
                f"{stack}: a lock file under {key} cannot be read ({error.error_count()} fields are wrong).\n"
                f"If no other operation is running: pulumi cancel --yes {stack}",
                Exit.LOCKED,
            ) from error
    return locks


def _file_texts(folder: Path) -> list[tuple[Path | None, str]]:
    texts: list[tuple[Path | None, str]] = []
    for path in sorted(folder.glob("*.json")):
        with suppress(FileNotFoundError):  # its holder ended just now
            texts.append((path, path.read_text()))
    return texts


def _s3_texts(place: S3Place, prefix: str, stack: str) -> list[str]:
    with explained(f"{stack}: its locks in s3://{place.bucket}/{prefix} cannot be read"):
        s3 = place.clients()("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix)
        texts: list[str] = []
        for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
            with suppress(s3.exceptions.NoSuchKey):  # its holder ended just now
                texts.append(s3.get_object(Bucket=place.bucket, Key=key)["Body"].read().decode())
        return texts
