import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from pavedpath_sandbox.aws.journal import Entry, parse

Start = Callable[..., AbstractContextManager[Any]]


def make_things(aws: Any) -> dict[str, Any]:
    ec2, iam, secrets = aws.client("ec2"), aws.client("iam"), aws.client("secretsmanager")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    iam.create_user(UserName="u")
    iam.create_access_key(UserName="u")
    secrets.create_secret(Name="s", SecretString="hidden")
    aws.client("s3").create_bucket(Bucket="bucket")
    aws.client("s3").put_object(Bucket="bucket", Key="a/ü", Body=b"\x00\xff", Metadata={"with_underscore": "1"})
    return see(aws)


def see(aws: Any) -> dict[str, Any]:
    ec2, iam, s3 = aws.client("ec2"), aws.client("iam"), aws.client("s3")
    stored = s3.get_object(Bucket="bucket", Key="a/ü")
    return {
        "vpcs": sorted(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]),
        "subnets": sorted(each["SubnetArn"] for each in ec2.describe_subnets()["Subnets"]),
        "role": iam.get_role(RoleName="deploy")["Role"]["RoleId"],
        "key": iam.list_access_keys(UserName="u")["AccessKeyMetadata"][0]["AccessKeyId"],
        "secret": aws.client("secretsmanager").get_secret_value(SecretId="s")["ARN"],
        "object": stored["Body"].read(),
        "metadata": stored["Metadata"],
    }


def test_state_comes_back_with_the_same_identifiers(start_aws: Start, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with start_aws(journal) as aws:
        before = make_things(aws)
    written = parse(journal.read_bytes()).entries
    with start_aws(journal) as aws:
        assert see(aws) == before
        assert aws.application.replayed.problems == ()
        assert aws.application.replayed.entries == len(written) == 8
    assert parse(journal.read_bytes()).entries == written  # neither reads nor the replay are written


def test_reads_between_changes_do_not_shift_identifiers(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        ec2 = aws.client("ec2", "eu-west-1")
        first = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        ec2.describe_images()
        aws.client("kms").generate_random(NumberOfBytes=8)
        second = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    with start_aws(tmp_path / "j") as aws:
        found = {each["VpcId"] for each in aws.client("ec2", "eu-west-1").describe_vpcs()["Vpcs"]}
        assert {first, second} <= found


def test_an_entry_that_ends_otherwise_is_named(start_aws: Start, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with start_aws(journal) as aws:
        aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    entry = parse(journal.read_bytes()).entries[0]
    journal.write_bytes(Entry(entry.seed, entry.environ, entry.body, 418, entry.preserved).to_line() + b"rubbish\n")
    with start_aws(journal) as aws:
        problems = aws.application.replayed.problems
    assert problems == (
        "line 2 of the journal cannot be read",
        "entry 1, ec2 CreateVpc: answered 418 when it was recorded, 200 now",
    )


def test_health_tells_of_the_replay(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        aws.client("s3").create_bucket(Bucket="bucket")
        with urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/_sandbox/health", timeout=120) as answer:
            health = json.load(answer)
    assert health["journal_entries"] == 1
    assert health["replay"]["problems"] == []


def test_while_it_replays_it_says_so_and_requests_wait(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        made = aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with start_aws(tmp_path / "j", replay=False) as aws:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/_sandbox/health", timeout=120)
        assert caught.value.code == 503
        assert json.load(caught.value) == {"replaying": 0}
        seen: list[str] = []
        client = aws.client("ec2")
        read = threading.Thread(target=lambda: seen.extend(v["VpcId"] for v in client.describe_vpcs()["Vpcs"]))
        read.start()
        read.join(timeout=0.5)
        assert read.is_alive()  # an answer now would show an empty account
        aws.application.replay()
        read.join(timeout=120)
        assert made in seen


def test_what_moto_lacks_fails_at_once_and_says_so(aws: Any) -> None:
    with pytest.raises(ClientError, match="does not implement") as caught:
        aws.client("ec2").create_verified_access_instance()
    assert cast("Any", caught.value.response)["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_failure_of_moto_is_one_failed_request(aws: Any) -> None:
    with (
        mock.patch("moto.ec2.models.EC2Backend.create_vpc", side_effect=KeyError("inside")),
        pytest.raises(ClientError, match="moto failed with KeyError"),
    ):
        aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    assert aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


def test_a_session_token_is_not_kept(start_aws: Start, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    with start_aws(journal) as aws:
        client = aws.client("ec2")

        def add(request: Any, **_: object) -> None:
            request.headers["X-Amz-Security-Token"] = "a-session-token"

        client.meta.events.register("before-send.ec2.*", add)
        client.create_vpc(CidrBlock="10.0.0.0/16")
    assert len(parse(journal.read_bytes()).entries) == 1
    assert b"a-session-token" not in journal.read_bytes()


def test_a_long_poll_does_not_hold_up_others(start_aws: Start, tmp_path: Path) -> None:
    with start_aws(tmp_path / "j") as aws:
        sqs = aws.client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        got: list[Any] = []
        poll = threading.Thread(target=lambda: got.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)))
        poll.start()
        time.sleep(0.3)
        aws.client("sqs").send_message(QueueUrl=url, MessageBody="hello")
        poll.join(timeout=120)  # held up, the message would have come after the poll had ended with none
        assert got[0]["Messages"][0]["Body"] == "hello"
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["Messages"][0]["ReceiptHandle"])
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        attributes = aws.client("sqs").get_queue_attributes(
            QueueUrl=url.replace(url.split("/")[2], f"127.0.0.1:{aws.port}"), AttributeNames=["All"]
        )["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_managed_policies_are_there(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server's process sets the variable; in this one moto was imported without it.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    from moto.iam.models import IAMBackend

    assert any(policy.name == "AdministratorAccess" for policy in IAMBackend("aws", "1").aws_managed_policies)
