"""Bootstrap against moto, with faults between any two calls."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from pavedpath_delivery.stack.engine import Engine
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.s3 import ClientOf, S3Place
from pavedpath_delivery.state.bootstrap import Bootstrapped, Wishes, as_json, bootstrap
from pavedpath_delivery.state.converge import Done, Outcome

BUCKET = "acme-shop-state"
URL = f"s3://{BUCKET}?region=eu-west-1"
ALIAS = "alias/pulumi-shop"
ACCOUNT = "123456789012"
READS = ("Get", "Head", "List", "Describe")
OTHER = "210987654321"


_listening: list[Callable[..., None]] = []


@cache
def shared_client(service: str) -> Any:
    """Making a client takes longer than all that a run does with it."""
    place = S3Place.parse(URL)
    assert place is not None
    made = place.clients()(service)

    def tell(**event: Any) -> None:
        for listener in _listening:
            listener(**event)

    made.meta.events.register("before-call", tell)
    return made


class Killed(BaseException):
    """The process died: nothing of the program may run."""


@dataclass
class Calls:
    """Counts the calls of a run, and ends it before one of them."""

    dies_before: int = -1
    made: list[str] = field(default_factory=list[str])
    refused: frozenset[str] = frozenset()

    def clients(self) -> ClientOf:
        _listening[:] = [self.before]
        return shared_client

    def before(self, model: Any, **_: Any) -> None:
        if len(self.made) == self.dies_before:
            raise Killed
        if model.name in self.refused:
            answer = {"Error": {"Code": "AccessDenied", "Message": "not authorized"}, "ResponseMetadata": {}}
            raise ClientError(answer, model.name)  # pyright: ignore[reportArgumentType]  # as short as what is read of it
        self.made.append(model.name)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]  # pytest finds it
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text(f"name: shop\nruntime: python\nbackend: {{url: '{URL}'}}\n")
    (tmp_path / "Pulumi.shared.yaml").write_text("config: {'shop:owner': platform}\n")
    (tmp_path / "Pulumi.prod.yaml").write_text(f"config: {{'shop:owner': platform, 'shop:account': '{OTHER}'}}\n")
    return tmp_path


def run(root: Path, calls: Calls | None = None, *, dry_run: bool = False, **wishes: Any) -> Bootstrapped:
    def ignore(_done: Done) -> None:
        pass

    made = (calls or Calls()).clients()
    return bootstrap(Engine(root, {}), Wishes(**wishes), [], ignore, dry_run=dry_run, clients=made)


def outcomes(done: Bootstrapped) -> dict[str, str]:
    return {each.kind: str(each.outcome) for each in done.things}


@cache
def client(service: str, region: str = "eu-west-1") -> Any:
    return boto3.client(service, region_name=region)  # pyright: ignore[reportUnknownMemberType, reportCallIssue, reportArgumentType, reportUnknownVariableType]  # the service is named at run time


def reality() -> str:
    """Return everything that there is, with the key's id out of it."""
    s3, kms = client("s3"), client("kms")
    reads: dict[str, Callable[..., Any]] = {
        "versioning": s3.get_bucket_versioning,
        "encryption": s3.get_bucket_encryption,
        "block": s3.get_public_access_block,
        "ownership": s3.get_bucket_ownership_controls,
        "policy": s3.get_bucket_policy,
        "logging": s3.get_bucket_logging,
        "lifecycle": s3.get_bucket_lifecycle_configuration,
        "tags": s3.get_bucket_tagging,
    }
    found: dict[str, Any] = {}
    for bucket in s3.list_buckets()["Buckets"]:
        for name, read in reads.items():
            answer = read(Bucket=bucket["Name"])
            answer.pop("ResponseMetadata")
            found[f"{bucket['Name']} {name}"] = answer
    (key,) = [key["KeyId"] for key in kms.list_keys()["Keys"]]
    found["aliases"] = [each["AliasName"] for each in kms.list_aliases(KeyId=key)["Aliases"]]
    found["rotation"] = kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    found["key policy"] = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    found["key tags"] = sorted((tag["TagKey"], tag["TagValue"]) for tag in kms.list_resource_tags(KeyId=key)["Tags"])
    return json.dumps(found, sort_keys=True).replace(key, "KEY")


def test_everything_is_made_and_the_next_run_changes_nothing(aws: None, root: Path) -> None:
    assert outcomes(run(root)) == {"key": "made", "log bucket": "made", "bucket": "made"}
    made = reality()
    assert outcomes(run(root)) == {"key": "kept", "log bucket": "kept", "bucket": "kept"}
    assert reality() == made


