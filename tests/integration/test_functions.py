"""The sandbox runs deployed functions: from queues, schedules, rules, URLs and calls, and goes on after a kill."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import boto3
import httpx
import psutil
import pytest
from pavedpath_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.integration

ACCOUNT = "123456789012"
CODE = """
import json, os, time
import boto3
import beside


def note(what):
    boto3.client("dynamodb").update_item(
        TableName="seen", Key={"pk": {"S": what}}, UpdateExpression="ADD times :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )


def handler(event, context):
    print("took", sorted(event))
    if "Records" in event:
        failed = []
        for record in event["Records"]:
            body = record["body"]
            first = record["attributes"]["ApproximateReceiveCount"] == "1"
            if body == "dies" and first:
                os._exit(3)
            if body == "slow" and first:
                time.sleep(600)
            if body == "fails" and first:
                failed.append({"itemIdentifier": record["messageId"]})
                continue
            note(f"queue {body}")
        return {"batchItemFailures": failed}
    if event.get("source") in ("aws.ec2", "aws.scheduler"):
        note(event["source"])
    if event.get("rawPath") == "/where":
        found = {name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "GITHUB_BASE_URL", "AWS_ACCESS_KEY_ID", "OWN")}
        return {"statusCode": 201, "headers": {"x-own": "1"}, "cookies": ["a=b"], "body": json.dumps(found)}
    if "rawPath" in event:
        return event
    if event.get("raise"):
        raise ValueError("on purpose")
    return {"pid": os.getpid(), "name": context.function_name, "left": context.get_remaining_time_in_millis()}
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sandbox]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SANDBOX_SCHEDULE_SECONDS", "1")
        with Sandbox(tmp_path_factory.mktemp("sandbox"), groups=("functions", "github")) as made:
            yield made


@pytest.fixture(scope="module")
def client(sandbox: Sandbox) -> Callable[[str], Any]:
    endpoint = sandbox.environment()["AWS_ENDPOINT_URL"]
    make = cast("Any", boto3).client

    def of(service: str) -> Any:
        keys = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "test"}
        return make(service, region_name="us-east-1", endpoint_url=endpoint, **keys)

    return of


def archive() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("app.py", CODE)
        file.writestr("beside/__init__.py", "")
        # For another machine: it must not be loaded, and this machine's package stands in for it.
        file.writestr("cryptography/__init__.py", "raise ImportError('of the archive')")
        file.writestr("cryptography/_rust.abi3.so", b"not for this machine")
    return written.getvalue()


@pytest.fixture(scope="module")
def function(client: Callable[[str], Any]) -> str:
    client("iam").create_role(RoleName="f", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    client("dynamodb").create_table(
        TableName="seen",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    client("logs").create_log_group(logGroupName="/aws/lambda/one")
    made = client("lambda").create_function(
        FunctionName="one",
        Runtime="python3.12",
        Architectures=["arm64"],
        Handler="app.handler",
        Role=f"arn:aws:iam::{ACCOUNT}:role/f",
        Timeout=10,
        Code={"ZipFile": archive()},
        Environment={"Variables": {"OWN": "value"}},
    )
    return made["FunctionArn"]


def times(client: Callable[[str], Any], what: str) -> int:
    item = client("dynamodb").get_item(TableName="seen", Key={"pk": {"S": what}}).get("Item")
    return int(item["times"]["N"]) if item else 0


def until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def test_a_call_is_answered_by_the_same_process_and_errors_are_lambdas(
    client: Callable[[str], Any], function: str
) -> None:
    def call(**payload: object) -> Any:
        return client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload).encode())

    first, second = (json.load(call()["Payload"]) for _ in range(2))
    assert first["pid"] == second["pid"]
    assert (first["name"], 0 < first["left"] <= 10_000) == ("one", True)
    failed = call(**{"raise": True})
    assert failed["FunctionError"] == "Unhandled"
    told = json.load(failed["Payload"])
    assert (told["errorType"], told["errorMessage"]) == ("ValueError", "on purpose")
    with pytest.raises(client("lambda").exceptions.ResourceNotFoundException):
        client("lambda").invoke(FunctionName="none")
    until(lambda: len(client("logs").describe_log_streams(logGroupName="/aws/lambda/one")["logStreams"]) > 0)


def test_a_url_serves_the_function(sandbox: Sandbox, client: Callable[[str], Any], function: str) -> None:
    url = client("lambda").create_function_url_config(FunctionName="one", AuthType="NONE")["FunctionUrl"]
    assert url.startswith("http://127.0.0.1:")

    answer = httpx.get(f"{url}where", timeout=120)
    assert (answer.status_code, answer.headers["x-own"], answer.headers["set-cookie"]) == (201, "1", "a=b")
    environment, found = sandbox.environment(), answer.json()
    assert found["GITHUB_BASE_URL"] == environment["GITHUB_BASE_URL"]
    assert (found["AWS_ACCESS_KEY_ID"], found["OWN"]) == (ACCOUNT, "value")
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=x"}
    event = httpx.post(f"{url}hook?a=1&a=2", content='{"ü": 1}'.encode(), headers=headers, timeout=120).json()
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/hook", "a=1&a=2")
    assert (event["body"], event["isBase64Encoded"]) == ('{"ü": 1}', False)
    assert event["headers"]["x-hub-signature-256"] == "sha256=x"
    assert event["requestContext"]["http"]["method"] == "POST"
    assert httpx.get(url.replace(url.split("/")[3], "0" * 32), timeout=120).status_code == 404


