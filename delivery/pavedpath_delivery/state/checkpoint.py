"""What an exported state says, and how two of them differ. Pure.

Source of the form: `sdk/go/common/apitype` of pulumi (UntypedDeployment, DeploymentV3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pavedpath_delivery.kit.documents import Json, fields, objects

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the mark of a secret, the same in every state
# They change without the resource changing: where in the program it was declared, and when it was touched.
_INCIDENTAL = frozenset({"sourcePosition", "stackTrace", "created", "modified"})


@dataclass(frozen=True)
class Facts:
    """What a state says of itself.

    `project` and `stack` are empty if it has no resources; `written` is when the engine wrote it, None if it is new.
    """

    project: str
    stack: str
    written: datetime | None
    resources: int
    pending: int


def facts(export: Json) -> Facts:
    """Return what a state says of itself."""
    deployment = _deployment(export)
    resources = objects(deployment.get("resources"))
    urn = str(resources[0].get("urn", "")) if resources else ""
    stack, _, rest = urn.removeprefix("urn:pulumi:").partition("::")
    written = str(fields(deployment.get("manifest")).get("time", ""))
    return Facts(
        rest.partition("::")[0],
        stack,
        _time(written),
        len(resources),
        len(objects(deployment.get("pending_operations"))),
    )


def faults(export: Json, project: str, stack: str) -> list[str]:
    """Say why an export is no state of this stack, if it is none."""
    if not isinstance(export, Mapping) or not isinstance(fields(export).get("deployment"), Mapping):
        return ["it is not what `pulumi stack export` writes: there is no `deployment`"]
    found = fields(export)
    problems: list[str] = []
    if found.get("version") not in (3, 4):
        problems.append(f"its version is {found.get('version')!r}; 3 and 4 are known")
    resources = objects(_deployment(export).get("resources"))
    foreign = [
        str(resource.get("urn"))
        for resource in resources
        if not str(resource.get("urn")).startswith(f"urn:pulumi:{stack}::{project}::")
    ]
    if foreign:
        problems.append(f"{len(foreign)} of its resources are not of {project}/{stack}, the first is {foreign[0]}")
    if has_plain_secrets(export):
        problems.append("its secrets are in plain text: export it again without --show-secrets, and delete this file")
    return problems


def has_plain_secrets(value: Json) -> bool:
    """Whether a secret stands there decrypted."""
    if isinstance(value, Mapping):
        found = fields(value)
        if found.get(_SIGNATURE) == _SECRET and "plaintext" in found:
            return True
        return any(has_plain_secrets(item) for item in found.values())
    return isinstance(value, list) and any(has_plain_secrets(item) for item in cast(list[Json], value))


def comparable(export: Json) -> Json:
    """Return what must be the same in two copies of a state: the ciphertexts differ with every writing."""
    deployment = _deployment(export)
    return {name: _masked(deployment.get(name) or []) for name in ("resources", "pending_operations")}


def identical(one: Json, other: Json) -> bool:
    """Whether two exports are one state; only the time tells where nothing but a secret's value differs."""
    return comparable(one) == comparable(other) and facts(one).written == facts(other).written


def _masked(value: Json) -> Json:
    if isinstance(value, Mapping):
        found = fields(value)
        if found.get(_SIGNATURE) == _SECRET:
            return {_SIGNATURE: _SECRET}
        return {key: _masked(item) for key, item in found.items()}
    return [_masked(item) for item in cast(list[Json], value)] if isinstance(value, list) else value


@dataclass(frozen=True)
class Difference:
    """How one resource differs: `change` is `added`, `removed` or `changed` by the restore; `properties` by path."""

    urn: str
    change: str
    properties: tuple[str, ...] = ()


def differences(now: Json, then: Json) -> list[Difference]:
    """Return what putting the state `then` in the place of `now` changes; values are not told."""
    before, after = _by_urn(now), _by_urn(then)
    found: list[Difference] = []
    for key in [*after, *(key for key in before if key not in after)]:
        if key not in before:
            found.append(Difference(key[0], "added"))
        elif key not in after:
            found.append(Difference(key[0], "removed"))
        elif paths := _paths(before[key], after[key]):
            found.append(Difference(key[0], "changed", tuple(paths)))
    return found


def _by_urn(export: Json) -> dict[tuple[str, str], Mapping[str, Any]]:
    # A resource that is being replaced stands there twice, and its ids differ.
    resources = objects(fields(comparable(export)).get("resources"))
    twice: dict[str, int] = {}
    for resource in resources:
        twice[str(resource.get("urn"))] = twice.get(str(resource.get("urn")), 0) + 1
    return {
        (urn := str(resource.get("urn")), str(resource.get("id", "")) if twice[urn] > 1 else ""): resource
        for resource in resources
    }


def _paths(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    paths: list[str] = []
    for name in sorted({*before, *after} - _INCIDENTAL):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            olds, news = fields(cast(Json, old)), fields(cast(Json, new))
            paths += [f"{name}.{key}" for key in sorted({*olds, *news}) if olds.get(key) != news.get(key)]
        else:
            paths.append(name)
    return paths


def _deployment(export: Json) -> Mapping[str, Any]:
    return fields(fields(export).get("deployment"))


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # A stack that was never updated has Go's zero time.
    return None if found.year <= 1 else found.astimezone(UTC)
