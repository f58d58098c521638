"""What the sandbox adds to moto: each is kept, read back and replayed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

Start = Callable[..., AbstractContextManager[Any]]
ACCOUNT = "123456789012"


def test_a_new_buckets_tags_and_its_event_bridge_are_kept(aws: Any) -> None:
    s3 = aws.client("s3")
    tags = [{"Key": "owner", "Value": "platform"}, {"Key": "empty", "Value": ""}]
    s3.create_bucket(Bucket="tagged", CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == tags
    one = [{"Key": "owner", "Value": "platform"}]
    s3.create_bucket(Bucket="one", CreateBucketConfiguration={"Tags": one})
    assert s3.get_bucket_tagging(Bucket="one")["TagSet"] == one
    s3.create_bucket(Bucket="none")
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket="none")
    configurations: tuple[dict[str, Any], ...] = ({"EventBridgeConfiguration": {}}, {})
    for configuration in configurations:
        s3.put_bucket_notification_configuration(Bucket="none", NotificationConfiguration=configuration)
        found = s3.get_bucket_notification_configuration(Bucket="none")
        assert {key: value for key, value in found.items() if key != "ResponseMetadata"} == configuration


def test_a_keys_rotation_period(aws: Any) -> None:
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert "RotationPeriodInDays" not in kms.get_key_rotation_status(KeyId=key)
    kms.enable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["RotationPeriodInDays"] == 365
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyId"], status["RotationPeriodInDays"], status["KeyRotationEnabled"]) == (key, 180, True)
    kms.disable_key_rotation(KeyId=key)
    assert "RotationPeriodInDays" not in kms.get_key_rotation_status(KeyId=key)


def test_a_subnets_ipv6_range_is_found_by_its_association(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    subnets = [
        ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=f"10.0.{number}.0/24", Ipv6CidrBlock=block)["Subnet"]
        for number in range(2)
    ]
    wanted = subnets[0]["Ipv6CidrBlockAssociationSet"][0]
    assert wanted["Ipv6CidrBlockState"] == {"State": "associated"}
    name = "ipv6-cidr-block-association.association-id"
    found = ec2.describe_subnets(Filters=[{"Name": name, "Values": [wanted["AssociationId"]]}])["Subnets"]
    assert [each["SubnetId"] for each in found] == [subnets[0]["SubnetId"]]
    ec2.disassociate_subnet_cidr_block(AssociationId=wanted["AssociationId"])
    (left,) = ec2.describe_subnets(SubnetIds=[subnets[0]["SubnetId"]])["Subnets"]
    assert left["Ipv6CidrBlockAssociationSet"] == []


def test_a_gateway_endpoints_routes_follow_its_tables(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    first, second = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2))
    wanted = {"ServiceName": "com.amazonaws.us-east-1.s3", "VpcEndpointType": "Gateway", "RouteTableIds": [first]}
    made = ec2.create_vpc_endpoint(VpcId=vpc, **wanted)["VpcEndpoint"]
    endpoint = made["VpcEndpointId"]

    def routed() -> set[str]:
        tables = ec2.describe_route_tables(RouteTableIds=[first, second])["RouteTables"]
        return {
            table["RouteTableId"]
            for table in tables
            if any(route.get("GatewayId") == endpoint for route in table["Routes"])
        }

    assert routed() == {first}
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[second])
    assert routed() == {first, second}
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=[first])
    assert routed() == {second}
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument="{}")
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])["Unsuccessful"] == []
    assert routed() == set()


def notification(threshold: float) -> dict[str, Any]:
    return {"NotificationType": "ACTUAL", "ComparisonOperator": "GREATER_THAN", "Threshold": threshold}


def budget(limit: str) -> dict[str, Any]:
    spend = {"Amount": limit, "Unit": "USD"}
    return {"BudgetName": "monthly", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": spend}


def test_a_budget_is_changed_its_subscribers_and_tags_are_kept(start_aws: Start, tmp_path: Path) -> None:
    named = {"AccountId": ACCOUNT, "BudgetName": "monthly"}
    arn = f"arn:aws:budgets::{ACCOUNT}:budget/monthly"
    first, second = ({"SubscriptionType": "EMAIL", "Address": f"{name}@example.com"} for name in ("a", "b"))
    with start_aws(tmp_path / "j") as aws:
        budgets = aws.client("budgets")
        budgets.create_budget(
            AccountId=ACCOUNT,
            Budget=budget("100"),
            NotificationsWithSubscribers=[{"Notification": notification(80), "Subscribers": [first]}],
            ResourceTags=[{"Key": "owner", "Value": "platform"}, {"Key": "old", "Value": "x"}],
        )
        start = budgets.describe_budget(**named)["Budget"]["TimePeriod"]["Start"]
        budgets.update_budget(AccountId=ACCOUNT, NewBudget=budget("200"))
        changed = budgets.describe_budget(**named)["Budget"]
        assert float(changed["BudgetLimit"]["Amount"]) == 200
        assert changed["TimePeriod"]["Start"] == start
        percentage = {**notification(80), "ThresholdType": "PERCENTAGE"}
        budgets.create_subscriber(**named, Notification=percentage, Subscriber=second)
        budgets.delete_subscriber(**named, Notification=percentage, Subscriber=first)
        budgets.update_notification(**named, OldNotification=percentage, NewNotification=notification(90))
        budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "new", "Value": "y"}])
        budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["old"])
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        budgets = aws.client("budgets")
        found = budgets.describe_subscribers_for_notification(**named, Notification=notification(90))
        assert found["Subscribers"] == [second]
        tags = budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
        assert {each["Key"]: each["Value"] for each in tags} == {"owner": "platform", "new": "y"}
        for missing in (notification(80), {**notification(90), "NotificationType": "FORECASTED"}):
            with pytest.raises(ClientError, match="notification doesn't exist"):
                budgets.describe_subscribers_for_notification(**named, Notification=missing)
        with pytest.raises(ClientError, match="budget doesn't exist"):
            budgets.update_budget(AccountId=ACCOUNT, NewBudget={**budget("1"), "BudgetName": "other"})
