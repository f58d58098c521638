"""The machines of a runner fleet: their launch template, from plain data."""

import base64
import re
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws
from pavedpath_runners import Architecture
from pavedpath_runners.machine import Machine, user_data

from .component import Component
from .runner_fleet_policies import FLEET_TAG

# Source: AWS, "Reference the latest AMIs using Systems Manager public parameters".
IMAGE_PARAMETERS: Mapping[Architecture, str] = {
    Architecture.ARM64: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    Architecture.X64: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
}
INSTANCE_TYPES: Mapping[Architecture, tuple[str, ...]] = {
    # Two processors and 8 GB or more; several, since each type and zone is a spot market of its own.
    Architecture.ARM64: ("m7g.large", "m6g.large", "m8g.large", "r7g.large", "r6g.large"),
    Architecture.X64: ("m7i.large", "m7a.large", "m6i.large", "m6a.large", "r6i.large"),
}

# Source: AWS, "Amazon EC2 instance type naming conventions": a g behind the generation is AWS's own processor. Forms
# that do not say it (mac2, trn2, u7i-12tb, p6e-gb200) are in neither.
_FAMILIES: Mapping[Architecture, re.Pattern[str]] = {
    Architecture.ARM64: re.compile(r"a1|[a-z]+\d+[a-z]*g[a-z]*"),
    Architecture.X64: re.compile(r"(?:[cdfghimprtxz]|gr|hpc|inf|vt)\d+[a-fh-z]*(?:-flex)?"),
}


def processor(instance_type: str) -> Architecture | None:
    """Return the processor of an EC2 type, for example arm64 of m7g.large; None where its name does not say it."""
    family = instance_type.partition(".")[0]
    return next((each for each, named in _FAMILIES.items() if named.fullmatch(family)), None)


def launch_template(
    parent: Component,
    name: str,
    machine: Machine,
    image_parameter: str,
    disk: tuple[str, int],
    security_group: pulumi.Input[str],
    instance_profile: pulumi.Input[str],
    tags: Mapping[str, str],
) -> aws.ec2.LaunchTemplate:
    """Register the template of one pool's machines.

    They answer their metadata by version 2 alone and to no container behind them, have no address on the internet,
    take no connection, and end when they shut down. Their image is the one that its parameter names at the launch.
    """
    # The instance itself gets its name and its fleet's by the launch, which no template's tags may contradict.
    own = {**tags, "Name": name, FLEET_TAG: machine.fleet}
    tagged = {"instance": tags, "volume": own, "network-interface": own}
    device, gigabytes = disk
    return aws.ec2.LaunchTemplate(
        name,
        name=name,
        update_default_version=True,
        image_id=f"resolve:ssm:{image_parameter}",
        iam_instance_profile={"arn": instance_profile},
        instance_initiated_shutdown_behavior="terminate",
        metadata_options={
            "http_endpoint": "enabled",
            "http_tokens": "required",
            "http_put_response_hop_limit": 1,
            "instance_metadata_tags": "disabled",
        },
        block_device_mappings=[
            {
                "device_name": device,
                "ebs": {
                    "volume_size": gigabytes,
                    "volume_type": "gp3",
                    "encrypted": "true",
                    "delete_on_termination": "true",
                },
            }
        ],
        network_interfaces=[
            {
                "device_index": 0,
                "associate_public_ip_address": "false",
                "delete_on_termination": "true",
                "security_groups": [security_group],
            }
        ],
        tag_specifications=[{"resource_type": kind, "tags": each} for kind, each in tagged.items() if each],
        user_data=base64.b64encode(user_data(machine).encode()).decode(),
        opts=parent.child(),
    )