def test_a_queue_is_worked_off_and_what_fails_comes_back(client: Callable[[str], Any], function: str) -> None:
    sqs = client("sqs")
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "12"}
    url = sqs.create_queue(QueueName="jobs.fifo", Attributes=attributes)["QueueUrl"]
    client("lambda").create_event_source_mapping(
        EventSourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:jobs.fifo",
        FunctionName="one",
        BatchSize=2,
        ScalingConfig={"MaximumConcurrency": 3},
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    bodies = ["dies", "slow", "fails", *(f"job {number}" for number in range(20))]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=body, MessageDeduplicationId=body)
    until(lambda: all(times(client, f"queue {body}") >= 1 for body in bodies))

    def empty() -> bool:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return [found[name] for name in counts] == ["0", "0"]

    until(empty)


def test_a_rule_and_a_schedule_invoke(client: Callable[[str], Any], function: str) -> None:
    events = client("events")
    events.put_rule(Name="spot", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    events.put_targets(Rule="spot", Targets=[{"Id": "1", "Arn": function}])
    events.put_events(Entries=[{"Source": "aws.ec2", "DetailType": "x", "Detail": "{}"}])
    until(lambda: times(client, "aws.ec2") == 1)
    target = {"Arn": function, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/f"}
    client("scheduler").create_schedule(
        Name="each", ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    until(lambda: times(client, "aws.scheduler") >= 2)
    client("scheduler").delete_schedule(Name="each")


def test_it_goes_on_after_its_processes_were_killed(
    sandbox: Sandbox, client: Callable[[str], Any], function: str
) -> None:
    (part,) = [each for each in sandbox.status() if each.part == "functions"]
    assert part.pid is not None
    children = psutil.Process(part.pid).children(recursive=True)
    assert children
    os.kill(part.pid, signal.SIGKILL)
    until(lambda: not any(each.is_running() and each.status() != "zombie" for each in children))
    client("events").put_events(Entries=[{"Source": "aws.ec2", "DetailType": "x", "Detail": "{}"}])
    client("sqs").send_message(
        QueueUrl=client("sqs").get_queue_url(QueueName="jobs.fifo")["QueueUrl"],
        MessageBody="while it was down",
        MessageGroupId="a",
        MessageDeduplicationId="a",
    )
    assert [each.part for each in sandbox.up() if each.outcome == "started"] == ["functions"]
    until(lambda: times(client, "queue while it was down") == 1 and times(client, "aws.ec2") == 2)
    assert [each.outcome for each in sandbox.up()] == ["unchanged"] * 3


def test_code_that_changes_is_run_and_old_processes_end(client: Callable[[str], Any], function: str) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as file:
        file.writestr("app.py", "def handler(event, context):\n    return 'new'\n")
    client("lambda").update_function_code(FunctionName="one", ZipFile=written.getvalue())

    def answer() -> Any:
        return json.load(client("lambda").invoke(FunctionName="one", Payload=b'{"source": ""}')["Payload"])

    until(lambda: answer() == "new")


def test_nothing_of_the_code_is_left_after_a_reset(tmp_path: Path) -> None:
    made = Sandbox(tmp_path / "s", groups=("functions",))
    assert set(made.groups) == {"functions", "aws"}
    (tmp_path / "s" / "functions" / "x").mkdir(parents=True)
    made.reset()
    assert not (tmp_path / "s").exists()


def test_a_machine_takes_a_job_and_ends(sandbox: Sandbox, client: Callable[[str], Any]) -> None:
    environment = sandbox.environment()
    headers = {"Authorization": f"Bearer {environment['GITHUB_TOKEN']}"}
    with httpx.Client(base_url=environment["GITHUB_BASE_URL"], headers=headers, timeout=120) as github:

        def post(path: str, body: object) -> Any:
            answer = github.post(path, json=body)
            answer.raise_for_status()
            return answer.json()

        post("/orgs/acme/repos", {"name": "app", "private": True, "auto_init": True})
        labels = ["self-hosted", "linux", "arm64"]
        run = post("/_sandbox/runs", {"repository": "app", "jobs": [{"name": "test", "labels": labels}]})
        body = {"name": "dev-1-1", "runner_group_id": 1, "labels": labels}
        made = post("/orgs/acme/actions/runners/generate-jitconfig", body)
        ec2 = client("ec2")
        tags = [{"Key": "pavedpath:runner", "Value": "dev-1-1"}, {"Key": "pavedpath:fleet", "Value": "dev"}]
        (machine,) = ec2.run_instances(
            ImageId="ami-1", MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
        )["Instances"]
        name = f"/pavedpath/dev/jit/{machine['InstanceId']}"
        client("ssm").put_parameter(Name=name, Value=made["encoded_jit_config"], Type="SecureString")
        command = [sys.executable, "-m", "pavedpath_sandbox", "machines", "--boot", "0.5", "--job", "0.5"]
        variables = {**os.environ, "PAVEDPATH_SANDBOX_DIR": str(sandbox.layout.root)}
        command += ["--until-idle", "2"]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400, check=True)
        told = [json.loads(line) for line in done.stdout.splitlines()]
        wanted = ["boots", "has its configuration", "runs", "ends its job", "ends itself"]
        assert [each["event"] for each in told] == wanted
        (job,) = github.get(f"/repos/acme/app/actions/runs/{run['id']}/jobs").json()["jobs"]
        assert (job["id"], job["conclusion"], job["runner_name"]) == (told[2]["job"], "success", "dev-1-1")
    (gone,) = ec2.describe_instances(InstanceIds=[machine["InstanceId"]])["Reservations"][0]["Instances"]
    assert gone["State"]["Name"] == "terminated"
    key = subprocess.run(
        [sys.executable, "-m", "pavedpath_sandbox", "app-key"], env=variables, capture_output=True, check=True
    ).stdout
    assert key == sandbox.layout.app_key.read_bytes()
    assert key.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
