"""Who and what reaches a repository: teams, collaborators, hooks, labels and actions; plain data with its rules."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict
from urllib.parse import urlsplit

import pulumi

from .errors import Problem
from .names import LOGIN, TEAM_SLUG

# Source: GitHub, "Webhook events and payloads", those that a repository's own hook can have.
_EVENTS = """
    branch_protection_configuration branch_protection_rule check_run check_suite code_scanning_alert
    commit_comment create delete dependabot_alert deploy_key deployment deployment_status discussion
    discussion_comment fork gollum issue_comment issues label member merge_group meta milestone package
    page_build project project_card project_column public pull_request pull_request_review
    pull_request_review_comment pull_request_review_thread push registry_package release repository
    repository_advisory repository_import repository_ruleset repository_vulnerability_alert
    secret_scanning_alert secret_scanning_alert_location secret_scanning_scan security_and_analysis star
    status team_add watch workflow_job workflow_run
"""
EVENTS = frozenset(_EVENTS.split())


class Permission(StrEnum):
    """What a team or a user may do in a repository, each with all before it."""

    PULL = "pull"
    TRIAGE = "triage"
    PUSH = "push"
    MAINTAIN = "maintain"
    ADMIN = "admin"


class AllowedActions(StrEnum):
    """Which actions workflows may use. There is no local_only: the checks workflow uses actions/checkout."""

    ALL = "all"
    SELECTED = "selected"


class TeamAccessArgs(TypedDict):
    """What one team may do in a repository."""

    permission: Permission
    """What its members may do."""
    team: NotRequired[pulumi.Input[str]]
    """Slug or numeric id of the team. Default: the name that it has in `teams`."""


class LabelArgs(TypedDict):
    """One label of issues and pull requests."""

    name: str
    """Up to 50 characters."""
    color: str
    """Six hexadecimal digits, without #."""
    description: NotRequired[str]
    """Up to 100 characters. Default: empty."""


class HookArgs(TypedDict):
    """One webhook, delivered as JSON over verified TLS."""

    url: pulumi.Input[str]
    """Where deliveries go; https."""
    secret: pulumi.Input[str]
    """What deliveries are signed with; kept secret."""
    events: Sequence[str]
    """Which events are delivered, for example workflow_job."""


class ActionsArgs(TypedDict):
    """Which actions workflows may use; they must be pinned by commit in any case."""

    allowed: AllowedActions
    """All of them, or the selected ones."""
    patterns: NotRequired[Sequence[str]]
    """With selected: OWNER/REPOSITORY or OWNER/*. Default: none."""
    github_owned: NotRequired[bool]
    """With selected: whether those of the organisations actions and github are. Default: true."""
    verified: NotRequired[bool]
    """With selected: whether those of verified creators are. Default: false."""


@dataclass(frozen=True)
class TeamAccess:
    """See `TeamAccessArgs`."""

    permission: Permission
    team: pulumi.Input[str] | None = None


@dataclass(frozen=True)
class Label:
    """See `LabelArgs`."""

    name: str
    color: str
    description: str = ""

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield what GitHub refuses."""
        if not 1 <= len(self.name.strip()) <= 50 or not self.name.isprintable():
            yield Problem(f"{at}.name", self.name, "GitHub refuses this name", "use 1 to 50 characters")
        if not re.fullmatch(r"[0-9a-fA-F]{6}", self.color):
            yield Problem(f"{at}.color", self.color, "it is no colour", "give six hexadecimal digits without #: d73a4a")
        if len(self.description) > 100:
            yield Problem(f"{at}.description", self.description, "GitHub keeps 100 characters", "shorten it")


@dataclass(frozen=True)
class Hook:
    """See `HookArgs`."""

    url: pulumi.Input[str]
    secret: pulumi.Input[str]
    events: Sequence[str]

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield what GitHub refuses, and what would deliver in the open. The address may hold a token: not shown."""
        if isinstance(self.url, str) and not _https(self.url):
            yield Problem(f"{at}.url", None, "deliveries would go in the open, or nowhere", "give an https:// address")
        if isinstance(self.secret, str) and not self.secret:
            yield Problem(f"{at}.secret", None, "deliveries could not be told from forged ones", "give a random text")
        if not self.events:
            yield Problem(f"{at}.events", None, "nothing would be delivered", "name at least one event")
        for event in self.events:
            if event not in EVENTS:
                yield Problem(f"{at}.events", event, "repositories have no such event", _nearest(event))
        if len(set(self.events)) < len(self.events):
            yield Problem(f"{at}.events", None, "an event stands there twice", "name each once")


@dataclass(frozen=True)
class Actions:
    """See `ActionsArgs`."""

    allowed: AllowedActions = AllowedActions.ALL
    patterns: Sequence[str] = ()
    github_owned: bool = True
    verified: bool = False

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield patterns that GitHub refuses, and a selection that the checks workflow could not run with."""
        if self.allowed is AllowedActions.ALL:
            if self.patterns:
                yield Problem(f"{at}.patterns", list(self.patterns), "all actions are allowed", "choose selected")
            return
        for pattern in self.patterns:
            if not re.fullmatch(r"[A-Za-z0-9-]+/(?:\*|[A-Za-z0-9._/-]+\*?)(?:@(?:\*|[^\s*@]+\*?))?", pattern):
                fix = "write OWNER/REPOSITORY or OWNER/*"
                yield Problem(f"{at}.patterns", pattern, "it names no owner's actions", fix)
        checkout = any(each == "actions/*" or each.partition("@")[0] == "actions/checkout" for each in self.patterns)
        if not self.github_owned and not checkout:
            fix = "leave github_owned true, or add actions/checkout@*"
            yield Problem(f"{at}.github_owned", False, "the checks workflow needs actions/checkout", fix)


def check_access(teams: Mapping[str, TeamAccess], collaborators: Mapping[str, Permission]) -> Iterator[Problem]:
    """Yield names that no team and no user has, and those that stand there twice."""
    for key, access in teams.items():
        slug = key if access.team is None else access.team
        if isinstance(slug, str):
            yield from TEAM_SLUG.check("teams", slug)
    seen: set[str] = set()
    for login in collaborators:
        yield from LOGIN.check("collaborators", login)
        if login.lower() in seen:
            yield Problem("collaborators", login, "it is named twice", "name it once")
        seen.add(login.lower())


def check_labels(labels: Sequence[Label]) -> Iterator[Problem]:
    """Yield what GitHub refuses of labels; it does not tell names in upper and lower case apart."""
    seen: set[str] = set()
    for index, label in enumerate(labels):
        yield from label.problems(f"labels[{index}]")
        if label.name.lower() in seen:
            yield Problem(f"labels[{index}].name", label.name, "there is a label of this name", "name it once")
        seen.add(label.name.lower())


def _https(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False


def _nearest(event: str) -> str:
    near = difflib.get_close_matches(event, EVENTS, n=1)
    return f"did you mean {near[0]}?" if near else "see 'Webhook events and payloads' of GitHub's documentation"
