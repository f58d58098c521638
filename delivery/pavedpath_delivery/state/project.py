"""What the project's files say about its state: backend, owner, accounts, each stack's secrets provider."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import yaml

from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.state.policies import Team

_SECURE = re.compile(r"^\s*-?\s*[\"']?secure[\"']?\s*:", re.MULTILINE)


@dataclass(frozen=True)
class ProjectFiles:
    """Pulumi.yaml and the stacks' files, as they stand; nothing is read from a backend.

    Args:
        root: the folder of Pulumi.yaml.
        name: the project's name.
        backend: the backend that Pulumi.yaml names; empty if none.
        stacks: each stack's file as parsed YAML, by the stack's name.
    """

    root: Path
    name: str
    backend: str = ""
    stacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    @classmethod
    def read(cls, root: Path) -> "ProjectFiles":
        """Read the files.

        Raises:
            StackCommandError: one of them is not YAML, or the project has no name.
        """
        document = _read(root / "Pulumi.yaml")
        name, backend = str(document.get("name", "")), str(fields(document.get("backend")).get("url", ""))
        if not name:
            raise StackCommandError(f"{root / 'Pulumi.yaml'}: there is no `name`. Fix: name the project.", Exit.USAGE)
        files = sorted(root.glob("Pulumi.*.yaml"))
        return cls(
            root, name, backend, {path.name.split(".", 1)[1].removesuffix(".yaml"): _read(path) for path in files}
        )

    def setting(self, stack: str, name: str) -> str:
        """Return one of the project's own settings of a stack as text; empty if it has none."""
        value = fields(self.stacks.get(stack, {}).get("config")).get(f"{self.name}:{name}")
        return str(value) if isinstance(value, str | int) else ""

    def owner(self) -> str:
        """Return who the stacks say owns them; empty if they say nothing, or not the same."""
        owners = {self.setting(stack, "owner") for stack in self.stacks} - {""}
        return owners.pop() if len(owners) == 1 else ""

    def team(self, account: str, partition: str = "aws") -> Team:
        """Return whose state it is, seen from the account that holds it; stacks state theirs as `<project>:account`."""
        accounts: dict[str, list[str]] = {}
        common: list[str] = []
        for stack in self.stacks:
            if not (own := self.setting(stack, "account")):
                common.append(stack)
            elif own != account:
                accounts.setdefault(own, []).append(stack)
        return Team(self.name, account, accounts, common, partition)

    def provider(self, stack: str) -> str:
        """Return the secrets provider that the stack's file names; empty if none."""
        return str(self.stacks.get(stack, {}).get("secretsprovider", ""))

    def path(self, stack: str) -> Path:
        """Return where the stack's file is."""
        return self.root / f"Pulumi.{stack}.yaml"

    def has_secrets(self, stack: str) -> bool:
        """Whether the stack's file holds an encrypted value."""
        path = self.path(stack)
        return path.exists() and _SECURE.search(path.read_text()) is not None


def provider_url(alias_arn: str, region: str, profile: str, project: str, stack: str) -> str:
    """Return the address of a stack's secrets provider.

    The alias by its ARN, so that it is the same key from every account; the context separates the stacks of one key.
    """
    options = {"region": region, **({"profile": profile} if profile else {})}
    context = {"context_project": project, "context_stack": stack}
    return f"awskms:///{alias_arn}?{urlencode({**options, **context})}"


def fill_in_provider(text: str, url: str, encrypted_key: str) -> str:
    """Return a stack's file with this provider in place of the one that it names. Pure; comments elsewhere stay."""
    kept = re.sub(r"^(encryptionsalt|secretsprovider|encryptedkey):.*(\n|\Z)", "", text, flags=re.MULTILINE)
    if kept and not kept.endswith("\n"):
        kept += "\n"
    return f"{kept}secretsprovider: {url}\nencryptedkey: {encrypted_key}\n"


def default_alias(project: str) -> str:
    """Return the alias of the project's key, with its prefix."""
    return f"alias/pulumi-{re.sub(r'[^A-Za-z0-9/_-]', '-', project)}"


def check_alias(alias: str) -> str:
    """Return the alias with its prefix; source of the rule: AWS, API reference of KMS CreateAlias."""
    name = alias.removeprefix("alias/")
    if not re.fullmatch(r"(?!aws/)[A-Za-z0-9/_-]{1,250}", name):
        raise StackCommandError(
            f"--alias {alias!r}: KMS refuses it. Fix: letters, digits, / _ -, not beginning with aws/.", Exit.USAGE
        )
    return f"alias/{name}"


def check_bucket(names: Sequence[str]) -> None:
    """Refuse names that S3 refuses; source: AWS, "General purpose bucket naming rules"."""
    for name in names:
        if not re.fullmatch(r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) or ".." in name:
            raise StackCommandError(
                f"{name!r} is no name for a bucket. Fix: 3 to 63 small letters, digits, dots and hyphens"
                " (5 characters fewer, so that the log bucket `<bucket>-logs` has a name, too).",
                Exit.USAGE,
            )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document: object = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        kind = type(error).__name__
        raise StackCommandError(f"{path.name}: cannot be read as YAML ({kind}). Fix its syntax.", Exit.USAGE) from error
    return cast(Mapping[str, Any], document) if isinstance(document, Mapping) else {}
