"""SOPS files: decrypted into memory, and kept out of everything that is shown."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import Json, Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

HIDDEN = "(secret)"
_SHORTEST = 4
"""Shorter values are not looked for: `1` or `dev` would take half of a message away."""
_TIMEOUT_S = 60.0


def decrypt(path: Path, environ: Mapping[str, str]) -> Properties:
    """Return what a SOPS file holds; the key comes from the job's own credentials.

    Raises:
        DeliveryError: it cannot be opened; says why, in the words of sops.
    """
    done = programs.call(
        [programs.find("sops", "open the files of secrets"), "decrypt", "--output-type", "json", str(path)],
        environ=environ,
        timeout=_TIMEOUT_S,
    )
    if done.code:
        said = " ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise DeliveryError(
            f"{path}: sops cannot open it: {said[:600]}. Fix: give the job a role that may use the file's key.",
            Exit.USAGE,
        )
    return fields(json.loads(done.stdout))


def texts(tree: Json) -> Iterator[str]:
    """Yield the values of a tree as texts, as a chart may write them. Pure."""
    if isinstance(tree, Mapping):
        for value in cast(Mapping[str, Any], tree).values():
            yield from texts(value)
    elif isinstance(tree, list):
        for value in cast(list[Any], tree):
            yield from texts(value)
    elif tree is not None and not isinstance(tree, bool):
        yield str(tree)


class Hider:
    """Takes secrets out of a text: as they are, line by line, within JSON, and in base64. Pure."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
        # Longest first: a secret that is part of another would leave the rest of that one.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def __call__(self, text: str) -> str:
        """Return the text with every secret replaced."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield base64.b64encode(secret.encode()).decode()
    for line in secret.splitlines():
        yield line.strip()
