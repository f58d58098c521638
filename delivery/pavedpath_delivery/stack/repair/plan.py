"""What to do with each operation that a killed engine left pending. Pure.

The engine keeps such operations in the state (`deployment.pending_operations`). A pending create means: perhaps the
resource exists, and nobody knows its id. `pulumi refresh --import-pending-creates URN ID` only drops the operation
(measured with 3.259: the resource is then in the cloud and in no state), so the state is edited here instead: what
exists is entered with its import id and refreshed, which makes the provider import it.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.stack.events import PROVIDER_PREFIX, RELEASE_TYPE, STACK_TYPE, plain

_BRIDGED = ("aws:", "github:")


@dataclass(frozen=True)
class PendingOperation:
    """An operation that began and did not end.

    `kind` is `creating`, `updating`, `deleting`, `reading` or `importing`; `inputs` are the resource's, `provider`
    those of its provider (region, owner, …), both as the state holds them.
    """

    kind: str
    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict[str, Any])
    provider: Properties = field(default_factory=dict[str, Any])

    def text(self, *names: str) -> str:
        """Return the first of these inputs that is a known, non-empty text; empty if there is none."""
        for name in names:
            value = plain(self.inputs.get(name))
            if isinstance(value, str) and value and not value.startswith("[secret]"):
                return value
        return ""

    @property
    def tags(self) -> dict[str, str]:
        """The tags it is created with."""
        every = [fields(plain(self.inputs.get(name))) for name in ("tagsAll", "tags")]
        return {key: str(value) for tags in every for key, value in tags.items() if not key.startswith("__")}


@dataclass(frozen=True)
class Absent:
    """The resource does not exist."""


@dataclass(frozen=True)
class Repeatable:
    """Creating it again is harmless: the API sets, it does not add."""


@dataclass(frozen=True)
class Exists:
    """The resource exists.

    Either `id` is the form that the provider imports. Or (`seeded`) it is the one that the state holds, and the
    inputs are entered as the first outputs: then the provider reads it as one of its own, and what an API does not
    tell (flags of the provider, addresses that an emulator leaves out) is not taken for a change.
    """

    id: str
    seeded: bool = False


@dataclass(frozen=True)
class Unclear:
    """It cannot be told, for this reason."""

    reason: str


Reality: TypeAlias = Absent | Repeatable | Exists | Unclear


@dataclass(frozen=True)
class Action:
    """What is done about one operation: `verb` is `adopt`, `clear`, `recheck`, `redo` or `ask`; `why` says why.

    `id` and `seeded` are those of `Exists`, for `adopt`.
    """

    verb: str
    urn: str
    why: str
    id: str = ""
    seeded: bool = False


def pending_operations(export: Json) -> list[PendingOperation]:
    """Return the operations that an exported state holds as pending."""
    providers = {f"{r['urn']}::{r.get('id', '')}": r for r in _resources(export)}
    operations: list[PendingOperation] = []
    for raw in objects(_deployment(export).get("pending_operations")):
        resource = fields(raw["resource"])
        operations.append(
            PendingOperation(
                kind=str(raw["type"]),
                urn=str(resource["urn"]),
                type=str(resource["type"]),
                custom=bool(resource.get("custom")),
                id=str(resource.get("id", "")),
                inputs=fields(resource.get("inputs")),
                provider=fields(providers.get(str(resource.get("provider")), {}).get("inputs")),
            )
        )
    return operations


def known_ids(export: Json) -> frozenset[str]:
    """Return the ids of the resources that the state already has."""
    return frozenset(str(r["id"]) for r in _resources(export) if r.get("id"))


def protected(export: Json) -> list[str]:
    """Return the URNs of the resources that may not be deleted."""
    return [str(r["urn"]) for r in _resources(export) if r.get("protect")]


def resource_count(export: Json) -> int:
    """Return how many resources the state has, without the stack and the providers."""
    return sum(not str(r["type"]).startswith((PROVIDER_PREFIX, STACK_TYPE)) for r in _resources(export))


def _deployment(export: Json) -> Properties:
    return fields(fields(export).get("deployment"))


def _resources(export: Json) -> list[Properties]:
    return objects(_deployment(export).get("resources"))


def needs_look(operation: PendingOperation) -> bool:
    """Whether only the cloud can tell what became of an operation."""
    return operation.kind == "creating" and operation.custom and not operation.type.startswith(PROVIDER_PREFIX)


def decide(operations: Iterable[PendingOperation], reality: Mapping[str, Reality]) -> list[Action]:
    """Return one action for each operation.

    Args:
        operations: the pending ones.
        reality: by URN, what is known of the resources of those that `needs_look`.
    """
    return [
        _of_creation(operation.urn, reality.get(operation.urn, Unclear("nobody looked")))
        if needs_look(operation)
        else _of_known(operation)
        for operation in operations
    ]


def _of_known(operation: PendingOperation) -> Action:
    if operation.kind == "updating" and operation.type == RELEASE_TYPE:
        return Action("redo", operation.urn, "its upgrade was interrupted, the next `up` applies it again")
    if operation.kind in ("updating", "deleting") and operation.custom:
        return Action("recheck", operation.urn, f"it was interrupted while {operation.kind}")
    return Action("clear", operation.urn, "nothing outside the state depends on it")


def _of_creation(urn: str, reality: Reality) -> Action:
    match reality:
        case Absent():
            return Action("clear", urn, "it had not been created")
        case Repeatable():
            return Action("clear", urn, "creating it again is harmless")
        case Exists(id=found, seeded=seeded):
            return Action("adopt", urn, "it had been created", found, seeded)
        case Unclear(reason=reason):
            return Action("ask", urn, reason)


def edit(export: Json, actions: Iterable[Action]) -> Json:
    """Return the state with the actions done: every operation decided on is gone, what exists is a resource.

    An adopted resource goes to the end of the list, behind all it can depend on. Without outputs, a refresh imports
    it. If the state already has one of that URN, the pending create was half of a replacement, and
    the old one waits for its deletion.
    """
    decided = {action.urn: action for action in actions if action.verb != "ask"}
    result = copy.deepcopy(export)
    deployment = cast(dict[str, Any], result["deployment"])
    operations = cast(list[dict[str, Any]], deployment.get("pending_operations") or [])
    resources = cast(list[dict[str, Any]], deployment.get("resources") or [])
    for operation in operations:
        resource = cast(dict[str, Any], operation["resource"])
        action = decided.get(str(resource["urn"]))
        if action is None or action.verb != "adopt" or operation["type"] != "creating":
            continue
        for existing in resources:
            if existing["urn"] == action.urn:
                existing["delete"] = True
        outputs = dict(fields(resource.get("inputs"))) if action.seeded else {}
        resources.append({**resource, "id": action.id, "outputs": outputs})
    for resource in resources:
        if (action := decided.get(str(resource["urn"]))) and action.verb == "redo":
            # Helm forgets the unfinished upgrade, but objects have been changed already. Its provider compares the
            # program with these outputs alone, so one of them has to differ for the chart to be applied.
            resource["outputs"] = {**fields(resource.get("outputs")), "chart": "(interrupted)"}
    deployment["resources"] = resources
    deployment["pending_operations"] = [o for o in operations if str(o["resource"]["urn"]) not in decided]
    return result


def rechecked(export: Json, actions: Iterable[Action]) -> list[str]:
    """Return the URNs to be rechecked that the state has."""
    present = {str(r["urn"]) for r in _resources(export)}
    return [action.urn for action in actions if action.verb == "recheck" and action.urn in present]


def unread(export: Json) -> list[str]:
    """Return the URNs of resources that were entered into the state and not yet read.

    They have no outputs; or, seeded, they lack the `id` that is among the outputs of every resource of a bridged
    provider.
    """
    return [str(r["urn"]) for r in _resources(export) if r.get("custom") and r.get("id") and _unread(r)]


def _unread(resource: Properties) -> bool:
    outputs, kind = fields(resource.get("outputs")), str(resource["type"])
    return not kind.startswith("pulumi:") and (not outputs or (kind.startswith(_BRIDGED) and "id" not in outputs))
