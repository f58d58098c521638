"""The journal: every request that can change AWS state, in order, so that a restart brings the state back.

moto keeps everything in memory. Replaying the same requests with the same random seeds makes the same state again,
identifiers included. The file is JSON lines, one request each, readable by its owner only: it holds what was sent,
secrets too.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast


class JournalError(Exception):
    """The journal cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """One request and how it ended.

    ``seed`` fed moto's random source, ``environ`` and ``preserved`` are the WSGI environment's text values and moto's
    table of header spellings, ``status`` is the HTTP status of the answer. ``at`` is when it ran, in seconds since
    1970; 0 in a journal that was written before there was such a field.
    """

    seed: int
    environ: Mapping[str, str]
    body: bytes
    status: int
    preserved: Mapping[str, str] = field(default_factory=dict[str, str])
    at: float = 0.0

    def to_line(self) -> bytes:
        """Encode as one JSON line, ending in a newline."""
        record: dict[str, object] = {"seed": self.seed, "status": self.status, "environ": dict(self.environ)}
        if self.at:
            record["at"] = self.at
        if self.preserved:
            record["preserved"] = dict(self.preserved)
        try:
            record["body"] = self.body.decode("utf-8")
        except UnicodeDecodeError:
            record["body64"] = base64.b64encode(self.body).decode("ascii")
        return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Entry:
        """Decode a line of `to_line`.

        Raises:
            ValueError: the line is not an entry.
        """
        record: object = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError("not an object")
        data = cast("dict[str, object]", record)
        seed, status = data.get("seed"), data.get("status")
        if not isinstance(seed, int) or not isinstance(status, int):
            raise ValueError("seed and status must be integers")
        try:
            if "body64" in data:
                body = base64.b64decode(str(data["body64"]), validate=True)
            else:
                body = str(data["body"]).encode("utf-8")
        except (KeyError, binascii.Error) as error:
            raise ValueError(f"no readable body: {error}") from error
        at = data.get("at", 0.0)
        if not isinstance(at, int | float):
            raise ValueError("at must be a number")
        return Entry(seed, _texts(data.get("environ")), body, status, _texts(data.get("preserved", {})), float(at))


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("expected an object of texts")
    items = cast("dict[object, object]", value)
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in items.items()):
        raise ValueError("expected an object of texts")
    return cast("dict[str, str]", items)


@dataclass(frozen=True)
class Contents:
    """What a journal held: the entries in order, and the numbers (from 1) of lines that could not be read."""

    entries: tuple[Entry, ...]
    damaged_lines: tuple[int, ...]
    torn: bool


def parse(data: bytes) -> Contents:
    """Read a journal's bytes. A last line without its newline is torn (the writer was killed) and is left out."""
    *lines, tail = data.split(b"\n")
    entries: list[Entry] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry.from_line(line))
        except ValueError:
            damaged.append(number)
    return Contents(tuple(entries), tuple(damaged), bool(tail))


class Journal:
    """An append-only journal file, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the file (mode 0600) and lock it.

        Raises:
            JournalError: another process holds it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0)
        os.fchmod(self._file.fileno(), 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise JournalError(f"{path} is in use by another AWS server: stop it first") from error

    def load(self) -> Contents:
        """Read all entries, and cut a torn last line off the file so that the next one starts on a line of its own."""
        self._file.seek(0)
        data = self._file.read()
        contents = parse(data)
        if contents.torn:
            self._file.truncate(data.rfind(b"\n") + 1)
        return contents

    def append(self, entry: Entry) -> None:
        """Add an entry. It survives the death of this process, not that of the machine (no fsync)."""
        self._file.write(entry.to_line())

    def close(self) -> None:
        """Close the file, which releases it."""
        self._file.close()
