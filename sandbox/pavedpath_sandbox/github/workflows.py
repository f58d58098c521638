"""Workflow runs and jobs as they change: queued, started on a runner, finished, cancelled, run again.

GitHub starts runs from events and its runners take jobs over an interface that is not public; here both are done
through the sandbox's own endpoints, and what is told to hooks is what GitHub tells them.
"""

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import conflict, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.runners import runner_view
from pavedpath_sandbox.github.render import account, full_name, node_id, repository, repository_url
from pavedpath_sandbox.github.store import Json, Record, as_object


def jobs_of(call: Call, run: Record, attempt: int | None = None) -> list[Record]:
    """Jobs of an attempt, by default the latest."""
    wanted = attempt or run["run_attempt"]
    return [one for one in call.store.children("job", run.id) if one["run_attempt"] == wanted]


def _repository_of(call: Call, run: Record) -> Record:
    return call.need(call.store.by_id("repository", run.parent))


def run_status(call: Call, run: Record) -> tuple[str, str | None]:
    """Status and conclusion of a run, which follow from its jobs."""
    jobs = jobs_of(call, run)
    states = {one["status"] for one in jobs}
    if states == {"completed"}:
        conclusions = [one["conclusion"] for one in jobs]
        bad = ("failure", "timed_out", "cancelled", "action_required")
        return "completed", next((one for one in bad if one in conclusions), "success")
    return ("queued" if states == {"queued"} else "in_progress"), None


def run_view(call: Call, run: Record) -> Json:
    """Schema `workflow-run`."""
    owner = _repository_of(call, run)
    status, conclusion = run_status(call, run)
    base = repository_url(call, owner)
    url, actor = f"{base}/actions/runs/{run.id}", call.need(call.store.by_id("user", run["actor"]))
    person = account(call.urls, actor)
    commit = {"name": "GitHub", "email": "noreply@github.com"}
    return {
        "id": run.id,
        "name": run["name"],
        "node_id": node_id("run", run.id),
        "check_suite_id": run.id,
        "head_branch": run["head_branch"],
        "head_sha": run["head_sha"],
        "path": run["path"],
        "display_title": run["name"],
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
        "actor": person,
        "triggering_actor": person,
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
        "head_repository": repository(call, owner),
    }


def job_view(call: Call, job: Record) -> Json:
    """Schema `job`."""
    run = call.need(call.store.by_id("run", job.parent))
    owner = _repository_of(call, run)
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


def _tell(call: Call, job: Record, action: str) -> None:
    run = call.need(call.store.by_id("run", job.parent))
    owner = _repository_of(call, run)
    shown = repository(call, owner)
    call.emit("workflow_job", {"action": action, "workflow_job": job_view(call, job), "repository": shown}, owner)
    status, _ = run_status(call, run)
    if action == status == "completed":
        call.store.update(run, {})
        _tell_run(call, run, "completed")


def _tell_run(call: Call, run: Record, action: str) -> None:
    owner = _repository_of(call, run)
    call.emit(
        "workflow_run",
        {"action": action, "workflow_run": run_view(call, run), "repository": repository(call, owner)},
        owner,
    )


def start_run(call: Call, owner: Record, wanted: Json) -> Record:
    """A new run with its jobs, all queued.

    `wanted` has `jobs` (each with `name` and `labels`) and may have `workflow`, `event`, `path` and `head_branch`.
    """
    branch = wanted.get("head_branch", owner["default_branch"])
    path = wanted.get("path", ".github/workflows/ci.yml")
    before = call.store.children("run", owner.id)
    workflow = next((one["workflow_id"] for one in before if one["path"] == path), owner.id + len(before) + 1)
    body: Json = {
        "name": wanted.get("workflow", "CI"),
        "path": path,
        "event": wanted.get("event", "push"),
        "head_branch": branch,
        "head_sha": Git(call.store, owner).resolve(branch) or "0" * 40,
        "run_number": 1 + sum(one["path"] == path for one in before),
        "run_attempt": 1,
        "workflow_id": workflow,
        "actor": call.actor.id,
    }
    run = call.store.insert("run", owner.id, f"{path}#{body['run_number']}", body)
    jobs = [_queue(call, run, job["name"], job["labels"], 1) for job in wanted["jobs"]]
    _tell_run(call, run, "requested")
    for job in jobs:
        _tell(call, job, "queued")
    return run


