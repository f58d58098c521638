"""What an environment demands of a job before it starts: an allowed ref, an approval, a wait.

https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
"""

from collections.abc import Iterable
from datetime import datetime

from pavedpath_sandbox.github.access import teams_of
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.environments import environment, reviewer_view
from pavedpath_sandbox.github.protection import is_protected
from pavedpath_sandbox.github.render import organization_of
from pavedpath_sandbox.github.rules import glob_matches
from pavedpath_sandbox.github.store import Json, Record

MINUTE = 60


def ref_allowed(ref: str, policy: Json | None, patterns: Iterable[tuple[str, str]], *, protected: bool) -> bool:
    """Whether a full ref may deploy; `patterns` are pairs of kind (branch, tag) and pattern.

    `protected` says whether the ref is a branch that counts as protected.
    """
    if policy is None:
        return True
    if policy["protected_branches"]:
        return protected
    kind = "tag" if ref.startswith("refs/tags/") else "branch"
    name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return any(of == kind and glob_matches(pattern, name) for of, pattern in patterns)


def seconds_left(started_at: str, minutes: int, now: float) -> float:
    """Seconds until a wait timer has run out, zero or less when it has."""
    return datetime.fromisoformat(started_at).timestamp() + minutes * MINUTE - now


def refusal(call: Call, repository: Record, ref: str, record: Record) -> str | None:
    """Why a ref may not deploy to an environment, None if it may."""
    policies = [(one["type"], one["name"]) for one in call.store.children("branch_policy", record.id)]
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    branches = [one.key.removeprefix("refs/heads/") for one in Git(call.store, repository).refs("refs/heads/")]
    # Where no branch is protected at all, every branch may deploy.
    protected = branch is not None and (
        is_protected(call, repository, branch) or not any(is_protected(call, repository, one) for one in branches)
    )
    if ref_allowed(ref, record["deployment_branch_policy"], policies, protected=protected):
        return None
    kind, name = ("Tag" if ref.startswith("refs/tags/") else "Branch"), ref.split("/", 2)[-1]
    what = f'{kind} "{name}" is not allowed to deploy to {record["name"]}'
    return f"{what} due to environment protection rules."


def open_gate(call: Call, run: Record, record: Record) -> bool:
    """Make jobs of a run wait for an environment; False if it demands neither approval nor waiting."""
    if not record["reviewers"] and not record["wait_timer"]:
        return False
    body: Json = {
        "environment": record.id,
        "run_attempt": run["run_attempt"],
        "started_at": call.store.now(),
        "approved": not record["reviewers"],
    }
    if call.store.find("gate", run.id, str(record.id)) is None:
        call.store.insert("gate", run.id, str(record.id), body)
    return True


def is_due(call: Call, gate: Record, record: Record) -> bool:
    """Whether the jobs behind a gate may start."""
    return gate["approved"] and seconds_left(gate["started_at"], record["wait_timer"], call.settings.clock()) <= 0


def may_review(call: Call, run: Record, record: Record) -> bool:
    """Whether the user is a reviewer, and not of an own deployment where that is forbidden."""
    teams = {team.id for team in teams_of(call.store, call.actor, organization_of(call))}
    chosen = any(
        one["id"] == call.actor.id if one["type"] == "User" else one["id"] in teams for one in record["reviewers"]
    )
    return chosen and not (record["prevent_self_review"] and call.actor.id == run["triggering_actor"])


def gate_view(call: Call, repository: Record, run: Record, gate: Record, record: Record) -> Json:
    """Schema `pending-deployment`."""
    shown = environment(call, repository, record)
    reviewers = [{"type": one["type"], "reviewer": reviewer_view(call, one)} for one in record["reviewers"]]
    return {
        "environment": {name: shown[name] for name in ("id", "node_id", "name", "url", "html_url")},
        "wait_timer": record["wait_timer"],
        "wait_timer_started_at": gate["started_at"] if record["wait_timer"] else None,
        "current_user_can_approve": not gate["approved"] and may_review(call, run, record),
        "reviewers": [one for one in reviewers if one["reviewer"]],
    }
