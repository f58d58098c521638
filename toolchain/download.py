"""Official downloads: resumed where they broke off, checked against a SHA-256 before anything uses them."""

import contextlib
import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from toolchain.manifest import Package, Platform

T = TypeVar("T")
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there, and the bytes there will be if that is known."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
ATTEMPTS = 4


class DownloadError(Exception):
    """A download that cannot be had or must not be used; the text says which and why."""


class UnreachableError(DownloadError):
    """The vendor's host does not answer at all."""


class _CutError(Exception):
    """The connection broke after it had begun; what came is kept, the rest is asked for again."""


def parse_checksums(text: str, name: str) -> str:
    """The SHA-256 of the file `name` in what a vendor publishes.

    Understands a bare sum, lines of "sum  [*]name" (also "./name"), and GitHub's JSON of a release, whose assets carry
    `digest`: "sha256:…" (REST, "Get a release by tag name").

    Raises:
        DownloadError: no SHA-256 for this file in it.
    """
    if text.lstrip().startswith("{"):
        assets = json.loads(text).get("assets", [])
        sums = {a["name"]: (a.get("digest") or "").removeprefix("sha256:") for a in assets}
    else:
        fields = [line.split() for line in text.splitlines() if line.strip()]
        if len(fields) == 1 and len(fields[0]) == 1:
            sums = {name: fields[0][0]}
        else:
            sums = {f[1].removeprefix("*").removeprefix("./"): f[0] for f in fields if len(f) == 2}
    if not re.fullmatch(r"[0-9a-fA-F]{64}", found := sums.get(name, "")):
        raise DownloadError(f"the vendor publishes no SHA-256 for {name}")
    return found.lower()


@dataclass
class Downloader:
    """Fetches with one verdict per host: a host that did not answer is not asked again in this run."""

    parts: Path
    transport: httpx.BaseTransport | None = None
    attempts: int = ATTEMPTS
    backoff: float = 1.0
    unreachable: dict[str, str] = field(default_factory=dict[str, str])

    def package(self, package: Package, target: Platform, into: Path, progress: Progress) -> dict[str, Path]:
        """Fetch, check and unpack a package's files into `into`; returns name -> path.

        Raises:
            DownloadError: not offered for this platform, not reachable, refused, or the wrong content.
        """
        offer = package.download
        if offer is None or str(target) not in offer.platforms:
            raise DownloadError(f"the vendor offers none for {target}")
        pinned = dict(offer.sha256)
        each = package.files if "{file}" in offer.url else package.files[:1]
        fetched: dict[str, Path] = {}
        for file in each:
            url = package.expand(offer.url, target, file)
            name = urlsplit(url).path.rsplit("/", 1)[-1]
            wanted = pinned.get(file) or pinned.get(str(target))
            wanted = wanted or parse_checksums(self.text(package.expand(offer.checksums, target, file)), name)
            path = self.fetch(url, wanted, progress)
            if offer.member:
                members = {f: package.expand(offer.member, target, f) for f in package.files}
                return _unpack(path, members, into)
            fetched[file] = path
        return {file: fetched.get(file, fetched[each[0]]) for file in package.files}

    def text(self, url: str) -> str:
        """A small text, such as a list of sums."""
        return self._retry(lambda: self._get(url))

    def fetch(self, url: str, sha256: str, progress: Progress) -> Path:
        """A file with exactly this content, in `parts`.

        Raises:
            DownloadError: it is not to be had; a file whose sum is wrong is removed and never returned.
        """
        self.parts.mkdir(parents=True, exist_ok=True)
        part = self.parts / f"{hashlib.sha256((url + sha256).encode()).hexdigest()[:16]}.part"
        resumed = part.exists()
        self._retry(lambda: self._stream(url, part, progress))
        with part.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found == sha256:
            return part
        part.unlink()
        if resumed:  # the older part may have been the wrong one
            return self.fetch(url, sha256, progress)
        raise DownloadError(f"{url} has the SHA-256 {found}, not {sha256}; it was thrown away")

    def _retry(self, attempt: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(_CutError),
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=self.backoff, max=10),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _CutError as error:
            raise DownloadError(f"{error} ({self.attempts} attempts)") from error

    @contextlib.contextmanager
    def _request(self, url: str, headers: dict[str, str]) -> Generator[httpx.Response]:
        host = urlsplit(url).hostname or ""
        if host in self.unreachable:
            raise UnreachableError(self.unreachable[host])
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        try:
            with (
                httpx.Client(follow_redirects=True, timeout=timeout, transport=self.transport) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                if response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error:
                    raise _CutError(f"{url} answers {response.status_code}")
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            reason = f"{error.request.url.host} cannot be reached"
            self.unreachable[host] = reason
            raise UnreachableError(reason) from error
        except httpx.TransportError as error:
            raise _CutError(f"{url}: the connection broke ({error or type(error).__name__})") from error

    def _get(self, url: str) -> str:
        with self._request(url, {}) as response:
            if not response.is_success:
                raise DownloadError(f"{url} answers {response.status_code}")
            return response.read().decode()

    def _stream(self, url: str, part: Path, progress: Progress) -> None:
        have = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with self._request(url, headers) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is here already; the checksum decides
            if not response.is_success:
                raise DownloadError(f"{url} answers {response.status_code}")
            resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with part.open("ab" if resumed else "wb") as handle:
                for block in response.iter_bytes():
                    handle.write(block)
                    have += len(block)
                    progress(have, total)


def _unpack(archive: Path, members: dict[str, str], into: Path) -> dict[str, Path]:
    """Take the named files, and nothing else, out of a tar archive."""
    paths: dict[str, Path] = {}
    with tarfile.open(archive) as tar:
        for file, member in members.items():
            try:
                source = tar.extractfile(member)
            except KeyError:
                source = None
            if source is None:
                raise DownloadError(f"the archive has no file {member}")
            paths[file] = into / file
            with source, paths[file].open("wb") as target:
                shutil.copyfileobj(source, target)
    archive.unlink()
    return paths
