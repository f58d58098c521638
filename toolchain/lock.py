"""One downloader or builder at a time per cache, and what an interrupted one left running is stopped."""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TextIO

_SAME_SECONDS = 5.0
"""By how much the start of one process may differ from itself: the system reckons it from the boot, whose time shifts
when the machine's clock is set. That a pid is given to another process so soon does not happen."""


class Lock:
    """An advisory lock on the cache; its file tells others who holds it and which build runs for the holder."""

    def __init__(self, handle: TextIO) -> None:
        self._handle = handle
        self._facts: dict[str, object] = {"pid": os.getpid(), "since": time.time()}
        self._write()

    def doing(self, what: str, child: int | None = None) -> None:
        """Record what is being done, and the process group of the build that does it."""
        self._facts |= {"doing": what, "child": child, "child_started": _started(child) if child else None}
        self._write()

    def _write(self) -> None:
        self._handle.seek(0)
        self._handle.truncate()
        json.dump(self._facts, self._handle)
        self._handle.flush()


def _started(pid: int) -> float | None:
    import psutil  # only needed around builds; keeps a satisfied `ensure` quick

    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).create_time()
    return None


def _read(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {}


def _stop_orphan(facts: dict[str, object]) -> None:
    """A build outlives its `ensure` when that is killed with -9; two would run at once if it stayed."""
    child, recorded = facts.get("child"), facts.get("child_started")
    if not isinstance(child, int) or not isinstance(recorded, float) or (started := _started(child)) is None:
        return
    if abs(started - recorded) < _SAME_SECONDS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def describe(facts: dict[str, object]) -> str:
    """For the one who waits: which process holds the lock, for how long, and what it does."""
    since = facts.get("since")
    age = f", for {time.time() - since:.0f} s" if isinstance(since, float) else ""
    return f"process {facts.get('pid', '?')} ({facts.get('doing', 'starting')}{age})"


@contextlib.contextmanager
def hold(path: Path, waiting: Callable[[str], None], interval: float = 0.5) -> Generator[Lock]:
    """Hold the lock at `path`; `waiting` is told once, and again whenever the holder turns to something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = None
    with path.open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                facts = _read(path)
                if told != (now := (facts.get("pid"), facts.get("doing"))):
                    told = now
                    waiting(describe(facts))
                time.sleep(interval)
        _stop_orphan(_read(path))
        lock = Lock(handle)
        try:
            yield lock
        finally:
            handle.seek(0)
            handle.truncate()
