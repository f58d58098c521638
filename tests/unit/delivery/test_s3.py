import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.s3 import S3Place, explained

names = st.from_regex(r"[a-z0-9][a-z0-9-]{1,20}[a-z0-9]", fullmatch=True)


@given(names, st.lists(names, max_size=3), names, st.sampled_from(["", "s3ForcePathStyle", "use_path_style"]))
def test_an_address_says_where_the_backend_is(bucket: str, folders: list[str], region: str, style: str) -> None:
    path = "/".join(["", *folders])
    place = S3Place.parse(f"s3://{bucket}{path}?region={region}&profile=team" + (f"&{style}=true" if style else ""))
    assert place == S3Place(bucket, "".join(f"{each}/" for each in folders), region, "team", "", bool(style))


def test_another_kind_of_backend_is_no_place() -> None:
    assert S3Place.parse("file:///x") is None
    assert S3Place.parse("https://api.pulumi.com") is None


def test_the_region_is_the_one_that_the_engine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert S3Place("b").clients()("s3").meta.region_name == "eu-north-1"
    assert S3Place("b", region="eu-west-1").clients()("kms").meta.region_name == "eu-west-1"


@pytest.mark.parametrize(
    ("code", "operation", "said"),
    [
        ("AccessDenied", "PutBucketLogging", "s3:PutBucketLogging"),
        ("403", "HeadBucket", "s3:ListBucket"),
        ("AccessDenied", "PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
        ("AccessDeniedException", "ListResourceTags", "kms:ListResourceTags"),
        ("AccessDenied", "GetCallerIdentity", "sts:GetCallerIdentity"),
        ("ExpiredToken", "GetCallerIdentity", "log in again"),
        ("NoSuchBucket", "ListObjectsV2", "pavedpath state bootstrap"),
        ("PermanentRedirect", "ListObjectsV2", "`region=`"),
        ("OperationAborted", "CreateBucket", "wait a minute"),
        ("SomethingNew", "CreateKey", "CreateKey failed with SomethingNew"),
    ],
)
def test_each_refusal_has_its_fix(code: str, operation: str, said: str) -> None:
    answer = {"Error": {"Code": code, "Message": "no"}}
    with pytest.raises(StackCommandError) as error, explained("s3://b"):
        raise ClientError(answer, operation)  # pyright: ignore[reportArgumentType]  # as short as what is read of it
    assert str(error.value).startswith("s3://b: ")
    assert said in str(error.value)
    assert "Fix: " in str(error.value)


def test_no_credentials_and_no_network_are_told_apart() -> None:
    with pytest.raises(StackCommandError, match="aws sso login") as error, explained("s3://b"):
        raise NoCredentialsError
    assert error.value.code is Exit.USAGE
    with pytest.raises(StackCommandError, match="the network") as error, explained("s3://b"):
        raise EndpointConnectionError(endpoint_url="https://x")
    assert error.value.code is Exit.FAILED
