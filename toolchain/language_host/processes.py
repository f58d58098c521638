"""The programs and plugins that run for the engine, and their end: none outlives the engine, however that ends."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO

GRACE_SECONDS = 3.0
PARENT_POLL_SECONDS = 0.5


@dataclass
class Processes:
    """Children of the host. They stay in its process group, which the engine interrupts and kills as a whole."""

    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict[int, subprocess.Popen[bytes]])
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def start(
        self, command: Sequence[str], directory: Path | None, env: Mapping[str, str], *, piped: bool = False
    ) -> Generator[subprocess.Popen[bytes]]:
        """Run a command; leaving the block ends it."""
        pipe = subprocess.PIPE if piped else None
        process = subprocess.Popen(command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        with self._guard:
            self._running[process.pid] = process
        try:
            yield process
        finally:
            end([process])
            with self._guard:
                del self._running[process.pid]

    def signal(self, number: int) -> None:
        """Pass a signal on to all of them."""
        with self._guard:
            for process in self._running.values():
                process.send_signal(number)

    def end(self) -> None:
        """End all of them, by force if they do not go in time."""
        with self._guard:
            running = list(self._running.values())
        end(running)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Terminate, wait, and kill what is left."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in alive:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def output(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """Lines of a piped process as they come: ("stdout" or "stderr", line with its end)."""
    lines: SimpleQueue[tuple[str, bytes] | None] = SimpleQueue()

    def pump(stream: IO[bytes], name: str) -> None:
        for line in stream:
            lines.put((name, line))
        lines.put(None)

    streams = [(process.stdout, "stdout"), (process.stderr, "stderr")]
    readers = [threading.Thread(target=pump, args=(s, name), daemon=True) for s, name in streams if s]
    for reader in readers:
        reader.start()
    open_streams = len(readers)
    while open_streams:
        line = lines.get()
        if line is None:
            open_streams -= 1
        else:
            yield line


def watch_parent(parent: int) -> None:
    """Return when the engine is gone. It cannot tell its children when it is killed with -9."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)


def describe_exit(code: int) -> str:
    """What became of a program, as the engine shows it."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"Program was ended by {signal.Signals(-code).name}"
    return f"Program exited with non-zero exit code: {code}"
