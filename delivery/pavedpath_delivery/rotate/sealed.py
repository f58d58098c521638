"""A SOPS file as it lies there, unopened: names of its secrets, and when it was changed last. Pure but for `read`.

Source: SOPS, README, "Encryption protocol": a value is ENC[AES256_GCM,data:…,type:…]; keys stay as they are.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias, cast

import yaml

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_SEALED = re.compile(r"ENC\[AES256_GCM,.*,type:(?P<type>\w+)\]", re.DOTALL)
KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Sealed:
    """An encrypted file.

    Args:
        path: the file.
        content: its bytes.
        leaves: each encrypted value, as it lies there, by its path.
        metadata: SOPS's own part.
        changed: when anything in it was changed last.
    """

    path: Path
    content: bytes
    leaves: Mapping[KeyPath, str]
    metadata: Properties
    changed: datetime

    @property
    def names(self) -> Mapping[str, KeyPath]:
        """The path of each secret by its name, for example secrets.DATABASE_URL."""
        return {dotted(path): path for path in self.leaves}

    @property
    def recipients(self) -> Properties:
        """Who opens it: SOPS's part without what each change renews."""
        renewed = {"mac", "lastmodified", "version", *_HOLDERS}
        kept = {key: value for key, value in self.metadata.items() if key not in renewed}
        return {**kept, **{kind: [_identity(each) for each in objects(self.metadata.get(kind))] for kind in _HOLDERS}}

    def find(self, wanted: Sequence[str]) -> list[KeyPath]:
        """Return the paths of secrets by their names, or by their last parts where only one has it.

        Raises:
            DeliveryError: one is not there, ambiguous, or no text; names all of them.
        """
        found: list[KeyPath] = []
        problems: list[str] = []
        for name in dict.fromkeys(wanted):
            match = [path for known, path in self.names.items() if known == name]
            match = match or [path for path in self.leaves if str(path[-1]) == name]
            if len(match) == 1:
                found += match
                kind = _SEALED.fullmatch(self.leaves[match[0]])
                if kind is None or kind["type"] != "str":
                    problems.append(f"{name} is no text")
            elif match:
                problems.append(f"{name} could be {' or '.join(map(dotted, match))}")
            else:
                near = get_close_matches(name, [*self.names, *(str(path[-1]) for path in self.leaves)], 1)
                problems.append(f"{name} is not in it" + (f" (nearest: {near[0]})" if near else ""))
        if problems:
            raise DeliveryError(f"{self.path}: {'; '.join(problems)}.", Exit.USAGE)
        return found


_HOLDERS = ("kms", "age", "pgp", "gcp_kms", "azure_kv", "hc_vault", "key_groups")


def _identity(holder: Properties) -> Properties:
    return {key: value for key, value in holder.items() if key not in ("enc", "created_at")}


def dotted(path: KeyPath) -> str:
    """Return the name of a path."""
    return ".".join(map(str, path))


def read(path: Path) -> Sealed:
    """Return a file without opening it.

    Raises:
        DeliveryError: it is missing or not sealed by SOPS.
    """
    try:
        return parse(path, path.read_bytes())
    except OSError as error:
        raise DeliveryError(f"{path} cannot be read ({error.strerror}).", Exit.USAGE) from None


def parse(path: Path, content: bytes) -> Sealed:
    """Return a file from its content.

    Raises:
        DeliveryError: it is not sealed by SOPS.
    """
    try:
        document = fields(yaml.safe_load(content))
        metadata = fields(document.get("sops"))
        changed = datetime.fromisoformat(str(metadata["lastmodified"]))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, ValueError):
        raise DeliveryError(f"{path} is no YAML file that SOPS has sealed. Fix: sops encrypt it.", Exit.USAGE) from None
    if changed.tzinfo is None:
        raise DeliveryError(f"{path}: lastmodified has no time zone. Fix: write it with sops only.", Exit.USAGE)
    tree = {key: value for key, value in document.items() if key != "sops"}
    leaves = {at: value for at, value in walk(tree) if isinstance(value, str) and _SEALED.fullmatch(value)}
    return Sealed(path, content, leaves, metadata, changed)


def walk(tree: Json, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Json]]:
    """Yield each leaf of a tree with its path."""
    if isinstance(tree, Mapping):
        for key, value in cast(Mapping[str, Json], tree).items():
            yield from walk(value, (*at, str(key)))
    elif isinstance(tree, list):
        for index, value in enumerate(cast(list[Json], tree)):
            yield from walk(value, (*at, index))
    else:
        yield at, tree
