"""What the sandbox adds to moto's Lambda, EventBridge, Scheduler, SQS and DynamoDB for a fleet of functions."""

import io
import json
import time
import urllib.error
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError

Start = Callable[..., AbstractContextManager[Any]]
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/f"
FUNCTIONS = "http://127.0.0.1:9"


@cache  # an archive has the time of its making in it
def archive(text: str = "def handler(event, context):\n    return event\n") -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("code.py", text)
    return written.getvalue()


def make_function(aws: Any, name: str = "launch", **more: Any) -> str:
    trust = '{"Version":"2012-10-17","Statement":[]}'
    if not aws.client("iam").list_roles()["Roles"]:
        aws.client("iam").create_role(RoleName="f", AssumeRolePolicyDocument=trust)
    wanted = {"Runtime": "python3.12", "Handler": "code.handler", "Role": ROLE, "Code": {"ZipFile": archive()}}
    return aws.client("lambda").create_function(FunctionName=name, **{**wanted, **more})["FunctionArn"]


def snapshot(aws: Any, query: str = "") -> Any:
    return json.loads(aws.get(f"/_sandbox/functions{query}"))


def test_a_functions_settings_are_kept_and_changed(start_aws: Start, tmp_path: Path) -> None:
    logging = {"LogFormat": "JSON", "LogGroup": "/aws/lambda/dev-launch"}
    with start_aws(tmp_path / "j") as aws:
        make_function(aws, LoggingConfig=logging, Timeout=60)
        functions = aws.client("lambda")
        assert functions.get_function(FunctionName="launch")["Configuration"]["LoggingConfig"] == logging
        functions.put_function_concurrency(FunctionName="launch", ReservedConcurrentExecutions=3)
        functions.update_function_configuration(
            FunctionName="launch",
            LoggingConfig={**logging, "LogFormat": "Text"},
            TracingConfig={"Mode": "Active"},
            EphemeralStorage={"Size": 1024},
        )
    with start_aws(tmp_path / "j") as aws:
        functions = aws.client("lambda")
        found = functions.get_function(FunctionName="launch")
        assert found["Configuration"]["LoggingConfig"] == {**logging, "LogFormat": "Text"}
        assert found["Configuration"]["TracingConfig"] == {"Mode": "Active"}
        assert found["Configuration"]["EphemeralStorage"] == {"Size": 1024}
        assert functions.get_function_concurrency(FunctionName="launch")["ReservedConcurrentExecutions"] == 3


def test_a_function_url_answers_here_while_there_is_the_part(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        make_function(aws)
        made = aws.client("lambda").create_function_url_config(FunctionName="launch", AuthType="NONE")
        identity = made["FunctionUrl"].removeprefix("https://").partition(".")[0]
        assert made["FunctionUrl"].endswith(".lambda-url.us-east-1.on.aws")
    with start_aws(tmp_path / "j", functions=FUNCTIONS) as aws:
        found = aws.client("lambda").get_function_url_config(FunctionName="launch")
        assert found["FunctionUrl"] == f"{FUNCTIONS}/{identity}/"
        (function,) = snapshot(aws)["functions"]
        assert (function["url"], function["url_authentication"]) == (identity, "NONE")


def test_the_snapshot_has_what_is_deployed_and_its_code(aws: Any) -> None:
    sqs, functions = aws.client("sqs"), aws.client("lambda")
    sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})
    arn = make_function(aws, Environment={"Variables": {"TABLE": "t"}}, Timeout=7)
    mapping = functions.create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo",
        FunctionName="launch",
        BatchSize=1,
        ScalingConfig={"MaximumConcurrency": 5},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    window = {"Mode": "OFF"}
    aws.client("scheduler").create_schedule(
        Name="reconcile",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow=window,
        Target={"Arn": arn, "RoleArn": ROLE},
    )
    events = aws.client("events")
    events.put_rule(Name="nightly", ScheduleExpression="rate(5 minutes)", State="DISABLED")
    events.put_targets(Rule="nightly", Targets=[{"Id": "1", "Arn": arn, "Input": '{"a": 1}'}])
    found = snapshot(aws)
    (function,) = found["functions"]
    assert (function["arn"], function["timeout"], function["environment"]) == (arn, 7, {"TABLE": "t"})
    assert function["reserved"] is None
    (seen,) = found["mappings"]
    assert (seen["id"], seen["function"], seen["batch_size"]) == (mapping["UUID"], arn, 1)
    assert (seen["maximum_concurrency"], seen["item_failures"], seen["enabled"]) == (5, True, True)
    schedules = {each["source"]: each for each in found["schedules"]}
    assert schedules["aws.scheduler"]["expression"] == "rate(1 minute)"
    assert schedules["aws.scheduler"]["enabled"]
    assert (schedules["aws.events"]["input"], schedules["aws.events"]["enabled"]) == ('{"a": 1}', False)
    assert aws.get(f"/_sandbox/functions/code/{function['code']}") == archive()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        aws.get(f"/_sandbox/functions/code/{'0' * 64}")


