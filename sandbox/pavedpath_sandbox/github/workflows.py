"""Workflow runs and jobs as they change: queued, started on a runner, finished, cancelled, run again.

GitHub starts runs from events and its runners take jobs over an interface that is not public; here both are done
through the sandbox's own endpoints, and what is told to hooks is what GitHub tells them.

A job is `pending` until the jobs that it needs have ended, `waiting` while its environment holds it back, then
`queued`, `in_progress` and `completed`. Hooks hear of one that is held back as `queued` first, then `waiting`, then
`queued` again, as GitHub tells it (CloudSnorkel/cdk-github-runners#382, runs-on/runs-on#539).
"""

from collections.abc import Iterable, Sequence
from uuid import uuid4

from pavedpath_sandbox.github import deployments, gates
from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.errors import conflict, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.environments import environment_named
from pavedpath_sandbox.github.handlers.runners import runner_view
from pavedpath_sandbox.github.render import ACTIONS_APP, repository
from pavedpath_sandbox.github.runviews import job_view, jobs_of, repository_of, run_status, run_view
from pavedpath_sandbox.github.settings import Plan
from pavedpath_sandbox.github.store import ROOT, Json, Record, as_list

CONCLUSIONS = {"success", "failure", "cancelled", "skipped", "timed_out", "neutral", "action_required"}
_DEPLOYED = {"success": "success", "neutral": "success", "skipped": "inactive", "cancelled": "error"}
"""What a job's end says of its deployment; every other end is a failure."""


def _tell(call: Call, job: Record, action: str) -> None:
    run = call.need(call.store.by_id("run", job.parent))
    owner = repository_of(call, run)
    shown = repository(call, owner)
    call.emit("workflow_job", {"action": action, "workflow_job": job_view(call, job), "repository": shown}, owner)
    status, _ = run_status(call, run)
    if action == status == "completed":
        call.store.update(run, {})
        _tell_run(call, run, "completed")


def _tell_run(call: Call, run: Record, action: str) -> None:
    owner = repository_of(call, run)
    call.emit(
        "workflow_run",
        {"action": action, "workflow_run": run_view(call, run), "repository": repository(call, owner)},
        owner,
    )


def workflow_of(call: Call, owner: Record, path: str, name: str) -> Record:
    """The workflow of a file, which keeps its id as long as its path."""
    held = call.store.find("workflow", owner.id, path)
    return held or call.store.insert("workflow", owner.id, path, {"name": name, "state": "active"})


def _place(call: Call, owner: Record, wanted: Json) -> tuple[str, str, str]:
    """Full ref, short name and commit that a run is of; a name that is only a tag is that tag."""
    git, name = Git(call.store, owner), wanted.get("head_branch") or owner["default_branch"]
    tag = git.ref(f"refs/heads/{name}") is None and git.ref(f"refs/tags/{name}") is not None
    ref = wanted.get("ref") or f"refs/{'tags' if tag else 'heads'}/{name}"
    short = wanted.get("head_branch") or ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return ref, short, wanted.get("head_sha") or git.resolve(ref) or "0" * 40


def start_run(call: Call, owner: Record, wanted: Json) -> Record:
    """A new run with its jobs.

    `wanted` may have `jobs` (as for `add_jobs`), `workflow` (a name), `event`, `path`, `head_branch`, `ref` (full),
    `head_sha`, `title`, `inputs`, `actor` (a login), `fork` (OWNER/NAME: whose code it is, if not the repository's
    own) and `open`: it does not end with its jobs, but when it is closed.
    """
    path = wanted.get("path", ".github/workflows/ci.yml")
    workflow = workflow_of(call, owner, path, wanted.get("workflow", "CI"))
    ref, branch, sha = _place(call, owner, wanted)
    before = call.store.children("run", owner.id)
    actor = call.actor
    if login := wanted.get("actor"):
        actor = call.need(call.store.find("user", ROOT, str(login).lower()))
    body: Json = {
        "name": wanted.get("workflow", workflow["name"]),
        "display_title": wanted.get("title") or wanted.get("workflow", workflow["name"]),
        "path": path,
        "event": wanted.get("event", "push"),
        "ref": ref,
        "head_branch": branch,
        "head_sha": sha,
        "run_number": 1 + sum(one["path"] == path for one in before),
        "run_attempt": 1,
        "workflow_id": workflow.id,
        "actor": actor.id,
        "triggering_actor": actor.id,
        "inputs": wanted.get("inputs") or {},
        "open": bool(wanted.get("open")),
        "fork": wanted.get("fork"),
    }
    run = call.store.insert("run", owner.id, f"{path}#{body['run_number']}", body)
    _tell_run(call, run, "requested")
    return add_jobs(call, run, as_list(wanted.get("jobs")))


