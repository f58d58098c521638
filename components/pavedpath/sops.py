"""Secrets that live encrypted in the repository: the key, and the files that it opens."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws
import yaml

from .component import Component
from .errors import Problem
from .iam import ResourceStatement, resource_policy
from .shapes import read

# Source: AWS, API reference of KMS CreateAlias.
_ALIAS = re.compile(r"(?!alias/|aws/)[A-Za-z0-9/_-]{1,250}")
_KEY_ARN = re.compile(
    r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?:key/[A-Za-z0-9-]+|alias/[A-Za-z0-9/_-]+)"
)
# Root is refused: as a principal it is not the root user, it is whoever the account's IAM policies name.
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(?:iam::\d{12}:(?:role|user)/[\w+=,.@/-]+"
    r"|sts::\d{12}:(?:assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))"
)
ANY_SECRETS_FILE = r"\.secrets\.ya?ml$"
"""Paths of the files that a key seals by default, as a regular expression."""

SOPS_SECONDS = 60
"""How long one decryption may take before it is given up, in seconds."""

# Source: AWS, "Actions, resources, and condition keys for AWS KMS"; what uses the key's material is not among them,
# nor is kms:CreateGrant, by which an administrator could let itself decrypt unseen by the policy.
_ADMINISTER = [
    *("kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey"),
    *("kms:DisableKeyRotation", "kms:EnableKey", "kms:EnableKeyRotation", "kms:GetKeyPolicy"),
    *("kms:GetKeyRotationStatus", "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListKeyRotations"),
    *("kms:ListResourceTags", "kms:PutKeyPolicy", "kms:RevokeGrant", "kms:RotateKeyOnDemand"),
    *("kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias"),
    "kms:UpdateKeyDescription",
]
_ENCRYPT = ["kms:DescribeKey", "kms:Encrypt"]
_DECRYPT = ["kms:Decrypt", "kms:DescribeKey"]


class SopsKeyArgs(TypedDict):
    """Arguments of `SopsKey`.

    Each of administrators, encrypters and decrypters that is left out is whoever the account's IAM policies allow it
    to, as with AWS's default key policy; a group that is given is those principals and nobody else.
    """

    alias: str
    """Alias of the key without the prefix alias/, for example pavedpath-dev-sops."""
    description: NotRequired[str]
    """What the key's page in the AWS console says. Default: "SOPS key <alias>"."""
    deletion_window_days: NotRequired[int]
    """Days between the key's deletion and its end, 7 to 30. Default: 30."""
    administrators: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of the IAM roles and users that manage the key and its policy; who runs `pulumi up` must be one. They cannot
    decrypt, unless they change the policy first, which CloudTrail records. Default: by the account's IAM policies."""
    encrypters: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of the IAM roles and users that seal secrets. Default: by the account's IAM policies."""
    decrypters: NotRequired[Sequence[pulumi.Input[str]]]
    """ARNs of the IAM roles and users that read secrets, which includes who runs `pulumi up` for a stack with sealed
    values; they need no IAM policy for it. Default: by the account's IAM policies."""
    path_regex: NotRequired[str]
    """Regular expression of the files' paths in this key's rule (`creation_rules`). Default: any *.secrets.yaml."""


@dataclass(frozen=True)
class _SopsKey:
    alias: str
    description: str | None = None
    deletion_window_days: int = 30
    administrators: Sequence[pulumi.Input[str]] = ()
    encrypters: Sequence[pulumi.Input[str]] = ()
    decrypters: Sequence[pulumi.Input[str]] = ()
    path_regex: str = ANY_SECRETS_FILE

    def problems(self) -> Iterator[Problem]:
        if not _ALIAS.fullmatch(self.alias):
            yield Problem(
                "alias", self.alias, "KMS refuses it", "use letters, digits, / _ -, without the prefix alias/ or aws/"
            )
        if not 7 <= self.deletion_window_days <= 30:
            yield Problem("deletion_window_days", self.deletion_window_days, "KMS takes 7 to 30 days", "choose 7 to 30")
        for argument in ("administrators", "encrypters", "decrypters"):
            for principal in getattr(self, argument):
                if isinstance(principal, str) and not _PRINCIPAL.fullmatch(principal):
                    fix = (
                        "give exact ARNs of IAM roles or users; leave all out to let the account's IAM policies decide"
                    )
                    yield Problem(argument, principal, "it is not one principal", fix)
        yield from _not_a_pattern("path_regex", self.path_regex)


