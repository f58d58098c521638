"""Which account, region, cluster and addresses belong to which environment, and the guard against another's.

Every environment's file stands beside the others, so what one states can be compared with what the others state, and a
stack that is run with another one's credentials can say whose they are (docs/decisions/0007).
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from pavedpath.subnets import overlaps

from .settings import ENVIRONMENTS, PROJECT


@dataclass(frozen=True)
class Identity:
    """What one environment's file states; an empty text where it states nothing usable."""

    account: str = ""
    """AWS account id."""
    region: str = ""
    """AWS region."""
    cluster: str = ""
    """Name of the cluster in the kubeconfig."""
    cidr: str = ""
    """Range of the VPC."""


class WrongEnvironmentError(pulumi.RunError):
    """The stack was run with another environment's credentials or cluster."""


def identity_of(config: Mapping[str, Any]) -> Identity:
    """Read an identity off a stack's configuration, flat (`namespace:key` to text) or as its file holds it."""
    network = _mapping(config.get(f"{PROJECT}:network"))
    return Identity(
        _text(config.get(f"{PROJECT}:account")),
        _text(config.get("aws:region")),
        _text(config.get(f"{PROJECT}:cluster")),
        _text(network.get("cidr")),
    )


def read_identities(root: Path) -> dict[str, Identity]:
    """Read what each environment's file states; a file that cannot be read states nothing, its own stack says why."""
    found: dict[str, Identity] = {}
    for environment in ENVIRONMENTS:
        try:
            document: object = yaml.safe_load((root / f"Pulumi.{environment}.yaml").read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            document = None
        found[environment] = identity_of(_mapping(_mapping(document).get("config")))
    return found


def conflicts(environment: str, identities: Mapping[str, Identity]) -> Iterator[str]:
    """Yield what two environments claim at the same time, an account, a cluster, addresses, and a missing region.

    Args:
        environment: the stack whose settings are looked at.
        identities: what each environment's file states.
    """
    if not identities[environment].region:
        # Without it the provider takes the region of the shell, which may be another environment's.
        yield "aws:region: it is required and not given. Fix: add it"
    for (one, first), (other, second) in itertools.combinations(identities.items(), 2):
        for key in ("account", "cluster"):
            shared = getattr(first, key)
            if shared and shared == getattr(second, key):
                yield (
                    f"{PROJECT}:{key} = {shared}: {one} and {other} both state it, so each could reach what is the"
                    f" other's. Fix: give each environment {'an' if key == 'account' else 'a'} {key} of its own"
                )
    ranges = {environment: identity.cidr for environment, identity in identities.items() if identity.cidr}
    for problem in overlaps(ranges):
        yield f"{PROJECT}:network.cidr = {problem.value}: {problem.why}. Fix: {problem.fix}"


_REMEDIES = {
    "account": "use credentials of that account (AWS_PROFILE or AWS_ACCESS_KEY_ID; in the sandbox: pavedpath-sandbox"
    " env --environment {environment})",
    "cluster": "set KUBECONFIG to a file whose current context points to that cluster",
}


def require(found: Mapping[str, str], environment: str, of: Mapping[str, Identity]) -> None:
    """Refuse a stack that was run with an account or a cluster that is not its own.

    Args:
        found: `account` that the credentials belong to, `cluster` that the kubeconfig points to.
        environment: the stack.
        of: what each environment's file states.

    Raises:
        WrongEnvironmentError: they are another one's; the message says whose.
    """
    wrong = [_wrong(key, value, environment, of) for key, value in found.items()]
    if said := " ".join(each for each in wrong if each):
        raise WrongEnvironmentError(f"{said} Nothing was changed.")


def _wrong(key: str, found: str, environment: str, of: Mapping[str, Identity]) -> str | None:
    expected: str = getattr(of[environment], key)
    if found == expected:
        return None
    owners = [name for name, identity in of.items() if getattr(identity, key) == found]
    whose = f"which is {owners[0]}'s" if owners else "which is no environment's"
    return (
        f"stack {environment} belongs to {key} '{expected}', but was run with {key} '{found}', {whose}."
        f" Fix: {_REMEDIES[key].format(environment=environment)}."
    )


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
