"""What was told already, in a small file that survives being killed at any moment.

A notification is noted before it is sent and again when it was taken. Killed in between, the next run sends it once
more under the same id: told twice rather than never, and a receiver that looks at the id tells it once.
"""

import fcntl
import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pavedpath_delivery.kit.documents import fields

_MOST = 1000


@dataclass(frozen=True)
class Entry:
    """A notification: its id, when it was first tried, and whether it was taken."""

    id: str
    at: datetime
    taken: bool


class Ledger:
    """The file.

    Args:
        path: the file; its folder must exist.
        window: how long a notification counts as told.
    """

    def __init__(self, path: Path, window: timedelta) -> None:
        self._path = path
        self._window = window

    @contextmanager
    def alone(self) -> Generator[None]:
        """Keep other runs with the same file waiting: two of them would both send."""
        with self._path.with_name(f"{self._path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def find(self, key: str, now: datetime) -> Entry | None:
        """Return what is known of a notification, None where it is unknown or too long ago."""
        return self._entries(now).get(key)

    def note(self, key: str, entry: Entry, now: datetime) -> None:
        """Note a notification, and forget those that no longer count; within `alone`."""
        entries = {**self._entries(now), key: entry}
        newest = sorted(entries.items(), key=lambda item: item[1].at)[-_MOST:]
        document = {name: {**asdict(each), "at": each.at.isoformat()} for name, each in newest}
        # One name for all runs, so that one that was killed leaves no more than one: `alone` keeps others out.
        new = self._path.with_name(f".{self._path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump({"version": 1, "told": document}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def _entries(self, now: datetime) -> Mapping[str, Entry]:
        try:
            told = fields(fields(json.loads(self._path.read_bytes())).get("told"))
        except (OSError, ValueError):
            return {}  # nothing to remember is no reason not to tell
        found = {key: _entry(fields(value)) for key, value in told.items()}
        return {key: each for key, each in found.items() if each and now - each.at < self._window}


def _entry(value: Mapping[str, Any]) -> Entry | None:
    try:
        at = datetime.fromisoformat(str(value["at"]))
        return Entry(str(value["id"]), at, value["taken"] is True) if at.tzinfo else None
    except (KeyError, ValueError):
        return None
