"""Newer releases of the locked actions, and whether the locked ones are still what they were."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.actions.lockfile import NAME, Pin, edit, parse, version_of
from pavedpath_delivery.images.versions import Version
from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.github import GitHub, told

if TYPE_CHECKING:
    from rich.console import Console

_AT_ONCE = 4
_RELEASES = 200
"""How many of the last releases are looked at: an action with several lines may have its newest version far back."""


@dataclass(frozen=True)
class _Target:
    """What a tag means: its commit, and when the annotated tags on the way there were made."""

    commit: str
    times: Sequence[datetime]


@dataclass(frozen=True)
class Finding:
    """One action: what is locked, and what there is; `moved` is the other commit that the locked tag names."""

    action: str
    locked: Pin | None
    newest: Pin | None
    held_back: str = ""
    """A newer version that is too young."""
    moved: str = ""


@dataclass(frozen=True)
class Updated:
    """What was found for all actions."""

    findings: Sequence[Finding]
    written: bool
    code: Exit

    @property
    def newer(self) -> Sequence[Finding]:
        """Those with something newer."""
        return [each for each in self.findings if each.newest]

    def document(self) -> Mapping[str, Any]:
        """Return all actions."""
        return {"actions": [_document(each) for each in self.findings], "written": self.written}

    def show(self, console: "Console") -> None:
        """Print a table; whole, also where there is no terminal: rich would cut it at 80 columns there."""
        rows = [("action", "locked", "newest", ""), *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
            console.print("  ".join(cells).rstrip(), markup=False)

    def summary(self) -> str:
        """Return the same table for the job."""
        rows = ["| action | locked | newest | |", "|---|---|---|---|"]
        return "\n".join([*rows, *(f"| {' | '.join(row)} |" for row in self._rows())])

    def outputs(self) -> Mapping[str, str]:
        """Return whether anything is newer, and how many."""
        return {"newer": str(len(self.newer)), "changed": str(self.written).lower()}

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                each.action,
                each.locked.version if each.locked else "new",
                each.newest.version if each.newest else "",
                f"{each.held_back} is too young" if each.held_back else "",
            )
            for each in self.findings
        ]


def _document(finding: Finding) -> Mapping[str, Any]:
    locked, newest = finding.locked, finding.newest
    return {
        "action": finding.action,
        "locked": locked and {"version": locked.version, "commit": locked.commit, "date": locked.date},
        "newest": newest and {"version": newest.version, "commit": newest.commit},
        "held_back": finding.held_back or None,
    }


def choose(
    tags: Mapping[str, datetime], locked: Version | None, now: datetime, cooldown: timedelta
) -> tuple[list[str], str]:
    """Return the tags to take, newest version first, and the newest one that is too young. Pure.

    Args:
        tags: when each release was published.
        locked: what is locked; what is not above it is never taken.
        now: the time.
        cooldown: age that a release must have: what was slipped into one is mostly found in its first days.
    """
    known = [(version, tag) for tag in tags if (version := version_of(tag)) and not version.prerelease]
    # Of a version with two tags, as v4 and v4.0.0, the longer one is that which does not move.
    above = sorted((each for each in known if locked is None or each[0] > locked), key=lambda e: (e[0], len(e[1])))
    old = [tag for _, tag in above if now - tags[tag] >= cooldown][::-1]
    young = above[-1][1] if above and now - tags[above[-1][1]] < cooldown else ""
    return old, young


def update(api: GitHub, path: Path, add: Sequence[str], cooldown: timedelta, clock: Clock, *, check: bool) -> Updated:
    """Look every action up, and unless `check` write what is newer.

    Raises:
        DeliveryError: the file cannot be used (2); a locked tag names another commit now (5); GitHub fails (1). All
            offenders are named, and nothing is written.
    """
    text = _read(path, add)
    pins = parse(text, str(path))
    names = [*pins, *(each for each in dict.fromkeys(add) if each not in pins)]
    look = _Look(api, cooldown, clock)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(look.find, names, map(pins.get, names)))
    findings = [each for each in answers if isinstance(each, Finding)]
    _refuse_moved(findings)
    if failures := [str(each) for each in answers if isinstance(each, DeliveryError)]:
        raise DeliveryError("\n".join(failures))
    changes = {each.action: each.newest for each in findings if each.newest}
    if changes and not check:
        _write(path, edit(text, changes))
    code = Exit.CHANGES if check and changes else Exit.OK
    return Updated(findings, bool(changes) and not check, code)


def _refuse_moved(findings: Sequence[Finding]) -> None:
    moved = [each for each in findings if each.moved]
    if not moved:
        return
    lines = [
        f"{each.action}: {each.locked.version} was {each.locked.commit} and is {each.moved} now"
        for each in moved
        if each.locked
    ]
    raise DeliveryError(
        "\n".join(
            [
                *lines,
                "A release's tag does not move unless someone moves it: this is how actions are taken over. Nothing was"
                " written; workflows go on using the locked commits. Fix: find out from the action's maintainers what"
                " happened, and correct the entry by hand.",
            ]
        ),
        Exit.POLICY,
    )


class _Look:
    def __init__(self, api: GitHub, cooldown: timedelta, clock: Clock) -> None:
        self._api = api
        self._cooldown = cooldown
        self._now = clock.now()

    def find(self, action: str, locked: Pin | None) -> Finding | DeliveryError:
        """Look one action up; an error is returned, so that all of them are told."""
        try:
            return self._find(action, locked)
        except DeliveryError as error:
            return DeliveryError(f"{action}: {error}")

    def _find(self, action: str, locked: Pin | None) -> Finding:
        if locked is not None:
            target = self._target(action, locked.version)
            if target is None or target.commit != locked.commit:
                return Finding(action, locked, None, moved=target.commit if target else "gone")
        releases = self._releases(action)
        tags, young = choose(releases, version_of(locked.version) if locked else None, self._now, self._cooldown)
        for tag in tags:
            target = self._target(action, tag)
            # A tag that was made again after its release is as young as its commit.
            if target is not None and self._age(action, target) >= self._cooldown:
                return Finding(action, locked, Pin(tag, target.commit, self._today().isoformat()), young)
            young = young or tag
        if locked is None:
            reason = f"only {young}, which is too young" if young else "none"
            raise DeliveryError(f"it has no release to pin: {reason}.")
        return Finding(action, locked, None, young)

    def _today(self) -> date:
        return self._now.date()

    def _releases(self, action: str) -> dict[str, datetime]:
        with told():
            found = list(islice(self._api.stream(f"repos/{action}/releases"), _RELEASES))
        return {
            str(each["tag_name"]): _time(each["published_at"])
            for each in found
            if not each.get("draft") and not each.get("prerelease") and each.get("published_at")
        }

    def _target(self, action: str, tag: str) -> _Target | None:
        times: list[datetime] = []
        target = self._object(f"repos/{action}/git/ref/tags/{tag}")
        while target.get("type") == "tag":
            answer = self._get(f"repos/{action}/git/tags/{target['sha']}")
            times.append(_time(fields(answer.get("tagger")).get("date")))
            target = fields(answer.get("object"))
        return _Target(str(target["sha"]), times) if target.get("type") == "commit" else None

    def _age(self, action: str, target: _Target) -> timedelta:
        commit = self._get(f"repos/{action}/git/commits/{target.commit}")
        return self._now - max([_time(fields(commit.get("committer")).get("date")), *target.times])

    def _object(self, path: str) -> Properties:
        return fields(self._get(path).get("object"))

    def _get(self, path: str) -> Properties:
        with told():
            return fields(self._api.get(path))


def _time(text: object) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        raise DeliveryError(f"GitHub gave {text!r} where a time stands.") from None


def _read(path: Path, add: Sequence[str]) -> str:
    if wrong := [each for each in add if not NAME.fullmatch(each)]:
        raise DeliveryError(f"--add {', '.join(wrong)}: OWNER/NAME is wanted.", Exit.USAGE)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryError(f"--lock {path} cannot be read: {error}", Exit.USAGE) from None


def _write(path: Path, text: str) -> None:
    """Write it whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
