"""The state's bucket and its log bucket.

Sources: AWS, "Security best practices for Amazon S3" (block public access, disable ACLs, encryption, versioning,
access logging), "Configuring your bucket to use an S3 Bucket Key", "Enabling Amazon S3 server access logging" (a log
bucket cannot be encrypted with a KMS key); Pulumi, "State and backends" (versioning as the way back).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.s3 import code_of
from pavedpath_delivery.state.converge import Converger, Setting, merged_tags, read_or_none
from pavedpath_delivery.state.policies import Statement, merged, same

_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_DEFAULT_REGION = "us-east-1"  # the one that CreateBucket takes no LocationConstraint for
_OURS = "pavedpath-"

Rule: TypeAlias = dict[str, Any]
"""A lifecycle rule, as S3's API has it."""


@dataclass(frozen=True)
class Bucket:
    """A bucket of this account.

    Args:
        s3: the client.
        name: the bucket's name.
        region: where it must be.
        account: who must own it; every call says so, and S3 refuses it for another's bucket.
    """

    s3: Any
    name: str
    region: str
    account: str

    @property
    def _call(self) -> dict[str, str]:
        return {"Bucket": self.name, "ExpectedBucketOwner": self.account}

    def exists(self) -> bool:
        """Whether it is there.

        Raises:
            StackCommandError: it is another account's, or in another region.
        """
        from botocore.exceptions import ClientError

        try:
            found = self.s3.head_bucket(**self._call)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return False
            if code_of(error) in ("403", "AccessDenied"):
                raise self._foreign() from error
            region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
            if region and region != self.region:
                raise self._elsewhere(region) from error
            raise
        headers: Mapping[str, str] = found.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = str(found.get("BucketRegion") or headers.get("x-amz-bucket-region") or self.region)
        if region != self.region:
            raise self._elsewhere(region)
        return True

    def check_free(self, project: str) -> None:
        """Refuse a bucket that is tagged as another project's: it has one key and one policy, and they are its own."""
        tags: dict[str, str] | None = self.tagged({}).read() if self.exists() else None
        other = (tags or {}).get("project", project)
        if other != project:
            raise StackCommandError(
                f"bucket {self.name}: it is the project {other}'s, says its tag.\n"
                f"Fix: write a bucket of {project}'s own into the backend's address.",
                Exit.USAGE,
            )

    def _foreign(self) -> StackCommandError:
        return StackCommandError(
            f"bucket {self.name}: it belongs to another AWS account than {self.account}, or this identity lacks"
            " s3:ListBucket on it.\nFix: choose another name in the backend's address (bucket names are worldwide),"
            " use credentials of the account that owns it, or get the permission."
        )

    def _elsewhere(self, region: str) -> StackCommandError:
        return StackCommandError(
            f"bucket {self.name}: it is in {region}, not in {self.region}.\n"
            f"Fix: write `region={region}` into the backend's address, or choose another bucket.",
            Exit.USAGE,
        )

    def create(self) -> None:
        """Make it, empty and without ACLs; one of this account that another run makes meanwhile is taken."""
        from botocore.exceptions import ClientError

        options: dict[str, Any] = {"Bucket": self.name, "ObjectOwnership": "BucketOwnerEnforced"}
        if self.region != _DEFAULT_REGION:
            options["CreateBucketConfiguration"] = {"LocationConstraint": self.region}
        try:
            self.s3.create_bucket(**options)
        except ClientError as error:
            if code_of(error) == "BucketAlreadyExists":
                raise self._foreign() from error
            if code_of(error) != "BucketAlreadyOwnedByYou":
                raise
        self.s3.get_waiter("bucket_exists").wait(**self._call)

    def settle(self, converger: Converger, kind: str, settings: list[Setting]) -> None:
        """Make it if it is not there, and bring these settings and those of every bucket into shape."""
        made = not self.exists()
        if made and not converger.dry_run:
            self.create()
        converger.settle(kind, self.name, settings, made=made)

    def closed(self) -> list[Setting]:
        """Return the settings that close it: no public access, no ACLs."""
        none, no_rules = "NoSuchPublicAccessBlockConfiguration", "OwnershipControlsNotFoundError"

        def read_block() -> Any:
            return self.s3.get_public_access_block(**self._call)["PublicAccessBlockConfiguration"]

        def read_ownership() -> Any:
            rules = self.s3.get_bucket_ownership_controls(**self._call)["OwnershipControls"]["Rules"]
            return [rule["ObjectOwnership"] for rule in rules]

        return [
            Setting(
                "public access blocked",
                read_or_none(none, read_block),
                lambda _: _CLOSED,
                lambda value: self.s3.put_public_access_block(**self._call, PublicAccessBlockConfiguration=value),
            ),
            Setting(
                "no ACLs",
                read_or_none(no_rules, read_ownership),
                lambda _: ["BucketOwnerEnforced"],
                lambda value: self.s3.put_bucket_ownership_controls(
                    **self._call, OwnershipControls={"Rules": [{"ObjectOwnership": each} for each in value]}
                ),
            ),
        ]

    def versioned(self) -> Setting:
        """Return versioning, on."""
        return Setting(
            "versioning",
            lambda: self.s3.get_bucket_versioning(**self._call).get("Status"),
            lambda _: "Enabled",
            lambda value: self.s3.put_bucket_versioning(**self._call, VersioningConfiguration={"Status": value}),
        )

    def encrypted(self, key_arn: str | None) -> Setting:
        """Return encryption with this key and a bucket key, or (None) with S3's own."""
        wanted = (
            {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key_arn, "BucketKeyEnabled": True}
            if key_arn
            else {"SSEAlgorithm": "AES256"}
        )

        def read() -> Any:
            (rule, *_) = self.s3.get_bucket_encryption(**self._call)["ServerSideEncryptionConfiguration"]["Rules"]
            shown = {**rule["ApplyServerSideEncryptionByDefault"], "BucketKeyEnabled": rule.get("BucketKeyEnabled")}
            return {name: shown.get(name) for name in wanted}

        def write(value: dict[str, Any]) -> None:
            default = {name: item for name, item in value.items() if name != "BucketKeyEnabled"}
            rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": key_arn is not None}
            self.s3.put_bucket_encryption(**self._call, ServerSideEncryptionConfiguration={"Rules": [rule]})

        name = "encryption with the key" if key_arn else "encryption"
        return Setting(
            name, read_or_none("ServerSideEncryptionConfigurationNotFoundError", read), lambda _: wanted, write
        )

    def guarded(self, statements: Sequence[Statement]) -> Setting:
        """Return the policy with these statements; others' statements stay."""
        return Setting(
            "policy",
            read_or_none("NoSuchBucketPolicy", lambda: self.s3.get_bucket_policy(**self._call)["Policy"]),
            lambda current: merged(current, statements),
            lambda value: self.s3.put_bucket_policy(**self._call, Policy=value),
            same,
        )

    def logged(self, target: str) -> Setting:
        """Return access logs, into the bucket `target`."""

        def read() -> Any:
            found = self.s3.get_bucket_logging(**self._call).get("LoggingEnabled")
            return found and {name: found.get(name) for name in ("TargetBucket", "TargetPrefix")}

        return Setting(
            "access logs",
            read,
            lambda _: {"TargetBucket": target, "TargetPrefix": f"{self.name}/"},
            lambda value: self.s3.put_bucket_logging(**self._call, BucketLoggingStatus={"LoggingEnabled": value}),
        )

    def expiring(self, rules: Sequence[Rule]) -> Setting:
        """Return the lifecycle with these rules, whose ids begin with `pavedpath-`; others' rules stay."""

        def read() -> Any:
            return self.s3.get_bucket_lifecycle_configuration(**self._call)["Rules"]

        def wanted(current: list[Rule] | None) -> list[Rule]:
            return [*rules, *(rule for rule in current or [] if not str(rule.get("ID", "")).startswith(_OURS))]

        def same_rules(first: list[Rule] | None, second: list[Rule]) -> bool:
            texts = [
                sorted(json.dumps(rule, sort_keys=True, default=str) for rule in each or []) for each in (first, second)
            ]
            return texts[0] == texts[1]

        return Setting(
            "lifecycle",
            read_or_none("NoSuchLifecycleConfiguration", read),
            wanted,
            lambda value: self.s3.put_bucket_lifecycle_configuration(
                **self._call, LifecycleConfiguration={"Rules": value}
            ),
            same_rules,
        )

    def tagged(self, tags: dict[str, str]) -> Setting:
        """Return the tags; others' tags stay."""

        def read() -> Any:
            return {tag["Key"]: tag["Value"] for tag in self.s3.get_bucket_tagging(**self._call)["TagSet"]}

        return Setting(
            "tags",
            read_or_none("NoSuchTagSet", read),
            lambda current: merged_tags(current, tags),
            lambda value: self.s3.put_bucket_tagging(
                **self._call, Tagging={"TagSet": [{"Key": key, "Value": item} for key, item in value.items()]}
            ),
        )


def _rule(name: str, **what: Any) -> Rule:
    stale = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
    return {"ID": f"{_OURS}{name}", "Status": "Enabled", "Filter": {"Prefix": ""}, **what, **stale}


def state_rules(days: int) -> list[Rule]:
    """Return the rules of the state's bucket: superseded versions expire, a current one never.

    A lock leaves a delete marker behind; once its versions have expired, the marker goes, too.
    """
    return [
        _rule(
            "old-versions",
            NoncurrentVersionExpiration={"NoncurrentDays": days},
            Expiration={"ExpiredObjectDeleteMarker": True},
        )
    ]


def log_rules(days: int) -> list[Rule]:
    """Return the rules of the log bucket: logs expire."""
    return [_rule("old-logs", Expiration={"Days": days})]
