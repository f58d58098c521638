"""What happens to a repository, and which of its workflows that starts. Pure.

Source: GitHub, "Events that trigger workflows" and "Workflow syntax", filter patterns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from pavedpath_sandbox.documents import fields, texts


@dataclass(frozen=True)
class Event:
    """Something that happened at one commit."""

    name: str
    """push, pull_request or workflow_dispatch."""
    repository: str
    """OWNER/NAME."""
    ref: str
    """Full name of the branch or tag; of a pull request refs/pull/N/merge."""
    sha: str
    actor: str
    default_branch: str = "main"
    before: str = ""
    """Commit that the branch pointed to before a push."""
    paths: Sequence[str] = ()
    """Files that changed."""
    base: str = ""
    """Branch that a pull request wants to go into."""
    head: str = ""
    """Branch that it comes from."""
    number: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])

    def payload(self, root: str) -> dict[str, Any]:
        """Return `github.event` as far as workflows read it; `root` is the server's address."""
        owner, _, name = self.repository.partition("/")
        repository = {
            "name": name,
            "full_name": self.repository,
            "default_branch": self.default_branch,
            "owner": {"login": owner},
            "html_url": f"{root.rstrip('/')}/{self.repository}",
        }
        document: dict[str, Any] = {"repository": repository, "sender": {"login": self.actor}}
        if self.name == "pull_request":
            document |= {
                "action": "synchronize",
                "number": self.number,
                "pull_request": {
                    "number": self.number,
                    "head": {"ref": self.head, "sha": self.sha, "repo": repository},
                    "base": {"ref": self.base, "sha": self.before, "repo": repository},
                },
            }
        elif self.name == "workflow_dispatch":
            document |= {"ref": self.ref, "inputs": dict(self.inputs)}
        else:
            document |= {"ref": self.ref, "before": self.before, "after": self.sha, "head_commit": {"id": self.sha}}
        return document


def read(text: str) -> Mapping[str, Any]:
    """Return a workflow's document; every scalar as text, since YAML would take `on` for a truth value."""
    return cast("Mapping[str, Any]", yaml.load(text, yaml.BaseLoader))  # noqa: S506  builds nothing but texts


def starts(workflow: Mapping[str, Any], event: Event) -> bool:
    """Say whether an event starts a workflow."""
    triggers = workflow.get("on")
    if isinstance(triggers, str):
        triggers = [triggers]
    if isinstance(triggers, list):
        return event.name in texts(triggers)
    if event.name not in fields(triggers):
        return False
    filters = fields(fields(triggers)[event.name])
    return _ref_fits(filters, event) and _paths_fit(filters, event)


def _ref_fits(filters: Mapping[str, Any], event: Event) -> bool:
    if event.name == "workflow_dispatch":
        return True
    if event.name == "pull_request":
        return _allowed(filters, "branches", event.base)
    if event.ref.startswith("refs/tags/"):
        # A push filter that speaks of branches alone takes no tag, and the other way round.
        speaks_of_branches = "branches" in filters or "branches-ignore" in filters
        named = "tags" in filters or "tags-ignore" in filters
        return _allowed(filters, "tags", event.ref.removeprefix("refs/tags/")) if named else not speaks_of_branches
    speaks_of_tags = "tags" in filters or "tags-ignore" in filters
    named = "branches" in filters or "branches-ignore" in filters
    return _allowed(filters, "branches", event.ref.removeprefix("refs/heads/")) if named else not speaks_of_tags


def _paths_fit(filters: Mapping[str, Any], event: Event) -> bool:
    if event.name == "workflow_dispatch" or event.ref.startswith("refs/tags/"):
        return True
    if "paths" in filters:
        return any(chosen(filters["paths"], path) for path in event.paths)
    if "paths-ignore" in filters:
        return any(not chosen(filters["paths-ignore"], path) for path in event.paths)
    return True


def _allowed(filters: Mapping[str, Any], kind: str, name: str) -> bool:
    if kind in filters:
        return chosen(filters[kind], name)
    return not chosen(filters.get(f"{kind}-ignore", ()), name)


def chosen(patterns: Sequence[str], name: str) -> bool:
    """Say whether patterns choose a name: the last that fits decides, and one that begins with ! takes out."""
    found = False
    for pattern in patterns:
        if _pattern(pattern.removeprefix("!")).fullmatch(name):
            found = not pattern.startswith("!")
    return found


_PARTS = re.compile(r"\*\*/?|\*|\[[^\]]*\]|\\.|.")


def _pattern(text: str) -> re.Pattern[str]:
    parts: list[str] = []
    for match in _PARTS.finditer(text):
        part = match[0]
        if part == "**/":
            parts.append("(?:.*/)?")
        elif part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part in "?+":
            parts.append(part)  # of the character before, as GitHub has it
        elif part.startswith("["):
            parts.append(part)
        else:
            parts.append(re.escape(part.removeprefix("\\")))
    return re.compile("".join(parts))