def _queue(call: Call, run: Record, name: str, labels: list[str], attempt: int) -> Record:
    empty = {"conclusion": None, "started_at": None, "completed_at": None, "runner": None}
    body: Json = {"name": name, "labels": labels, "status": "queued", "run_attempt": attempt, **empty}
    return call.store.insert("job", run.id, f"{attempt}:{name}", body)


def start_job(call: Call, job: Record, runner: Record) -> Record:
    """A runner takes a job; 409 if it cannot."""
    if job["status"] != "queued":
        raise conflict(f"Job {job.id} is {job['status']}, not queued.")
    offered = {label.lower() for label in runner["labels"]} | {"self-hosted"}
    if missing := [label for label in job["labels"] if label.lower() not in offered]:
        raise conflict(f"Runner {runner['name']} lacks the labels {', '.join(missing)}.")
    if runner["busy"]:
        raise conflict(f"Runner {runner['name']} runs another job.")
    call.store.update(runner, {"busy": True, "status": "online"})
    group = call.need(call.store.by_id("runner_group", runner["group"]))
    shown = runner_view(call, runner)
    held = {"id": runner.id, "name": runner["name"], "group_id": shown["runner_group_id"], "group_name": group["name"]}
    now = call.store.now()
    job = call.store.update(job, {"status": "in_progress", "started_at": now, "runner": held})
    _tell(call, job, "in_progress")
    return job


def finish_job(call: Call, job: Record, conclusion: str) -> Record:
    """A job ends. Its runner is free again, or gone if it was ephemeral."""
    if job["status"] == "completed":
        raise conflict(f"Job {job.id} is completed already.")
    if conclusion not in {"success", "failure", "cancelled", "skipped", "timed_out", "neutral"}:
        raise unprocessable(f"{conclusion} is not a conclusion of a job.")
    if job["runner"] and (runner := call.store.by_id("runner", job["runner"]["id"])):
        if runner["ephemeral"]:
            call.store.delete(runner)
        else:
            call.store.update(runner, {"busy": False})
    now = call.store.now()
    job = call.store.update(job, {"status": "completed", "conclusion": conclusion, "completed_at": now})
    _tell(call, job, "completed")
    return job


def connect_runner(call: Call, runner: Record) -> Record | None:
    """A runner comes online and takes the oldest job that it fits; returns that job."""
    runner = call.store.update(runner, {"status": "online"})
    offered = {label.lower() for label in runner["labels"]} | {"self-hosted"}
    for job in call.store.everywhere("job"):
        fits = all(label.lower() in offered for label in job["labels"])
        if job["status"] == "queued" and fits and _reaches(call, runner, job):
            return start_job(call, job, runner)
    return None


def _reaches(call: Call, runner: Record, job: Record) -> bool:
    run = call.need(call.store.by_id("run", job.parent))
    owner = _repository_of(call, run)
    if runner.parent == owner.id:
        return True
    group = call.need(call.store.by_id("runner_group", runner["group"]))
    public = owner["visibility"] == "public"
    shared = group["visibility"] == "all" or (group["visibility"] == "private" and not public)
    shared = shared or (group["visibility"] == "selected" and owner.id in group["selected"])
    return shared and (group["allows_public_repositories"] or not public)


def cancel(call: Call, run: Record) -> None:
    """Cancel what has not ended; 409 if all has."""
    if run_status(call, run)[0] == "completed":
        raise conflict("Cannot cancel a workflow run that is completed.")
    for job in jobs_of(call, run):
        if job["status"] != "completed":
            finish_job(call, job, "cancelled")


def rerun(call: Call, run: Record, again: list[Record]) -> None:
    """Another attempt, in which the given jobs are queued again and the others stay as they ended."""
    if run_status(call, run)[0] != "completed":
        raise conflict("This workflow run is already running.")
    before, attempt = jobs_of(call, run), run["run_attempt"] + 1
    run = call.store.update(run, {"run_attempt": attempt})
    for job in before:
        if job in again:
            _tell(call, _queue(call, run, job["name"], job["labels"], attempt), "queued")
        else:
            call.store.insert("job", run.id, f"{attempt}:{job['name']}", {**job.body, "run_attempt": attempt})
