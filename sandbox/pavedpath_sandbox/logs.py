"""Reads the parts' logs, from the end, and on as they grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from .supervisor import log_tail

_POLL_SECONDS = 0.25


class UnknownPartError(Exception):
    """A name has no log; the message lists those that have."""


def read(directory: Path, parts: tuple[str, ...], lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last `lines` lines of each part's log, then, with `follow`, new ones until interrupted.

    Raises:
        UnknownPartError: a part has no log.
    """
    known = {path.stem: path for path in sorted(directory.glob("*.log")) if not path.stem.endswith(".previous")}
    if unknown := sorted(set(parts) - set(known)):
        raise UnknownPartError(f"no log of {', '.join(unknown)}; there are {', '.join(known) or 'none'}")
    chosen = {name: path for name, path in known.items() if not parts or name in parts}
    width = max((len(name) for name in chosen), default=0)
    offsets = {name: path.stat().st_size for name, path in chosen.items()}
    for name, path in chosen.items():
        for line in log_tail(path, lines).splitlines() if lines else ():
            yield f"{name:<{width}}  {line}"
    while follow:
        time.sleep(_POLL_SECONDS)
        for name, path in chosen.items():
            fresh, offsets[name] = _since(path, offsets[name])
            for line in fresh:
                yield f"{name:<{width}}  {line}"


def _since(path: Path, offset: int) -> tuple[list[str], int]:
    """Whole lines after `offset`, and the offset after them. A file that became shorter was started anew."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size < offset:
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines(), offset + len(whole)