def test_what_is_made_is_locked_down(aws: None, root: Path) -> None:
    run(root, version_days=30, log_days=400)
    s3, kms = client("s3"), client("kms")
    key = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    for name in (BUCKET, f"{BUCKET}-logs"):
        assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
        assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"] == [
            {"ObjectOwnership": "BucketOwnerEnforced"}
        ]
        tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
        assert tags == {"project": "shop", "owner": "platform", "environment": "shared", "Name": name}
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]}
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert s3.get_bucket_logging(Bucket=BUCKET)["LoggingEnabled"]["TargetBucket"] == f"{BUCKET}-logs"
    (old,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert old["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert "Days" not in old["Expiration"], "a current state never expires"
    (logs,) = s3.get_bucket_lifecycle_configuration(Bucket=f"{BUCKET}-logs")["Rules"]
    assert logs["Expiration"] == {"Days": 400}


def test_a_run_that_died_anywhere_is_finished_by_the_next(root: Path) -> None:
    whole = Calls()
    with mock_aws():
        run(root, whole)
        wanted = reality()
    assert len(whole.made) > 30
    for position in range(1, len(whole.made)):
        with mock_aws():
            with pytest.raises(Killed):
                run(root, Calls(dies_before=position))
            run(root)
            assert reality() == wanted, f"died before call {position}, {whole.made[position]}"


def test_a_dry_run_says_the_same_and_writes_nothing(aws: None, root: Path) -> None:
    calls = Calls()
    planned = run(root, calls, dry_run=True)
    assert [name for name in calls.made if not name.startswith(READS)] == []
    assert client("s3").list_buckets()["Buckets"] == []
    assert outcomes(planned) == outcomes(run(root))
    assert as_json(planned, dry_run=True)["things"][0]["outcome"] == "made"


SPOILS: dict[str, Callable[[Any], object]] = {
    "versioning": lambda s3: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}),
    "public access blocked": lambda s3: s3.delete_public_access_block(Bucket=BUCKET),
    "no ACLs": lambda s3: s3.delete_bucket_ownership_controls(Bucket=BUCKET),
    "policy": lambda s3: s3.delete_bucket_policy(Bucket=BUCKET),
    "access logs": lambda s3: s3.put_bucket_logging(Bucket=BUCKET, BucketLoggingStatus={}),
    "lifecycle": lambda s3: s3.delete_bucket_lifecycle(Bucket=BUCKET),
    "tags": lambda s3: s3.delete_bucket_tagging(Bucket=BUCKET),
    "encryption with the key": lambda s3: s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    ),
}


@pytest.mark.parametrize("setting", SPOILS)
def test_what_somebody_loosened_is_corrected_and_nothing_else(aws: None, root: Path, setting: str) -> None:
    run(root)
    wanted = reality()
    SPOILS[setting](client("s3"))
    done = run(root)
    assert [each for each in done.things if each.outcome is not Outcome.KEPT] == [
        Done("bucket", BUCKET, Outcome.CORRECTED, (setting,))
    ]
    assert reality() == wanted


def test_what_others_added_stays(aws: None, root: Path) -> None:
    run(root)
    s3 = client("s3")
    statement = {"Sid": "Audit", "Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "s3:GetBucketTagging"}
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"] = [{**statement, "Resource": f"arn:aws:s3:::{BUCKET}"}, *policy["Statement"][1:]]
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [*rules, theirs]})
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "cost", "Value": "7"}]})
    run(root)
    sids = [each["Sid"] for each in json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]]
    assert {"Audit", "PavedpathTlsOnly"} <= set(sids)
    assert {rule["ID"] for rule in s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]} == {
        "theirs",
        "pavedpath-old-versions",
    }
    tags = {tag["Key"] for tag in s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]}
    assert {"cost", "project", "owner", "environment"} <= tags


