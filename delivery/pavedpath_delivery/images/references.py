"""Names of images: registry, repository, tag, digest. Pure.

Source: OCI distribution specification, "Pulling manifests" (the grammar of <name> and <reference>), and Docker's rule
for what of a name is the registry.
"""

import re
from dataclasses import dataclass, replace

from pavedpath_delivery.kit.addresses import is_loopback

DOCKER_HUB = "docker.io"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def denies_missing(host: str) -> bool:
    """Whether a registry denies what is not there yet, even to who may make it. Pure.

    GitHub's does so for a package. There, who may push may also read: an existing one would be shown.
    """
    return host == "ghcr.io" or host.startswith("containers.")


@dataclass(frozen=True)
class Name:
    """A repository of images in a registry; `host` with its port, `path` in lower case."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine: it is spoken to without TLS, as Docker does."""
        return is_loopback(re.sub(r":\d+$", "", self.host))

    @property
    def base_url(self) -> str:
        """Address of the registry's API."""
        if self.host == DOCKER_HUB:
            return "https://registry-1.docker.io"
        return f"{'http' if self.loopback else 'https'}://{self.host}"


@dataclass(frozen=True)
class Reference:
    """An image by tag, by digest, both or neither."""

    name: Name
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name}{f':{self.tag}' if self.tag else ''}{f'@{self.digest}' if self.digest else ''}"

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Return what a reference names; the repository is lower-cased, as registries demand it.

        Raises:
            ValueError: it is no reference; says why.
        """
        rest, at, digest = text.partition("@")
        if at and not DIGEST.fullmatch(digest):
            raise ValueError(f"{text!r}: {digest!r} is not a digest (sha256: and 64 hexadecimal digits)")
        head, slash, tail = rest.rpartition("/")
        last, colon, tag = tail.partition(":")
        if colon and not TAG.fullmatch(tag):
            raise ValueError(f"{text!r}: {tag!r} is not a tag (letters, digits and _.- , at most 128)")
        return cls(_name(f"{head}{slash}{last}", text), tag, digest)

    def at(self, digest: str) -> "Reference":
        """Return the repository's image with a digest, without a tag."""
        return replace(self, tag="", digest=digest)


def _name(text: str, whole: str) -> Name:
    first, slash, rest = text.partition("/")
    # Docker's rule: without a dot, a port or `localhost`, the first part is a name in Docker Hub.
    if slash and (first == "localhost" or any(mark in first for mark in ".:")):
        if not _HOST.fullmatch(first):
            raise ValueError(f"{whole!r}: {first!r} is not a registry's host")
        host, path = first.lower(), rest.lower()
    else:
        host, path = DOCKER_HUB, (text if slash else f"library/{text}").lower()
    if host == "index.docker.io":
        host = DOCKER_HUB
    if not _PATH.fullmatch(path):
        raise ValueError(f"{whole!r}: {path!r} is not a repository (letters, digits, single . _ - between them, and /)")
    return Name(host, path)
