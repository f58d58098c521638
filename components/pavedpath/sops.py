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

from .component import Component, parse
from .errors import Problem

# Source: AWS, API reference of KMS CreateAlias.
_ALIAS = re.compile(r"(?!alias/|aws/)[A-Za-z0-9/_-]{1,250}")

SOPS_SECONDS = 60
"""How long one decryption may take before it is given up, in seconds."""


class SopsKeyArgs(TypedDict):
    """Arguments of `SopsKey`."""

    alias: str
    """Alias of the key without the prefix alias/, for example pavedpath-dev-sops."""
    description: NotRequired[str]
    """What the key's page in the AWS console says. Default: "SOPS key <alias>"."""
    deletion_window_days: NotRequired[int]
    """Days between the key's deletion and its end, 7 to 30. Default: 30."""


@dataclass(frozen=True)
class _SopsKey:
    alias: str
    description: str | None = None
    deletion_window_days: int = 30

    def problems(self) -> Iterator[Problem]:
        if not _ALIAS.fullmatch(self.alias):
            yield Problem(
                "alias", self.alias, "KMS refuses it", "use letters, digits, / _ -, without the prefix alias/ or aws/"
            )
        if not 7 <= self.deletion_window_days <= 30:
            yield Problem("deletion_window_days", self.deletion_window_days, "KMS takes 7 to 30 days", "choose 7 to 30")


class SopsKey(Component):
    """The KMS key of one environment's SOPS files.

    Creates: a symmetric KMS key that rotates every year, and its alias.

    Raises:
        InvalidArgumentsError: before any resource, with every offender.
    """

    arn: pulumi.Output[str]
    """ARN of the key, which `sops --kms` takes."""
    alias: pulumi.Output[str]
    """Alias of the key, with the prefix alias/."""

    def __init__(self, name: str, args: SopsKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        parsed = parse(_SopsKey, args, "SopsKey", name)
        super().__init__(name, opts)
        key = aws.kms.Key(
            name,
            description=parsed.description or f"SOPS key {parsed.alias}",
            enable_key_rotation=True,
            deletion_window_in_days=parsed.deletion_window_days,
            opts=self.child(),
        )
        alias = aws.kms.Alias(name, name=f"alias/{parsed.alias}", target_key_id=key.key_id, opts=self.child())
        self.arn = key.arn
        self.alias = alias.name
        self.register_outputs({"arn": self.arn, "alias": self.alias})


class SopsFileError(pulumi.RunError):
    """A SOPS file that cannot be used; the message names the file, the cause and the fix, never a value."""


@dataclass(frozen=True)
class SopsFile:
    """An encrypted YAML file as SOPS writes it: keys in the clear, values not."""

    path: Path
    tree: Mapping[str, object]
    """The file's content without SOPS's own part; every leaf is still encrypted."""
    key_arns: Sequence[str]
    """ARNs of the KMS keys that open it."""

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
        arns = list(_kms_arns(metadata))
        if not arns:
            raise SopsFileError(f"{path}: no KMS key opens it. Fix: sops rotate --add-kms <key ARN> --in-place {path}.")
        return cls(path, content, arns)

    def decrypt(self, key_arn: str) -> dict[str, object]:
        """Decrypt the file with the environment's key, by the `sops` program on PATH.

        Raises:
            SopsFileError: encrypted for another key, no access to the key, tampered with, or no `sops`.
        """
        if key_arn not in self.key_arns:
            raise SopsFileError(
                f"{self.path}: encrypted for {', '.join(self.key_arns)}, but this stack's key is {key_arn}. Fix: if the"
                f" file belongs here, sops rotate --add-kms {key_arn} --rm-kms <old ARN> --in-place {self.path}."
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

    def values(self, key_arn: pulumi.Input[str]) -> dict[str, object]:
        """Return the file's tree with each leaf as a secret output, decrypted at deployment.

        The keys are known without decryption, so a diff shows which value changed and never what it is.
        """
        decrypted = pulumi.Output.secret(pulumi.Output.from_input(key_arn).apply(self.decrypt))

        def leaf(path: tuple[str | int, ...]) -> pulumi.Output[object]:
            return decrypted.apply(lambda tree: _at(tree, path))

        return cast(dict[str, object], map_leaves(self.tree, leaf))


def yaml_place(error: Exception) -> str:
    """Say at which line a YAML file breaks, without the line itself, which may hold a secret."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f" at line {mark.line + 1}" if mark else ""


def _kms_arns(metadata: Mapping[str, object]) -> Iterator[str]:
    """Yield the ARNs of the KMS keys in SOPS's part of a file, those of key groups included."""
    groups = metadata.get("key_groups")
    for holder in [metadata, *(cast(list[object], groups) if isinstance(groups, list) else [])]:
        keys = cast(Mapping[str, object], holder).get("kms") if isinstance(holder, Mapping) else None
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
    for gone in ("NotFoundException", "InvalidCiphertext", "KMSInvalidStateException", "DisabledException"):
        if gone in stderr:
            return f"its KMS key cannot open it ({gone}). Fix: is this the right account, and is the key enabled?"
    last = stderr.strip().splitlines()[-1:] or ["no message"]
    return f"sops could not decrypt it: {last[0]}. Fix: restore the file from git, or seal it again."
