"""Workflow runs and their jobs."""

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.errors import forbidden
from pavedpath_sandbox.github.store import Record
from pavedpath_sandbox.github.workflows import cancel, job_view, jobs_of, rerun, run_status, run_view


def _run(call: Call) -> Record:
    return call.need(call.store.by_id("run", call.number("run_id"), call.repository.id))


def _job(call: Call) -> tuple[Record, Record]:
    job = call.need(call.store.by_id("job", call.number("job_id")))
    return job, call.need(call.store.by_id("run", job.parent, call.repository.id))


def listing(call: Call) -> Reply:
    """The runs, newest first, by status, event, branch, commit or user."""
    asked = {name: call.query[name] for name in ("event", "head_sha") if call.query.get(name)}
    if branch := call.query.get("branch"):
        asked["head_branch"] = branch
    status, actor = call.query.get("status"), call.query.get("actor")
    found = [
        one
        for one in reversed(call.store.children("run", call.repository.id))
        if all(one[name] == value for name, value in asked.items())
        and (not status or status in run_status(call, one))
        and (not actor or call.need(call.store.by_id("user", one["actor"]))["login"] == actor)
    ]
    return page(call, [run_view(call, one) for one in found], "workflow_runs")


def get(call: Call) -> Reply:
    """A run."""
    return ok(run_view(call, _run(call)))


def delete(call: Call) -> Reply:
    """Delete a run that has ended."""
    run = _run(call)
    if run_status(call, run)[0] != "completed":
        raise forbidden("Cannot delete a workflow run that is not completed.")
    call.store.delete(run)
    return no_content()


def cancel_run(call: Call) -> Reply:
    """Cancel a run."""
    cancel(call, _run(call))
    return Reply(202, {})


def rerun_all(call: Call) -> Reply:
    """Run all jobs again."""
    run = _run(call)
    rerun(call, run, jobs_of(call, run))
    return created({})


def rerun_failed(call: Call) -> Reply:
    """Run again what did not succeed."""
    run = _run(call)
    rerun(call, run, [one for one in jobs_of(call, run) if one["conclusion"] not in {"success", "skipped", "neutral"}])
    return created({})


def rerun_job(call: Call) -> Reply:
    """Run one job again."""
    job, run = _job(call)
    rerun(call, run, [job])
    return created({})


def list_jobs(call: Call) -> Reply:
    """Jobs of the latest attempt, or with `filter=all` of all."""
    run = _run(call)
    every = call.query.get("filter") == "all"
    found = call.store.children("job", run.id) if every else jobs_of(call, run)
    return page(call, [job_view(call, one) for one in found], "jobs")


def list_attempt_jobs(call: Call) -> Reply:
    """Jobs of one attempt."""
    found = jobs_of(call, _run(call), call.number("attempt_number"))
    return page(call, [job_view(call, one) for one in found], "jobs")


def get_job(call: Call) -> Reply:
    """A job."""
    return ok(job_view(call, _job(call)[0]))