def test_a_change_ends_the_wait_for_it(aws: Any) -> None:
    known = snapshot(aws)["revision"]
    aws.client("sqs").create_queue(QueueName="q")
    assert snapshot(aws, f"?revision={known}&wait=0.2")["revision"] == known
    make_function(aws)
    changed = snapshot(aws, f"?revision={known}&wait=20")
    assert changed["revision"] != known
    assert len(changed["functions"]) == 1


def test_what_nobody_waits_for_is_laid_down_until_it_is_done(start_aws: Start, tmp_path: Path) -> None:
    pattern = json.dumps({"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]})
    with start_aws(tmp_path / "j") as aws:
        arn, events = make_function(aws), aws.client("events")
        events.put_rule(Name="interruption", EventPattern=pattern)
        events.put_targets(Rule="interruption", Targets=[{"Id": "1", "Arn": arn}])
        event = {"DetailType": "EC2 Spot Instance Interruption Warning", "Detail": '{"instance-id": "i-1"}'}
        events.put_events(Entries=[{"Source": "aws.ec2", **event}, {"Source": "other", **event}])
        answer = aws.client("lambda").invoke(FunctionName="launch", InvocationType="Event", Payload=b'{"n": 1}')
        assert answer["StatusCode"] == 202
        first, second = snapshot(aws)["pending"]
        assert (first["function"], json.loads(second["payload"])) == (arn, {"n": 1})
        sent = json.loads(first["payload"])
        assert (sent["source"], sent["detail"]) == ("aws.ec2", {"instance-id": "i-1"})
        assert sent["time"].endswith("Z")
        assert aws.control(f"/_sandbox/invocations/{first['id']}") == {"done": True}
        assert aws.control(f"/_sandbox/invocations/{first['id']}") == {"done": False}
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        assert snapshot(aws)["pending"] == [second]


def test_a_function_that_is_to_be_waited_for_needs_the_part(aws: Any) -> None:
    make_function(aws)
    functions = aws.client("lambda")
    assert functions.invoke(FunctionName="launch", InvocationType="DryRun")["StatusCode"] == 204
    with pytest.raises(ClientError, match="pavedpath-sandbox up functions"):
        functions.invoke(FunctionName="launch")


def test_logs_are_written_where_their_group_is_and_not_kept(start_aws: Start, tmp_path: Path) -> None:
    where = {"account": ACCOUNT, "region": "us-east-1", "group": "/aws/lambda/launch", "stream": "s"}
    lines = [[int(time.time() * 1000), "hello"]]
    with start_aws(tmp_path / "j") as aws:
        assert aws.control("/_sandbox/logs", **where, lines=lines) == {"written": False}
        aws.client("logs").create_log_group(logGroupName="/aws/lambda/launch")
        assert aws.control("/_sandbox/logs", **where, lines=lines) == {"written": True}
        found = aws.client("logs").get_log_events(logGroupName="/aws/lambda/launch", logStreamName="s")["events"]
        assert [each["message"] for each in found] == ["hello"]
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.entries == 1


def test_a_fifo_queue_remembers_and_keeps_groups_in_order(start_aws: Start, tmp_path: Path) -> None:
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "60"}
    with start_aws(tmp_path / "j") as aws:
        sqs = aws.client("sqs")
        url = sqs.create_queue(QueueName="q.fifo", Attributes=attributes)["QueueUrl"]

        def send(body: str, group: str, key: str) -> None:
            sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=key)

        def receive() -> list[Any]:
            return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", [])

        for body, group, key in (("a1", "a", "1"), ("a1 again", "a", "1"), ("a2", "a", "2"), ("b1", "b", "3")):
            send(body, group, key)
        first, second = receive() + receive()
        assert [first["Body"], second["Body"], receive()] == ["a1", "b1", []]  # a2 waits for a1
        sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        send("a1 for the third time", "a", "1")  # it was deleted, and is remembered
        (third,) = receive()
        assert third["Body"] == "a2"
        sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
        later = time.time() + 301
        with (
            mock.patch("time.time", return_value=later),
            mock.patch("moto.sqs.models.unix_time_millis", return_value=later * 1000),
        ):
            send("a1 much later", "a", "1")
    with start_aws(tmp_path / "j") as aws:
        # What was sent again after five minutes is there in the replay too, which takes no five minutes.
        assert aws.application.replayed.problems == ()
        own = url.replace(url.split("/")[2], f"127.0.0.1:{aws.port}")
        found = aws.client("sqs").get_queue_attributes(QueueUrl=own, AttributeNames=["All"])["Attributes"]
    assert (found["ApproximateNumberOfMessages"], found["ApproximateNumberOfMessagesNotVisible"]) == ("1", "1")


