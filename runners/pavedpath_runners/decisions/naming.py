"""Names of machines: of a name follow its client token, its registration and its record."""

import hashlib

LIMIT = 64
"""GitHub refuses a runner's name that is longer (REST API, "Create configuration for a just-in-time runner")."""


def runner_name(fleet: str, job: int, attempt: int) -> str:
    """Return the name of the machine that is launched for a job, for the `attempt`th time."""
    return _fitted(f"{fleet}-{job}-{attempt}")


def warm_name(fleet: str, pool: str, number: int) -> str:
    """Return the name of a pool's warm machine. No job's machine has it: a job's id is a number, and no `warm`."""
    return _fitted(f"{fleet}-warm-{pool}-{number}")


def _fitted(name: str) -> str:
    """Keep its beginning, by which a fleet finds its own, and put a digest of it all for what is too long."""
    if len(name) <= LIMIT:
        return name
    digest = hashlib.blake2s(name.encode(), digest_size=10).hexdigest()
    return f"{name[: LIMIT - len(digest) - 1]}-{digest}"
