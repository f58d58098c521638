"""When each secret of a SOPS file got its value, in a file beside it that holds no secrets and is committed.

SOPS itself knows only when anything in the file was changed last, which says little of a value: rotating one would make
all the others look new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from pavedpath_delivery.kit.errors import DeliveryError, Exit

_HEADING = "# When the secrets of {name} got their values. Written by `pavedpath rotate sops`; commit it.\n"


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    rotated: dict[Annotated[str, Field(min_length=1)], AwareDatetime]


@dataclass(frozen=True)
class Sidecar:
    """The file's place and content."""

    path: Path
    rotated: Mapping[str, datetime]


def path_of(sops_file: Path) -> Path:
    """Return the place of a file's sidecar: dev.rotated.yaml beside dev.secrets.yaml."""
    stem = sops_file.name.removesuffix(sops_file.suffix).removesuffix(".secrets")
    return sops_file.with_name(f"{stem}.rotated.yaml")


def read(sops_file: Path) -> Sidecar:
    """Return a file's sidecar; an empty one where there is none.

    Raises:
        DeliveryError: it is no sidecar.
    """
    path = path_of(sops_file)
    try:
        document = _Document.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Sidecar(path, {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise DeliveryError(
            f"{path} cannot be used ({type(error).__name__}). Fix: restore it from git, or remove it: ages are counted"
            " from the SOPS file then.",
            Exit.USAGE,
        ) from None
    return Sidecar(path, document.rotated)


def text(sops_file: Path, rotated: Mapping[str, datetime]) -> str:
    """Return the text of a sidecar."""
    times = {name: at.astimezone(UTC).isoformat(timespec="seconds") for name, at in sorted(rotated.items())}
    return _HEADING.format(name=sops_file.name) + yaml.safe_dump({"version": 1, "rotated": times}, sort_keys=False)