def test_a_redrive_policy_comes_back_as_it_was_set(aws: Any) -> None:
    sqs = aws.client("sqs")
    sqs.create_queue(QueueName="dead")
    policy = f'{{"maxReceiveCount":3,"deadLetterTargetArn":"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"}}'
    url = sqs.create_queue(QueueName="q", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert found["RedrivePolicy"] == policy


def test_a_queue_keeps_its_policy_when_something_else_changes(aws: Any) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    statement = {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    def held() -> dict[str, Any]:
        return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    assert (json.loads(held()["Policy"])["Statement"], held()["VisibilityTimeout"]) == ([statement], "77")
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert "Policy" not in held()


def test_a_replay_runs_at_the_time_of_what_it_replays(start_aws: Start, tmp_path: Path) -> None:
    long_ago = 1_700_000_000.0
    with start_aws(tmp_path / "j") as aws, mock.patch("time.time", return_value=long_ago):
        aws.client("sqs").create_queue(QueueName="q")
    with start_aws(tmp_path / "j") as aws:
        sqs = aws.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName="q")["QueueUrl"], AttributeNames=["All"])
        assert abs(float(found["Attributes"]["CreatedTimestamp"]) - long_ago) < 3600
        new = sqs.get_queue_attributes(QueueUrl=sqs.create_queue(QueueName="n")["QueueUrl"], AttributeNames=["All"])
        assert abs(float(new["Attributes"]["CreatedTimestamp"]) - time.time()) < 3600


def make_table(aws: Any, ranged: bool) -> Any:
    keys = [("pk", "HASH"), ("sk", "RANGE")][: 2 if ranged else 1]
    client = aws.client("dynamodb")
    client.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    return client


@pytest.mark.parametrize("ranged", [False, True])
def test_a_cancelled_transaction_changes_nothing(aws: Any, ranged: bool) -> None:
    client = make_table(aws, ranged)

    def item(name: str, live: int) -> dict[str, Any]:
        return {"pk": {"S": name}, **({"sk": {"S": "x"}} if ranged else {}), "live": {"N": str(live)}}

    def key(name: str) -> dict[str, Any]:
        return {each: value for each, value in item(name, 0).items() if each != "live"}

    def add(name: str, maximum: int) -> dict[str, Any]:
        values = {":by": {"N": "1"}, ":maximum": {"N": str(maximum)}}
        condition = "attribute_not_exists(live) OR live < :maximum"
        change = {"TableName": "t", "Key": key(name), "UpdateExpression": "ADD live :by"}
        return {"Update": {**change, "ConditionExpression": condition, "ExpressionAttributeValues": values}}

    def put(name: str) -> dict[str, Any]:
        return {"Put": {"TableName": "t", "Item": item(name, 5), "ConditionExpression": "attribute_not_exists(pk)"}}

    client.transact_write_items(TransactItems=[put("a"), add("pool", 1)])
    before = client.scan(TableName="t")["Items"]
    delete = {"Delete": {"TableName": "t", "Key": key("a")}}
    for refused in ([put("b"), add("pool", 1)], [add("pool", 9), put("a")], [delete, add("pool", 1)]):
        with pytest.raises(ClientError, match="TransactionCanceledException"):
            client.transact_write_items(TransactItems=refused)
        assert client.scan(TableName="t")["Items"] == before
    client.transact_write_items(TransactItems=[put("b"), add("pool", 2)])
    pool = client.get_item(TableName="t", Key=key("pool"))["Item"]
    assert (pool["live"], len(client.scan(TableName="t")["Items"])) == ({"N": "2"}, 3)
