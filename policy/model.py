"""What rules are made of: plain data in, findings out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

Data: TypeAlias = Any
"""A property: JSON, with `UNKNOWN` in the place of what a preview cannot know."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
"""A value that is known only after other resources have been created. No rule finds fault with it."""


@dataclass(frozen=True)
class Resource:
    """A resource as the engine shows it to policies.

    Attributes:
        type: its type token, such as `aws:s3/bucket:Bucket`.
        name: its logical name.
        urn: its URN.
        properties: by the schema's names. Rules over one resource see its inputs, rules over the stack its outputs.
        references: by property, the URNs of the resources whose outputs its value is made of.
    """

    type: str
    name: str
    urn: str
    properties: Mapping[str, Data]
    references: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.urn.removeprefix("urn:pulumi:").split("::", 1)[0]

    def get(self, *path: str) -> Data:
        """Return the property at a path; see `at`."""
        return at(self.properties, *path)

    def names(self, prop: str, other: "Resource", *by: str) -> bool:
        """Whether a property names another resource by one of its properties `by`, or may, not being known yet."""
        value = self.get(prop)
        if value is UNKNOWN:
            known_references = self.references.get(prop)
            return not known_references or other.urn in known_references
        return any(value == found or found is UNKNOWN for found in map(other.get, by) if found is not None)


@dataclass(frozen=True)
class Finding:
    """What breaks a rule, and what to do about it. It holds no value of a property that may be secret.

    Attributes:
        what: the fault.
        fix: what to write instead.
        urn: the resource; needed from rules over a stack alone.
    """

    what: str
    fix: str
    urn: str = ""


@dataclass(frozen=True)
class ResourceRule:
    """A rule over each resource of some types, applied to its inputs before it is created or changed."""

    name: str
    description: str
    types: frozenset[str]
    check: Callable[[Resource], Iterator[Finding]]


@dataclass(frozen=True)
class StackRule:
    """A rule over all resources of some types together, applied when the program has declared them all."""

    name: str
    description: str
    types: frozenset[str]
    check: Callable[[Sequence[Resource]], Iterator[Finding]]


Rule: TypeAlias = ResourceRule | StackRule


def resource_rule(
    name: str, description: str, *types: str
) -> Callable[[Callable[[Resource], Iterator[Finding]]], ResourceRule]:
    """Make a rule of a function over one resource."""
    return lambda check: ResourceRule(name, description, frozenset(types), check)


def stack_rule(
    name: str, description: str, *types: str
) -> Callable[[Callable[[Sequence[Resource]], Iterator[Finding]]], StackRule]:
    """Make a rule of a function over the resources of a stack."""
    return lambda check: StackRule(name, description, frozenset(types), check)


def at(value: Data, *path: str) -> Data:
    """Return what is at a path of keys: None where there is nothing, `UNKNOWN` where that is not known yet."""
    for key in path:
        if value is UNKNOWN:
            return UNKNOWN
        value = cast(Mapping[str, Data], value).get(key) if isinstance(value, Mapping) else None
    return value


def each(value: Data) -> Sequence[Data]:
    """Return the items of a list, a single value as a list of one, nothing of what is absent or not known."""
    if value is None or value is UNKNOWN:
        return ()
    return cast(Sequence[Data], value) if isinstance(value, list | tuple) else (value,)


def holds(value: Data) -> bool:
    """Whether a switch is on, or may be. Providers write some switches as strings."""
    return value is UNKNOWN or value is True or str(value).lower() == "true"


def is_production(name: str) -> bool:
    """Whether a stack or an environment is production: its name is, or begins with the word, prod or production."""
    return name.lower().replace("_", "-").split("-")[0] in ("prod", "production")


def of_type(resources: Sequence[Resource], *types: str) -> list[Resource]:
    """Return the resources of these types."""
    return [resource for resource in resources if resource.type in types]
