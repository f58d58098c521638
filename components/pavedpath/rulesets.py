"""Rulesets of repositories, as pure functions of plain data.

What GitHub enforces: a ruleset applies to the refs that it names; who is listed in its `bypass` is held by none of its
rules. So rules with different exceptions are rulesets of their own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi

from .errors import Problem
from .workflows import GATE, GITHUB_ACTIONS_APP

DEFAULT_BRANCH = "~DEFAULT_BRANCH"
_MOST_APPROVALS = 10
# Source: GitHub, REST API of rules, merge_queue; both are its limits.
_MOST_QUEUED, _LONGEST_CHECKS = 100, 360


class MergeMethod(StrEnum):
    """How a pull request is merged."""

    MERGE = "merge"
    SQUASH = "squash"
    REBASE = "rebase"


class ActorKind(StrEnum):
    """What a bypass can be given to; each names exact actors, never everybody."""

    ORGANIZATION_ADMIN = "organization_admin"
    """Owners of the organisation."""
    TEAM = "team"
    """A team, by its numeric id."""
    INTEGRATION = "integration"
    """A GitHub App, by its numeric app id."""
    REPOSITORY_ROLE = "repository_role"
    """Those who hold a role on the repository, or a higher one."""


class BypassRole(StrEnum):
    """Roles on a repository that a bypass can be given to; lower ones cannot write anyway."""

    MAINTAIN = "maintain"
    WRITE = "write"
    ADMIN = "admin"


class BypassMode(StrEnum):
    """When a bypass holds."""

    ALWAYS = "always"
    PULL_REQUEST = "pull_request"
    """On pull requests only: nobody writes past the rules without leaving one."""


class BypassActorArgs(TypedDict):
    """One exact actor that a ruleset does not hold."""

    kind: ActorKind
    """What it is."""
    id: NotRequired[pulumi.Input[int]]
    """Id of a team or of an app."""
    role: NotRequired[BypassRole]
    """Role on the repository."""
    mode: NotRequired[BypassMode]
    """Default: always."""


class RequiredCheckArgs(TypedDict):
    """A status check besides the gate, which another app reports."""

    context: str
    """Its name as it stands on a commit."""
    app_id: int
    """Id of the app that reports it, so that no other can pass for it; 15368 is GitHub Actions."""


class MergeQueueArgs(TypedDict):
    """A merge queue on the default branch."""

    method: NotRequired[MergeMethod]
    """How the queue merges. Default: squash."""
    entries: NotRequired[int]
    """Pull requests that it builds and merges at once, 1 to 100. Default: 5."""
    check_timeout_minutes: NotRequired[int]
    """Minutes until a check without an answer counts as failed, 1 to 360. Default: 60."""


class ProtectionArgs(TypedDict):
    """Rules on the default branch beyond the approvals, the gate, no deletion and no force push."""

    strict: NotRequired[bool]
    """Whether a pull request must be up to date with the branch. Default: true."""
    dismiss_stale_reviews: NotRequired[bool]
    """Whether a push ends the approvals before it. Default: true."""
    conversation_resolution: NotRequired[bool]
    """Whether every conversation must be resolved. Default: true."""
    code_owner_reviews: NotRequired[bool]
    """Whether an owner of each changed file must approve. Default: false."""
    last_push_approval: NotRequired[bool]
    """Whether somebody else than who pushed last must approve. Default: false."""
    linear_history: NotRequired[bool]
    """Whether merge commits are refused. Default: false."""
    signed_commits: NotRequired[bool]
    """Whether every commit must have a verified signature. Default: false."""
    required_checks: NotRequired[Sequence[RequiredCheckArgs]]
    """Checks besides the gate. Default: none."""
    merge_queue: NotRequired[MergeQueueArgs]
    """Default: no queue."""


@dataclass(frozen=True)
class BypassActor:
    """See `BypassActorArgs`."""

    kind: ActorKind
    id: pulumi.Input[int] | None = None
    role: BypassRole | None = None
    mode: BypassMode = BypassMode.ALWAYS

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield what does not name one exact actor."""
        by_id = self.kind in (ActorKind.TEAM, ActorKind.INTEGRATION)
        if by_id != (self.id is not None):
            fix = "give its numeric id" if by_id else "leave id out"
            yield Problem(f"{at}.id", self.id, f"a bypass of {self.kind} is {'' if by_id else 'not '}given by id", fix)
        if isinstance(self.id, int) and self.id < 1:
            yield Problem(f"{at}.id", self.id, "there is no such id", "give the number that GitHub's API shows as id")
        if (self.kind is ActorKind.REPOSITORY_ROLE) != (self.role is not None):
            yield Problem(f"{at}.role", self.role, "a role goes with kind repository_role", "give both or neither")

    def render(self) -> dict[str, Any]:
        """Return what GitHub's API takes."""
        # Source: GitHub, REST API of rules, bypass_actors; an organisation's admin is always 1.
        roles = {BypassRole.MAINTAIN: 2, BypassRole.WRITE: 4, BypassRole.ADMIN: 5}
        kinds = {
            ActorKind.ORGANIZATION_ADMIN: ("OrganizationAdmin", 1),
            ActorKind.TEAM: ("Team", self.id),
            ActorKind.INTEGRATION: ("Integration", self.id),
            ActorKind.REPOSITORY_ROLE: ("RepositoryRole", roles.get(self.role) if self.role else None),
        }
        kind, identity = kinds[self.kind]
        return {"actor_id": identity, "actor_type": kind, "bypass_mode": str(self.mode)}


