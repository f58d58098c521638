"""Deployments and their statuses."""

import json
from typing import cast

from pavedpath_sandbox.github import deployments
from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.checks import checks_of
from pavedpath_sandbox.github.errors import GitHubError, conflict, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.merging import merge_into
from pavedpath_sandbox.github.store import Json, Record


def listing(call: Call) -> Reply:
    """The deployments, newest first, by ref, commit, task or environment."""
    asked = {
        name: call.query[name]
        for name in ("sha", "ref", "task", "environment")
        if call.query.get(name) not in (None, "none")  # GitHub's own word for no filter
    }
    found = [
        one
        for one in reversed(call.store.children("deployment", call.repository.id))
        if all(one[name] == value for name, value in asked.items())
    ]
    return page(call, [deployments.deployment_view(call, call.repository, one) for one in found])


def _unmet(call: Call, repository: Record, sha: str) -> list[Json]:
    """What must succeed on the commit and has not; by default everything that was reported for it."""
    checks = checks_of(call, repository, sha)
    wanted = call.body.get("required_contexts")
    states = {one.context: one.state for one in checks}
    contexts = states.keys() if wanted is None else wanted
    return [
        {"contexts": context, "state": states.get(context, "missing")}
        for context in contexts
        if states.get(context) != "success"
    ]


def create(call: Call) -> Reply:
    """Deploy a ref: its checks must have succeeded; a branch that is behind is merged first (`auto_merge`)."""
    repository, ref = call.repository, call.body["ref"]
    git = Git(call.store, repository)
    sha = git.resolve(ref)
    if sha is None:
        raise unprocessable(f"No ref found for: {ref}")
    if merged := _brought_up_to_date(call, repository, ref, sha):
        return merged
    if unmet := _unmet(call, repository, sha):
        raise GitHubError(409, f"Conflict: Commit status checks failed for {ref}.", errors=unmet)
    fields = ("task", "payload", "environment", "description", "transient_environment", "production_environment")
    given = {name: call.body[name] for name in fields if call.body.get(name) is not None}
    if isinstance(given.get("payload"), str):
        given["payload"] = _decoded(given["payload"])
    wanted: Json = {"environment": "production", **given, "ref": ref, "sha": sha}
    record = deployments.create(call, repository, wanted, creator=call.actor.id, app=call.actor.get("app"))
    return created(deployments.deployment_view(call, repository, record))


def _decoded(payload: str) -> object:
    try:
        value: object = json.loads(payload)
    except ValueError:
        return payload
    return cast(Json, value) if isinstance(value, dict) else payload


def _brought_up_to_date(call: Call, repository: Record, ref: str, sha: str) -> Reply | None:
    git, default = Git(call.store, repository), repository["default_branch"]
    base = git.resolve(default)
    branch = git.ref(f"refs/heads/{ref}")
    if not call.body.get("auto_merge", True) or branch is None or ref == default or base is None:
        return None
    if git.is_ancestor(base, sha):
        return None
    if merge_into(call, repository, ref, base, f"Merge branch '{default}' into {ref}") is None:
        raise conflict(f"Conflict merging {default} into {ref}.")
    return Reply(202, {"message": f"Auto-merged {default} into {ref} on deployment."})


def _deployment(call: Call) -> Record:
    return call.need(call.store.by_id("deployment", call.number("deployment_id"), call.repository.id))


def get(call: Call) -> Reply:
    """A deployment."""
    return ok(deployments.deployment_view(call, call.repository, _deployment(call)))


def delete(call: Call) -> Reply:
    """Delete a deployment that is inactive, or the only one."""
    record = _deployment(call)
    if len(call.store.children("deployment", record.parent)) > 1:
        state = deployments.state_of(call, record)
        if state not in {None, "inactive", "failure", "error"}:
            raise unprocessable(
                "We cannot delete an active deployment unless it is the only deployment in a given environment."
            )
    call.store.delete(record)
    return no_content()


def list_statuses(call: Call) -> Reply:
    """The statuses of a deployment, newest first."""
    record = _deployment(call)
    found = reversed(call.store.children("deployment_status", record.id))
    return page(call, [deployments.status_view(call, call.repository, record, one) for one in found])


def create_status(call: Call) -> Reply:
    """Say what became of a deployment."""
    record = _deployment(call)
    if len(call.body.get("description") or "") > 140:
        raise unprocessable("description is too long (maximum is 140 characters)")
    wanted = call.body | {"creator": call.actor.id, "app": call.actor.get("app")}
    automatic = call.body.get("auto_inactive", True)
    status = deployments.add_status(call, call.repository, record, wanted, auto_inactive=automatic)
    return created(deployments.status_view(call, call.repository, record, status))


def get_status(call: Call) -> Reply:
    """A status."""
    record = _deployment(call)
    status = call.need(call.store.by_id("deployment_status", call.number("status_id"), record.id))
    return ok(deployments.status_view(call, call.repository, record, status))