def close_run(call: Call, run: Record) -> Record:
    """End a run that was open: it has all its jobs, and what of them has not ended was lost with its runner."""
    if not run.get("open"):
        return run
    run = call.store.update(run, {"open": False, "closed": True})
    if run_status(call, run)[0] == "completed":
        _tell_run(call, run, "completed")
    else:
        cancel(call, run)
    return run


def add_jobs(call: Call, run: Record, jobs: list[Json]) -> Record:
    """Add jobs to a run that has not ended.

    Each has `name` and `labels`, and may have `environment`, `needs` (names of jobs) and `always`: start whatever
    became of those.
    """
    if run_status(call, run)[0] == "completed":
        raise conflict(f"Run {run.id} is completed.")
    known = {one["name"] for one in jobs_of(call, run)} | {one["name"] for one in jobs}
    if unknown := sorted({need for one in jobs for need in as_list(one.get("needs"))} - known):
        raise unprocessable(f"No job of the run is called {', '.join(unknown)}.")
    for job in jobs:
        _insert_job(call, run, job, run["run_attempt"])
    _start_ready(call, run)
    return run


def _insert_job(call: Call, run: Record, spec: Json, attempt: int) -> Record:
    body: Json = {
        "name": spec["name"],
        "labels": spec["labels"],
        "environment": spec.get("environment"),
        "needs": as_list(spec.get("needs")),
        "always": bool(spec.get("always")),
        "status": "pending",
        "run_attempt": attempt,
        **dict.fromkeys(("conclusion", "started_at", "completed_at", "runner", "deployment", "reason")),
    }
    return call.store.insert("job", run.id, f"{attempt}:{body['name']}", body)


def _start_ready(call: Call, run: Record) -> None:
    """Bring on the pending jobs whose needs have ended, as often as one's end lets another begin."""
    for before in jobs_of(call, run):
        job = call.need(call.store.by_id("job", before.id))  # an earlier one's end may have skipped it
        ended = {one["name"]: one["conclusion"] for one in jobs_of(call, run) if one["status"] == "completed"}
        if job["status"] != "pending" or not set(job["needs"]) <= ended.keys():
            continue
        if job["always"] or all(ended[need] in {"success", "neutral"} for need in job["needs"]):
            _bring_on(call, run, job)
        else:
            _end(call, job, "skipped")


def _bring_on(call: Call, run: Record, job: Record) -> None:
    """Queue a job, or have it wait for its environment, or fail if its ref may not deploy there."""
    owner = repository_of(call, run)
    environments = owner["visibility"] == "public" or call.plan_allows(Plan.TEAM)
    if not job["environment"] or not environments:
        _tell(call, call.store.update(job, {"status": "queued"}), "queued")
        return
    record = environment_named(call, owner, job["environment"])
    if reason := gates.refusal(call, owner, run["ref"], record):
        _end(call, call.store.update(job, {"reason": reason}), "failure")
        return
    wanted: Json = {"ref": run["head_branch"], "sha": run["head_sha"], "environment": record["name"]}
    deployment = deployments.create(call, owner, wanted, creator=run["triggering_actor"], app=ACTIONS_APP)
    waits = gates.open_gate(call, run, record)
    job = call.store.update(job, {"status": "queued", "deployment": deployment.id})
    _deployment_is(call, owner, job, "pending" if waits else "queued")
    _tell(call, job, "queued")
    if waits:
        _tell(call, call.store.update(job, {"status": "waiting"}), "waiting")
    if waits and record["reviewers"]:
        _tell_review(call, run, "requested", {"environment": record["name"]})