ADMINISTRATORS = BypassActor(ActorKind.ORGANIZATION_ADMIN)


@dataclass(frozen=True)
class RequiredCheck:
    """See `RequiredCheckArgs`."""

    context: str
    app_id: int


@dataclass(frozen=True)
class MergeQueue:
    """See `MergeQueueArgs`."""

    method: MergeMethod = MergeMethod.SQUASH
    entries: int = 5
    check_timeout_minutes: int = 60


@dataclass(frozen=True)
class Protection:
    """See `ProtectionArgs`."""

    strict: bool = True
    dismiss_stale_reviews: bool = True
    conversation_resolution: bool = True
    code_owner_reviews: bool = False
    last_push_approval: bool = False
    linear_history: bool = False
    signed_commits: bool = False
    required_checks: Sequence[RequiredCheck] = ()
    merge_queue: MergeQueue | None = None

    def problems(self, at: str) -> Iterator[Problem]:
        """Yield what GitHub would refuse, or what nobody could ever satisfy."""
        contexts = [GATE]
        for index, check in enumerate(self.required_checks):
            where = f"{at}.required_checks[{index}]"
            if not check.context.strip():
                yield Problem(f"{where}.context", check.context, "a check has a name", "give the name on the commit")
            if check.context in contexts:
                yield Problem(f"{where}.context", check.context, "it is required already", "leave it out")
            if check.app_id < 1:
                yield Problem(f"{where}.app_id", check.app_id, "there is no such app", "give the app's numeric id")
            contexts.append(check.context)
        queue = self.merge_queue
        if queue is None:
            return
        if not 1 <= queue.entries <= _MOST_QUEUED:
            yield Problem(f"{at}.merge_queue.entries", queue.entries, "GitHub takes 1 to 100", "choose so")
        if not 1 <= queue.check_timeout_minutes <= _LONGEST_CHECKS:
            yield Problem(
                f"{at}.merge_queue.check_timeout_minutes",
                queue.check_timeout_minutes,
                "GitHub waits 1 to 360 minutes",
                "choose so",
            )
        if queue.method is MergeMethod.MERGE and self.linear_history:
            yield Problem(
                f"{at}.merge_queue.method", queue.method, "linear_history refuses merge commits", "use squash or rebase"
            )


@dataclass(frozen=True)
class Ruleset:
    """One ruleset.

    Attributes:
        name: its name in the repository.
        target: branch or tag.
        includes: refs that it applies to.
        rules: in the provider's terms.
        bypass: who is held by none of its rules.
    """

    name: str
    target: str
    includes: Sequence[str]
    rules: Mapping[str, Any]
    bypass: Sequence[BypassActor]

    def render(self) -> dict[str, Any]:
        """Return the provider's inputs but for the repository."""
        return {
            "name": self.name,
            "target": self.target,
            "enforcement": "active",
            "conditions": {"ref_name": {"includes": list(self.includes), "excludes": []}},
            "rules": dict(self.rules),
            "bypass_actors": [actor.render() for actor in self.bypass],
        }


def approval_branch(environment: str) -> str:
    """Return the branch that stands for the approval of deployments to an environment."""
    return f"deploy/{environment}"


def default_branch(
    approvals: int,
    protection: Protection,
    merge_methods: Sequence[MergeMethod],
    bypass: Sequence[BypassActor],
    required: Sequence[str] = (GATE,),
) -> Ruleset:
    """Return the ruleset of the default branch: reviewed and checked pull requests only; `required` are jobs."""
    methods = [each for each in merge_methods if each is not MergeMethod.MERGE or not protection.linear_history]
    rules: dict[str, Any] = {
        "deletion": True,
        "non_fast_forward": True,
        "pull_request": _pull_request(approvals, protection, methods),
        "required_status_checks": _checks(required, protection.required_checks, strict=protection.strict),
    }
    rules |= {"required_linear_history": True} if protection.linear_history else {}
    rules |= {"required_signatures": True} if protection.signed_commits else {}
    if protection.merge_queue:
        rules["merge_queue"] = _queue(protection.merge_queue)
    return Ruleset("default-branch", "branch", [DEFAULT_BRANCH], rules, bypass)


