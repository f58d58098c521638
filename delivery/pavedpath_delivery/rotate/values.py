"""New values of secrets: made here, or taken from an environment variable; never from an argument."""

import base64
import math
import re
import secrets
import string
from collections.abc import Callable, Mapping

from pavedpath_delivery.kit.errors import DeliveryError, Exit

_SPECIFICATION = re.compile(r"(?P<kind>[a-z]+):(?P<size>[0-9]{1,4})")
_CHARACTERS = string.ascii_letters + string.digits
_LEAST_BITS = 128
"""Source: NIST SP 800-131A, security strength of 112 bits and more for what protects data; the next usual size."""
_MOST = 1024


def _url_safe(size: int, random_bytes: Callable[[int], bytes]) -> str:
    return base64.urlsafe_b64encode(random_bytes(size)).decode().rstrip("=")


def _letters(size: int, random_bytes: Callable[[int], bytes]) -> str:
    chosen: list[str] = []
    while len(chosen) < size:
        # A byte beyond the last whole multiple is dropped: the first characters would else be likelier.
        even = 256 - 256 % len(_CHARACTERS)
        chosen += [_CHARACTERS[byte % len(_CHARACTERS)] for byte in random_bytes(size) if byte < even]
    return "".join(chosen[:size])


_KINDS: Mapping[str, tuple[float, Callable[[int, Callable[[int], bytes]], str]]] = {
    "random": (8.0, _url_safe),
    "hex": (8.0, lambda size, random_bytes: random_bytes(size).hex()),
    "letters": (math.log2(len(_CHARACTERS)), _letters),
}


def generate(specification: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return a new value.

    Args:
        specification: `random:N` (N random bytes as URL-safe base64), `hex:N` (N random bytes in hexadecimal) or
            `letters:N` (N letters and digits), at least 128 bits.
        random_bytes: where chance comes from; by default the operating system.

    Raises:
        DeliveryError: no such specification, or too few or too many bits.
    """
    found = _SPECIFICATION.fullmatch(specification)
    if found is None or found["kind"] not in _KINDS:
        known = ", ".join(f"{kind}:N" for kind in _KINDS)
        raise DeliveryError(f"--generate {specification} is none of {known}. Fix: random:32, for example.", Exit.USAGE)
    bits, make = _KINDS[found["kind"]]
    size = int(found["size"])
    if bits * size < _LEAST_BITS or size > _MOST:
        least = math.ceil(_LEAST_BITS / bits)
        raise DeliveryError(
            f"--generate {specification} is out of bounds. Fix: {found['kind']}:{least} to {found['kind']}:{_MOST}.",
            Exit.USAGE,
        )
    return make(size, random_bytes)


def from_environment(variable: str, environ: Mapping[str, str]) -> str:
    """Return a value that was made elsewhere.

    Raises:
        DeliveryError: the variable is not set, or empty.
    """
    value = environ.get(variable, "")
    if not value:
        raise DeliveryError(f"The environment variable {variable} is not set, or empty.", Exit.USAGE)
    return value
