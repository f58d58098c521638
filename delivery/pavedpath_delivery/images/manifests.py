"""Manifests and indexes: bytes that are never rewritten, and what they refer to. Pure.

Source: OCI image specification 1.1, "Image Manifest", "Image Index" and "Descriptors".
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pavedpath_delivery.images.references import DIGEST
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError

INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
MEDIA_TYPES = (INDEX, IMAGE, DOCKER_INDEX, DOCKER_IMAGE)
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"
# Layers that registries do not hold: whoever pulls gets them from the address that the descriptor names.
_FOREIGN = ("nondistributable", "rootfs.foreign")


def digest_of(content: bytes, like: str = "sha256:") -> str:
    """Return the digest of some bytes, by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass(frozen=True)
class Descriptor:
    """A reference to content; `size` in bytes."""

    digest: str
    size: int
    media_type: str
    fields: Properties

    @classmethod
    def parse(cls, document: Properties) -> "Descriptor":
        """Return what a document describes.

        Raises:
            DeliveryError: it is no descriptor.
        """
        digest, size, kind = document.get("digest"), document.get("size"), document.get("mediaType")
        named = isinstance(digest, str) and DIGEST.fullmatch(digest)
        if not named or not isinstance(size, int) or not isinstance(kind, str):
            raise DeliveryError(f"A manifest has something that is no descriptor: {json.dumps(dict(document))[:200]}")
        return cls(named[0], size, kind, document)

    @property
    def foreign(self) -> bool:
        """Whether it is a layer that registries do not hold."""
        return any(mark in self.media_type for mark in _FOREIGN)


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as the registry has it, to the byte."""

    content: bytes
    media_type: str
    digest: str

    @classmethod
    def make(cls, document: Mapping[str, Any]) -> "Manifest":
        """Return a new one."""
        content = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
        return cls(content, str(document["mediaType"]), digest_of(content))

    @cached_property
    def document(self) -> Properties:
        """What is in it.

        Raises:
            DeliveryError: it is no JSON object, or not of the type that the registry said.
        """
        try:
            document = fields(json.loads(self.content))
        except ValueError as error:
            raise DeliveryError(f"{self.digest} is no JSON.") from error
        if document.get("mediaType", self.media_type) != self.media_type:
            # OCI image specification 1.1, "mediaType": one content that is taken for two things.
            raise DeliveryError(f"{self.digest} says it is {document['mediaType']}, its registry {self.media_type}.")
        return document

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return self.media_type in (INDEX, DOCKER_INDEX)

    @property
    def children(self) -> list[Descriptor]:
        """The manifests of an index."""
        return [Descriptor.parse(each) for each in objects(self.document.get("manifests"))] if self.is_index else []

    @property
    def blobs(self) -> list[Descriptor]:
        """Configuration and layers that the registry holds; none of an index."""
        if self.is_index:
            return []
        listed = [self.document.get("config"), *objects(self.document.get("layers"))]
        return [each for each in (Descriptor.parse(fields(one)) for one in listed) if not each.foreign]

    @property
    def subject(self) -> str:
        """Digest of what it refers to; empty for none."""
        return str(fields(self.document.get("subject")).get("digest") or "")

    def descriptor(self, **extra: Any) -> dict[str, Any]:
        """Return how others refer to it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **extra}


def referrers_tag(digest: str) -> str:
    """Return the tag that lists what refers to a digest, where the registry has no API for it.

    Source: OCI distribution specification 1.1, "Referrers Tag Schema".
    """
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"
