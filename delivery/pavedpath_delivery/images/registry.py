"""A client of OCI registries: manifests, blobs, tags, referrers; every digest is verified.

Source: OCI distribution specification 1.1.
"""

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pavedpath_delivery.images.credentials import credentials
from pavedpath_delivery.images.manifests import (
    INDEX,
    MEDIA_TYPES,
    Descriptor,
    Manifest,
    digest_of,
    referrers_tag,
)
from pavedpath_delivery.images.patience import TransientError, patiently, transient
from pavedpath_delivery.images.references import Name, denies_missing
from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError

if TYPE_CHECKING:
    import httpx


_TIMEOUT_S = 60.0
_ANSWER_S = 300.0
"""A registry that has got a large layer checks it before it answers."""
_PIECE = 1 << 20
_IN_MEMORY = 16 << 20
"""Bytes of what is read whole: configurations and evidence."""
_TRIES_AT_INDEX = 5
_MISSING: Mapping[str, str] = {"Content-Length": "0"}


@dataclass(frozen=True)
class _File:
    """A file as a request's body; it can be sent again, as after a 401."""

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


class Registries:
    """Opens repositories; their registries share connections, and credentials are looked up when they are asked for.

    Args:
        environ: environment variables; HOME or DOCKER_CONFIG say where credentials are.
        clock: waits.
        transport: how requests travel; tests give their own.
    """

    def __init__(
        self, environ: Mapping[str, str], clock: Clock, transport: "httpx.BaseTransport | None" = None
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._transport = transport
        self._clients: dict[str, httpx.Client] = {}

    def __enter__(self) -> "Registries":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    def open(self, name: Name) -> "Repository":
        """Return a repository; nothing is asked of its registry yet."""
        import httpx

        from pavedpath_delivery.images.auth import RegistryAuth

        client = self._clients.get(name.host)
        if client is None:
            client = self._clients[name.host] = httpx.Client(
                base_url=name.base_url,
                timeout=httpx.Timeout(_TIMEOUT_S, read=_ANSWER_S),
                transport=self._transport,
                trust_env=not name.loopback,  # no proxy reaches this machine's own registry
                headers={"Accept-Encoding": "identity", "User-Agent": "pavedpath"},
            )
        auth = RegistryAuth(name, lambda: credentials(name.host, self._environ))
        return Repository(name, client, auth, self._clock)


class Repository:
    """One repository of images.

    Every method raises DeliveryError with cause and fix when the registry refuses, stays away, or gives other content
    than the digest names.
    """

    def __init__(self, name: Name, client: "httpx.Client", auth: "httpx.Auth", clock: Clock) -> None:
        self.name = name
        self._client = client
        self._auth = auth
        self._clock = clock

    def manifest(self, reference: str) -> Manifest | None:
        """Return a manifest by tag or digest; None where there is none."""
        response = self._ask("GET", f"manifests/{reference}", headers={"Accept": ", ".join(MEDIA_TYPES)})
        if response.status_code == 404:
            return None
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind not in MEDIA_TYPES:
            raise DeliveryError(f"{self.name}: {reference} is of the type {kind!r}, which is no image's.")
        said = response.headers.get("Docker-Content-Digest", "")
        named = reference if ":" in reference else said or "sha256:"
        found = digest_of(response.content, named)
        if ":" in reference or said:
            self._verify(found, named)
        return Manifest(response.content, kind, found)

    def digest(self, reference: str) -> str | None:
        """Return the digest that a tag names, or the digest itself if it is there; None where there is none."""
        response = self._ask("HEAD", f"manifests/{reference}", headers={"Accept": ", ".join(MEDIA_TYPES)})
        if response.status_code == 404:
            return None
        if said := response.headers.get("Docker-Content-Digest"):
            return str(said)
        whole = self.manifest(reference)  # the header is not required
        return whole.digest if whole else None

    def put_manifest(self, manifest: Manifest, tag: str = "") -> bool:
        """Put a manifest, by a tag or by its digest; return whether the registry itself lists it for its subject."""
        response = self._ask(
            "PUT",
            f"manifests/{tag or manifest.digest}",
            content=manifest.content,
            headers={"Content-Type": manifest.media_type},
            accepted=(201,),
        )
        if said := response.headers.get("Docker-Content-Digest"):
            self._verify(str(said), manifest.digest)
        return "OCI-Subject" in response.headers

    def has_blob(self, digest: str) -> bool:
        """Return whether a blob is there."""
        return self._ask("HEAD", f"blobs/{digest}").status_code != 404

    def read_blob(self, blob: Descriptor) -> bytes:
        """Return a small blob."""
        if blob.size > _IN_MEMORY:
            raise DeliveryError(
                f"{self.name}: {blob.digest} has {blob.size} bytes; at most {_IN_MEMORY} are read here."
            )
        content = self._ask("GET", f"blobs/{blob.digest}", accepted=(200,)).content
        self._verify(digest_of(content, blob.digest), blob.digest)
        return content

    def save_blob(self, blob: Descriptor, path: Path) -> None:
        """Write a blob to a file."""
        import httpx

        def once() -> None:
            state = hashlib.new(blob.digest.partition(":")[0])
            with self._sent("GET", f"blobs/{blob.digest}", stream=True) as response:
                self._check(response, f"get {blob.digest}", (200,))
                try:
                    with path.open("wb") as file:
                        for piece in response.iter_bytes(_PIECE):
                            state.update(piece)
                            file.write(piece)
                except httpx.TransportError as error:
                    raise TransientError(f"{self.name.host} broke off ({type(error).__name__})") from error
            self._verify(f"{state.name}:{state.hexdigest()}", blob.digest)

        patiently(self._clock, once, f"get {blob.digest} of {self.name}")

    def mount_blob(self, digest: str, source: Name) -> bool:
        """Take a blob over from another repository of the same registry; return whether the registry did."""
        # A registry that does not, opens an upload instead; nobody goes on with it, and it expires.
        response = self._ask("POST", f"blobs/uploads/?mount={digest}&from={source.path}", headers=_MISSING)
        return response.status_code == 201

    def push_blob(self, digest: str, content: bytes | Path) -> None:
        """Upload a blob in one piece."""
        import httpx

        size = content.stat().st_size if isinstance(content, Path) else len(content)

        def once() -> None:
            with self._sent("POST", "blobs/uploads/", headers=_MISSING) as begun:
                self._check(begun, f"upload to {self.name}", (202,))
                if not (said := begun.headers.get("Location")):
                    raise DeliveryError(f"{self.name.host} does not say where uploads go.")
                place = begun.request.url.join(said)
            if place.scheme != "https" and not self.name.loopback:
                raise DeliveryError(f"{self.name.host} wants uploads to go to {place.host} without TLS.")
            body: Any = _File(content) if isinstance(content, Path) else content
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
            where: httpx.URL = place.copy_merge_params({"digest": digest})
            with self._sent("PUT", where, content=body, headers=headers) as done:
                self._check(done, f"upload {digest} to {self.name}", (201,))

        # An upload that broke off is begun anew: registries may have forgotten its place.
        patiently(self._clock, once, f"upload {digest} to {self.name}")

    def tags(self) -> list[str]:
        """Return all tags; none of a repository that does not exist."""
        pages = self._pages(self._ask("GET", "tags/list?n=1000"))
        return [str(tag) for page in pages for tag in cast("list[Any]", page.get("tags") or [])]

    def referrers(self, digest: str) -> list[Descriptor]:
        """Return what refers to a digest."""
        response = self._ask("GET", f"referrers/{digest}", accepted=None, follow=False)
        if response.status_code in (401, 403):
            self._refuse(response, f"list what refers to {digest}")
        if response.status_code == 200 and response.headers.get("Content-Type", "").startswith(INDEX):
            listed = [each for page in self._pages(response) for each in objects(page.get("manifests"))]
            return [Descriptor.parse(each) for each in listed]
        # No API. The specification's sign is 404; ghcr.io sends a browser on to its packages' pages instead.
        index = self.manifest(referrers_tag(digest))
        return index.children if index else []

    def attach(self, manifest: Manifest, **extra: Any) -> None:
        """Put a manifest that has a subject, and see that it is listed; `extra` are fields of its descriptor.

        Source: OCI distribution specification 1.1, "Pushing Manifests with Subject".
        """
        if self.put_manifest(manifest):
            return
        tag = referrers_tag(manifest.subject)
        for _ in range(_TRIES_AT_INDEX):
            index = self.manifest(tag)
            listed = objects(index.document.get("manifests")) if index else []
            if any(each.get("digest") == manifest.digest for each in listed):
                return
            # Registries cannot compare and swap: someone who writes the tag at the same time may win. So it is read
            # again until it holds.
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*listed, manifest.descriptor(**extra)]}
            self.put_manifest(Manifest.make(document), tag)
        raise DeliveryError(f"{self.name}:{tag} is rewritten by others all the time. Fix: record one after the other.")

    def _pages(self, first: "httpx.Response") -> Iterator[Properties]:
        response = first
        while response.status_code != 404:
            try:
                yield fields(response.json())
            except ValueError as error:
                raise DeliveryError(f"{response.request.url} is no JSON.") from error
            following = response.links.get("next", {}).get("url")
            if not following:
                return
            response = self._ask("GET", response.request.url.join(following))

    def _ask(
        self,
        method: str,
        path: "str | httpx.URL",
        *,
        accepted: tuple[int, ...] | None = (200, 201, 202, 404),
        **options: Any,
    ) -> "httpx.Response":
        doing = f"{method} {path} of {self.name}"

        def once() -> "httpx.Response":
            with self._sent(method, path, **options) as response:
                return response

        response = patiently(self._clock, once, doing)
        optional = method in ("GET", "HEAD") and (accepted is None or 404 in accepted)
        if response.status_code == 403 and optional and denies_missing(self.name.host):
            response.status_code = 404
        if accepted is not None:
            self._check(response, doing, accepted)
        return response

    @contextmanager
    def _sent(
        self, method: str, path: "str | httpx.URL", *, follow: bool = True, stream: bool = False, **options: Any
    ) -> "Generator[httpx.Response]":
        import httpx

        url = f"/v2/{self.name.path}/{path}" if isinstance(path, str) else path
        request = self._client.build_request(method, url, **options)
        # A place for an upload may be someone else's; they do not get our credentials.
        ours = _origin(request.url) == _origin(self._client.base_url)
        try:
            response = self._client.send(
                request,
                auth=self._auth if ours else None,
                # A blob may be elsewhere; httpx does not take our credentials there.
                follow_redirects=follow and method in ("GET", "HEAD"),
                stream=stream,
            )
        except httpx.RequestError as error:
            raise TransientError(f"{self.name.host} cannot be reached ({error or type(error).__name__})") from error
        try:
            if problem := transient(response):
                raise problem
            yield response
        finally:
            response.close()

    def _check(self, response: "httpx.Response", doing: str, accepted: tuple[int, ...]) -> None:
        if response.status_code not in accepted:
            self._refuse(response, doing)

    def _refuse(self, response: "httpx.Response", doing: str) -> None:
        response.read()
        try:
            errors = objects(fields(response.json()).get("errors"))
        except ValueError:
            errors = []
        reasons = [f"{each.get('code')}: {each.get('message')}" for each in errors] or [response.reason_phrase]
        said = f"{self.name.host} refused to {doing} ({response.status_code}): {'; '.join(reasons)}"
        if response.status_code in (401, 403):
            said += f"\nFix: docker login {self.name.host}, as someone with access to {self.name.path}."
        raise DeliveryError(said)

    def _verify(self, found: str, wanted: str) -> None:
        if found != wanted:
            raise DeliveryError(f"{self.name.host} gave {found} for {wanted} of {self.name}: it is not to be trusted.")


def _origin(url: "httpx.URL") -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
