"""The engine's events, as `pulumi up --json` writes them: one JSON object a line, exactly one of its fields set.

Source of the shapes: `sdk/go/common/apitype/events.go` of pulumi. Unknown fields and unknown events are ignored, so
that a newer engine is no error.
"""

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pavedpath_delivery.kit.documents import Json, Properties

SECRET = "[secret]"  # noqa: S105  printed in place of a secret
_SIGNATURE = "4dabf18193072939515e22adb298388d"  # resource.SigKey of the engine: marks values that are not plain JSON
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  resource.SecretSig of the engine

LATER = "(known later)"
_UNKNOWN = (
    frozenset(  # sdk/go/common/resource/plugin/rpc.go: what stands in a preview for a value that is not known yet
        {
            "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
            "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
            "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
            "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
            "030794c1-ac77-496b-92df-f27374a8bd58",
            "e48ece36-62e2-4504-bad9-02848725956a",
            "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
        }
    )
)

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"
RELEASE_TYPE = "kubernetes:helm.sh/v3:Release"


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class PropertyDiff(_Model):
    """How one property differs; `input_diff`: between inputs, otherwise between the old state and the new inputs."""

    kind: str = Field(default="update", alias="diffKind")
    input_diff: bool = Field(default=False, alias="inputDiff")


class ResourceState(_Model):
    """A resource before or after a step; secrets are already blinded by the engine."""

    id: str = ""
    custom: bool = False
    inputs: Properties = {}
    outputs: Properties = {}
    init_errors: list[str] | None = Field(default=None, alias="initErrors")


class Step(_Model):
    """One step of the engine on one resource; `op` is `create`, `update`, `same`, …"""

    op: str
    urn: str
    type: str
    old: ResourceState | None = None
    new: ResourceState | None = None
    diffs: list[str] | None = None
    detailed_diff: dict[str, PropertyDiff] | None = Field(default=None, alias="detailedDiff")

    @property
    def custom(self) -> bool:
        """Whether a provider manages the resource; otherwise it is a component."""
        state = self.new or self.old
        return state is not None and state.custom


class StepEvent(_Model):
    """Begin, end or failure of a step."""

    metadata: Step


class Diagnostic(_Model):
    """A message; `severity` is `info`, `info#err` (the program's stderr), `warning`, `error` or `debug`."""

    urn: str = ""
    message: str
    severity: str
    ephemeral: bool = False


class PolicyViolation(_Model):
    """A policy that a resource does not keep."""

    urn: str = Field(default="", alias="resourceUrn")
    message: str
    policy: str = Field(default="", alias="policyName")
    level: str = Field(default="", alias="enforcementLevel")


class Summary(_Model):
    """The end of an operation; `changes` counts resources by step."""

    seconds: int = Field(default=0, alias="durationSeconds")
    changes: dict[str, int] = Field(default_factory=dict[str, int], alias="resourceChanges")
    result: str = ""


class Event(_Model):
    """One line of the engine."""

    started: StepEvent | None = Field(default=None, alias="resourcePreEvent")
    finished: StepEvent | None = Field(default=None, alias="resOutputsEvent")
    failed: StepEvent | None = Field(default=None, alias="resOpFailedEvent")
    diagnostic: Diagnostic | None = Field(default=None, alias="diagnosticEvent")
    policy: PolicyViolation | None = Field(default=None, alias="policyEvent")
    summary: Summary | None = Field(default=None, alias="summaryEvent")


def parse_event(line: str) -> Event | None:
    """Return the event of a line, or None for what is not one.

    Debug messages are dropped here, before anything can keep them: the SDK logs outputs in plain text in them.
    """
    try:
        event = Event.model_validate_json(line)
    except ValidationError:
        return None
    if event.diagnostic and event.diagnostic.severity == "debug":
        return None
    return event


def plain(value: Json) -> Json:
    """Return a value of an event or a state as plain JSON: secrets as `[secret]`, unknown values as words."""
    if isinstance(value, Mapping):
        entries = cast(Properties, value)
        if _SIGNATURE in entries:
            if entries[_SIGNATURE] == _SECRET_SIGNATURE:
                return SECRET
            return plain(entries["value"]) if "value" in entries else f"[{entries.get('path') or 'asset'}]"
        return {key: plain(item) for key, item in entries.items()}
    if isinstance(value, list):
        return [plain(item) for item in cast(list[Json], value)]
    return LATER if isinstance(value, str) and value in _UNKNOWN else value


def resource_name(urn: str) -> str:
    """Return the logical name in a URN (`urn:pulumi:STACK::PROJECT::TYPES::NAME`)."""
    return urn.split("::", 3)[-1]


def resource_type(urn: str) -> str:
    """Return the type in a URN, without those of the parents."""
    parts = urn.split("::", 3)
    return parts[2].rsplit("$", 1)[-1] if len(parts) == 4 else ""


def short_type(token: str) -> str:
    """Return a type token as people say it: `aws:ec2/vpc:Vpc` as `aws:ec2:Vpc`."""
    package, _, rest = token.partition(":")
    module, _, kind = rest.partition(":")
    if package == "kubernetes":
        return f"kubernetes:{kind}"
    return ":".join(part for part in (package, module.split("/")[0].removeprefix("index"), kind) if part)
