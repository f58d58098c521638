"""The files that a managed repository carries, rendered as text: code owners and the updates of what it depends on."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

import pulumi
import yaml

from .errors import Problem

CODE_OWNERS = ".github/CODEOWNERS"
DEPENDABOT = ".github/dependabot.yml"
RENOVATE = "renovate.json"
_HEAD = "# Written by Pavedpath; a change made here is overwritten.\n"

# Source: GitHub, "About code owners": @user, @organisation/team or an address.
_OWNER = re.compile(r"@[A-Za-z0-9][A-Za-z0-9-]*(?:/[A-Za-z0-9_.-]+)?|[^@\s]+@[^@\s]+\.[^@\s]+")


class Updates(StrEnum):
    """Who opens pull requests for newer dependencies, the commits of pinned actions included."""

    NONE = "none"
    DEPENDABOT = "dependabot"
    """Part of GitHub; weekly, one grouped pull request an ecosystem."""
    RENOVATE = "renovate"
    """An app that the organisation installs; finds the ecosystems itself."""


class Ecosystem(StrEnum):
    """What Dependabot updates besides actions."""

    # Source: GitHub, "Dependabot options reference", package-ecosystem.
    BUN = "bun"
    BUNDLER = "bundler"
    CARGO = "cargo"
    COMPOSER = "composer"
    DEVCONTAINERS = "devcontainers"
    DOCKER = "docker"
    DOCKER_COMPOSE = "docker-compose"
    DOTNET_SDK = "dotnet-sdk"
    GITSUBMODULE = "gitsubmodule"
    GOMOD = "gomod"
    GRADLE = "gradle"
    HELM = "helm"
    MAVEN = "maven"
    MIX = "mix"
    NPM = "npm"
    NUGET = "nuget"
    PIP = "pip"
    PUB = "pub"
    SWIFT = "swift"
    TERRAFORM = "terraform"
    UV = "uv"


class CodeOwnerArgs(TypedDict):
    """Who owns the files of one pattern; the last pattern that fits a file decides."""

    pattern: str
    """As in a .gitignore file, without ! and [ ]; `*` is every file."""
    owners: Sequence[str]
    """@user, @organisation/team or an address, each with write access. None: nobody owns these files."""


@dataclass(frozen=True)
class CodeOwner:
    """See `CodeOwnerArgs`."""

    pattern: str
    owners: Sequence[str]

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield what GitHub skips in the file, or takes for something else."""
        # Source: GitHub, "About code owners", "Syntax exceptions".
        if not re.fullmatch(r"[^\s#!\[\]\\][^\s#\[\]\\]*", self.pattern) or not self.pattern.isprintable():
            yield Problem(
                f"{at}.pattern",
                self.pattern,
                "GitHub skips such a line",
                "give a path or a pattern without spaces ! [ ] #",
            )
        for owner in self.owners:
            if not _OWNER.fullmatch(owner) or not owner.isprintable():
                yield Problem(f"{at}.owners", owner, "it is no owner", "give @user, @organisation/team or an address")


def code_owners(rules: Sequence[CodeOwner]) -> str:
    """Return the CODEOWNERS file."""
    return _HEAD + "".join(" ".join((rule.pattern, *rule.owners)) + "\n" for rule in rules)


def dependabot(ecosystems: Sequence[Ecosystem], managed: Sequence[str] = ()) -> str:
    """Return Dependabot's configuration: actions and the ecosystems, weekly and grouped.

    Args:
        ecosystems: what is updated besides actions.
        managed: files that the next deployment would overwrite, and with them what was updated there.
    """
    # Source: GitHub, "Dependabot options reference", exclude-paths: relative to the directory.
    excluded = {"exclude-paths": list(managed)} if managed else {}
    updates: list[dict[str, Any]] = [
        {
            "package-ecosystem": name,
            "directory": "/",
            **excluded,
            "schedule": {"interval": "weekly"},
            "groups": {name: {"patterns": ["*"]}},
        }
        for name in ("github-actions", *map(str, ecosystems))
    ]
    return _HEAD + yaml.dump({"version": 2, "updates": updates}, Dumper=_NoAliases, sort_keys=False)


class _NoAliases(yaml.SafeDumper):
    """Writes a list that stands in two places twice, as Dependabot reads no references."""

    def ignore_aliases(self, data: object) -> bool:
        """Take every value for one that has no name."""
        del data
        return True


def renovate(managed: Sequence[str] = ()) -> str:
    """Return Renovate's configuration: actions stay pinned by commit, with the release beside it.

    Args:
        managed: files that the next deployment would overwrite, and with them what was updated there; the pins of
            actions in them are refreshed in the library's lock.
    """
    rules: list[dict[str, Any]] = [{"matchManagers": ["github-actions"], "groupName": "actions"}]
    if managed:
        # The last rule that fits decides (Renovate, "packageRules"); ignorePaths would replace the preset's.
        rules.append({"matchFileNames": list(managed), "enabled": False})
    config = {
        "$schema": "https://docs.renovatebot.com/renovate-schema.json",
        "extends": ["config:recommended", "helpers:pinGitHubActionDigests"],
        "schedule": ["before 6am on monday"],
        "packageRules": rules,
    }
    return json.dumps(config, indent=2) + "\n"


def rendered(
    rules: Sequence[CodeOwner], updates: Updates, ecosystems: Sequence[Ecosystem], managed: Sequence[str]
) -> dict[str, str]:
    """Return the contents of the files that arguments ask for, by path; `managed` are those besides."""
    files = {CODE_OWNERS: code_owners(rules)} if rules else {}
    if updates is Updates.DEPENDABOT:
        files[DEPENDABOT] = dependabot(ecosystems, managed)
    elif updates is Updates.RENOVATE:
        files[RENOVATE] = renovate(managed)
    return files


def check_files(files: Mapping[str, pulumi.Input[str]], taken: Sequence[str]) -> Iterator[Problem]:
    """Yield each path that git or GitHub refuses, and each that this library writes itself (`taken`)."""
    for path in files:
        parts = path.split("/")
        if not path or not path.isprintable() or any(part in ("", ".", "..", ".git") for part in parts):
            yield Problem("files", path, "no file can be there", "give a path from the repository's root, such as a/b")
        if path.casefold() in [each.casefold() for each in taken]:
            yield Problem("files", path, "this file is written already", "leave it out")