def key_policy(
    key_arn: str, administrators: Sequence[str], encrypters: Sequence[str], decrypters: Sequence[str]
) -> str:
    """Render the policy of a key that keeps managing it, sealing with it and reading with it apart.

    A group without principals is left to the IAM policies of the key's account. The root user of the account, and no
    principal that its IAM policies could name, may always repair the policy: a key whose administrators are gone could
    otherwise be neither changed nor deleted. Source: AWS, "Default key policy" and, on the root user as
    aws:PrincipalArn, "AWS global condition context keys".
    """
    _, partition, _, _, account, _ = key_arn.split(":", 5)
    root = f"arn:{partition}:iam::{account}:root"

    def grant(sid: str, principals: Sequence[str], actions: Sequence[str]) -> ResourceStatement:
        if not principals:
            return ResourceStatement(f"{sid}ByIam", {"AWS": [root]}, actions, ["*"])
        return ResourceStatement(sid, {"AWS": sorted(set(principals))}, actions, ["*"])

    statements = [
        grant("Administer", administrators, _ADMINISTER),
        grant("Encrypt", encrypters, _ENCRYPT),
        grant("Decrypt", decrypters, _DECRYPT),
    ]
    if administrators:
        only_root = {"ArnEquals": {"aws:PrincipalArn": root}}
        statements.append(ResourceStatement("RepairByRootUser", {"AWS": [root]}, _ADMINISTER, ["*"], only_root))
    return resource_policy(statements)


def secrets_path_regex(environment: str) -> str:
    """Return the regular expression of the paths of one environment's secrets: <environment>.secrets.yaml anywhere."""
    return rf"(^|/){re.escape(environment)}{ANY_SECRETS_FILE}"


def creation_rules(keys: Mapping[str, str], path_regexes: Mapping[str, str] | None = None) -> str:
    """Render the `.sops.yaml` by which `sops encrypt` chooses the key of a file by its path.

    Args:
        keys: ARN of each environment's key or of its alias (arn:aws:kms:<region>:<account>:alias/<name>), which is
            known before the key exists.
        path_regexes: regular expression of an environment's paths where it is not `secrets_path_regex`. The first rule
            that matches counts.

    Raises:
        ValueError: what is no ARN of a key or an alias, or no regular expression; names every offender.
    """
    chosen = {environment: secrets_path_regex(environment) for environment in keys} | dict(path_regexes or {})
    problems = [
        *[
            Problem(environment, arn, "it is the ARN of no KMS key or alias", "give arn:aws:kms:<region>:<account>:…")
            for environment, arn in keys.items()
            if not _KEY_ARN.fullmatch(arn)
        ],
        *[Problem(name, None, "it has no key", "name its key") for name in chosen if name not in keys],
        *[problem for name, pattern in chosen.items() for problem in _not_a_pattern(name, pattern)],
    ]
    if problems:
        raise ValueError("; ".join(map(str, problems)))
    rules = [{"path_regex": chosen[environment], "kms": arn} for environment, arn in keys.items()]
    return yaml.safe_dump({"creation_rules": rules}, sort_keys=False)


def _not_a_pattern(argument: str, pattern: str) -> Iterator[Problem]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield Problem(argument, pattern, f"it is no regular expression ({error})", r"write it like \.secrets\.yaml$")


