"""CreateFleet as the launch of runners needs it."""

import json
import urllib.error
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

Start = Callable[..., AbstractContextManager[Any]]


def template(aws: Any) -> dict[str, Any]:
    """A launch template as a fleet's, and two subnets in two zones."""
    ec2, iam, ssm = aws.client("ec2"), aws.client("iam"), aws.client("ssm")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = ("us-east-1a", "us-east-1b")
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{at}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for at, zone in enumerate(zones)
    ]
    group = ec2.create_security_group(GroupName="runners", Description="r", VpcId=vpc)["GroupId"]
    iam.create_instance_profile(InstanceProfileName="runner")
    ssm.put_parameter(Name="/images/runner", Value="ami-0123456789abcdef0", Type="String")
    made = ec2.create_launch_template(
        LaunchTemplateName="runner",
        LaunchTemplateData={
            "ImageId": "resolve:ssm:/images/runner",
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "IamInstanceProfile": {"Name": "runner"},
            "SecurityGroupIds": [group],
            "UserData": "IyEvYmluL3NoCg==",
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "Encrypted": True}}],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "platform"}]}],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    return {"template": made, "subnets": subnets, "group": group}


def ask(things: dict[str, Any], order: str = "one", market: str = "spot", **more: Any) -> dict[str, Any]:
    overrides = [
        {"InstanceType": kind, "SubnetId": subnet, "Priority": float(10 - at)}
        for at, (kind, subnet) in enumerate(
            [(kind, subnet) for kind in ("c7g.large", "m7g.large") for subnet in things["subnets"]]
        )
    ]
    launch = {"LaunchTemplateId": things["template"], "Version": "$Latest"}
    return {
        "Type": "instant",
        "ClientToken": order,
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": launch, "Overrides": overrides}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market},
        "SpotOptions": {"AllocationStrategy": "price-capacity-optimized"},
        "OnDemandOptions": {"AllocationStrategy": "prioritized"},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "pavedpath:runner", "Value": "dev-1-1"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "pavedpath:fleet", "Value": "dev"}]},
        ],
        **more,
    }


def machines(aws: Any) -> list[Any]:
    found = aws.client("ec2").describe_instances(Filters=[{"Name": "tag:pavedpath:runner", "Values": ["*"]}])
    return [one for each in found["Reservations"] for one in each["Instances"]]


