"""Workflow runs and jobs as GitHub shows them, and what follows of a run from its jobs."""

import json
import zlib

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.render import full_name, node_id, person, repository, repository_url
from pavedpath_sandbox.github.store import Json, Record, as_object


def jobs_of(call: Call, run: Record, attempt: int | None = None) -> list[Record]:
    """Jobs of an attempt, by default the latest."""
    wanted = attempt or run["run_attempt"]
    return [one for one in call.store.children("job", run.id) if one["run_attempt"] == wanted]


def repository_of(call: Call, run: Record) -> Record:
    """The repository that a run is of."""
    return call.need(call.store.by_id("repository", run.parent))


def run_status(call: Call, run: Record) -> tuple[str, str | None]:
    """Status and conclusion of a run, which follow from its jobs; one that is open may get more of them."""
    jobs = jobs_of(call, run)
    states = {one["status"] for one in jobs}
    if not jobs and run.get("closed"):
        return "completed", "cancelled"
    if states == {"completed"} and not run.get("open"):
        conclusions = [one["conclusion"] for one in jobs]
        if set(conclusions) == {"skipped"}:
            return "completed", "skipped"
        bad = ("failure", "timed_out", "cancelled", "action_required")
        return "completed", next((one for one in bad if one in conclusions), "success")
    if "in_progress" in states or states == {"completed"}:
        return "in_progress", None
    if "queued" in states or not states:
        return ("in_progress" if "completed" in states else "queued"), None
    return "waiting" if "waiting" in states else "pending", None


def run_view(call: Call, run: Record) -> Json:
    """Schema `workflow-run`."""
    owner = repository_of(call, run)
    status, conclusion = run_status(call, run)
    base = repository_url(call, owner)
    url = f"{base}/actions/runs/{run.id}"
    commit = {"name": "GitHub", "email": "noreply@github.com"}
    return {
        "id": run.id,
        "name": run["name"],
        "node_id": node_id("run", run.id),
        "check_suite_id": run.id,
        "head_branch": run["head_branch"],
        "head_sha": run["head_sha"],
        "path": run["path"],
        "display_title": run["display_title"],
        "run_number": run["run_number"],
        "run_attempt": run["run_attempt"],
        "event": run["event"],
        "status": status,
        "conclusion": conclusion,
        "workflow_id": run["workflow_id"],
        "url": url,
        "html_url": f"{call.urls.web}/{full_name(call, owner)}/actions/runs/{run.id}",
        "pull_requests": [],
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "run_started_at": run.created_at,
        "actor": person(call, run["actor"]),
        "triggering_actor": person(call, run["triggering_actor"]),
        **{f"{name}_url": f"{url}/{name}" for name in ("jobs", "logs", "artifacts", "cancel", "rerun")},
        "check_suite_url": f"{base}/check-suites/{run.id}",
        "workflow_url": f"{base}/actions/workflows/{run['workflow_id']}",
        "previous_attempt_url": f"{url}/attempts/{run['run_attempt'] - 1}" if run["run_attempt"] > 1 else None,
        "head_commit": {
            "id": run["head_sha"],
            "tree_id": run["head_sha"],
            "message": run["name"],
            "timestamp": run.created_at,
            "author": commit,
            "committer": commit,
        },
        "repository": repository(call, owner),
        "head_repository": _head_repository(call, owner, run.get("fork")),
    }


def _head_repository(call: Call, owner: Record, fork: str | None) -> Json:
    """The repository that a run's code is from: its own, or a fork, which has no record of its own here."""
    own = repository(call, owner)
    if not fork:
        return own
    login, _, name = fork.partition("/")
    text = json.dumps(own).replace(f"/{own['full_name']}", f"/{fork}")
    number = zlib.crc32(fork.encode())
    whose = {**own["owner"], "login": login, "type": "User", "id": number}
    return {**json.loads(text), "id": number, "name": name, "full_name": fork, "owner": whose, "fork": True}


def job_view(call: Call, job: Record) -> Json:
    """Schema `job`."""
    run = call.need(call.store.by_id("run", job.parent))
    owner = repository_of(call, run)
    base, name = repository_url(call, owner), full_name(call, owner)
    return {
        "id": job.id,
        "run_id": run.id,
        "workflow_name": run["name"],
        "head_branch": run["head_branch"],
        "run_url": f"{base}/actions/runs/{run.id}",
        "run_attempt": job["run_attempt"],
        "node_id": node_id("job", job.id),
        "head_sha": run["head_sha"],
        "url": f"{base}/actions/jobs/{job.id}",
        "html_url": f"{call.urls.web}/{name}/actions/runs/{run.id}/job/{job.id}",
        "status": job["status"],
        "conclusion": job["conclusion"],
        "created_at": job.created_at,
        "started_at": job["started_at"] or job.created_at,
        "completed_at": job["completed_at"],
        "name": job["name"],
        "steps": [],
        "check_run_url": f"{base}/check-runs/{job.id}",
        "labels": job["labels"],
        **{field: as_object(job["runner"]).get(field.removeprefix("runner_")) for field in _RUNNER_FIELDS},
    }


_RUNNER_FIELDS = ("runner_id", "runner_name", "runner_group_id", "runner_group_name")
