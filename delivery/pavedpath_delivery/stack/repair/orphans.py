"""Ends the plugins and programs that outlived a killed engine on this machine.

They look for their engine only every few minutes. Until then one may still be creating something, or be about to
roll a Helm release back, while the repair looks at what is there.
"""

import re
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

# A plugin gets the engine's address as an argument; a Python program gets it with --engine.
_ADDRESS = re.compile(r"(?:127\.0\.0\.1|\[::1\]|localhost):(\d{2,5})")
_PLUGIN = re.compile(r"pulumi-(?:resource|language|analyzer)-|pulumi\.dynamic")


@dataclass(frozen=True)
class Process:
    """A process of this machine."""

    pid: int
    command: tuple[str, ...]


def orphans(processes: Iterable[Process], listening: Callable[[int], bool]) -> list[Process]:
    """Return the plugins whose engine is gone: nothing listens at the address they were given. Pure."""
    found: list[Process] = []
    for process in processes:
        ports = [int(match[1]) for part in process.command if (match := _ADDRESS.fullmatch(part))]
        if ports and any(_PLUGIN.search(part) for part in process.command) and not any(map(listening, ports)):
            found.append(process)
    return found


def is_listening(port: int) -> bool:
    """Whether something accepts connections at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end_orphans(backend_url: str | None) -> Sequence[Process]:
    """End this user's orphans and wait until they are gone; return them.

    Args:
        backend_url: PULUMI_BACKEND_URL; those that were started with another one belong to other projects.
    """
    import psutil

    own = psutil.Process().username()
    mine: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["username", "cmdline"]):
        with suppress(psutil.Error):
            if process.info["username"] == own and process.environ().get("PULUMI_BACKEND_URL") == backend_url:
                mine[process.pid] = process
    found = orphans((Process(pid, tuple(p.info["cmdline"] or ())) for pid, p in mine.items()), is_listening)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            mine[process.pid].kill()
    psutil.wait_procs([mine[process.pid] for process in found], timeout=10)
    return found
