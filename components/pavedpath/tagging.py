"""Tags on every resource that takes them, as one transformation of the stack."""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import cast

import pulumi

# Its tags are a list of objects that say whether instances inherit them: whoever makes a group decides that.
_TAGS_OF_ITS_OWN = {"aws:autoscaling/group:Group"}


def tag_everything(tags: Mapping[str, str]) -> None:
    """Give each AWS resource that takes tags these tags and its logical name as `Name`; call it before the first one.

    Tags that a resource states itself win. It is a transformation in this process, which costs no call to the engine
    for each resource, as a resource transform does.
    """

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("aws:") or args.type_ in _TAGS_OF_ITS_OWN or not _takes_tags(type(args.resource)):
            return None
        props = cast(dict[str, object], args.props)
        base = {"Name": args.name, **tags}
        own = cast(pulumi.Input[Mapping[str, str]] | None, props.get("tags"))
        if isinstance(own, pulumi.Output):
            props["tags"] = own.apply(lambda known: {**base, **(known or {})})
        else:
            props["tags"] = {**base, **cast(Mapping[str, pulumi.Input[str]], own or {})}
        return pulumi.ResourceTransformationResult(args.props, args.opts)

    pulumi.runtime.register_stack_transformation(transform)


@cache
def _takes_tags(resource: type[pulumi.Resource]) -> bool:
    # The generated classes list their properties in this method alone; __init__ takes *args.
    initialise = getattr(resource, "_internal_init", None)
    return initialise is not None and "tags" in inspect.signature(initialise).parameters
