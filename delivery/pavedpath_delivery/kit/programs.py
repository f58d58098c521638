"""Other people's programs: found by name, run without a shell, ended with all their children."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pavedpath_delivery.kit.errors import DeliveryError, Exit


@dataclass(frozen=True)
class Done:
    """What a program left."""

    code: int
    stdout: str
    stderr: str


class ProgramTimeoutError(DeliveryError):
    """A program took longer than it was given, and was ended."""


def find(name: str, purpose: str) -> str:
    """Return the path of a program.

    Raises:
        DeliveryError: it is not on PATH; says what it is for.
    """
    path = shutil.which(name)
    if path is None:
        raise DeliveryError(f"{name} is not on PATH; it is needed to {purpose}. Fix: install {name}.", Exit.USAGE)
    return path


def call(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> Done:
    """Run a program to its end and return what it wrote. Its arguments hold no secrets: others can read them.

    An interruption reaches it too: SIGINT first, so that it can leave things in order, and the same exception here.

    Args:
        argv: the program, as `find` returns it, and its arguments.
        stdin: text for it to read; nothing without it.
        environ: all its environment variables; without it those of this process.
        cwd: folder to run it in.
        timeout: seconds until it is ended.

    Raises:
        ProgramTimeoutError: it took longer than `timeout`.
    """
    running = Running(argv, stdin=stdin, environ=environ, cwd=cwd)
    try:
        done = running.wait(timeout)
    except BaseException:
        running.end()
        raise
    if done is None:
        running.end()
        raise ProgramTimeoutError(f"{Path(argv[0]).name} took longer than {timeout:g} s and was ended.")
    return done


class Running:
    """A program at work, in a process group of its own. Its arguments hold no secrets: others can read them.

    Args:
        argv: the program, as `find` returns it, and its arguments.
        stdin: text for it to read; nothing without it.
        environ: all its environment variables; without it those of this process.
        cwd: folder to run it in.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Names of files and logs may hold any bytes; none of them is a reason to fail.
            encoding="utf-8",
            errors="replace",
            env=None if environ is None else dict(environ),
            cwd=cwd,
            # A group of its own, so that what it started ends with it; a terminal's Ctrl-C does not reach it by itself.
            start_new_session=True,
        )
        self._unsent = stdin

    def wait(self, seconds: float | None) -> Done | None:
        """Return what it left, or None if it is still at work after so many seconds; None waits to its end."""
        text, self._unsent = self._unsent, None  # taken once: what is written partly is gone on with by itself
        try:
            stdout, stderr = self._process.communicate(text, seconds)
        except subprocess.TimeoutExpired:
            return None
        return Done(self._process.returncode, stdout, stderr)

    def interrupt(self) -> None:
        """Ask it to stop, by SIGINT; it may take its time to leave things in order."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def end(self, patience: float = 10.0) -> None:
        """End it and its children: asked first, killed after `patience` seconds."""
        end(self._process, patience)


def end(process: "subprocess.Popen[str]", patience: float = 10.0) -> None:
    """End a program and its children: asked first, killed after `patience` seconds, or once the program is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
