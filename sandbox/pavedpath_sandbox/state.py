"""What a sandbox remembers between commands: its ports, and the processes it started."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from . import environments
from .layout import Layout, write_private

_VERSION = 1
PLANS = ("free", "team", "enterprise")
"""GitHub's plans that the sandbox's organisation can be on."""
DEFAULT_PLAN = "team"


class StateError(Exception):
    """The state file cannot be read; the message says why and what to do."""


class BusyError(Exception):
    """Another command is changing this sandbox."""


@dataclass(frozen=True)
class ProcessRecord:
    """A process we started. A pid alone is not an identity: the system gives it to another process later.

    `created` is the process's start in seconds since the epoch, `digest` names the command it was started with.
    """

    pid: int
    created: float
    digest: str


@dataclass
class State:
    """Ports by name, processes by part; the groups of parts, the environments whose clusters run and the GitHub plan
    that `up` was asked for.
    """

    groups: tuple[str, ...] = ()
    ports: dict[str, int] = field(default_factory=dict[str, int])
    processes: dict[str, ProcessRecord] = field(default_factory=dict[str, ProcessRecord])
    plan: str = DEFAULT_PLAN
    clusters: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Encode for the state file."""
        processes = {name: vars(record) for name, record in self.processes.items()}
        content = {
            "version": _VERSION,
            "groups": self.groups,
            "clusters": self.clusters,
            "plan": self.plan,
            "ports": self.ports,
            "processes": processes,
        }
        return json.dumps(content, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> State:
        """Decode a state file.

        Raises:
            StateError: it is not one of ours.
        """
        try:
            data = cast("object", json.loads(text))
        except ValueError as error:
            raise StateError(f"it is not JSON: {error}") from error
        if not isinstance(data, dict):
            raise StateError("it is not a JSON object")
        content = cast("dict[str, object]", data)
        if content.get("version") != _VERSION:
            raise StateError(f"its version is {content.get('version')!r}, this program writes {_VERSION}")
        plan = content.get("plan", DEFAULT_PLAN)
        if plan not in PLANS:
            raise StateError(f"plan is {plan!r}, not one of {', '.join(PLANS)}")
        return State(
            groups=_names(content, "groups", None),
            clusters=_names(content, "clusters", [environments.DEFAULT]),
            plan=str(plan),
            ports={name: _port(name, value) for name, value in _object(content, "ports").items()},
            processes={name: _process(name, value) for name, value in _object(content, "processes").items()},
        )


def _names(content: dict[str, object], key: str, default: list[str] | None) -> tuple[str, ...]:
    value = content.get(key, default)
    if not isinstance(value, list):
        raise StateError(f"{key} must be a list")
    return tuple(str(name) for name in cast("list[object]", value))


def _object(content: dict[str, object], key: str) -> dict[str, object]:
    value = content.get(key)
    if not isinstance(value, dict):
        raise StateError(f"{key} must be an object")
    return cast("dict[str, object]", value)


def _port(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise StateError(f"ports.{name} is {value!r}, not a port")
    return value


def _process(name: str, value: object) -> ProcessRecord:
    record = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    pid, created, digest = record.get("pid"), record.get("created"), record.get("digest")
    if (
        not isinstance(pid, int)
        or isinstance(pid, bool)
        or pid <= 0
        or not isinstance(created, int | float)
        or not isinstance(digest, str)
    ):
        raise StateError(f"processes.{name} is {value!r}, not a process")
    return ProcessRecord(pid, float(created), digest)


def load(layout: Layout) -> State | None:
    """Read the state file; None if there is none.

    Raises:
        StateError: the file cannot be used; `up` moves it aside, the other commands report it.
    """
    try:
        return State.from_json(layout.state_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (StateError, UnicodeDecodeError, OSError) as error:
        raise StateError(
            f"{layout.state_file} cannot be used: {error}. `pavedpath-sandbox up` moves it aside and starts with new "
            "ports, the data stays"
        ) from error


def save(layout: Layout, state: State) -> None:
    """Write the state file, whole or not at all."""
    write_private(layout.state_file, state.to_json())


@contextmanager
def locked(layout: Layout, wait_seconds: float = 120.0) -> Generator[None]:
    """Hold the sandbox's lock. The system frees it when the holder dies, however it dies.

    Raises:
        BusyError: another command held it for `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    descriptor = _acquire(layout, deadline, wait_seconds)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(layout: Layout, deadline: float, wait_seconds: float) -> int:
    while True:
        layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A `reset` that held it before may have deleted the file: then others lock another one.
            if _is_at(descriptor, layout):
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
                os.close(descriptor)
                raise BusyError(
                    f"process {holder} has been changing this sandbox for {wait_seconds:.0f} s ({layout.lock_file}): "
                    "wait for it, or end it and run the command again"
                ) from None
        os.close(descriptor)
        time.sleep(0.05)


def _is_at(descriptor: int, layout: Layout) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), layout.lock_file.stat())
    except FileNotFoundError:
        return False
