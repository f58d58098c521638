"""Starts, finds, judges and ends the processes of a sandbox."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from . import probe, state
from .layout import Layout
from .parts import Part
from .ports import becomes_free
from .state import ProcessRecord, State

# In every process we start, so that it is found even if this program died before it wrote the pid down.
MARKER = "PAVEDPATH_SANDBOX_PART"
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "VIRTUAL_ENV")
_LOG_TAIL_LINES = 12
_POLL_SECONDS = 0.05
_SETTLE_SECONDS = 10.0
_TERM_SECONDS = 8.0


class PartFailedError(Exception):
    """A part did not start; the message has its name, the reason and its last log lines."""


class CancelledError(Exception):
    """The user interrupted; what was started goes on and the next `up` takes it over."""


@dataclass(frozen=True)
class Result:
    """What `bring_up` did to a part: ``unchanged``, ``started``, ``interrupted``, or ``failed`` with a `problem`."""

    part: str
    outcome: str
    seconds: float
    problem: str = ""


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """What is done for a part besides running it: before a process of it starts, and whenever it is ready."""

    before_start: Callable[[], None] = _nothing
    once_ready: Callable[[], None] = _nothing


def marker(layout: Layout, part: str) -> str:
    """The value of `MARKER` in a part's environment."""
    return f"{layout.root}:{part}"


def find(layout: Layout, part: str, record: ProcessRecord | None) -> psutil.Process | None:
    """The live process of a record. None if it ended, is a zombie, or its pid belongs to another process by now."""
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # Start times shift when the machine's clock is set; the marker does not.
        same = abs(process.create_time() - record.created) < 0.05 or _mark(process) == marker(layout, part)
    except psutil.Error:
        return None
    return process if same else None


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARKER, "")
    except (psutil.Error, OSError):  # not ours to read, so not ours
        return ""


def strays(layout: Layout, known: Iterable[int]) -> list[psutil.Process]:
    """Processes of this sandbox other than `known` and what those started.

    The `up` that started them died before it could write them down, or the part whose children they are did.
    """
    prefix, pids = f"{layout.root}:", set(known)
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        if process.pid in pids:
            continue
        with contextlib.suppress(psutil.Error):
            ours = _mark(process).startswith(prefix) and process.status() != psutil.STATUS_ZOMBIE
            if ours and not any(parent.pid in pids for parent in process.parents()):
                found.append(process)
    return found


def end(processes: list[psutil.Process]) -> None:
    """End processes: TERM, a few seconds to close their files, then KILL."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    alive = _outlive(processes, _TERM_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _outlive(alive, _TERM_SECONDS)


def _outlive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after `seconds`. A zombie does not: who reaps it, and when, is not our concern."""
    deadline = time.monotonic() + seconds
    while alive := [process for process in processes if _is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def log_tail(path: Path, lines: int = _LOG_TAIL_LINES) -> str:
    """The last lines of a log file, or an empty text."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 65536))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


class _Patience:
    """Time that runs anew whenever what a part answers changes: one that reports progress is not stuck."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answer: str | None = None
        self._since = time.monotonic()

    def is_over(self, answer: str) -> bool:
        now = time.monotonic()
        if answer != self._answer:
            self._answer, self._since = answer, now
        return now - self._since > self._seconds


class Supervisor:
    """Brings parts up in parallel, each after those it depends on. The caller holds the sandbox's lock."""

    def __init__(self, layout: Layout, remembered: State, notify: Callable[[Result], None]) -> None:
        """`remembered` is changed and saved as processes start; `notify` hears of each part as it is done."""
        self._layout = layout
        self._state = remembered
        self._notify = notify
        self._saving = threading.Lock()
        self._cancelled = threading.Event()

    def cancelled(self) -> bool:
        """Whether the user has interrupted."""
        return self._cancelled.is_set()

    def bring_up(self, parts: tuple[Part, ...], programs: dict[str, Path], hooks: Mapping[str, Hooks]) -> list[Result]:
        """Make every part run and be ready; `hooks` maps a part's name to what else is to do for it.

        A part that runs and is ready is left alone. One failure does not stop the others, only those that depend on it.
        """
        futures: dict[str, Future[Result]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(parts))) as pool:
            for part in parts:  # a part comes after those it depends on, so that their futures are there
                needs = {name: futures[name] for name in part.depends if name in futures}
                program = programs[part.program]
                futures[part.name] = pool.submit(self._one, part, program, needs, hooks.get(part.name, Hooks()))
            try:
                return [future.result() for future in futures.values()]
            except BaseException:
                self._cancelled.set()
                raise

    def _one(self, part: Part, program: Path, needs: dict[str, Future[Result]], hooks: Hooks) -> Result:
        broken = [name for name, future in needs.items() if future.result().outcome in {"failed", "interrupted"}]
        started = time.monotonic()
        outcome, problem = "failed", ""
        if broken:
            problem = f"{part.name} was not started, it needs {', '.join(broken)}"
        else:
            try:
                outcome = self._ensure(part, program, hooks)
                hooks.once_ready()
            except CancelledError:
                outcome = "interrupted"
            except Exception as error:  # noqa: BLE001 - every failure of a part is reported with the others'
                outcome, problem = "failed", str(error)
        result = Result(part.name, outcome, time.monotonic() - started, problem)
        self._notify(result)
        return result

    def _ensure(self, part: Part, program: Path, hooks: Hooks) -> str:
        digest = part.digest(program)
        record = self._state.processes.get(part.name)
        process = find(self._layout, part.name, record)
        if process is not None and record is not None:
            if record.digest == digest and self._settles(part, process):
                return "unchanged"
            end([process])
        becomes_free(part.probe.port)  # if not, the part's own log says so
        hooks.before_start()
        self._start(part, program, digest)
        return "started"

    def _settles(self, part: Part, process: psutil.Process) -> bool:
        """Whether a running part is ready, or becomes so soon: the `up` that started it may have been cut short."""
        clock = _Patience(_SETTLE_SECONDS)
        while (problem := probe.ask(part.probe)) is not None:
            if clock.is_over(problem) or not _is_alive(process):
                return False
            self._pause()
        return True

    def _start(self, part: Part, program: Path, digest: str) -> None:
        log = self._layout.log_file(part.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".previous.log"))
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {**part.environment, MARKER: marker(self._layout, part.name)}
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            child = subprocess.Popen(
                [str(program), *part.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self._layout.root,
                start_new_session=True,  # a Ctrl-C in the terminal is for the command, not for the servers
            )
        with self._saving, contextlib.suppress(psutil.Error):  # it may have ended by now, which `_await` finds
            self._state.processes[part.name] = ProcessRecord(child.pid, psutil.Process(child.pid).create_time(), digest)
            state.save(self._layout, self._state)
        self._await(part, child)

    def _await(self, part: Part, child: subprocess.Popen[bytes]) -> None:
        clock = _Patience(part.start_seconds)
        while (problem := probe.ask(part.probe)) is not None:
            if child.poll() is not None:
                raise PartFailedError(self._report(part, f"ended with status {child.returncode} while starting"))
            if clock.is_over(problem):
                raise PartFailedError(self._report(part, f"is not ready after {part.start_seconds:.0f} s ({problem})"))
            self._pause()

    def _pause(self) -> None:
        if self._cancelled.wait(_POLL_SECONDS):
            raise CancelledError

    def _report(self, part: Part, what: str) -> str:
        tail = log_tail(self._layout.log_file(part.name)) or "(it logged nothing)"
        return f"{part.name} {what}. The end of its log:\n" + "\n".join(f"  {line}" for line in tail.splitlines())
