"""State in one SQLite file: records in a tree, and git objects.

A record is a small JSON document with a kind, a parent record and a key that is unique among the parent's
children of that kind. Deleting a record deletes everything below it. Ids are numbers unique over all kinds, as
GitHub's are within one.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = 0
FIRST_ID = 900_000_001  # GitHub's ids of today have nine and ten digits; small ones would hide an int32 mistake

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  parent INTEGER REFERENCES record(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body)),
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (kind, parent, key)
);
CREATE INDEX IF NOT EXISTS record_parent ON record(parent);
CREATE TABLE IF NOT EXISTS git_object (
  repository INTEGER NOT NULL REFERENCES record(id) ON DELETE CASCADE,
  sha TEXT NOT NULL,
  type INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (repository, sha)
) WITHOUT ROWID;
INSERT OR IGNORE INTO record (id, kind, parent, key, body, created_at, updated_at)
  VALUES (0, 'root', NULL, '', '{}', '', '');
"""


class DuplicateError(Exception):
    """A record of that kind and key already exists below that parent."""


@dataclass(frozen=True)
class Record:
    """One stored document; `body` holds only state, never what is derived from it."""

    id: int
    kind: str
    parent: int
    key: str
    body: Json = field(repr=False)
    created_at: str
    updated_at: str

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or the default."""
        return self.body.get(name, default)


def as_list(value: Any) -> list[Any]:
    """A list of a JSON document, the empty one where it is null or absent."""
    return value or []


def as_object(value: Any) -> Json:
    """An object of a JSON document, the empty one where it is null or absent."""
    return value or {}


def timestamp(seconds: float) -> str:
    """Unix seconds as GitHub writes times: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """The file. WAL, so that a killed process loses nothing that was answered."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)
        self._db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'record'", (FIRST_ID - 1,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def now(self) -> str:
        """The current time as GitHub writes it."""
        return timestamp(self._clock())

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing: an exception undoes every write made inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def insert(self, kind: str, parent: int, key: str, body: Json, *, identity: int | None = None) -> Record:
        """Add a record, under the next id unless one below `FIRST_ID` is given; raises DuplicateError."""
        now = self.now()
        try:
            cursor = self._db.execute(
                "INSERT INTO record (id, kind, parent, key, body, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (identity, kind, parent, key, json.dumps(body), now, now),
            )
        except sqlite3.IntegrityError as error:
            raise DuplicateError(f"{kind} {key!r}") from error
        return Record(int(cursor.lastrowid or 0), kind, parent, key, body, now, now)

    def update(self, record: Record, changes: Json, *, key: str | None = None) -> Record:
        """Merge `changes` into the body, optionally under a new key; raises DuplicateError."""
        body, key, now = {**record.body, **changes}, record.key if key is None else key, self.now()
        try:
            self._db.execute(
                "UPDATE record SET key = ?, body = ?, updated_at = ? WHERE id = ?",
                (key, json.dumps(body), now, record.id),
            )
        except sqlite3.IntegrityError as error:
            raise DuplicateError(f"{record.kind} {key!r}") from error
        return Record(record.id, record.kind, record.parent, key, body, record.created_at, now)

    def put(self, kind: str, parent: int, key: str, body: Json, *, identity: int | None = None) -> Record:
        """Insert, or merge into what is there."""
        found = self.find(kind, parent, key)
        return self.update(found, body) if found else self.insert(kind, parent, key, body, identity=identity)

    def delete(self, record: Record) -> None:
        """Delete a record and everything below it."""
        self._db.execute("DELETE FROM record WHERE id = ?", (record.id,))

    def find(self, kind: str, parent: int, key: str) -> Record | None:
        """The record of that key."""
        return self._one("kind = ? AND parent = ? AND key = ?", kind, parent, key)

    def by_id(self, kind: str, identity: int, parent: int | None = None) -> Record | None:
        """The record of that id, if it is of that kind (and below that parent)."""
        if not 0 <= identity < 2**63:
            return None
        record = self._one("id = ? AND kind = ?", identity, kind)
        return record if record and parent in (None, record.parent) else None

    def children(self, kind: str, parent: int) -> list[Record]:
        """All records of a kind below a parent, oldest first."""
        return self._many("kind = ? AND parent = ? ORDER BY id", kind, parent)

    def everywhere(self, kind: str, key: str | None = None) -> list[Record]:
        """All records of a kind (and key) whatever their parent, oldest first."""
        if key is None:
            return self._many("kind = ? ORDER BY id", kind)
        return self._many("kind = ? AND key = ? ORDER BY id", kind, key)

    def holding(self, kind: str, field: str, value: str) -> list[Record]:
        """All records of a kind whose body has that text in a field, oldest first."""
        return self._many("kind = ? AND json_extract(body, '$.' || ?) = ? ORDER BY id", kind, field, value)

    def keep_newest(self, kind: str, parent: int, count: int) -> None:
        """Delete the records of a kind below a parent that are older than its `count` newest."""
        self._db.execute(
            "DELETE FROM record WHERE kind = ? AND parent = ? AND id <= (SELECT id FROM record WHERE kind = ? AND "
            "parent = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (kind, parent, kind, parent, count),
        )

    def git_put(self, repository: int, sha: str, type_number: int, data: bytes) -> None:
        """Keep a git object (its content without the header)."""
        self._db.execute("INSERT OR IGNORE INTO git_object VALUES (?, ?, ?, ?)", (repository, sha, type_number, data))

    def git_get(self, repository: int, sha: str) -> tuple[int, bytes] | None:
        """Type number and content of a git object."""
        row = self._db.execute(
            "SELECT type, data FROM git_object WHERE repository = ? AND sha = ?", (repository, sha)
        ).fetchone()
        return (int(row[0]), bytes(row[1])) if row else None

    def git_names(self, repository: int) -> set[str]:
        """The hashes of all git objects of a repository."""
        rows = self._db.execute("SELECT sha FROM git_object WHERE repository = ?", (repository,))
        return {str(row[0]) for row in rows}

    def _many(self, where: str, *values: object) -> list[Record]:
        query = "SELECT id, kind, parent, key, body, created_at, updated_at FROM record WHERE " + where  # noqa: S608 - `where` is one of the literals above
        return [
            Record(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6])
            for row in self._db.execute(query, values)
        ]

    def _one(self, where: str, *values: object) -> Record | None:
        found = self._many(where, *values)
        return found[0] if found else None