def _deployment_is(call: Call, owner: Record, job: Record, state: str) -> None:
    deployment = call.store.by_id("deployment", job["deployment"]) if job["deployment"] else None
    if deployment is None:
        return
    url = job_view(call, job)["html_url"]
    wanted: Json = {"state": state, "log_url": url, "creator": deployment["creator"], "app": ACTIONS_APP}
    deployments.add_status(call, owner, deployment, wanted)


def _tell_review(call: Call, run: Record, action: str, more: Json) -> None:
    owner = repository_of(call, run)
    shown: Json = {"workflow_run": run_view(call, run), "repository": repository(call, owner)}
    call.emit("deployment_review", {"action": action, **more, **shown}, owner)


def _held_back(call: Call, run: Record, record: Record) -> list[Record]:
    return [
        one
        for one in jobs_of(call, run)
        if one["status"] == "waiting" and one["environment"].lower() == record["name"].lower()
    ]


def release_due(call: Call) -> None:
    """Queue the jobs whose wait is over; those of an environment that was deleted fail."""
    for gate in call.store.everywhere("gate"):
        run = call.need(call.store.by_id("run", gate.parent))
        record = call.store.by_id("environment", gate["environment"])
        if record is None:
            call.store.delete(gate)
            for job in jobs_of(call, run):
                if job["status"] == "waiting" and not _gated(call, run, job):
                    _end(call, job, "failure")
        elif gates.is_due(call, gate, record):
            _open(call, run, gate, record)


def _gated(call: Call, run: Record, job: Record) -> bool:
    record = call.store.find("environment", run.parent, job["environment"].lower())
    return record is not None and call.store.find("gate", run.id, str(record.id)) is not None


def _open(call: Call, run: Record, gate: Record, record: Record) -> None:
    call.store.delete(gate)
    owner = repository_of(call, run)
    for job in _held_back(call, run, record):
        job = call.store.update(job, {"status": "queued"})  # noqa: PLW2901 - the same job, as it is now
        _deployment_is(call, owner, job, "queued")
        _tell(call, job, "queued")


def review(call: Call, run: Record, wanted: Json) -> list[Record]:
    """Approve or reject what of a run waits for review; returns the deployments.

    `wanted` has `environment_ids`, `state` (approved or rejected) and `comment`. Raises GitHubError 422 that names
    every environment that does not wait for review or that the user may not review.
    """
    found = {gate["environment"]: gate for gate in call.store.children("gate", run.id) if not gate["approved"]}
    records = [(one, call.store.by_id("environment", one)) for one in wanted["environment_ids"]]
    wrong = [
        f"Environment {identity} does not wait for review."
        if record is None or identity not in found
        else f"You are not allowed to review {record['name']}."
        for identity, record in records
        if record is None or identity not in found or not gates.may_review(call, run, record)
    ]
    if wrong or not records:
        raise unprocessable("\n".join(wrong) or "environment_ids must name at least one environment.")
    touched: list[Record] = []
    for identity, record in records:
        if record is not None:
            touched += _decide(call, run, found[identity], record, wanted)
    body = {name: wanted[name] for name in ("environment_ids", "state", "comment")} | {"user": call.actor.id}
    call.store.insert("approval", run.id, uuid4().hex, body)
    return touched


def _decide(call: Call, run: Record, gate: Record, record: Record, wanted: Json) -> list[Record]:
    jobs = _held_back(call, run, record)
    if wanted["state"] == "approved":
        gate = call.store.update(gate, {"approved": True})
        if gates.is_due(call, gate, record):
            _open(call, run, gate, record)
    else:
        call.store.delete(gate)
        for job in jobs:
            _end(call, job, "failure")
    found = [call.store.by_id("deployment", job["deployment"]) for job in jobs]
    _tell_review(call, run, wanted["state"], {"comment": wanted["comment"], "environment": record["name"]})
    return [one for one in found if one]


HOSTED: Json = {"id": 0, "name": "GitHub Actions 1", "group_id": 0, "group_name": "GitHub Actions"}
"""A runner of GitHub's own, as jobs show it."""


def start_job(call: Call, job: Record, runner: Record | None) -> Record:
    """A runner (None: one of GitHub's own) takes a job; 409 if it cannot."""
    if job["status"] != "queued":
        raise conflict(f"Job {job.id} is {job['status']}, not queued.")
    held = HOSTED if runner is None else _occupied(call, job, runner)
    now = call.store.now()
    job = call.store.update(job, {"status": "in_progress", "started_at": now, "runner": held})
    run = call.need(call.store.by_id("run", job.parent))
    _deployment_is(call, repository_of(call, run), job, "in_progress")
    _tell(call, job, "in_progress")
    return job


