"""Helm charts whose content is known, and verified, before anything is deployed from them."""

import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast
from urllib.parse import urljoin, urlsplit

import pulumi
import yaml

if TYPE_CHECKING:
    import httpx

CACHE = Path(".charts")
"""Where fetched charts are kept. Relative: the path is an input of the release, the same on every machine."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
# Source: semver.org, which Helm asks of a chart's version; a + becomes _ in an OCI tag.
_VERSION = re.compile(r"v?\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LARGEST = 20 << 20
"""Bytes of the largest archive or index that is read; Helm's own charts stay under one megabyte."""
_MEMBER_LARGEST = 5 << 20
"""Bytes of the largest file of a chart. Source: Helm, MaxDecompressedFileSize."""
_SECONDS = 30.0
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]", "::1"}


class ChartError(pulumi.RunError):
    """A chart that cannot be used: the message names the chart, the cause and the fix, never a password."""


class ChartArguments(TypedDict):
    """The arguments of `HelmApplication` that come from its chart."""

    chart: str
    digest: str
    default_values: Mapping[str, object]
    values_schema: Mapping[str, object]


@dataclass(frozen=True)
class ChartLogin:
    """Who asks a private repository or registry; for ECR the user AWS and an authorization token."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Chart:
    """A verified chart.

    `HelmApplication(name, {**chart.arguments(), …})` deploys it.
    """

    path: Path
    """Directory or archive."""
    digest: str
    """`sha256:…`: of a directory (see `directory_digest`), of an archive, or of the manifest in an OCI registry."""
    name: str
    version: str
    default_values: Mapping[str, object]
    """Content of its values.yaml."""
    values_schema: Mapping[str, object]
    """Content of its values.schema.json; empty without one."""

    @classmethod
    def read(cls, path: Path | str, digest: str | None = None) -> "Chart":
        """Read a chart's directory or archive, and verify it if a digest is given.

        `python -m pavedpath.charts PATH` prints the digest.

        Raises:
            ChartError: not a chart, or its digest is another one.
        """
        place = Path(path)
        _check_digest(str(path), digest)
        try:
            files = _directory_files(place) if place.is_dir() else _archive_files(place.read_bytes(), str(path))
            found = directory_digest(place) if place.is_dir() else _sha256(place.read_bytes())
        except OSError as error:
            raise ChartError(f"chart {path}: cannot be read ({error.strerror}). Fix: is the path right?") from None
        if digest is not None and digest != found:
            raise _mismatch(str(path), digest, found, "if the change is meant")
        return _chart(place, found, files, str(path))

    @classmethod
    def fetch(
        cls,
        repository: str,
        name: str,
        version: str,
        digest: str,
        *,
        cache: Path = CACHE,
        login: ChartLogin | None = None,
    ) -> "Chart":
        """Fetch a chart from a repository (https://…) or a registry (oci://…), verify it, and keep it in `cache`.

        `digest` is that of the archive, as the repository's index.yaml has it, or of the manifest in the registry;
        `python -m pavedpath.charts REPOSITORY NAME VERSION` prints it. What is in the cache is verified again and
        needs no network. Plain HTTP is for loopback alone.

        Raises:
            ChartError: unreachable, refused, or its content is another one.
        """
        what = f"{repository.rstrip('/')}/{name} {version}"
        _check_source(repository, name, version)
        _check_digest(what, digest)
        directory = cache / digest.replace(":", "-")
        archive = directory / f"{name}-{version}.tgz"
        if not _cached(directory, archive, digest):
            _keep(directory, _download(repository.rstrip("/"), name, version, digest, login), archive.name)
        chart = _chart(archive, digest, _archive_files(archive.read_bytes(), what), what)
        if (chart.name, chart.version) != (name, version):
            found = f"{chart.name} {chart.version}"
            raise ChartError(f"chart {what}: its archive holds {found}. Fix: ask for that, or for another digest.")
        return chart

    def arguments(self) -> ChartArguments:
        """Return what `HelmApplication` takes of it."""
        # The dot keeps Helm, and whoever reads the state, from taking the path for a name in a repository.
        relative = self.path.is_absolute() or self.path.parts[:1] in (("..",), ())
        return {
            "chart": str(self.path) if relative else f"./{self.path}",
            "digest": self.digest,
            "default_values": self.default_values,
            "values_schema": self.values_schema,
        }


def directory_digest(path: Path) -> str:
    """Return the digest of a chart's directory: every file's relative path and content, in the order of the paths.

    SHA-256 over `<length of path> <path> <length of content> <content>` of each file, lengths in decimal digits, paths
    with / and in UTF-8. Modes and times do not count; every file does, also one that .helmignore leaves out.
    """
    state = hashlib.sha256()
    files = {each.relative_to(path).as_posix(): each for each in path.rglob("*") if each.is_file()}
    for name in sorted(files):
        content = files[name].read_bytes()
        state.update(f"{len(name.encode())} {name} {len(content)} ".encode() + content)
    return f"sha256:{state.hexdigest()}"


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _mismatch(what: str, expected: str, found: str, when: str) -> ChartError:
    return ChartError(
        f"chart {what}: its content is not the pinned one.\n  expected {expected}\n  found    {found}\n"
        f"Fix: {when}, look at what changed and pin {found}; otherwise restore the chart, and find out who changed it."
    )


def _check_digest(what: str, digest: str | None) -> None:
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise ChartError(f"chart {what}: {digest!r} is no digest. Fix: sha256: and 64 hexadecimal digits, lower case.")


def _check_source(repository: str, name: str, version: str) -> None:
    """Refuse what is no address, name or version before it becomes a part of a path or of a request."""
    if not _is_repository(repository):
        # The address is not shown: whoever wrote a password into it would find it in a log.
        raise ChartError(
            f"chart {name}: its repository cannot be asked. Fix: give https://HOST/PATH or oci://HOST/PATH, without a"
            " user (see ChartLogin)."
        )
    if not _NAME.fullmatch(name):
        raise ChartError(f"chart {name!r}: no chart has this name. Fix: give the name that is in its Chart.yaml.")
    if not _VERSION.fullmatch(version):
        raise ChartError(f"chart {name}: {version!r} is no exact version. Fix: give one like 1.2.3, no range.")


def _is_repository(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.scheme == "http" and host in _LOOPBACK
    return bool(host) and (parts.scheme in ("https", "oci") or plain) and not (parts.username or parts.query)


def _directory_files(path: Path) -> dict[str, bytes]:
    names = ("Chart.yaml", "values.yaml", "values.schema.json")
    return {name: (path / name).read_bytes() for name in names if (path / name).is_file()}


def _archive_files(content: bytes, what: str) -> dict[str, bytes]:
    """Take the files that describe the chart out of its archive, none larger than Helm itself would read."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                top, _, name = member.name.removeprefix("./").partition("/")
                if top and name in ("Chart.yaml", "values.yaml", "values.schema.json") and member.isfile():
                    if member.size > _MEMBER_LARGEST:
                        raise ChartError(f"chart {what}: its {name} has {member.size} bytes. Fix: use another chart.")
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ChartError(f"chart {what}: no chart archive ({type(error).__name__}). Fix: is this a .tgz?") from None
    return found


def _chart(path: Path, digest: str, files: Mapping[str, bytes], what: str) -> Chart:
    if "Chart.yaml" not in files:
        raise ChartError(f"chart {what}: it has no Chart.yaml. Fix: is this the chart's own directory or archive?")
    described = _mapping(files["Chart.yaml"], f"{what}: Chart.yaml")
    return Chart(
        path,
        digest,
        str(described.get("name")),
        str(described.get("version")),
        _mapping(files.get("values.yaml", b""), f"{what}: values.yaml"),
        _mapping(files.get("values.schema.json", b"{}"), f"{what}: values.schema.json", json.loads),
    )


def _yaml(content: bytes) -> object:
    # libyaml's reader is ten times as fast, and an index may have megabytes.
    return yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe loaders


def _mapping(content: bytes, what: str, parse: Callable[[bytes], object] = _yaml) -> Mapping[str, object]:
    try:
        document = parse(content)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        raise ChartError(f"chart {what}: cannot be parsed. Fix: correct its syntax.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ChartError(f"chart {what}: it holds no mapping. Fix: write key: value lines.")
    return cast(Mapping[str, object], document)


def _cached(directory: Path, archive: Path, digest: str) -> bool:
    """Whether the cache has exactly what the digest names: the archive, or the manifest and the archive it names."""
    try:
        found = _sha256(archive.read_bytes())
        if found == digest:
            return True
        manifest = (directory / "manifest.json").read_bytes()
        return _sha256(manifest) == digest and _layer(manifest, str(archive)) == found
    except (OSError, ChartError):
        return False


def _keep(directory: Path, files: Mapping[str, bytes], archive: str) -> None:
    """Write the files under another name first: an interrupted run leaves nothing that looks finished."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".", dir=directory.parent))
    try:
        for name, content in files.items():
            (work / (archive if name == "archive" else name)).write_bytes(content)
        work.chmod(0o755)
        if directory.exists():  # not what its name says: _cached has looked
            shutil.rmtree(directory)
        try:
            work.rename(directory)
        except OSError:
            if not directory.exists():  # otherwise another run was quicker, with the same content
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(
    repository: str, name: str, version: str, digest: str | None, login: ChartLogin | None
) -> dict[str, bytes]:
    """Return the archive, and the manifest from a registry, verified; without a digest, as they come."""
    import httpx

    what = f"{repository}/{name} {version}"
    try:
        with httpx.Client(follow_redirects=True, timeout=_SECONDS) as client:
            if repository.startswith("oci://"):
                return _from_registry(client, what, f"{repository}/{name}", version, digest, login)
            return _from_repository(client, what, repository, name, version, digest, login)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        cause = type(error).__name__
        raise ChartError(
            f"chart {what}: cannot be fetched ({cause}). Fix: is the address right, and reachable?"
        ) from None


def _from_repository(
    client: "httpx.Client",
    what: str,
    repository: str,
    name: str,
    version: str,
    digest: str | None,
    login: ChartLogin | None,
) -> dict[str, bytes]:
    headers = _basic(login)
    index = _mapping(_get(client, f"{repository}/index.yaml", what, headers), f"{what}: index.yaml")
    entries = index.get("entries")
    versions = cast(Mapping[str, object], entries).get(name) if isinstance(entries, dict) else None
    listed_ones = cast(list[object], versions) if isinstance(versions, list) else []
    known = [cast(Mapping[str, object], each) for each in listed_ones if isinstance(each, dict)]
    entry = next((each for each in known if str(each.get("version")) == version), None)
    if entry is None:
        have = ", ".join(str(each.get("version")) for each in known[:5]) or "no version of it"
        raise ChartError(f"chart {what}: the repository has {have}. Fix: name one that is there.")
    listed = f"sha256:{str(entry.get('digest') or '').removeprefix('sha256:')}"
    if digest is not None and _DIGEST.fullmatch(listed) and listed != digest:
        raise _mismatch(what, digest, listed, "if the repository's index.yaml is right")
    urls = entry.get("urls")
    if not isinstance(urls, list) or not urls:
        raise ChartError(f"chart {what}: index.yaml names no address. Fix: have the repository's index made anew.")
    address = urljoin(f"{repository}/", str(cast(list[object], urls)[0]))
    here, there = urlsplit(repository), urlsplit(address)
    if there.scheme != "https" and there.hostname not in _LOOPBACK:
        raise ChartError(f"chart {what}: its archive is not behind HTTPS. Fix: have the repository's index corrected.")
    # A password is for the repository alone, not for whatever host its index names.
    archive = _get(client, address, what, headers if there.netloc == here.netloc else {})
    found = _sha256(archive)
    if digest is not None and found != digest:
        raise _mismatch(what, digest, found, "if the repository published it anew")
    return {"archive": archive}


def _from_registry(
    client: "httpx.Client", what: str, reference: str, version: str, digest: str | None, login: ChartLogin | None
) -> dict[str, bytes]:
    parts = urlsplit(reference)
    scheme = "http" if parts.hostname in _LOOPBACK else "https"
    base = f"{scheme}://{parts.netloc}/v2{parts.path}"
    # By its tag only where no digest is known: a tag can be moved.
    address = f"{base}/manifests/{digest or version.replace('+', '_')}"
    headers = _authorized(client, address, what, login)
    manifest = _get(client, address, what, {**headers, "Accept": _MANIFEST})
    if digest is not None and (found := _sha256(manifest)) != digest:
        raise _mismatch(what, digest, found, "if the registry is to be trusted")
    layer = _layer(manifest, what)
    archive = _get(client, f"{base}/blobs/{layer}", what, headers)
    if (found := _sha256(archive)) != layer:
        raise _mismatch(what, layer, found, "if the registry is to be trusted")
    return {"archive": archive, "manifest.json": manifest}


def _layer(manifest: bytes, what: str) -> str:
    """Return the digest of the chart's archive in a manifest."""
    try:
        layers = json.loads(manifest)["layers"]
        found = [str(each["digest"]) for each in layers if each["mediaType"] == _LAYER]
    except (ValueError, KeyError, TypeError):
        found = []
    if len(found) != 1 or not _DIGEST.fullmatch(found[0]):
        raise ChartError(f"chart {what}: this is no Helm chart. Fix: is the name right, or is it an image?")
    return found[0]


def _basic(login: ChartLogin | None) -> dict[str, str]:
    if login is None:
        return {}
    token = b64encode(f"{login.username}:{login.password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def _authorized(client: "httpx.Client", address: str, what: str, login: ChartLogin | None) -> dict[str, str]:
    """Return the headers that the registry asks for: none, the login itself, or a token for it.

    Source: distribution, "Token Authentication Specification".
    """
    answer = client.head(address, headers={"Accept": _MANIFEST})
    if answer.status_code != 401:
        return {}
    challenge = answer.headers.get("WWW-Authenticate", "")
    if not challenge.lower().startswith("bearer "):
        return _basic(login)
    asked: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = urlsplit(asked.pop("realm", ""))
    if realm.scheme != "https" and realm.hostname not in _LOOPBACK:
        raise ChartError(f"chart {what}: the registry wants a login without TLS. Fix: use another registry.")
    asked.pop("error", None)
    given = _mapping(_get(client, realm.geturl(), what, _basic(login), asked), f"{what}: the registry's token")
    return {"Authorization": f"Bearer {given.get('token') or given.get('access_token') or ''}"}


def _get(
    client: "httpx.Client",
    address: str,
    what: str,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> bytes:
    with client.stream("GET", address, headers=headers, params=params) as answer:
        if answer.status_code in (401, 403):
            raise ChartError(f"chart {what}: {answer.status_code}, no access. Fix: pass login, and look at its rights.")
        if not answer.is_success:
            raise ChartError(f"chart {what}: the server answers {answer.status_code}. Fix: are name and version right?")
        content = b""
        for block in answer.iter_bytes():
            content += block
            if len(content) > _LARGEST:
                raise ChartError(f"chart {what}: more than {_LARGEST} bytes. Fix: is this a chart?")
    return content


def main(arguments: list[str]) -> str:
    """Return the digest to pin: of a directory or archive (PATH), or of REPOSITORY NAME VERSION.

    Raises:
        ChartError: as `Chart.read` and `Chart.fetch`.
    """
    if len(arguments) == 1:
        return Chart.read(arguments[0]).digest
    if len(arguments) != 3:
        raise ChartError("usage: python -m pavedpath.charts PATH | REPOSITORY NAME VERSION")
    repository, name, version = arguments
    _check_source(repository, name, version)
    user, password = os.environ.get("CHART_REGISTRY_USERNAME"), os.environ.get("CHART_REGISTRY_PASSWORD")
    login = ChartLogin(user, password) if user and password else None
    found = _download(repository.rstrip("/"), name, version, None, login)
    return _sha256(found.get("manifest.json", found["archive"]))


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))  # noqa: T201  # what this command is for
    except ChartError as error:
        sys.exit(str(error))
