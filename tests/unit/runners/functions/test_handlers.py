"""The four functions as Lambda calls them, over AWS in this process and the sandbox's GitHub: a job from its webhook to
its end, and its machine from CreateFleet to the removal."""

import hashlib
import hmac
import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws
from pavedpath_runners.configuration import Fleet, Pool
from pavedpath_runners.functions import interruption, launch, reconcile, webhook, wiring
from pavedpath_runners.records import JobState, RunnerState

from tests.unit.runners.adapters.test_dynamodb import table
from tests.unit.runners.github_server import Sandbox, serve

SECRET = "of-the-webhook"
REGION = "eu-west-1"
IMAGE = "ami-12c6146b"


def client(service: str) -> Any:
    return cast(Any, boto3).client(service, region_name=REGION)


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Deployed:
    """A fleet as the component deploys it."""

    def __init__(self, github: Sandbox) -> None:
        self.github, self.ec2, self.sqs, self.ssm = github, client("ec2"), client("sqs"), client("ssm")
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone=f"{REGION}a")["Subnet"]
        template = self.ec2.create_launch_template(LaunchTemplateName="small", LaunchTemplateData={"ImageId": IMAGE})
        self.url = self.sqs.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        pool = Pool(
            name="small",
            labels=("self-hosted", "linux", "arm64"),
            instance_types=("c7g.large",),
            subnet_ids=(subnet["SubnetId"],),
            launch_template_id=template["LaunchTemplate"]["LaunchTemplateId"],
            maximum=2,
        )
        ids = {key: github.app[key] for key in ("app_id", "installation_id")}
        self.fleet = Fleet("dev", "acme", (pool,), **ids, zones={subnet["SubnetId"]: f"{REGION}a"})
        self.ssm.put_parameter(Name="/pavedpath/dev/fleet", Value=self.fleet.to_json(), Type="String")

    def environment(self) -> Mapping[str, str]:
        manager = client("secretsmanager")
        secrets = [
            manager.create_secret(Name=name, SecretString=value)["ARN"]
            for name, value in (("webhook", SECRET), ("key", self.github.key))
        ]
        values = ("/pavedpath/dev/fleet", table(client("dynamodb")), self.url, *secrets)
        base = f"{self.github.client.base_url}/api/v3/"
        return {**dict(zip(wiring.VARIABLES, values, strict=True)), "GITHUB_BASE_URL": base}

    def deliver(self, action: str, job: int, guid: str) -> tuple[int, str]:
        """Send what GitHub would send about a job; the receiver's answer."""
        held = self.github.client.get(f"/repos/acme/orders/actions/jobs/{job}").json()
        repository = {"full_name": "acme/orders", "private": True, "owner": {"login": "acme"}}
        body = json.dumps({"action": action, "workflow_job": held, "repository": repository})
        signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": f"sha256={signature}", "x-github-event": "workflow_job"}
        event = {
            "requestContext": {"http": {"method": "POST"}},
            "headers": {**headers, "x-github-delivery": guid},
            "body": body,
        }
        answer = webhook.handler(event, Context())
        return answer["statusCode"], answer["body"]

    def poll(self) -> list[Mapping[str, Any]]:
        """Hand the queue's messages to the function, as Lambda does; its failures."""
        received = self.sqs.receive_message(QueueUrl=self.url, AttributeNames=["All"], MaxNumberOfMessages=10)
        messages = received.get("Messages", [])
        records = [
            {
                "messageId": each["MessageId"],
                "receiptHandle": each["ReceiptHandle"],
                "body": each["Body"],
                "attributes": each["Attributes"],
            }
            for each in messages
        ]
        failed: list[Mapping[str, Any]] = []
        if records:
            failed = launch.handler({"Records": records}, Context())["batchItemFailures"]
        for each in messages:
            if {"itemIdentifier": each["MessageId"]} not in failed:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=each["ReceiptHandle"])
        return failed

    def machines(self) -> list[Mapping[str, Any]]:
        found = self.ec2.describe_instances()["Reservations"]
        return [each for reservation in found for each in reservation["Instances"]]


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sandbox]:
    with serve(tmp_path_factory.mktemp("github")) as started:
        yield started


@pytest.fixture
def deployed(github: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Deployed]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # thousands, which take moto seconds
    with mock_aws():
        wiring.forget()
        made = Deployed(github)
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        yield made
    wiring.forget()


def queued(deployed: Deployed, guid: str) -> tuple[int, str]:
    """A job that has a machine with a runner; its id, and the name of the runner."""
    _, [job] = deployed.github.run("build")
    assert deployed.deliver("queued", job["id"], guid) == (200, "taken")
    assert deployed.poll() == []
    return job["id"], f"dev-{job['id']}-1"


def test_a_job_gets_a_machine_runs_and_ends(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    job, name = queued(deployed, "guid-1")
    [machine] = deployed.machines()
    assert {each["Key"]: each["Value"] for each in machine["Tags"]}["pavedpath:runner"] == name
    parameter = f"/pavedpath/dev/jit/{machine['InstanceId']}"
    configuration = deployed.ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
    ledger, forge = wiring.world(deployed.fleet).ledger, deployed.github.forge(deployed.fleet)
    record = ledger.job(job)
    assert record
    assert (record.state, record.runner) == (JobState.REGISTERED, name)

    for guid in ("guid-1", "guid-1b"):
        assert deployed.deliver("queued", job, guid)[0] == 200
    assert deployed.poll() == []
    reconcile.handler({}, Context())
    assert len(deployed.machines()) == 1, "no news of it makes a second machine"

    registration = forge.registration(name, "")
    assert registration
    deployed.github.post(f"/_sandbox/runners/{registration.id}/connect")
    assert deployed.deliver("in_progress", job, "guid-2") == (200, "taken")
    deployed.github.job(job, conclusion="success")
    assert deployed.deliver("completed", job, "guid-3") == (200, "taken")
    record, runner = ledger.job(job), ledger.runner(name)
    assert record
    assert runner
    assert (record.state, record.conclusion, runner.state) == (JobState.COMPLETED, "success", RunnerState.DONE)

    written = capsys.readouterr().out
    assert "QueueTime" in written
    for secret in (SECRET, configuration, *deployed.github.key.splitlines()[1:-1], "ghs_"):
        assert secret not in written


def test_a_machine_that_ec2_takes_away_is_replaced(deployed: Deployed) -> None:
    job, name = queued(deployed, "guid-4")
    [machine] = deployed.machines()
    detail = {"instance-id": machine["InstanceId"], "instance-action": "terminate"}
    interruption.handler({"detail-type": interruption.NOTICE, "detail": detail}, Context())
    runner = wiring.world(deployed.fleet).ledger.runner(name)
    assert runner
    assert runner.interrupted_at > 0
    assert deployed.poll() == []
    reconcile.handler({}, Context())
    record = wiring.world(deployed.fleet).ledger.job(job)
    assert record
    assert record.runner == f"dev-{job}-2"
    assert deployed.github.forge(deployed.fleet).registration(name, "") is None, "no job can reach it any more"
    deployed.github.job(job, hosted=True)
    deployed.github.job(job, conclusion="success")


def test_nobody_elses_webhook_is_taken(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    _, [job] = deployed.github.run("build")
    monkeypatch.setattr(f"{__name__}.SECRET", "guessed")
    assert deployed.deliver("queued", job["id"], "guid-5")[0] == 401
    assert deployed.poll() == []
    assert wiring.world(deployed.fleet).ledger.job(job["id"]) is None
    deployed.github.job(job["id"], hosted=True)  # else a runner of the next test would take it
    deployed.github.job(job["id"], conclusion="success")
