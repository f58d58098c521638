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
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=None if environ is None else dict(environ),
        cwd=cwd,
        # A group of its own, so that what it started ends with it; a terminal's Ctrl-C is passed on below.
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        end(process)
        raise ProgramTimeoutError(f"{Path(argv[0]).name} took longer than {timeout:g} s and was ended.") from None
    except BaseException:
        end(process)
        raise
    return Done(process.returncode, stdout, stderr)


def end(process: "subprocess.Popen[str]", patience: float = 10.0) -> None:
    """End a program and its children: asked first, killed after `patience` seconds."""
    for number, seconds in ((signal.SIGINT, patience), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
        return
