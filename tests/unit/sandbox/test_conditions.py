"""A statement's conditions, and what they do to a bucket's policy."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pavedpath_sandbox.aws.conditions import UnknownConditionError, holds

CONTEXT = {"aws:securetransport": "true", "s3:x-amz-server-side-encryption": "aws:kms", "a:arn": "arn:aws:s3:::b/k[1]"}
ENCRYPTION = "s3:x-amz-server-side-encryption"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"StringEquals": {ENCRYPTION: ["AES256", "aws:kms"]}}, True),
        ({"StringEquals": {ENCRYPTION: "AWS:KMS"}}, False),
        ({"StringEqualsIgnoreCase": {ENCRYPTION: "AWS:KMS"}}, True),
        ({"StringNotEquals": {ENCRYPTION: ["AES256", "aws:kms"]}}, False),
        ({"StringNotEquals": {ENCRYPTION: "AES256"}}, True),
        ({"StringEquals": {"absent": "x"}}, False),
        ({"StringNotEquals": {"absent": "x"}}, True),
        ({"StringEqualsIfExists": {"absent": "x"}}, True),
        ({"StringEqualsIfExists": {ENCRYPTION: "x"}}, False),
        ({"StringNotEqualsIfExists": {"absent": "x"}}, True),
        ({"Null": {"absent": "true"}}, True),
        ({"Null": {"absent": "false"}}, False),
        ({"Null": {ENCRYPTION: "false"}}, True),
        ({"ArnLike": {"a:arn": "arn:aws:s3:::b/k[1*"}}, True),
        ({"ArnNotLike": {"a:arn": "arn:aws:s3:::b/*"}}, False),
        ({"StringLike": {"a:arn": "arn:aws:s3:::?/*"}}, True),
        ({"Null": {ENCRYPTION: "false"}, "StringNotEquals": {ENCRYPTION: "aws:kms"}}, False),
    ],
)
def test_conditions_are_judged_as_iam_does(conditions: dict[str, dict[str, object]], expected: bool) -> None:
    assert holds(conditions, CONTEXT.get) is expected


def test_an_operator_that_is_not_known_is_named() -> None:
    with pytest.raises(UnknownConditionError, match="ForAnyValue:StringLike"):
        holds({"ForAnyValue:StringLike": {"absent": "x"}}, CONTEXT.get)


def statement(condition: dict[str, Any]) -> dict[str, Any]:
    everything = ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]
    deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*", "Resource": everything}
    return {**deny, "Condition": condition}


def test_a_denial_needs_its_conditions(aws: Any, caplog: pytest.LogCaptureFixture) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    unknown = statement({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    unencrypted = statement({"Null": {ENCRYPTION: "false"}, "StringNotEquals": {ENCRYPTION: "aws:kms"}})
    insecure = statement({"Bool": {"aws:SecureTransport": "false"}})
    policy = json.dumps({"Version": "2012-10-17", "Statement": [insecure, unencrypted, unknown]})
    s3.put_bucket_policy(Bucket="bucket", Policy=policy)
    s3.put_object(Bucket="bucket", Key="plain", Body=b"1")
    s3.put_object(Bucket="bucket", Key="kms", Body=b"2", ServerSideEncryption="aws:kms")
    assert s3.get_object(Bucket="bucket", Key="plain")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="bucket", Key="other", Body=b"3", ServerSideEncryption="AES256")
    assert json.loads(s3.get_bucket_policy(Bucket="bucket")["Policy"]) == json.loads(policy)
    assert "aws:sourceip" in caplog.text
    assert s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "plain"}]})["Deleted"] == [{"Key": "plain"}]


def test_a_denial_without_conditions_holds(aws: Any) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": statement({})}))
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="bucket", Key="k", Body=b"1")
