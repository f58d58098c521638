"""The digest that a tag names: what a job hands on, since a tag may name another image by the time it is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.registry import Repository
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Resolved:
    """The answer of `pavedpath image resolve`; `digest` is empty for a tag that is not there and need not be."""

    asked: Reference
    digest: str
    code: Exit = Exit.OK

    @property
    def image(self) -> str:
        """IMAGE@DIGEST, or nothing."""
        return str(self.asked.at(self.digest)) if self.digest else ""

    def document(self) -> Mapping[str, Any]:
        """Return the whole answer."""
        return {"asked": str(self.asked), **self.outputs()}

    def show(self, console: "Console") -> None:
        """Print the image."""
        console.print(self.image or f"{self.asked} is not there", markup=False)

    def summary(self) -> str:
        """Return nothing: who uses it says it."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return `image`, as IMAGE@DIGEST, and `digest`."""
        return {"image": self.image, "digest": self.digest}


def resolve(repository: Repository, reference: Reference, *, if_there: bool = False) -> Resolved:
    """Return the digest that a reference names.

    Args:
        repository: where to ask.
        reference: with a tag or a digest.
        if_there: whether it may be missing.

    Raises:
        DeliveryError: the image is not there.
    """
    digest = repository.digest(reference.digest or reference.tag)
    if digest is None and not if_there:
        raise DeliveryError(
            f"{reference} is not there.\n"
            "Fix: look whether the run that makes this tag succeeded; each environment tags what it ran. ghcr.io says"
            " so to who may not read it, too: docker login.",
        )
    return Resolved(reference, digest or "")
