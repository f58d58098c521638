"""What a machine does from its first boot to its end: one script, which EC2 hands it as user data."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from pavedpath_runners.labels import Architecture

USER_DATA_BYTES = 16 * 1024
"""Source: AWS, "Run commands when you launch an EC2 instance with user data input": before it is encoded."""


@dataclass(frozen=True)
class RunnerRelease:
    """A release of actions/runner, pinned by what its archives hash to."""

    version: str
    """Without the v in front, for example 2.337.0."""
    sha256: Mapping[str, str]
    """SHA-256 of the archive for Linux, by architecture (arm64, x64), as the release's page states it."""

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it."""
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.version):
            yield f"{self.version!r} is no version such as {RUNNER.version}"
        for architecture, digest in self.sha256.items():
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                yield f"the checksum for {architecture} is not 64 hexadecimal digits"


RUNNER = RunnerRelease(
    "2.337.0",
    {
        # As on the release's page. It could not be asked where this was written: the digests are those that five
        # unrelated public repositories check their downloads against. A wrong one would stop every machine at boot.
        Architecture.ARM64: "9b1dc70626422526e3c94767cf024896beb15da5342a3f4819bf2feac13e0393",
        Architecture.X64: "70920811a4f8ad4328818682bca5c6469c1c942fab52448868071d0063816613",
    },
)
"""What a machine installs unless it is told otherwise. GitHub has an older agent update itself before it gives it a
job, and refuses one that is far behind."""


@dataclass(frozen=True)
class Machine:
    """What the script of one pool's machines needs to know."""

    fleet: str
    architecture: Architecture = Architecture.ARM64
    boot_minutes: int = 10
    """How long it waits for its configuration before it ends itself."""
    lifetime_minutes: int = 720
    """How long it may live at most. It ends itself a quarter of an hour later even if nobody else does."""
    packages: Sequence[str] = ("git", "libicu")
    """Packages that dnf installs where they are missing; none for an image without dnf."""
    release: RunnerRelease = field(default_factory=lambda: RUNNER)
    allow_forks: bool = False
    """Whether it runs a fork's code if GitHub gives it such a job. If not, the job ends before its first step; the
    image needs /usr/bin/python3 for that, which every image with dnf has."""
    directory: str = "/opt/pavedpath"
    """Where the script and the agent live."""
    units: str = "/etc/systemd/system"
    """Where systemd finds its units."""


def user_data(machine: Machine) -> str:
    """Return the script of a pool's machines, as text.

    Raises:
        ValueError: the release has no checksum for the architecture, or the script is longer than EC2 takes.
    """
    digest = machine.release.sha256.get(machine.architecture)
    if digest is None:
        raise ValueError(f"runner {machine.release.version} has no checksum for {machine.architecture}")
    values = {
        "FLEET": machine.fleet,
        "ARCHITECTURE": str(machine.architecture),
        "RUNNER_VERSION": machine.release.version,
        "RUNNER_SHA256": digest,
        "BOOT_MINUTES": str(machine.boot_minutes),
        "LIFETIME_MINUTES": str(machine.lifetime_minutes),
        "ALLOW_FORKS": "true" if machine.allow_forks else "false",
        "BASE": machine.directory,
        "UNITS": machine.units,
    }
    head = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    head.append(f"PACKAGES=({' '.join(shlex.quote(each) for each in machine.packages)})")
    body = files(__name__).joinpath("machine.sh").read_text("utf-8")
    script = "\n".join(["#!/bin/bash", *head, body])
    if len(script.encode()) > USER_DATA_BYTES:
        raise ValueError(f"the user data is {len(script.encode())} bytes, and EC2 takes {USER_DATA_BYTES}")
    return script
