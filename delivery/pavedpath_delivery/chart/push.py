"""Chart archives pushed to an OCI registry or to a ChartMuseum; a version never gets other bytes."""

import hashlib
import re
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from pavedpath_delivery.chart.archive import Archive
from pavedpath_delivery.images.references import denies_missing
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.addresses import is_loopback
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

ADDRESS = "CHART_REGISTRY_URL"
USER, PASSWORD = ("CHART_REGISTRY_USER", "CHART_REGISTRY_USERNAME"), "CHART_REGISTRY_PASSWORD"
_SECONDS = 300.0
_DIGEST = re.compile(r"^Digest: (sha256:[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Login:
    """Who pushes."""

    user: str
    password: str = field(repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str], to: str) -> "Login | None":
        """Read CHART_REGISTRY_USER (or …_USERNAME) and CHART_REGISTRY_PASSWORD; None without either.

        They are for the host of CHART_REGISTRY_URL, where that is set: no other one gets the password.

        Raises:
            DeliveryError: one is there without the other.
        """
        meant = environ.get(ADDRESS, "")
        if meant and urlsplit(meant).netloc != urlsplit(to).netloc:
            return None
        user = next((environ[name] for name in USER if environ.get(name)), "")
        password = environ.get(PASSWORD, "")
        if bool(user) != bool(password):
            there, missing = (USER[0], PASSWORD) if user else (PASSWORD, USER[0])
            raise DeliveryError(f"{there} is set and {missing} is not. Fix: set both, or neither.", Exit.USAGE)
        return cls(user, password) if user else None


@dataclass(frozen=True)
class Present:
    """A version as a repository has it."""

    archive_digest: str
    digest: str
    reference: str


class Repository(Protocol):
    """Where charts are pushed to."""

    def find(self, archive: Archive) -> Present | None:
        """Return what the repository has under the archive's name and version."""
        ...

    def push(self, archive: Archive) -> None:
        """Push it; may fail where the version came there in the meantime."""
        ...


