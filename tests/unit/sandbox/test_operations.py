import pytest
from pavedpath_sandbox.aws.operations import Operation, cbor_operation, identify

SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def request(service: str, **environ: str) -> dict[str, str]:
    return {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_AUTHORIZATION": SIGNED.format(service), **environ}


@pytest.mark.parametrize(
    ("environ", "body", "expected"),
    [
        (request("ec2", CONTENT_TYPE=FORM), b"Action=CreateVpc&Version=1", Operation("ec2", "CreateVpc", True)),
        (request("ec2", CONTENT_TYPE=FORM), b"Action=DescribeVpcs", Operation("ec2", "DescribeVpcs", False)),
        (request("iam", QUERY_STRING="Action=ListRoles"), b"", Operation("iam", "ListRoles", False)),
        (request("kms", HTTP_X_AMZ_TARGET="TrentService.CreateKey"), b"{}", Operation("kms", "CreateKey", True)),
        (request("kms", HTTP_X_AMZ_TARGET="TrentService.Decrypt"), b"{}", Operation("kms", "Decrypt", False)),
        (
            request("monitoring", PATH_INFO="/service/GraniteServiceVersion20100801/operation/PutMetricAlarm"),
            b"",
            Operation("monitoring", "PutMetricAlarm", True),
        ),
        (request("s3", REQUEST_METHOD="PUT", PATH_INFO="/bucket"), b"", Operation("s3", "PUT /bucket", True)),
        (request("s3", REQUEST_METHOD="GET", PATH_INFO="/b/k"), b"", Operation("s3", "GET /b/k", False)),
        ({"REQUEST_METHOD": "DELETE", "PATH_INFO": "/x"}, b"", Operation("-", "DELETE /x", True)),
        # A body that only looks like a query is not one.
        (request("s3", PATH_INFO="/b/k"), b"Action=DescribeVpcs", Operation("s3", "POST /b/k", True)),
    ],
)
def test_a_request_is_named_and_judged(environ: dict[str, str], body: bytes, expected: Operation) -> None:
    assert identify(environ, body) == expected


@pytest.mark.parametrize("name", ["SignalResource", "GetterThing", "AssumeRole", "TagResource", "ScheduleKeyDeletion"])
def test_what_is_not_known_as_a_read_is_a_change(name: str) -> None:
    expected = name != "GetterThing"  # a "Get…" is a read in every AWS service
    assert identify(request("x", HTTP_X_AMZ_TARGET=f"X.{name}"), b"").mutates is expected


def test_other_paths_are_no_cbor_operations() -> None:
    assert cbor_operation("/service/A/operation/B") == ("A", "B")
    assert cbor_operation("/service/A/operation/B/C") is None
    assert cbor_operation("/bucket/key") is None
