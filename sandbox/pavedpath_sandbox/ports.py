"""Chooses ports on 127.0.0.1 and says who holds one."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping

import psutil

# Below the ranges from which systems take ports for outgoing connections (Linux from 32768, IANA from 49152):
# a port that is ours while a part is stopped should still be free when it comes back.
RANGE = range(20000, 32000)
"""Where ports are chosen."""


class NoPortError(Exception):
    """No port of the range is free."""


def is_free(port: int) -> bool:
    """Whether a server could bind the port on 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def becomes_free(port: int, seconds: float = 2.0) -> bool:
    """Whether the port is free within `seconds`: a killed server's threads may hold it a little longer than its pid."""
    deadline = time.monotonic() + seconds
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def choose(
    names: Iterable[str],
    remembered: Mapping[str, int],
    free: Callable[[int], bool] = is_free,
    comes_back: Callable[[int], bool] = becomes_free,
    start: int | None = None,
) -> dict[str, int]:
    """Give each name a port: the remembered one if `comes_back`, else the next `free` one that nobody here has.

    `start` is where in the range the search begins; by default a random place, so that sandboxes that start at the
    same time do not look at the same ports.

    Raises:
        NoPortError: the range is used up.
    """
    wanted = list(names)
    chosen: dict[str, int] = {}
    reserved = set(remembered.values())
    first = random.randrange(len(RANGE)) if start is None else start  # noqa: S311 - spreads load, guards nothing
    candidates = (RANGE[(first + step) % len(RANGE)] for step in range(len(RANGE)))
    for name in wanted:
        known = remembered.get(name)
        if known is not None and known not in chosen.values() and comes_back(known):
            chosen[name] = known
            continue
        port = next((port for port in candidates if port not in reserved and free(port)), None)
        if port is None:
            raise NoPortError(f"no free port between {RANGE.start} and {RANGE.stop - 1} on 127.0.0.1 for {name}")
        chosen[name] = port
        reserved.add(port)
    return chosen


def holder(port: int) -> str:
    """Describe the process that listens on a port, as far as the system tells us."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        return "another process"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                break
    return "another process"
