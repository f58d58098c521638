"""New values in a SOPS file: made in a copy, verified, and put in the file's place at once.

Killed at any moment, the file is as it was or as it is to be; what is left of a copy is sealed, too, and the next run
removes it.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.rotate import sealed, sidecar
from pavedpath_delivery.rotate.sealed import KeyPath, Sealed, dotted, walk
from pavedpath_delivery.rotate.sidecar import Sidecar

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Sops:
    """The program.

    Args:
        program: its path.
        environ: its environment variables: they say where KMS is and who asks.
    """

    program: str
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str]) -> "Sops":
        """Find the program.

        Raises:
            DeliveryError: it is not on PATH.
        """
        return cls(programs.find("sops", "open and seal files of secrets"), environ)

    def decrypt(self, path: Path) -> dict[KeyPath, Json]:
        """Return each value by its path."""
        text = self._call("decrypt", "--input-type", "yaml", "--output-type", "json", str(path))
        return dict(walk(json.loads(text)))

    def set(self, path: Path, at: KeyPath, value: str) -> None:
        """Change one value; it reaches sops by its standard input alone."""
        index = "".join(f"[{json.dumps(step)}]" for step in at)
        self._call("set", "--value-stdin", str(path), index, stdin=json.dumps(value))

    def renew_data_key(self, path: Path) -> None:
        """Make a new data key and seal all values with it."""
        self._call("rotate", "--in-place", str(path))

    def _call(self, *arguments: str, stdin: str | None = None) -> str:
        done = programs.call([self.program, *arguments], stdin=stdin, environ=self.environ, timeout=_TIMEOUT_S)
        if done.code:
            raise DeliveryError(f"sops {arguments[0]} failed: {_reason(done.stderr)}")
        return done.stdout


def _reason(stderr: str) -> str:
    """Say what sops's refusal means; its own words are not shown, as they may hold what it was given."""
    known = {
        "MAC mismatch": "the file was changed without sops. Fix: restore it from git, then edit it with sops.",
        "AccessDenied": "KMS refuses this identity. Fix: use the environment's role, or ask for access.",
        "NotAuthorized": "KMS refuses this identity. Fix: use the environment's role, or ask for access.",
        "NotFoundException": "there is no such KMS key here. Fix: is this the right account?",
        "InvalidCiphertext": "this KMS key did not seal it. Fix: is this the right account?",
        "IncorrectKeyException": "another KMS key sealed it. Fix: is this the right account?",
        "DisabledException": "its KMS key is disabled.",
        "KMSInvalidStateException": "its KMS key cannot be used in its state.",
        "ExpiredToken": "the AWS credentials have expired.",
        "failed to refresh cached credentials": "there are no AWS credentials.",
        "connection refused": "KMS cannot be reached.",
    }
    return next((why for sign, why in known.items() if sign in stderr), "run `sops decrypt` on the file to see why.")


@dataclass(frozen=True)
class Rotated:
    """What was changed: names of secrets, and whether the data key is new."""

    file: Path
    names: Sequence[str]
    data_key: bool


def rotate(sops: Sops, path: Path, values: Mapping[KeyPath, str], clock: Clock, *, data_key: bool) -> Rotated:
    """Give secrets of a file new values, and note when.

    Args:
        sops: the program.
        path: the file.
        values: the new values; may be empty with `data_key`.
        clock: tells when.
        data_key: seal the whole file with a new data key, too.

    Raises:
        DeliveryError: another run is at it, the file was changed meanwhile, sops refused, or something else than the
            named secrets would differ; the file is as it was.
    """
    with _alone(path.parent):
        before = sealed.read(path)
        noted = sidecar.read(path)
        for left in path.parent.glob(f".{path.stem}.rotating-*{path.suffix}"):
            left.unlink()
        # A name of this run's own: the sops of a run that was killed may still write to that of its own.
        copy = path.with_name(f".{path.stem}.rotating-{secrets.token_hex(4)}{path.suffix}")
        try:
            _write(copy, before.content, like=path)
            opened = sops.decrypt(copy)
            for at, value in values.items():
                sops.set(copy, at, value)
            if data_key:
                sops.renew_data_key(copy)
            after = sealed.read(copy)
            problems = differences(before, after, opened, sops.decrypt(copy), values, data_key=data_key)
            if problems:
                raise DeliveryError(f"{path} was not changed: {'; '.join(problems)}.")
            if path.read_bytes() != before.content:
                raise DeliveryError(f"{path} was changed by someone else meanwhile. Fix: run it again.", Exit.LOCKED)
            # The ages before, as the file's last change tells them only until now; the new ones once there is something
            # new: killed in between, a secret looks older than it is, and is rotated once more.
            _note(path, noted, times(before, noted.rotated, {}, clock.now()))
            copy.replace(path)
            _sync(path.parent)
        finally:
            copy.unlink(missing_ok=True)
        _note(path, noted, times(before, noted.rotated, values, clock.now()))
    return Rotated(path, [dotted(at) for at in values], data_key)


def _note(path: Path, noted: Sidecar, rotated: Mapping[str, datetime]) -> None:
    temporary = noted.path.with_name(f".{noted.path.name}.new")
    _write(temporary, sidecar.text(path, rotated).encode(), like=path)
    temporary.replace(noted.path)


def times(
    before: Sealed, noted: Mapping[str, datetime], values: Mapping[KeyPath, str], now: datetime
) -> dict[str, datetime]:
    """Return when each secret of a file got its value. Pure.

    One of which nothing is noted is as old as the file's last change, at least; noted now, as that change is lost next.
    """
    known = {name: noted.get(name, before.changed) for name in before.names}
    return known | {dotted(at): now for at in values}


def differences(
    before: Sealed,
    after: Sealed,
    opened_before: Mapping[KeyPath, Json],
    opened_after: Mapping[KeyPath, Json],
    values: Mapping[KeyPath, str],
    *,
    data_key: bool,
) -> list[str]:
    """Return what differs and should not, or should and does not, by name and never by value. Pure."""
    problems = [
        f"{dotted(at)} would {'go' if at in opened_before else 'come'} with it"
        for at in sorted(opened_before.keys() ^ opened_after.keys(), key=str)
    ]
    both = opened_before.keys() & opened_after.keys()
    problems += [
        f"{dotted(at)} would change, too"
        for at in sorted(both - values.keys(), key=str)
        if opened_after[at] != opened_before[at]
    ]
    problems += [f"{dotted(at)} has not got its new value" for at in values if opened_after.get(at) != values[at]]
    problems += [
        f"{dotted(at)} had this value already" for at in values if at in both and opened_before[at] == values[at]
    ]
    kept = [at for at in before.leaves if at not in values]
    if not data_key and any(before.leaves[at] != after.leaves.get(at) for at in kept):
        problems.append("sops sealed other secrets anew")
    if data_key and any(before.leaves[at] == after.leaves.get(at) for at in before.leaves):
        problems.append("sops kept the old data key")
    if before.recipients != after.recipients:
        problems.append("who opens the file would change")
    return problems


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Keep other runs out of a folder, without leaving a file there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise DeliveryError(f"Another run is rotating secrets in {folder}. Fix: wait for it.", Exit.LOCKED) from None
    try:
        yield
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, like: Path) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(like, path)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
