"""Deployments and their statuses, whoever makes them: a client, or a job that names an environment."""

from uuid import uuid4

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.render import app_view, node_id, person, repository, repository_url
from pavedpath_sandbox.github.store import Json, Record


def deployment_view(call: Call, owner: Record, record: Record) -> Json:
    """Schema `deployment`."""
    base = repository_url(call, owner)
    url = f"{base}/deployments/{record.id}"
    same = ("sha", "ref", "task", "payload", "environment", "original_environment", "description")
    return {
        "url": url,
        "id": record.id,
        "node_id": node_id("deployment", record.id),
        **{name: record[name] for name in (*same, "transient_environment", "production_environment")},
        "creator": person(call, record["creator"]),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "statuses_url": f"{url}/statuses",
        "repository_url": base,
        "performed_via_github_app": app_view(call, record["app"]),
    }


def status_view(call: Call, owner: Record, deployment: Record, record: Record) -> Json:
    """Schema `deployment-status`."""
    base = repository_url(call, owner)
    url = f"{base}/deployments/{deployment.id}"
    same = ("state", "description", "environment", "environment_url", "log_url")
    return {
        "url": f"{url}/statuses/{record.id}",
        "id": record.id,
        "node_id": node_id("deployment_status", record.id),
        **{name: record[name] for name in same},
        "target_url": record["log_url"],
        "creator": person(call, record["creator"]),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "deployment_url": url,
        "repository_url": base,
        "performed_via_github_app": app_view(call, record["app"]),
    }


def create(call: Call, owner: Record, wanted: Json, *, creator: int, app: int | None) -> Record:
    """A deployment without a status; `wanted` has at least ref, sha and environment."""
    name = wanted["environment"]
    body: Json = {
        "task": "deploy",
        "payload": {},
        "description": None,
        "transient_environment": False,
        # https://docs.github.com/rest/deployments/deployments#create-a-deployment
        "production_environment": name == "production",
        **wanted,
        "original_environment": name,
        "creator": creator,
        "app": app,
    }
    record = call.store.insert("deployment", owner.id, uuid4().hex, body)
    shown = {"deployment": deployment_view(call, owner, record), "repository": repository(call, owner)}
    call.emit("deployment", {"action": "created", **shown}, owner)
    return record


def state_of(call: Call, deployment: Record) -> str | None:
    """The state of the latest status, None before the first."""
    statuses = call.store.children("deployment_status", deployment.id)
    return statuses[-1]["state"] if statuses else None


def add_status(call: Call, owner: Record, deployment: Record, wanted: Json, *, auto_inactive: bool = True) -> Record:
    """Add a status (`wanted` has at least state and creator).

    A success makes earlier ones inactive (`auto_inactive`) in the same environment, unless those are transient or
    production (https://docs.github.com/rest/deployments/statuses#create-a-deployment-status).
    """
    environment = wanted.get("environment") or deployment["environment"]
    body: Json = {
        "state": wanted["state"],
        "description": wanted.get("description") or "",
        "environment": environment,
        "environment_url": wanted.get("environment_url") or "",
        "log_url": wanted.get("log_url") or wanted.get("target_url") or "",
        "creator": wanted["creator"],
        "app": wanted.get("app"),
    }
    deployment = call.store.update(deployment, {"environment": environment})
    status = call.store.insert("deployment_status", deployment.id, uuid4().hex, body)
    call.emit(
        "deployment_status",
        {
            "action": "created",
            "deployment_status": status_view(call, owner, deployment, status),
            "deployment": deployment_view(call, owner, deployment),
            "repository": repository(call, owner),
        },
        owner,
    )
    if body["state"] == "success" and auto_inactive:
        _retire(call, owner, deployment)
    return status


def _retire(call: Call, owner: Record, latest: Record) -> None:
    for earlier in call.store.children("deployment", owner.id):
        kept = earlier["transient_environment"] or earlier["production_environment"] or earlier.id >= latest.id
        if not kept and earlier["environment"] == latest["environment"] and state_of(call, earlier) == "success":
            add_status(call, owner, earlier, {"state": "inactive", "creator": latest["creator"], "app": latest["app"]})


def deployed(call: Call, owner: Record, sha: str) -> frozenset[str]:
    """Environments in which a commit's latest deployment has succeeded."""
    latest = {one["environment"]: one for one in call.store.children("deployment", owner.id) if one["sha"] == sha}
    return frozenset(name for name, one in latest.items() if state_of(call, one) in {"success", "inactive"})