def _occupied(call: Call, job: Record, runner: Record) -> Json:
    offered = {label.lower() for label in runner["labels"]} | {"self-hosted"}
    if missing := [label for label in job["labels"] if label.lower() not in offered]:
        raise conflict(f"Runner {runner['name']} lacks the labels {', '.join(missing)}.")
    if runner["busy"]:
        raise conflict(f"Runner {runner['name']} runs another job.")
    call.store.update(runner, {"busy": True, "status": "online"})
    group = call.need(call.store.by_id("runner_group", runner["group"]))
    shown = runner_view(call, runner)
    return {"id": runner.id, "name": runner["name"], "group_id": shown["runner_group_id"], "group_name": group["name"]}


def finish_job(call: Call, job: Record, conclusion: str) -> Record:
    """A job ends. Its runner is free again, or gone if it was ephemeral."""
    if job["status"] == "completed":
        raise conflict(f"Job {job.id} is completed already.")
    if conclusion not in CONCLUSIONS:
        raise unprocessable(f"{conclusion} is not a conclusion of a job.")
    if job["status"] in {"waiting", "pending"} and conclusion not in {"cancelled", "skipped"}:
        raise conflict(f"Job {job.id} is {job['status']}: it cannot end before it has started.")
    if job["runner"] and (runner := call.store.by_id("runner", job["runner"]["id"])):
        if runner["ephemeral"]:
            call.store.delete(runner)
        else:
            call.store.update(runner, {"busy": False})
    return _end(call, job, conclusion)


def _end(call: Call, job: Record, conclusion: str) -> Record:
    now = call.store.now()
    job = call.store.update(job, {"status": "completed", "conclusion": conclusion, "completed_at": now})
    run = call.need(call.store.by_id("run", job.parent))
    _deployment_is(call, repository_of(call, run), job, _DEPLOYED.get(conclusion, "failure"))
    _tell(call, job, "completed")
    _start_ready(call, run)
    return job


def connect_runner(call: Call, runner: Record) -> Record | None:
    """A runner comes online and takes the oldest job that it fits; returns that job."""
    runner = call.store.update(runner, {"status": "online"})
    offered = {label.lower() for label in runner["labels"]} | {"self-hosted"}
    for job in call.store.holding("job", "status", "queued"):
        fits = all(label.lower() in offered for label in job["labels"])
        if fits and _reaches(call, runner, job):
            return start_job(call, job, runner)
    return None


def _reaches(call: Call, runner: Record, job: Record) -> bool:
    run = call.need(call.store.by_id("run", job.parent))
    owner = repository_of(call, run)
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
    for gate in call.store.children("gate", run.id):
        call.store.delete(gate)
    for before in jobs_of(call, run):
        job = call.need(call.store.by_id("job", before.id))  # an earlier one's end may have skipped it
        if job["status"] != "completed":
            finish_job(call, job, "cancelled")


def with_dependents(jobs: Sequence[Record], chosen: Iterable[Record]) -> set[str]:
    """Names of the chosen jobs and of all that need them, directly or through one another."""
    names = {one["name"] for one in chosen}
    while more := {one["name"] for one in jobs if names & set(one["needs"])} - names:
        names |= more
    return names


def rerun(call: Call, run: Record, chosen: Iterable[Record]) -> None:
    """Another attempt, in which the chosen jobs and those that need them run again; the others stay as they ended."""
    if run_status(call, run)[0] != "completed":
        raise conflict("This workflow run is already running.")
    before, attempt = jobs_of(call, run), run["run_attempt"] + 1
    again = with_dependents(before, chosen)
    run = call.store.update(run, {"run_attempt": attempt, "triggering_actor": call.actor.id})
    for job in before:
        if job["name"] in again:
            _insert_job(call, run, job.body, attempt)
        else:
            call.store.insert("job", run.id, f"{attempt}:{job['name']}", {**job.body, "run_attempt": attempt})
    _start_ready(call, run)
