"""Accounts by access key id, and S3 Control's host names through the server as a proxy."""

import http.client
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from pavedpath_sandbox.aws.accounts import account_of, addressed, is_for_others

Start = Callable[..., AbstractContextManager[Any]]
DEV, PROD = "123456789012", "210987654321"


@pytest.mark.parametrize(
    ("environ", "account"),
    [
        ({"HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={PROD}/20260101/us-east-1/s3/aws4_request, S=1"}, PROD),
        ({"QUERY_STRING": f"a=1&X-Amz-Credential={PROD}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"}, PROD),
        ({"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}, None),
        ({"HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential={PROD}0/20260101/us-east-1/s3/aws4_request"}, None),
        ({"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=ASIA210987654321/20260101/us-east-1/s3/a"}, None),
        ({"HTTP_HOST": f"{PROD}.127.0.0.1:20001"}, PROD),
        ({"HTTP_HOST": f"{PROD}.localhost"}, PROD),
        ({"HTTP_HOST": f"{PROD}.example.com"}, None),
        ({}, None),
    ],
)
def test_the_account_of_a_request(environ: dict[str, str], account: str | None) -> None:
    assert account_of(environ) == account
    told = cast("dict[str, str]", addressed(cast("Any", environ)))
    assert told == ({**environ, "HTTP_X_MOTO_ACCOUNT_ID": account} if account else environ)


@pytest.mark.parametrize(
    ("uri", "host", "expected"),
    [
        ("http://example.com/x", "example.com", True),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254", True),
        (f"http://{PROD}.127.0.0.1:1/v20180820/tags/x", f"{PROD}.127.0.0.1:1", False),
        ("/bucket/key?next=http://example.com", "127.0.0.1:1", False),
        ("/key", "bucket.s3.amazonaws.com", False),
    ],
)
def test_what_a_proxys_client_wants(uri: str, host: str, expected: bool) -> None:
    assert is_for_others({"REQUEST_URI": uri, "HTTP_HOST": host}) is expected


def test_two_accounts_do_not_see_each_other_and_come_back(start_aws: Start, tmp_path: Path) -> None:
    def see(aws: Any, key: str) -> dict[str, Any]:
        ec2, kms = aws.client("ec2", key=key), aws.client("kms", key=key)
        return {
            "account": aws.client("sts", key=key).get_caller_identity()["Account"],
            "vpcs": {each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]},
            "keys": {each["KeyArn"] for each in kms.list_keys()["Keys"]},
            "roles": {each["Arn"] for each in aws.client("iam", key=key).list_roles()["Roles"]},
            "buckets": {each["Name"] for each in aws.client("s3", key=key).list_buckets()["Buckets"]},
        }

    with start_aws(tmp_path / "j") as aws:
        for number, key in enumerate(("test", PROD)):
            aws.client("ec2", key=key).create_vpc(CidrBlock=f"10.{number}.0.0/16")
            aws.client("kms", key=key).create_key(Description="the same in both")
            policy = '{"Version":"2012-10-17","Statement":[]}'
            aws.client("iam", key=key).create_role(RoleName="deploy", AssumeRolePolicyDocument=policy)
            aws.client("s3", key=key).create_bucket(Bucket=f"bucket-{number}")
        dev, prod = see(aws, "test"), see(aws, PROD)
        assert (dev["account"], prod["account"]) == (DEV, PROD)
        assert see(aws, DEV) == dev
        for kind in ("vpcs", "keys", "roles", "buckets"):
            assert dev[kind]
            assert prod[kind]
            assert not dev[kind] & prod[kind]
        assert {arn.rpartition("/")[2] for arn in dev["keys"]}.isdisjoint(
            arn.rpartition("/")[2] for arn in prod["keys"]
        )
    with start_aws(tmp_path / "j") as aws:
        assert aws.application.replayed.problems == ()
        assert (see(aws, DEV), see(aws, PROD)) == (dev, prod)


def test_a_bucket_of_another_account_is_closed(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")  # as the server's process has it
    aws.client("s3", key=PROD).create_bucket(Bucket="of-prod")
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.client("s3").list_objects_v2(Bucket="of-prod")


def test_keys_of_an_assumed_role_stay_in_its_account(aws: Any) -> None:
    policy = '{"Version":"2012-10-17","Statement":[]}'
    role = aws.client("iam", key=PROD).create_role(RoleName="r", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    for caller in (PROD, DEV):
        given = aws.client("sts", key=caller).assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
        who = aws.client("sts", key=given["AccessKeyId"]).get_caller_identity()
        assert who["Account"] == PROD
        assert who["Arn"].endswith("assumed-role/r/session")


def _through(aws: Any, url: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", aws.port, timeout=120)
    scope = "20260101/us-east-1/s3/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders=host, Signature=0"}
    try:
        host = url.split("/")[2]
        connection.request("GET", url, headers={**signed, "Host": host, "x-amz-account-id": host.partition(".")[0]})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_s3_control_is_reached_through_the_proxy(aws: Any) -> None:
    tags = [{"Key": "owner", "Value": "platform"}]
    aws.client("s3", key=PROD).create_bucket(Bucket="bbb", CreateBucketConfiguration={"Tags": tags})
    path = f".127.0.0.1:{aws.port}/v20180820/tags/arn%3Aaws%3As3%3A%3A%3Abbb"
    status, body = _through(aws, f"http://{PROD}{path}")
    assert status == 200, body
    assert "<Key>owner</Key>" in body
    assert "owner" not in _through(aws, f"http://{DEV}{path}")[1]


def test_nothing_else_is_forwarded(aws: Any) -> None:
    status, body = _through(aws, "http://example.com/")
    assert status == 403
    assert "forwards nothing to example.com" in body
    assert "unset HTTP_PROXY" in body
    with urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/_sandbox/health", timeout=120) as answer:
        assert answer.status == 200