class SopsKey(Component):
    """The KMS key of one environment's SOPS files.

    Creates: a symmetric KMS key that rotates every year; its alias; a key policy once any principal is stated, which
    lets only the stated decrypters decrypt, only the stated encrypters encrypt and only the stated administrators
    manage it. Without any, the key has AWS's default policy: the account's IAM policies decide.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the key, which `sops --kms` takes."""
    alias: pulumi.Output[str]
    """Alias of the key, with the prefix alias/."""
    alias_arn: pulumi.Output[str]
    """ARN of the alias, which `sops --kms` takes, too."""
    creation_rules: pulumi.Output[str]
    """A `.sops.yaml` whose one rule seals the files of `path_regex` for the alias."""

    def __init__(self, name: str, args: SopsKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = read(_SopsKey, args, "SopsKey", name)
        super().__init__(name, opts)
        key = aws.kms.Key(
            name,
            description=parsed.description or f"SOPS key {parsed.alias}",
            enable_key_rotation=True,
            deletion_window_in_days=parsed.deletion_window_days,
            opts=self.keeper(),
        )
        alias = aws.kms.Alias(name, name=f"alias/{parsed.alias}", target_key_id=key.key_id, opts=self.keeper())
        groups = (parsed.administrators, parsed.encrypters, parsed.decrypters)
        if any(groups):
            policy = pulumi.Output.all(key.arn, *groups).apply(lambda known: key_policy(*known))
            aws.kms.KeyPolicy(name, key_id=key.key_id, policy=policy, opts=self.child())
        self.arn = key.arn
        self.alias = alias.name
        self.alias_arn = alias.arn
        self.creation_rules = alias.arn.apply(lambda arn: creation_rules({"this": arn}, {"this": parsed.path_regex}))
        self.register_outputs(
            {
                "arn": self.arn,
                "alias": self.alias,
                "alias_arn": self.alias_arn,
                "creation_rules": self.creation_rules,
            }
        )


class SopsFileError(pulumi.RunError):
    """A SOPS file that cannot be used; the message names the file, the cause and the fix, never a value."""


@dataclass(frozen=True)
class SopsFile:
    """An encrypted YAML file as SOPS writes it: keys in the clear, values not."""

    path: Path
    tree: Mapping[str, object]
    """The file's content without SOPS's own part; every leaf is still encrypted."""
    key_arns: Sequence[str]
    """ARNs of the KMS keys that open it, or of their aliases."""
    other_recipients: Sequence[str] = ()
    """Kinds of recipients besides KMS that open it, as SOPS names them, for example age or pgp."""

    @classmethod
    def read(cls, path: Path) -> "SopsFile":
        """Read the file without decrypting it.

        Raises:
            SopsFileError: missing, not YAML, or not encrypted with a KMS key.
        """
        try:
            document: object = yaml.safe_load(path.read_text())
        except OSError as error:
            raise SopsFileError(f"{path}: cannot be read ({error.strerror}). Fix: create it with sops.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SopsFileError(f"{path}: not YAML{yaml_place(error)}. Fix: edit it with sops only.") from None
        if not isinstance(document, dict) or not isinstance(document.get("sops"), dict):  # pyright: ignore[reportUnknownMemberType]  # YAML is untyped until this check
            raise SopsFileError(
                f"{path}: it is not encrypted. Fix: sops encrypt --in-place {path}, and change the secrets that"
                " were exposed."
            )
        content = cast(dict[str, object], document)
        metadata = cast(dict[str, object], content.pop("sops"))
        holders = list(_key_holders(metadata))
        arns = list(_kms_arns(holders))
        if not arns:
            raise SopsFileError(f"{path}: no KMS key opens it. Fix: sops rotate --add-kms <key ARN> --in-place {path}.")
        return cls(path, content, arns, _other_kinds(holders))

    def foreign_keys(self, account: str, region: str) -> Iterator[Problem]:
        """Yield what opens the file besides keys of this account and region: who has it could read this environment.

        That is each KMS key of another account or region, and each other kind of recipient (age, PGP, Vault, another
        cloud's keys), which no key policy of the environment holds.

        Args:
            account: id of the environment's AWS account.
            region: its region.
        """
        for arn in self.key_arns:
            found = _KEY_ARN.fullmatch(arn)
            owner = (found["account"], found["region"]) if found else None
            if owner != (account, region):
                whose = f"account {owner[0]} in {owner[1]}" if owner else "no account that can be told"
                yield Problem(
                    str(self.path),
                    arn,
                    f"a key of {whose} opens it, but its environment is account {account} in {region}",
                    f"seal it for a key there alone; this one goes by sops rotate --rm-kms {arn} --in-place",
                )
        for kind in self.other_recipients:
            yield Problem(
                str(self.path),
                kind,
                f"a recipient that is no KMS key opens it, but its environment is account {account} in {region}",
                "take it out of .sops.yaml, sops updatekeys the file, then sops rotate it",
            )

    def decrypt(self, *key_arns: str) -> dict[str, object]:
        """Decrypt the file by the `sops` program on PATH if one of the environment's keys opens it.

        Args:
            key_arns: ARNs of the environment's key and of its alias; a file may name either.

        Raises:
            SopsFileError: encrypted for another key, no access to the key, tampered with, or no `sops`.
        """
        if not set(key_arns) & set(self.key_arns):
            raise SopsFileError(
                f"{self.path}: encrypted for {', '.join(self.key_arns)}, but this stack's key is"
                f" {' or '.join(key_arns)}. Fix: if the file belongs here, sops rotate --add-kms {key_arns[0]} --rm-kms"
                f" <old ARN> --in-place {self.path}."
            )
        command = ["sops", "decrypt", "--input-type", "yaml", "--output-type", "json", str(self.path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SOPS_SECONDS, check=False)
        except FileNotFoundError:
            raise SopsFileError(f"{self.path}: there is no program sops on PATH. Fix: make toolchain.") from None
        except subprocess.TimeoutExpired:
            raise SopsFileError(
                f"{self.path}: sops gave no answer within {SOPS_SECONDS} s. Fix: is KMS reachable?"
            ) from None
        if done.returncode:
            raise SopsFileError(f"{self.path}: {_explain(done.stderr)}")
        return cast(dict[str, object], json.loads(done.stdout))

    def values(self, *key_arns: pulumi.Input[str]) -> dict[str, object]:
        """Return the file's tree with each leaf as a secret output, decrypted at deployment (see `decrypt`).

        The keys are known without decryption, so a diff shows which value changed and never what it is.
        """
        decrypted = pulumi.Output.secret(pulumi.Output.all(*key_arns).apply(lambda known: self.decrypt(*known)))

        def leaf(path: tuple[str | int, ...]) -> pulumi.Output[object]:
            return decrypted.apply(lambda tree: _at(tree, path))

        return cast(dict[str, object], map_leaves(self.tree, leaf))


def yaml_place(error: Exception) -> str:
    """Say at which line a YAML file breaks, without the line itself, which may hold a secret."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" at line {mark.line + 1}" if mark else ""


def _key_holders(metadata: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield what lists recipients by their kind in SOPS's part of a file: that part itself, and each key group."""
    groups = metadata.get("key_groups")
    for holder in [metadata, *(cast(list[object], groups) if isinstance(groups, list) else [])]:
        if isinstance(holder, Mapping):
            yield cast(Mapping[str, object], holder)


def _other_kinds(holders: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the kinds of recipients that are no KMS keys: of what SOPS writes there, they alone are lists."""
    return sorted(
        {
            kind
            for holder in holders
            for kind, listed in holder.items()
            if kind not in ("kms", "key_groups") and isinstance(listed, list) and listed
        }
    )


def _kms_arns(holders: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Yield the ARNs of the KMS keys."""
    for holder in holders:
        keys = holder.get("kms")
        for key in cast(list[object], keys) if isinstance(keys, list) else []:
            if isinstance(key, Mapping) and "arn" in key:
                yield str(cast(Mapping[str, object], key)["arn"])


def map_leaves(tree: object, leaf: Callable[[tuple[str | int, ...]], object], at: tuple[str | int, ...] = ()) -> object:
    """Rebuild a tree of mappings and lists with each leaf replaced by `leaf(its path)`."""
    if isinstance(tree, Mapping):
        branches = cast(Mapping[str, object], tree)
        return {key: map_leaves(value, leaf, (*at, key)) for key, value in branches.items()}
    if isinstance(tree, list):
        items = cast(list[object], tree)
        return [map_leaves(value, leaf, (*at, index)) for index, value in enumerate(items)]
    return leaf(at)


def _at(tree: object, path: tuple[str | int, ...]) -> object:
    for step in path:
        tree = tree[step]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]  # the path was read off this very tree
    return cast(object, tree)


def _explain(stderr: str) -> str:
    """Say what sops's refusal means, or pass on its last line: sops prints no value."""
    if "MAC mismatch" in stderr:
        return (
            "its MAC does not fit: the file was changed without sops. Fix: restore it from git, then edit it with sops."
        )
    for denied in ("AccessDenied", "NotAuthorized"):
        if denied in stderr:
            return "KMS refuses this identity (kms:Decrypt). Fix: use the environment's deploy role, or ask for access."
    if "IncorrectKeyException" in stderr:
        return (
            "its alias points to another KMS key than the one that sealed it. Fix: point the alias back, or seal the"
            " file again."
        )
    for gone in ("NotFoundException", "InvalidCiphertext", "KMSInvalidStateException", "DisabledException"):
        if gone in stderr:
            return f"its KMS key cannot open it ({gone}). Fix: is this the right account, and is the key enabled?"
    last = stderr.strip().splitlines()[-1:] or ["no message"]
    return f"sops could not decrypt it: {last[0]}. Fix: restore the file from git, or seal it again."
