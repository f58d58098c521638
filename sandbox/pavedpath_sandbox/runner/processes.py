"""What runs in a runner's folder: one runner at a time, and the processes of its jobs, also those that outlived it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MARK = "SANDBOX_RUNNER"
"""In the environment of act and of every step: act gives each step a session of its own, so no group holds them."""


class BusyError(Exception):
    """Another runner works in the folder."""


@contextmanager
def alone(directory: Path) -> Generator[None]:
    """Be the only runner of a folder; the system frees it when the holder dies, however it dies.

    Raises:
        BusyError: another process is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "another"
            raise BusyError(f"process {holder} runs workflows in {directory}: wait until it ends") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def running(directory: Path) -> list[psutil.Process]:
    """Return the processes of jobs that run in a folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # ended, or another user's
            if process.environ().get(MARK) == str(directory) and process.pid != os.getpid():
                found.append(process)
    return found