def approval(
    environment: str, approvals: int, bypass: Sequence[BypassActor], required: Sequence[str] = (GATE,)
) -> Ruleset:
    """Return the ruleset of an environment's approval branch.

    A pull request with `approvals` approvals, one of them of somebody else than who pushed last; merged with a merge
    commit, so that the branch keeps containing the default branch's commits. Up to date it need not be: its own merge
    commits are never in the default branch.
    """
    branch = Protection(last_push_approval=True)
    rules = {
        "creation": True,
        "deletion": True,
        "non_fast_forward": True,
        "pull_request": _pull_request(approvals, branch, [MergeMethod.MERGE]),
        "required_status_checks": _checks(required, (), strict=False),
    }
    return Ruleset(
        approval_branch(environment), "branch", [f"refs/heads/{approval_branch(environment)}"], rules, bypass
    )


def tags(patterns: Sequence[str], creators: Sequence[BypassActor]) -> list[Ruleset]:
    """Return the rulesets of protected tags: nobody moves or deletes one, and only `creators` make one."""
    refs = [f"refs/tags/{pattern}" for pattern in patterns]
    fixed = {"deletion": True, "update": True, "non_fast_forward": True}
    return [
        Ruleset("tags-immutable", "tag", refs, fixed, ()),
        Ruleset("tags-creation", "tag", refs, {"creation": True}, creators),
    ]


def check_approvals(argument: str, approvals: int, least: int = 0) -> Iterator[Problem]:
    """Yield a problem if GitHub cannot count so many approvals."""
    if not least <= approvals <= _MOST_APPROVALS:
        yield Problem(argument, approvals, f"GitHub counts {least} to 10", f"choose {least} to 10")


def check_bypass(argument: str, actors: Sequence[BypassActor], *, deploys: bool = False) -> Iterator[Problem]:
    """Yield what is wrong with the actors of one ruleset; `deploys` if the deployment writes what it protects."""
    for index, actor in enumerate(actors):
        yield from actor.problems(f"{argument}[{index}]")
        if actor in actors[:index]:
            yield Problem(f"{argument}[{index}]", str(actor.kind), "it is named twice", "name it once")
    if deploys and not any(actor.mode is BypassMode.ALWAYS for actor in actors):
        yield Problem(
            argument,
            [str(actor.kind) for actor in actors],
            "nobody could write the managed files at their next change",
            "name who runs the deployment with mode always: organization_admin, or the app as integration",
        )


_PATTERN = re.compile(r"(?!refs/)[^\s\x00-\x1f\x7f~^:\\]+")


def check_patterns(argument: str, patterns: Sequence[str]) -> Iterator[Problem]:
    """Yield each pattern of branches or tags that could match none, and each that stands there twice."""
    for index, pattern in enumerate(patterns):
        if not _PATTERN.fullmatch(pattern):
            fix = "give a name or a pattern without refs/heads/ or refs/tags/, such as v*"
            yield Problem(argument, pattern, "no branch or tag has such a name", fix)
        if pattern in patterns[:index]:
            yield Problem(argument, pattern, "it stands there twice", "name it once")


def _pull_request(approvals: int, protection: Protection, methods: Sequence[MergeMethod]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "required_approving_review_count": approvals,
        "dismiss_stale_reviews_on_push": protection.dismiss_stale_reviews,
        "required_review_thread_resolution": protection.conversation_resolution,
        "allowed_merge_methods": [str(method) for method in methods],
    }
    # Left out where false: a state of an earlier release holds neither.
    rule |= {"require_code_owner_review": True} if protection.code_owner_reviews else {}
    rule |= {"require_last_push_approval": True} if protection.last_push_approval else {}
    return rule


def _checks(required: Sequence[str], more: Sequence[RequiredCheck], *, strict: bool) -> dict[str, Any]:
    wanted = [*(RequiredCheck(each, GITHUB_ACTIONS_APP) for each in required), *more]
    return {
        "required_checks": [{"context": check.context, "integration_id": check.app_id} for check in wanted],
        "strict_required_status_checks_policy": strict,
    }


def _queue(queue: MergeQueue) -> dict[str, Any]:
    return {
        "merge_method": queue.method.upper(),
        "grouping_strategy": "ALLGREEN",
        "max_entries_to_build": queue.entries,
        "max_entries_to_merge": queue.entries,
        "min_entries_to_merge": 1,
        "min_entries_to_merge_wait_minutes": 5,
        "check_response_timeout_minutes": queue.check_timeout_minutes,
    }
