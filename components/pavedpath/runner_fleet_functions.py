"""What a runner fleet's functions run: the installed control plane as an archive, and how each is called."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pavedpath_runners
import pulumi

from .runner_fleet_policies import Function

# What no function imports: the machines' script, and the simulator with its own dependencies.
_LEFT_OUT = {"machine", "simulator", "__pycache__"}

RUNTIME, ARCHITECTURE = "python3.13", "arm64"


@dataclass(frozen=True)
class Size:
    """How one function runs. `concurrency` is how many of it may run at once; -1 leaves that to the account."""

    seconds: int
    megabytes: int = 256
    concurrency: int = -1


SIZES: Mapping[Function, Size] = {
    Function.WEBHOOK: Size(10),  # GitHub waits no longer
    # The ledger's lease on a step counts on it: an executor that is older than its time-out is dead.
    Function.LAUNCH: Size(60, 512),
    Function.RECONCILE: Size(60, 512, concurrency=1),
    Function.INTERRUPTION: Size(30),
}


def sources() -> dict[str, Path]:
    """Return the files of the control plane's package by their place in the archive."""
    package = Path(pavedpath_runners.__file__).parent
    found = (path for path in sorted(package.rglob("*.py")) if not _LEFT_OUT & set(path.relative_to(package).parts))
    return {path.relative_to(package.parent).as_posix(): path for path in found}


def code() -> pulumi.AssetArchive:
    """Return the functions' archive. The engine writes it with names in order and one fixed time."""
    return pulumi.AssetArchive({name: pulumi.FileAsset(path) for name, path in sources().items()})
