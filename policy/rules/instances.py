"""How instances get at their credentials."""

from collections.abc import Iterator

from policy.model import UNKNOWN, Data, Finding, Resource, resource_rule

_INSTANCES = ("aws:ec2/instance:Instance", "aws:ec2/spotInstanceRequest:SpotInstanceRequest")


@resource_rule(
    "imdsv2-required",
    "Instances hand out credentials by IMDSv2 alone, and to nothing behind them.",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/launchConfiguration:LaunchConfiguration",
    *_INSTANCES,
)
def imdsv2_required(resource: Resource) -> Iterator[Finding]:
    """Session tokens required and hop limit 1, both stated: the defaults are the image's, which may be 2.

    Source: AWS, "Configure instance metadata options for new instances", "Order of precedence".
    """
    options = resource.get("metadataOptions")
    if options is None and resource.type in _INSTANCES and resource.get("launchTemplate") is not None:
        return  # what the template says holds, and the template is held to this rule
    if options is UNKNOWN or resource.get("metadataOptions", "httpEndpoint") == "disabled":
        return
    if not _is(resource.get("metadataOptions", "httpTokens"), "required"):
        yield Finding("it allows IMDSv1", 'set metadataOptions.httpTokens to "required"')
    if not _is(resource.get("metadataOptions", "httpPutResponseHopLimit"), 1):
        yield Finding(
            "containers behind its network could fetch its credentials",
            "set metadataOptions.httpPutResponseHopLimit to 1",
        )


def _is(value: Data, wanted: Data) -> bool:
    return value is UNKNOWN or value == wanted
