"""The policies of the state's bucket, of its log bucket and of its key. Pure.

Sources: AWS, "Security best practices for Amazon S3" (TLS only, least privilege, server-side encryption), "Enabling
Amazon S3 server access logging" (what the log delivery needs), "Key policies in AWS KMS", "Allowing users in other
accounts to use a KMS key"; the objects of a backend: `pkg/backend/diy` of pulumi.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

Statement = Mapping[str, Any]

_OURS = "Pavedpath"
_WRITES = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
# What belongs to a checkpoint: plain or compressed, its `.bak` copy, the tags of its stack.
_CHECKPOINT = (".json", ".json.*", ".pulumi-tags")
# What a reference to a stack reads; not the `.bak` copy, which may hold what the stack has since dropped.
_STATE = (".json", ".json.gz", ".json.zst")


@dataclass(frozen=True)
class Team:
    """Whose state it is.

    Args:
        project: the Pulumi project's name.
        account: the AWS account that owns bucket and key.
        accounts: other accounts, and the stacks that each of them runs.
        common: stacks of no account of their own, which every account may read, secrets included.
        partition: the AWS partition that all of the accounts are in.
    """

    project: str
    account: str
    accounts: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    common: Sequence[str] = ()
    partition: str = "aws"

    @property
    def principals(self) -> list[str]:
        """The other accounts, as policies name them."""
        return [self.root(account) for account in sorted(self.accounts)]

    def root(self, account: str) -> str:
        """One account, as policies name it."""
        return f"arn:{self.partition}:iam::{account}:root"

    def bucket(self, name: str) -> str:
        """A bucket's ARN."""
        return f"arn:{self.partition}:s3:::{name}"


def _tls_only(bucket_arn: str) -> Statement:
    return {
        "Sid": f"{_OURS}TlsOnly",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def bucket_statements(bucket: str, prefix: str, key_arn: str, team: Team) -> list[Statement]:
    """Return what the bucket's policy says: TLS only, no other encryption, each account its own stacks.

    A write that names no encryption gets the bucket's own, which is the key: Pulumi's writes name none. So what is
    refused is a write that asks for another.
    """
    arn = team.bucket(bucket)

    def deny_other(sid: str, header: str, wanted: str) -> Statement:
        condition = {"Null": {header: "false"}, "StringNotEquals": {header: wanted}}
        return {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "s3:PutObject",
            "Resource": f"{arn}/*",
            "Condition": condition,
        }

    statements = [
        _tls_only(arn),
        deny_other(f"{_OURS}KmsOnly", "s3:x-amz-server-side-encryption", "aws:kms"),
        deny_other(f"{_OURS}ThisKeyOnly", "s3:x-amz-server-side-encryption-aws-kms-key-id", key_arn),
    ]
    if not team.accounts:
        return statements
    root = f"{arn}/{prefix}.pulumi"
    read = [f"{root}/meta.yaml", *(f"{root}/stacks/{team.project}/{s}{end}" for s in team.common for end in _STATE)]
    everyone = {"AWS": team.principals}
    statements += [
        _allow(f"{_OURS}List", everyone, ["s3:ListBucket"], [arn]),
        _allow(f"{_OURS}Read", everyone, ["s3:GetObject"], read),
    ]
    for account, stacks in sorted(team.accounts.items()):
        own = [path for stack in stacks for path in _paths(root, team.project, stack)]
        statements.append(_allow(f"{_OURS}Stacks{account}", {"AWS": team.root(account)}, _WRITES, own))
    return statements


def _paths(root: str, project: str, stack: str) -> list[str]:
    return [
        *(f"{root}/stacks/{project}/{stack}{end}" for end in _CHECKPOINT),
        *(f"{root}/{folder}/{project}/{stack}/*" for folder in ("backups", "history")),
        f"{root}/locks/organization/{project}/{stack}/*",
    ]


def log_bucket_statements(bucket: str, source: str, team: Team) -> list[Statement]:
    """Return what the log bucket's policy says: TLS only, and S3 may deliver the logs of `source`."""
    delivery = _allow(
        f"{_OURS}LogDelivery",
        {"Service": "logging.s3.amazonaws.com"},
        ["s3:PutObject"],
        [f"{team.bucket(bucket)}/*"],
    )
    origin = {
        "ArnLike": {"aws:SourceArn": team.bucket(source)},
        "StringEquals": {"aws:SourceAccount": team.account},
    }
    return [_tls_only(team.bucket(bucket)), {**delivery, "Condition": origin}]


def key_statements(region: str, team: Team) -> list[Statement]:
    """Return what the key's policy says: the owner's IAM decides; another account, the secrets of its own stacks.

    What separates the stacks is the encryption context, which Pulumi takes from the provider's address. Those of the
    common stacks everybody may decrypt: the engine decrypts a stack's data key before it reads any output of it, so
    without that no environment could refer to them (`DeserializeStackOutputs` of pulumi's `pkg/resource/stack`).
    """

    def secrets(sid: str, principals: Sequence[str], actions: Sequence[str], stacks: Sequence[str]) -> Statement:
        context = {"kms:EncryptionContext:project": team.project, "kms:EncryptionContext:stack": sorted(stacks)}
        return {**_allow(sid, {"AWS": principals}, actions, ["*"]), "Condition": {"StringEquals": context}}

    statements = [_allow(f"{_OURS}Owner", {"AWS": team.root(team.account)}, ["kms:*"], ["*"])]
    if not team.accounts:
        return statements
    objects = _allow(f"{_OURS}Objects", {"AWS": team.principals}, ["kms:Decrypt", "kms:GenerateDataKey"], ["*"])
    statements.append({**objects, "Condition": {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}})
    if team.common:
        statements.append(secrets(f"{_OURS}CommonSecrets", team.principals, ["kms:Decrypt"], team.common))
    both = ["kms:Decrypt", "kms:Encrypt"]
    statements += [
        secrets(f"{_OURS}Secrets{account}", [team.root(account)], both, stacks)
        for account, stacks in sorted(team.accounts.items())
    ]
    return statements


def _allow(sid: str, principal: Mapping[str, Any], actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": dict(principal),
        "Action": list(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }


def merged(existing: str | None, ours: Iterable[Statement]) -> str:
    """Return the text of a policy with these statements, and with those of others (by their Sid) as they are."""
    document: dict[str, Any] = json.loads(existing) if existing else {}
    before = cast(list[Statement], _as_list(document.get("Statement", [])))
    others = [statement for statement in before if not str(statement.get("Sid", "")).startswith(_OURS)]
    return json.dumps({**document, "Version": "2012-10-17", "Statement": [*ours, *others]}, sort_keys=True)


def same(first: str | None, second: str | None) -> bool:
    """Whether two policies say the same: AWS gives lists of one back as texts, and in an order of its own."""
    return _normal(json.loads(first or "{}")) == _normal(json.loads(second or "{}"))


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return {key: _normal(item) for key, item in fields.items()}
    if isinstance(value, list):
        items = [_normal(item) for item in cast(list[Any], value)]
        return items[0] if len(items) == 1 else sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _as_list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else [value]
