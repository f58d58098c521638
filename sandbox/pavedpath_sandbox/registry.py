"""A client of the sandbox's registry: images by name, digests checked.

Source: OCI Distribution Specification 1.1 and OCI Image Specification 1.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import httpx

from .documents import Properties, fields, objects

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_INDEXES = (INDEX, "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = (MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
_REFERENCE = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LOOPBACK = ("127.0.0.1", "localhost")


class ImageError(Exception):
    """An image cannot be had; the message says which and why."""


@dataclass(frozen=True)
class Reference:
    """A full name of an image: HOST/REPOSITORY[:TAG][@DIGEST]. Without tag and digest the tag is ``latest``."""

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def version(self) -> str:
        """What names one manifest of the repository: the digest if there is one."""
        return self.digest or self.tag or "latest"

    def on(self, registry: str) -> bool:
        """Whether it names the registry, which is HOST:PORT on loopback."""
        host, _, port = self.host.partition(":")
        return host in _LOOPBACK and port == registry.partition(":")[2]


def parse(text: str) -> Reference | None:
    """Take a full name apart; None for a name without a registry's host, and for what is no name."""
    found = _REFERENCE.fullmatch(text)
    if found is None or not re.search(r"[.:]|^localhost$", found["host"]):
        return None
    return Reference(found["host"], found["repository"], found["tag"] or "", found["digest"] or "")


def digest_of(content: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a manifest's or configuration's bytes, the same ones for the same content."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


class Registry:
    """A registry without authentication, over HTTP.

    Args:
        address: HOST:PORT.
        client: for tests.
    """

    def __init__(self, address: str, client: httpx.Client | None = None) -> None:
        self.address = address
        # The variables of the sandbox name a proxy that is for other hosts.
        self._client = client or httpx.Client(base_url=f"http://{address}", timeout=60, trust_env=False)

    def manifest(self, reference: Reference) -> tuple[str, Properties]:
        """Return digest and content of an image's manifest; of an index the one for linux/amd64, else for linux.

        Raises:
            ImageError: there is none, or it is not what its digest says.
        """
        digest, document = self._document(reference.repository, reference.version)
        if document.get("mediaType") in _INDEXES or "manifests" in document:
            chosen = _for_this_machine(objects(document.get("manifests")))
            if chosen is None:
                raise ImageError(f"{reference.repository}@{digest} holds no image for linux")
            return self._document(reference.repository, chosen)
        return digest, document

    def _document(self, repository: str, version: str) -> tuple[str, Properties]:
        accept = ", ".join((*_INDEXES, *_MANIFESTS))
        try:
            response = self._client.get(f"/v2/{repository}/manifests/{version}", headers={"Accept": accept})
        except httpx.HTTPError as error:
            raise ImageError(f"the registry {self.address} does not answer: {error}") from error
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise ImageError(f"{self.address}/{repository}: {version} is not in the registry")
        if response.is_error:
            raise ImageError(f"{self.address}/{repository}: {version}: HTTP {response.status_code}")
        digest = digest_of(response.content)
        if version.startswith("sha256:") and digest != version:
            raise ImageError(f"{self.address}/{repository}: the content of {version} is {digest}")
        return digest, fields(response.json())

    def blob(self, repository: str, digest: str) -> Iterator[bytes]:
        """Return a blob in pieces.

        Raises:
            ImageError: after the last piece if it is not what its digest says; before the first if there is none.
        """
        state = hashlib.sha256()
        with self._client.stream("GET", f"/v2/{repository}/blobs/{digest}") as response:
            if response.is_error:
                raise ImageError(f"{self.address}/{repository}: the blob {digest}: HTTP {response.status_code}")
            for piece in response.iter_bytes():
                state.update(piece)
                yield piece
        if f"sha256:{state.hexdigest()}" != digest:
            raise ImageError(f"{self.address}/{repository}: the blob {digest} is damaged")

    def push_blob(self, repository: str, content: bytes) -> str:
        """Upload a blob unless the repository has it; return its digest."""
        digest = digest_of(content)
        if self._client.head(f"/v2/{repository}/blobs/{digest}").is_success:
            return digest
        begun = self._client.post(f"/v2/{repository}/blobs/uploads/")
        self._check(begun, f"an upload to {repository}")
        where = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest})
        headers = {"Content-Type": "application/octet-stream"}
        self._check(self._client.put(where, content=content, headers=headers), f"the blob {digest}")
        return digest

    def push_manifest(self, repository: str, version: str, media_type: str, content: bytes) -> str:
        """Put a manifest or an index under a tag or its own digest; return its digest."""
        response = self._client.put(
            f"/v2/{repository}/manifests/{version}", content=content, headers={"Content-Type": media_type}
        )
        self._check(response, f"{repository}:{version}")
        return digest_of(content)

    def _check(self, response: httpx.Response, what: str) -> None:
        if response.is_error:
            raise ImageError(f"the registry {self.address} refused {what}: HTTP {response.status_code} {response.text}")


def _for_this_machine(manifests: list[Properties]) -> str | None:
    """The digest of the manifest to run. Attestations, whose platform is unknown/unknown, are none."""
    linux = [each for each in manifests if fields(each.get("platform")).get("os") == "linux"]
    linux.sort(key=lambda each: fields(each.get("platform")).get("architecture") != "amd64")
    return cast("str", linux[0]["digest"]) if linux else None
