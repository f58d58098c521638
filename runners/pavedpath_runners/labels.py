"""The labels by which a job finds the runners of its environment."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# Source: GitHub refuses a custom label that is empty, longer than 256 characters or holds a comma.
_LABEL = re.compile(r"^[A-Za-z0-9._-]{1,256}$")
_RESERVED = frozenset({"self-hosted", "linux", "windows", "macos", "x64", "arm", "arm64"})


class Architecture(StrEnum):
    """Processor architecture of a pool's machines, as GitHub labels it."""

    X64 = "x64"
    ARM64 = "arm64"


@dataclass(frozen=True)
class RunnerLabels:
    """Labels of one pool: what a job's `runs-on` must name to run inside an environment's network.

    Raises:
        ValueError: the environment's name cannot be a label.
    """

    environment: str
    architecture: Architecture = Architecture.ARM64

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.environment) or self.environment.lower() in _RESERVED:
            raise ValueError(
                f"runner label {self.environment!r}: GitHub refuses it or gives it itself. Fix: name the environment"
                " with letters, digits, . _ - and none of: " + ", ".join(sorted(_RESERVED))
            )

    def __iter__(self) -> Iterator[str]:
        """Yield the labels, the reserved ones first."""
        yield from ("self-hosted", "linux", str(self.architecture), self.environment)

    def to_json(self) -> str:
        """Return the labels as JSON, for `runs-on: ${{ fromJSON(vars.RUNNER_LABELS) }}`."""
        return json.dumps(list(self))