@dataclass(frozen=True)
class Pushed:
    """What the repository has now; in a dry run, `present` is None where it would be pushed."""

    archive: Archive
    to: str
    present: Present | None
    changed: bool
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the outputs and whether anything was pushed."""
        return {**self.outputs(), "changed": self.changed}

    def show(self, console: "Console") -> None:
        """Print what happened in a line."""
        console.print(self._line(), markup=False)

    def summary(self) -> str:
        """Return that line."""
        return f"- {self._line()}"

    def outputs(self) -> Mapping[str, str]:
        """Return `version`, `digest` and `reference`; the latter two are empty in a dry run that would push."""
        digest, reference = (self.present.digest, self.present.reference) if self.present else ("", "")
        return {"version": self.archive.version, "digest": digest, "reference": reference}

    def _line(self) -> str:
        what = f"{self.archive.name} {self.archive.version}"
        if self.present is None:
            return f"{what} would be pushed to {self.to}"
        return (
            f"{what} {'pushed' if self.changed else 'was there already, with the same bytes'}: {self.present.reference}"
        )


def push(archive: Archive, to: str, repository: Repository, *, dry_run: bool = False) -> Pushed:
    """Push an archive unless the repository has it.

    Raises:
        DeliveryError: the repository has other bytes under this version (5), or refuses.
    """
    present = repository.find(archive)
    if present is not None:
        _check_same(archive, present, to)
        return Pushed(archive, to, present, changed=False)
    if dry_run:
        return Pushed(archive, to, None, changed=False)
    failure: DeliveryError | None = None
    try:
        repository.push(archive)
    except DeliveryError as error:  # also where someone else pushed it since: theirs is as good, if it is the same
        failure = error
    present = repository.find(archive)
    if present is None:
        raise failure or DeliveryError(f"{to} took {archive.name} {archive.version}, and does not have it.")
    _check_same(archive, present, to)
    return Pushed(archive, to, present, changed=failure is None)


def _check_same(archive: Archive, present: Present, to: str) -> None:
    if present.archive_digest != archive.digest:
        raise DeliveryError(
            f"{to} has {archive.name} {archive.version} with other bytes ({present.archive_digest}; this one is"
            f" {archive.digest}). A version that was published never changes. Fix: raise `version` in Chart.yaml.",
            Exit.POLICY,
        )


@contextmanager
def connect(to: str, login: Login | None, *, plain_http: bool = False) -> Generator[Repository]:
    """Open a repository for pushing.

    Args:
        to: oci://HOST/PATH, where the chart's name follows, or the https:// address of a ChartMuseum.
        login: without it, an OCI registry is asked as Helm is logged in; a ChartMuseum without authentication.
        plain_http: whether a password may go over plain HTTP to a host that is not this machine.

    Raises:
        DeliveryError: another kind of address, or a password would go over plain HTTP.
    """
    parts = urlsplit(to)
    if parts.scheme not in {"oci", "https", "http"} or not parts.hostname or parts.query or parts.username:
        raise DeliveryError(
            f"--to {_without_login(to)}: neither oci://HOST/PATH nor the https:// address of a ChartMuseum. The login"
            f" belongs into {USER[0]} and {PASSWORD}.",
            Exit.USAGE,
        )
    local = is_loopback(parts.hostname)
    if parts.scheme == "http" and not (local or plain_http):
        raise DeliveryError(
            f"--to {to}: the password would be readable on the way. Fix: use https://, or say --plain-http if the way"
            " is inside a cluster that is trusted.",
            Exit.USAGE,
        )
    if parts.scheme == "oci":
        with tempfile.TemporaryDirectory(prefix="pavedpath-chart-") as scratch:
            yield _Registry(to.rstrip("/"), parts.netloc, login, local or plain_http, Path(scratch))
    else:
        from pavedpath_delivery.chart.museum import open_museum

        with open_museum(to.rstrip("/"), login) as museum:
            yield museum


def _without_login(to: str) -> str:
    return re.sub(r"\?.*", "?…", re.sub(r"//[^/@]*@", "//…@", to))


class _Registry:
    """An OCI registry, by Helm's own client."""

    def __init__(self, to: str, host: str, login: Login | None, plain: bool, scratch: Path) -> None:
        self._to = to
        self._host = host
        self._scratch = scratch
        self._helm = programs.find("helm", "push charts to an OCI registry")
        self._options = ["--plain-http"] if plain else []
        if login is not None:
            # A file of this command's own: the login is gone with it, and Helm's own one stays as it is.
            self._options += ["--registry-config", str(scratch / "login.json")]
            arguments = ["registry", "login", host, "--username", login.user, "--password-stdin"]
            done = self._call([*arguments, *self._options], login.password)
            if done.code:
                raise DeliveryError(f"{host} refuses the login of {login.user}: {_reason(done)}")

    def find(self, archive: Archive) -> Present | None:
        """Return the version as the registry has it."""
        place = self._scratch / "present"
        place.mkdir(exist_ok=True)
        arguments = ["pull", f"{self._to}/{archive.name}", "--version", archive.version, "--destination", str(place)]
        done = self._call([*arguments, *self._options])
        if done.code:
            # Whatever else it says, nothing is known of the version, and nothing may be pushed over it.
            if self._says_absent(done.stderr):
                return None
            raise DeliveryError(f"{self._to} cannot be asked for {archive.name}: {_reason(done)}")
        (pulled,) = place.glob("*.tgz")
        found = f"sha256:{hashlib.sha256(pulled.read_bytes()).hexdigest()}"
        pulled.unlink()
        manifest = _DIGEST.search(done.stdout + done.stderr)
        if manifest is None:
            raise DeliveryError(f"helm names no digest of {archive.name} {archive.version} in {self._to}")
        return Present(found, manifest[1], f"{self._to}/{archive.name}@{manifest[1]}")

    def _says_absent(self, text: str) -> bool:
        if re.search(r"not found|manifest unknown|name unknown", text, re.IGNORECASE):
            return True
        return denies_missing(self._host) and re.search(r"\b403\b|denied", text, re.IGNORECASE) is not None

    def push(self, archive: Archive) -> None:
        """Push it."""
        place = self._scratch / archive.file
        place.write_bytes(archive.content)
        done = self._call(["push", str(place), self._to, *self._options])
        if done.code:
            raise DeliveryError(f"{self._to} refuses {archive.name} {archive.version}: {_reason(done)}")

    def _call(self, arguments: Sequence[str], stdin: str | None = None) -> programs.Done:
        return programs.call([self._helm, *arguments], stdin=stdin, timeout=_SECONDS)


def _reason(done: programs.Done) -> str:
    return done.stderr.strip().removeprefix("Error: ")