def test_another_accounts_stacks_get_their_own_and_no_more(aws: None, root: Path) -> None:
    run(root)
    statements = {
        each["Sid"]: each for each in json.loads(client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    }
    own = statements[f"PavedpathStacks{OTHER}"]
    assert own["Principal"] == {"AWS": f"arn:aws:iam::{OTHER}:root"}
    assert all("/shop/prod" in path for path in own["Resource"])
    assert any(path.endswith("/stacks/shop/shared.json") for path in statements["PavedpathRead"]["Resource"])
    key = client("kms").describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    policy = json.loads(client("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    keys = {each["Sid"]: each for each in policy["Statement"]}
    for sid, stack, actions in (
        (f"PavedpathSecrets{OTHER}", "prod", ["kms:Decrypt", "kms:Encrypt"]),
        ("PavedpathCommonSecrets", "shared", ["kms:Decrypt"]),
    ):
        context = {"kms:EncryptionContext:project": "shop", "kms:EncryptionContext:stack": [stack]}
        assert keys[sid]["Condition"]["StringEquals"] == context
        assert keys[sid]["Principal"] == {"AWS": [f"arn:aws:iam::{OTHER}:root"]}
        assert keys[sid]["Action"] == actions


def test_the_partition_is_the_callers(aws: None, root: Path) -> None:
    url = URL.replace("eu-west-1", "us-gov-west-1")
    (root / "Pulumi.yaml").write_text(f"name: shop\nruntime: python\nbackend: {{url: '{url}'}}\n")
    place = S3Place.parse(url)
    assert place is not None
    clients = place.clients()
    done = bootstrap(Engine(root, {}), Wishes(), [], print, clients=clients)
    assert done.providers["prod"].startswith(f"awskms:///arn:aws-us-gov:kms:us-gov-west-1:{ACCOUNT}:{ALIAS}?")
    s3, key = clients("s3"), clients("kms").describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    said = [s3.get_bucket_policy(Bucket=name)["Policy"] for name in (BUCKET, f"{BUCKET}-logs")]
    said.append(clients("kms").get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert all("arn:aws-us-gov:" in policy and "arn:aws:" not in policy for policy in said)


def test_each_stack_has_a_provider_address_of_its_own(aws: None, root: Path) -> None:
    done = run(root)
    assert done.providers["prod"] == (
        f"awskms:///arn:aws:kms:eu-west-1:{ACCOUNT}:{ALIAS}?region=eu-west-1&context_project=shop&context_stack=prod"
    )
    assert any(done.providers["shared"] in step for step in done.next)


def refusal(root: Path, calls: Calls | None = None, **wishes: Any) -> StackCommandError:
    with pytest.raises(StackCommandError) as error:
        run(root, calls, **wishes)
    assert "Fix: " in str(error.value)
    return error.value


def test_a_bucket_of_another_account_is_left_alone(aws: None, root: Path) -> None:
    error = refusal(root, Calls(refused=frozenset({"HeadBucket"})))
    assert "another AWS account" in str(error)
    assert client("kms").list_keys()["Keys"] == [], "nothing is made for a name that is taken"


def test_a_bucket_of_another_project_is_left_alone(aws: None, root: Path) -> None:
    run(root)
    made = reality()
    for path in root.glob("Pulumi*.yaml"):
        path.write_text(path.read_text().replace("shop", "books", 1))
    assert "it is the project shop's" in str(refusal(root, owner="others"))
    assert reality() == made


def test_a_bucket_in_another_region_is_named(aws: None, root: Path) -> None:
    client("s3", "eu-central-1").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    error = refusal(root)
    assert "region=eu-central-1" in str(error)
    assert error.code is Exit.USAGE


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
        ("PutBucketPolicy", "s3:PutBucketPolicy"),
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        ("CreateKey", "kms:CreateKey"),
    ],
)
def test_a_missing_permission_is_named(aws: None, root: Path, operation: str, action: str) -> None:
    error = refusal(root, Calls(refused=frozenset({operation})))
    assert action in str(error)
    assert error.code is Exit.FAILED
    assert outcomes(run(root))["bucket"] in ("made", "corrected")


def test_a_key_on_its_way_out_is_no_place_for_secrets(aws: None, root: Path) -> None:
    run(root)
    kms = client("kms")
    key = kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key)
    assert "cancel-key-deletion" in str(refusal(root))
    kms.cancel_key_deletion(KeyId=key)
    kms.disable_key(KeyId=key)
    assert "enable-key" in str(refusal(root))


def test_a_key_that_cannot_encrypt_is_refused(aws: None, root: Path) -> None:
    kms = client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="RSA_2048")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=ALIAS, TargetKeyId=key)
    assert "symmetric" in str(refusal(root))


def test_two_runs_at_once_leave_one_key(aws: None, root: Path) -> None:
    other: list[str] = []

    def meanwhile(model: Any, **_: Any) -> None:
        if model.name == "CreateAlias" and not other:
            rival = client("kms").create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
            other.append(rival)
            client("kms").create_alias(AliasName=ALIAS, TargetKeyId=rival)

    _listening[:] = [meanwhile]
    done: list[Done] = []
    bootstrap(Engine(root, {}), Wishes(), [], done.append, clients=shared_client)
    (rule,) = client("s3").get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith(other[0])
    states = {
        key["KeyId"]: client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        for key in client("kms").list_keys()["Keys"]
    }
    assert states.pop(other[0]) == "Enabled"
    assert set(states.values()) == {"PendingDeletion"}


def test_no_backend_shows_both_lines(root: Path) -> None:
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    error = refusal(root)
    assert "s3://" in str(error)
    assert "https://api.pulumi.com" in str(error)
    assert error.code is Exit.USAGE


def test_a_backend_on_this_machine_needs_nothing(root: Path) -> None:
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\nbackend: {url: 'file:///tmp/x'}\n")
    assert run(root).things == ()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://Acme_State?region=eu-west-1", "no name for a bucket"),
        (f"s3://{'a' * 60}?region=eu-west-1", "5 characters fewer"),
        (f"{URL}&endpoint=minio:9000", "not AWS"),
    ],
)
def test_an_address_that_cannot_work_is_refused_before_any_call(root: Path, url: str, said: str) -> None:
    (root / "Pulumi.yaml").write_text(f"name: shop\nruntime: python\nbackend: {{url: '{url}'}}\n")
    calls = Calls()
    assert said in str(refusal(root, calls))
    assert calls.made == []


def test_who_owns_it_is_asked_if_the_stacks_disagree(root: Path) -> None:
    (root / "Pulumi.shared.yaml").write_text("config: {'shop:owner': others}\n")
    assert "--owner" in str(refusal(root))


def test_no_credentials_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StackCommandError) as caught:
        bootstrap(Engine(root, {}), Wishes(), [], print)
    error = caught.value
    assert "credentials" in str(error)
    assert error.code is Exit.USAGE
