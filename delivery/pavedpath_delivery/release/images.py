"""The images of registries, by the client that promotes them."""

from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.registry import Registries
from pavedpath_delivery.kit.errors import DeliveryError, Exit


class RegistryIndex:
    """What registries have."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    def has(self, image: str, tag: str) -> bool:
        """Return whether an image is there under a tag."""
        return self._registries.open(Reference.parse(image).name).digest(tag) is not None


def check_names(images: list[str]) -> None:
    """Refuse what is no image's name.

    Raises:
        DeliveryError: names all of them; one with a tag or digest, too: which tag is asked for follows from the commit.
    """
    problems: list[str] = []
    for image in images:
        try:
            reference = Reference.parse(image)
        except ValueError as error:
            problems.append(f"--image {error}")
            continue
        if reference.tag or reference.digest:
            problems.append(f"--image {image}: a name without tag and digest is wanted")
    if problems:
        raise DeliveryError("\n".join(problems), Exit.USAGE)