def test_the_whole_template_holds(aws: Any) -> None:
    things = template(aws)
    made = aws.client("ec2").create_fleet(**ask(things))
    assert made["Errors"] == []
    (launched,) = made["Instances"]
    assert (launched["Lifecycle"], launched["InstanceType"]) == ("spot", "c7g.large")
    assert launched["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"] == things["subnets"][0]
    (machine,) = machines(aws)
    assert machine["InstanceId"] == launched["InstanceIds"][0]
    assert machine["InstanceLifecycle"] == "spot"
    assert machine["ImageId"] == "ami-0123456789abcdef0"
    assert machine["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert machine["SubnetId"] == things["subnets"][0]
    assert [each["GroupId"] for each in machine["SecurityGroups"]] == [things["group"]]
    assert (machine["MetadataOptions"]["HttpTokens"], machine["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        1,
    )
    assert machine["IamInstanceProfile"]["Arn"].endswith("/runner")
    tags = {each["Key"]: each["Value"] for each in machine["Tags"]}
    assert (tags["owner"], tags["pavedpath:runner"]) == ("platform", "dev-1-1")
    assert tags["aws:ec2launchtemplate:id"] == things["template"]
    ec2 = aws.client("ec2")
    attribute = ec2.describe_instance_attribute(
        InstanceId=machine["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
    )
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    (device,) = machine["BlockDeviceMappings"]
    (volume,) = ec2.describe_volumes(VolumeIds=[device["Ebs"]["VolumeId"]])["Volumes"]
    assert (volume["Size"], volume["Encrypted"]) == (30, True)
    assert volume["Tags"] == [{"Key": "pavedpath:fleet", "Value": "dev"}]


def test_a_client_token_is_one_machine_after_a_restart_too(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        things = template(aws)
        first = aws.client("ec2").create_fleet(**ask(things))
        again = aws.client("ec2").create_fleet(**ask(things))
        assert (again["FleetId"], again["Instances"]) == (first["FleetId"], first["Instances"])
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        ec2 = aws.client("ec2")
        assert ec2.create_fleet(**ask(things))["Instances"] == first["Instances"]
        assert [each["InstanceId"] for each in machines(aws)] == first["Instances"][0]["InstanceIds"]
        with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
            ec2.create_fleet(**ask(things, market="on-demand"))
        other = ec2.create_fleet(**ask(things, order="two", market="on-demand"))
        assert other["Instances"][0]["Lifecycle"] == "on-demand"
        # The least number is the first, and the last override has it.
        assert other["Instances"][0]["InstanceType"] == "m7g.large"
        on_demand = next(each for each in machines(aws) if each["InstanceId"] in other["Instances"][0]["InstanceIds"])
        assert "InstanceLifecycle" not in on_demand


def test_a_machine_of_a_fleet_can_be_ended_stopped_and_started(aws: Any) -> None:
    things, ec2 = template(aws), aws.client("ec2")
    ids = ec2.create_fleet(**ask(things, market="on-demand"))["Instances"][0]["InstanceIds"]
    for change, wanted in (("stop", "stopped"), ("start", "running"), ("terminate", "terminated")):
        getattr(ec2, f"{change}_instances")(InstanceIds=ids)
        (machine,) = machines(aws)
        assert machine["State"]["Name"] == wanted


def test_a_machines_end_is_an_event_once_after_a_restart_too(start_aws: Start, tmp_path: Path) -> None:
    pattern = {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]}
    function = "arn:aws:lambda:us-east-1:123456789012:function:state"

    def pending(aws: Any) -> Any:
        waiting = json.loads(aws.get("/_sandbox/functions"))["pending"]
        return [(each["id"], each["function"], json.loads(each["payload"])["detail"]) for each in waiting]

    with start_aws(tmp_path / "j") as aws:
        ec2, events = aws.client("ec2"), aws.client("events")
        events.put_rule(Name="state", EventPattern=json.dumps({**pattern, "detail": {"state": ["terminated"]}}))
        events.put_targets(Rule="state", Targets=[{"Id": "1", "Arn": function}])
        things = template(aws)
        ids = [ec2.create_fleet(**ask(things, each))["Instances"][0]["InstanceIds"][0] for each in ("one", "two")]
        known = json.loads(aws.get("/_sandbox/functions"))["revision"]
        for _ in range(2):
            ec2.terminate_instances(InstanceIds=ids)
        told = pending(aws)
        assert [each[1:] for each in told] == [(function, {"instance-id": each, "state": "terminated"}) for each in ids]
        assert json.loads(aws.get(f"/_sandbox/functions?revision={known}&wait=30"))["revision"] != known
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        assert pending(aws) == told


def test_ec2_says_that_it_has_taken_a_spot_machine_away(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        things, ec2 = template(aws), aws.client("ec2")
        (spot,), (own,) = (
            ec2.create_fleet(**ask(things, each, each))["Instances"][0]["InstanceIds"] for each in ("spot", "on-demand")
        )
        for _ in range(2):
            assert aws.control("/_sandbox/reclaim", instance=spot) == {"reclaimed": spot}
        for wrong, why in ((own, "is no spot machine"), ("i-none", "there is no instance 'i-none'")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                aws.control("/_sandbox/reclaim", instance=wrong)
            assert why in refused.value.read().decode()
        ec2.terminate_instances(InstanceIds=[own])
    with start_aws(tmp_path / "j") as aws:
        reasons = {each["InstanceId"]: (each["State"]["Name"], each["StateReason"]["Code"]) for each in machines(aws)}
    assert reasons == {
        spot: ("terminated", "Server.SpotInstanceTermination"),
        own: ("terminated", "Client.UserInitiatedShutdown"),
    }


def test_capacity_lacks_where_it_was_said_to_and_comes_back(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        things, ec2 = template(aws), aws.client("ec2")
        aws.control("/_sandbox/capacity", instance_type="c7g.large", zone="us-east-1a", available=False)
        made = ec2.create_fleet(**ask(things))
        assert made["Instances"][0]["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"] == things["subnets"][1]
        assert [each["ErrorCode"] for each in made["Errors"]] == ["InsufficientInstanceCapacity"]
        aws.control("/_sandbox/capacity", market="spot", available=False)
    with start_aws(tmp_path / "j") as aws:
        ec2 = aws.client("ec2")
        none = ec2.create_fleet(**ask(things, order="two"))
        assert none["Instances"] == []
        assert {each["Lifecycle"] for each in none["Errors"]} == {"spot"}
        assert len(none["Errors"]) == 4
        assert ec2.create_fleet(**ask(things, order="three", market="on-demand"))["Instances"]
        left = aws.control("/_sandbox/capacity", market="spot", available=True)["lacking"]
        assert left == [{"instance_type": "c7g.large", "zone": "us-east-1a", "market": "*"}]
        assert aws.control("/_sandbox/capacity", available=True)["lacking"] == []
        assert ec2.create_fleet(**ask(things, order="four"))["Errors"] == []


def test_what_is_wrong_about_capacity_is_said_at_once(aws: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        aws.control("/_sandbox/capacity", market="cheap", type="x")
    message = json.load(caught.value)["message"]
    assert all(each in message for each in ("type is unknown", "market is 'cheap'", "available must be"))


def test_a_templates_own_tags_are_no_part_of_it(aws: Any) -> None:
    ec2 = aws.client("ec2")
    volume = {"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}
    own = {"ResourceType": "launch-template", "Tags": [{"Key": "owner", "Value": "platform"}]}
    for name, data in (("one", {"TagSpecifications": [volume]}), ("two", {"ImageId": "ami-1"})):
        made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data, TagSpecifications=[own])
        assert made["LaunchTemplate"]["Tags"] == own["Tags"]
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateName=name)["LaunchTemplateVersions"]
        assert version["LaunchTemplateData"] == data


def test_an_image_that_no_parameter_names(aws: Any) -> None:
    things = template(aws)
    aws.client("ssm").delete_parameter(Name="/images/runner")
    with pytest.raises(ClientError, match="parameter /images/runner of the image"):
        aws.client("ec2").create_fleet(**ask(things))


def test_a_fleet_of_another_type_is_motos(aws: Any) -> None:
    things, ec2 = template(aws), aws.client("ec2")
    made = ec2.create_fleet(**ask(things, Type="request", TagSpecifications=[]))
    assert made["FleetId"]
    assert "Instances" not in made or not made["Instances"]
