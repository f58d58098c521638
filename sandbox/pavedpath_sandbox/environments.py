"""The environments that a sandbox plays. Each has an AWS account and a cluster of its own; the rest they share."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT = "dev"
ACCOUNTS: Mapping[str, str] = {DEFAULT: "123456789012", "prod": "210987654321"}  # the first is moto's own
NAMES = tuple(ACCOUNTS)


def cluster_name(environment: str) -> str:
    """The name of the cluster and the context in its kubeconfig."""
    return f"pavedpath-{environment}"


def qualified(name: str, environment: str) -> str:
    """The name of an environment's own part or port: the default's goes without a suffix."""
    return name if environment == DEFAULT else f"{name}-{environment}"


def check(names: tuple[str, ...]) -> None:
    """Refuse names that are no environment's.

    Raises:
        ValueError: names all of them.
    """
    if unknown := sorted(set(names) - set(NAMES)):
        raise ValueError(f"no such environment of a sandbox: {', '.join(unknown)}; there are {', '.join(NAMES)}")
