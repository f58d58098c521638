"""Who is responsible for a resource, and what it belongs to."""

from collections.abc import Iterator, Mapping
from typing import cast

from policy.model import UNKNOWN, Data, Finding, Resource, at, each, resource_rule
from policy.taggable import taggable

REQUIRED = ("owner", "environment", "project")


@resource_rule("required-tags", "Every AWS resource that takes tags says whose and what it is.", *taggable())
def required_tags(resource: Resource) -> Iterator[Finding]:
    """The tags owner, environment and project, none of them empty."""
    tags = _tags(resource.get("tags"))
    if tags is UNKNOWN:
        return
    missing = [name for name in REQUIRED if at(tags, name) is not UNKNOWN and not at(tags, name)]
    if missing:
        yield Finding(
            f"it has no tag {', '.join(missing)}",
            "call tag_everything with them before the first resource, or set them in its `tags`",
        )


def _tags(value: Data) -> Data:
    """Return tags as a mapping; some types have a list of keys and values."""
    if value is UNKNOWN or isinstance(value, Mapping):
        return cast(Data, value)
    items = each(value)
    if UNKNOWN in items or any(at(item, "key") is UNKNOWN for item in items):
        return UNKNOWN
    return {str(at(item, "key")): at(item, "value") for item in items}
