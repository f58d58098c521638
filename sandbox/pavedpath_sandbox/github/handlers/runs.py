"""Workflow runs and their jobs."""

from pavedpath_sandbox.github.call import Call, Reply, created, no_content, ok, page
from pavedpath_sandbox.github.deployments import deployment_view
from pavedpath_sandbox.github.errors import forbidden, not_found
from pavedpath_sandbox.github.gates import gate_view
from pavedpath_sandbox.github.handlers.environments import environment
from pavedpath_sandbox.github.render import person
from pavedpath_sandbox.github.runviews import job_view, jobs_of, run_status, run_view
from pavedpath_sandbox.github.store import Json, Record
from pavedpath_sandbox.github.workflows import cancel, rerun, review


def _run(call: Call) -> Record:
    return call.need(call.store.by_id("run", call.number("run_id"), call.repository.id))


def _job(call: Call) -> tuple[Record, Record]:
    job = call.need(call.store.by_id("job", call.number("job_id")))
    return job, call.need(call.store.by_id("run", job.parent, call.repository.id))


def within(moment: str, asked: str) -> bool:
    """Whether a time is in a range of GitHub's searches: `>=`, `>`, `<=`, `<`, `FROM..TO` (or `*`), or a day."""
    if ".." in asked:
        first, _, last = asked.partition("..")
        return (first == "*" or moment >= first) and (last == "*" or moment[: len(last)] <= last)
    sign = next((one for one in (">=", "<=", ">", "<") if asked.startswith(one)), "")
    value = asked.removeprefix(sign)
    here = moment[: len(value)]
    return {">=": here >= value, "<=": here <= value, ">": here > value, "<": here < value}.get(sign, here == value)


def listing(call: Call) -> Reply:
    """The runs, newest first, by status, event, branch, commit, time or user."""
    return listed(call, call.store.children("run", call.repository.id))


def listed(call: Call, runs: list[Record]) -> Reply:
    """Those of the runs that the query asks for, newest first."""
    asked = {name: call.query[name] for name in ("event", "head_sha") if call.query.get(name)}
    if branch := call.query.get("branch"):
        asked["head_branch"] = branch
    status, actor = call.query.get("status"), call.query.get("actor")
    found = [
        one
        for one in reversed(runs)
        if all(one[name] == value for name, value in asked.items())
        and call.query.get("check_suite_id") in (None, one.id)
        and within(one.created_at, call.query.get("created") or "*..*")
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


def list_pending(call: Call) -> Reply:
    """The environments that hold jobs of a run back."""
    run, repository = _run(call), call.repository
    gates = [(one, call.store.by_id("environment", one["environment"])) for one in call.store.children("gate", run.id)]
    return ok([gate_view(call, repository, run, gate, record) for gate, record in gates if record])


def review_pending(call: Call) -> Reply:
    """Approve or reject what waits for review."""
    return ok([deployment_view(call, call.repository, one) for one in review(call, _run(call), call.body)])


def list_approvals(call: Call) -> Reply:
    """The reviews of a run's deployments."""
    run, repository = _run(call), call.repository
    fields = ("id", "node_id", "name", "url", "html_url", "created_at", "updated_at")
    shown: list[Json] = []
    for one in call.store.children("approval", run.id):
        found = [call.store.by_id("environment", identity) for identity in one["environment_ids"]]
        views = [environment(call, repository, record) for record in found if record]
        environments = [{name: view[name] for name in fields} for view in views]
        who = {"user": person(call, one["user"]), "comment": one["comment"]}
        shown.append({"environments": environments, "state": one["state"], **who})
    return ok(shown)


def get_attempt(call: Call) -> Reply:
    """A run, if it has had that attempt."""
    run = _run(call)
    if not 1 <= call.number("attempt_number") <= run["run_attempt"]:
        raise not_found()
    return ok(run_view(call, run))
