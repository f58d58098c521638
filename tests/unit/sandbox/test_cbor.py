import gzip
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import cbor2
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from pavedpath_sandbox.aws.cbor import encode_output, shaped, to_json

ALARM: dict[str, Any] = {
    "AlarmName": "errors",
    "AlarmDescription": "too many",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 3,
    "MetricName": "Errors",
    "Namespace": "pavedpath",
    "Period": 60,
    "Statistic": "Sum",
    "Threshold": 1.5,
    "TreatMissingData": "notBreaching",
    "Dimensions": [{"Name": "App", "Value": "api"}],
    "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:page"],
}


def cloudwatch(aws: Any) -> Any:
    """A client that speaks CBOR, as the Go SDK of the AWS provider does; boto3 would take JSON."""
    with mock.patch("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor",)):
        return aws.client("cloudwatch")


def watch(client: Any) -> list[Any]:
    """The requests that the client sends from now on."""
    seen: list[Any] = []

    def note(request: Any, **_: object) -> None:
        seen.append(request)

    client.meta.events.register("before-send.cloudwatch.*", note)
    return seen


def failure(caught: pytest.ExceptionInfo[ClientError]) -> Any:
    return caught.value.response


def test_the_client_really_speaks_cbor(aws: Any) -> None:
    client = cloudwatch(aws)
    seen = watch(client)
    client.describe_alarms()
    assert seen[0].url.endswith("/service/GraniteServiceVersion20100801/operation/DescribeAlarms")


def test_alarms(aws: Any) -> None:
    client = cloudwatch(aws)
    client.put_metric_alarm(**ALARM, Tags=[{"Key": "env", "Value": "dev"}])
    alarm = client.describe_alarms(AlarmNames=["errors"])["MetricAlarms"][0]
    assert {key: alarm[key] for key in ALARM} == ALARM
    assert isinstance(alarm["Threshold"], float)
    assert isinstance(alarm["StateUpdatedTimestamp"], datetime)
    arn = alarm["AlarmArn"]
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "a"}])
    client.untag_resource(ResourceARN=arn, TagKeys=["env"])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "a"}]
    client.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    assert client.describe_alarms(StateValue="ALARM")["MetricAlarms"][0]["StateReason"] == "test"
    for_metric = client.describe_alarms_for_metric(MetricName="Errors", Namespace="pavedpath")
    assert [each["AlarmName"] for each in for_metric["MetricAlarms"]] == ["errors"]
    client.delete_alarms(AlarmNames=["errors"])
    assert client.describe_alarms()["MetricAlarms"] == []


def test_an_alarm_on_metric_math(aws: Any) -> None:
    client = cloudwatch(aws)
    stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    metrics = [
        {"Id": "a", "MetricStat": stat, "ReturnData": False},
        {"Id": "b", "Expression": "a * 2", "Label": "twice", "ReturnData": True},
    ]
    client.put_metric_alarm(
        AlarmName="math", ComparisonOperator="LessThanThreshold", EvaluationPeriods=1, Threshold=0, Metrics=metrics
    )
    assert [each["Id"] for each in client.describe_alarms()["MetricAlarms"][0]["Metrics"]] == ["a", "b"]


def test_metrics(aws: Any) -> None:
    client = cloudwatch(aws)
    now = datetime.now(UTC).replace(microsecond=0)
    data = [{"MetricName": "latency", "Timestamp": now, "Value": 1.25, "Unit": "Seconds"}]
    client.put_metric_data(Namespace="pavedpath", MetricData=data)
    assert client.list_metrics(Namespace="pavedpath")["Metrics"][0]["MetricName"] == "latency"
    start = now.replace(hour=0, minute=0, second=0)
    end = start + timedelta(days=1)
    points = client.get_metric_statistics(
        Namespace="pavedpath", MetricName="latency", StartTime=start, EndTime=end, Period=86400, Statistics=["Average"]
    )["Datapoints"]
    assert [point["Average"] for point in points] == [1.25]
    stat = {"Metric": {"Namespace": "pavedpath", "MetricName": "latency"}, "Period": 86400, "Stat": "Maximum"}
    query = {"Id": "q", "MetricStat": stat}
    result = client.get_metric_data(MetricDataQueries=[query], StartTime=start, EndTime=end)["MetricDataResults"][0]
    assert result["Values"] == [1.25]
    assert isinstance(result["Timestamps"][0], datetime)


def test_a_compressed_body(aws: Any) -> None:
    client = cloudwatch(aws)
    data = [{"MetricName": f"m{n}", "Value": float(n)} for n in range(500)]  # SDKs compress from 10 KiB on
    seen = watch(client)
    client.put_metric_data(Namespace="big", MetricData=data)
    assert gzip.decompress(seen[0].body)
    assert len(client.list_metrics(Namespace="big")["Metrics"]) == 500


def test_dashboards(aws: Any) -> None:
    client = cloudwatch(aws)
    client.put_dashboard(DashboardName="d", DashboardBody='{"widgets":[]}')
    assert client.get_dashboard(DashboardName="d")["DashboardBody"] == '{"widgets":[]}'
    entry = client.list_dashboards()["DashboardEntries"][0]
    assert isinstance(entry["LastModified"], datetime)
    assert isinstance(entry["Size"], int)
    client.delete_dashboards(DashboardNames=["d"])
    assert client.list_dashboards()["DashboardEntries"] == []


def test_errors_keep_their_code(aws: Any) -> None:
    client = cloudwatch(aws)
    with pytest.raises(ClientError) as caught:
        client.get_dashboard(DashboardName="none")
    assert failure(caught)["Error"]["Code"] == "ResourceNotFound"
    with pytest.raises(ClientError, match="does not implement") as caught:
        client.put_composite_alarm(AlarmName="c", AlarmRule="ALARM(a)")
    assert failure(caught)["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_body_that_is_no_map_is_refused() -> None:
    for body in (b"\xff\xff", cbor2.dumps([1]), cbor2.dumps("x")):
        with pytest.raises((ValueError, cbor2.CBORDecodeError)):
            to_json(body)


def test_output_is_shaped_by_the_service_model() -> None:
    body = b'{"MetricAlarms": [{"AlarmName": "a", "Threshold": 2, "StateUpdatedTimestamp": 1.5, "Unknown": 1}]}'
    decoded = cbor2.loads(encode_output("cloudwatch", "DescribeAlarms", body))
    assert decoded["MetricAlarms"] == [
        {"AlarmName": "a", "Threshold": 2.0, "StateUpdatedTimestamp": datetime.fromtimestamp(1.5, UTC)}
    ]
    assert isinstance(decoded["MetricAlarms"][0]["Threshold"], float)


def test_blobs_and_maps() -> None:
    model = ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")
    output, given = model.operation_model("Encrypt").output_shape, model.operation_model("Encrypt").input_shape
    assert output is not None
    assert given is not None
    assert shaped({"CiphertextBlob": "AAE="}, output) == {"CiphertextBlob": b"\x00\x01"}
    assert shaped({"a": "b"}, given.members["EncryptionContext"]) == {"a": "b"}
