"""The actions that workflows may use: `actions.lock.toml` names each by commit, since a tag can be moved.

`pavedpath actions update` and Renovate refresh the lock. A caller's own lock adds to it.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from .model import Access, Permissions, Scalar, Scope, Uses

LOCK_FILE = Path(__file__).with_name("actions.lock.toml")
"""The library's own lock."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = re.compile(r"v?\d+(\.\d+){0,2}([-+.][\w.]+)?")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class LockError(ValueError):
    """A lock file that cannot be used; names every offender."""


class UnknownActionError(LookupError):
    """An action that no lock has."""

    def __init__(self, action: str, known: Iterable[str]) -> None:
        self.action = action
        self.nearest = next(iter(difflib.get_close_matches(action, list(known), n=1, cutoff=0.5)), None)
        meant = f"; did you mean {self.nearest}?" if self.nearest else ""
        super().__init__(f"no lock has the action {action!r}{meant} (pavedpath actions update --add adds one)")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One entry of a lock: `owner/name`, its version, and the commit and day of that."""

    repository: str
    version: str
    commit: str
    date: str


@dataclass(frozen=True)
class Lock:
    """Pins by `owner/name`."""

    pins: Mapping[str, Pin] = field(default_factory=dict[str, Pin])

    def find(self, action: str) -> Pin:
        """Return the pin of `owner/name` or `owner/name/path`.

        Raises:
            UnknownActionError: no entry; names the nearest one.
        """
        found = self.pins.get("/".join(action.split("/")[:2]))
        if found is None or action.endswith("/") or "@" in action:
            raise UnknownActionError(action, self.pins)
        return found

    def reference(self, action: str) -> str:
        """Return what `uses` takes: the action and the commit."""
        return f"{action}@{self.find(action).commit}"

    def with_lock(self, other: "Lock") -> "Lock":
        """Return both together; where both have an action, the other's pin holds."""
        return Lock({**self.pins, **other.pins})


def parse(text: str, name: str = LOCK_FILE.name) -> Lock:
    """Read a lock: a table for each `owner/name` with version, commit and date.

    Args:
        text: TOML.
        name: name of the file, for errors.

    Raises:
        LockError: not TOML, or entries that are none; all of them are named.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LockError(f"{name}: not TOML: {error}") from error
    wrong = [
        f"{name}: {repository}: {why}" for repository, table in tables.items() for why in _wrong(repository, table)
    ]
    if wrong:
        raise LockError("\n".join(wrong))
    return Lock(
        {
            repository: Pin(
                repository=repository,
                version=str(table["version"]),
                commit=str(table["commit"]),
                date=str(table["date"]),
            )
            for repository, table in tables.items()
        }
    )


def _wrong(repository: str, table: Any) -> Iterable[str]:
    if not _REPOSITORY.fullmatch(repository):
        yield "an entry is called owner/name, without a path or a version"
    if not isinstance(table, dict) or not {"version", "commit", "date"} <= table.keys():
        yield "an entry has version, commit and date"
        return
    if not _COMMIT.fullmatch(str(table["commit"])):  # pyright: ignore[reportUnknownArgumentType]  # TOML is untyped
        yield "commit is 40 hexadecimal digits: a tag or branch could be moved"
    if not _VERSION.fullmatch(str(table["version"])):  # pyright: ignore[reportUnknownArgumentType]  # TOML is untyped
        yield "version is a release such as v1.2.3"


@cache
def default_lock() -> Lock:
    """Return the library's own lock; the file is read once."""
    return parse(LOCK_FILE.read_text(encoding="utf-8"))


_Inputs: TypeAlias = Mapping[str, Scalar]

_NEEDS: Mapping[str, Callable[[_Inputs], Permissions]] = {
    "actions/checkout": lambda _: {Scope.CONTENTS: Access.READ},
    "actions/attest-build-provenance": lambda _: {Scope.ID_TOKEN: Access.WRITE, Scope.ATTESTATIONS: Access.WRITE},
    "actions/download-artifact": lambda given: {Scope.ACTIONS: Access.READ} if "run-id" in given else {},
    "aws-actions/configure-aws-credentials": lambda _: {Scope.ID_TOKEN: Access.WRITE},
    # A private repository needs actions and contents, too.
    "github/codeql-action/upload-sarif": lambda _: {
        Scope.SECURITY_EVENTS: Access.WRITE,
        Scope.ACTIONS: Access.READ,
        Scope.CONTENTS: Access.READ,
    },
    "pulumi/actions": lambda given: (
        {Scope.PULL_REQUESTS: Access.WRITE} if given.get("comment-on-pr") not in (None, False, "false") else {}
    ),
}
"""What an action does with GITHUB_TOKEN by itself, as its own documentation says; others do nothing with it."""


def needs(step: Uses) -> Permissions:
    """Return what an action must be permitted because of what it is; a step's own permissions come on top."""
    found = _NEEDS.get(step.action)
    return found(step.inputs) if found else {}
