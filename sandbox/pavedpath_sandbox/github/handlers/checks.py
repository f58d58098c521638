"""Commit statuses, check runs and check suites."""

from uuid import uuid4

from pavedpath_sandbox.github import checks
from pavedpath_sandbox.github.call import Call, Reply, created, ok, page
from pavedpath_sandbox.github.errors import forbidden, not_found, unprocessable
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.render import repository, repository_url
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

_FIELDS = ("name", "details_url", "external_id", "status", "conclusion", "started_at", "completed_at", "output")


def _sha(call: Call, name: str) -> str:
    sha = Git(call.store, call.repository).resolve(name)
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {name}")
    return sha


def create_status(call: Call) -> Reply:
    """Report a state for a commit under a context."""
    owner, sha = call.repository, _sha(call, call.path["sha"])
    if len(call.body.get("description") or "") > 140:
        raise unprocessable("description is too long (maximum is 140 characters)")
    body: Json = {
        "head_sha": sha,
        "state": call.body["state"],
        "description": call.body.get("description"),
        "target_url": call.body.get("target_url"),
        "context": call.body.get("context") or "default",
        "creator": call.actor.id,
        "app": call.actor.get("app"),
    }
    record = call.store.insert("status", owner.id, uuid4().hex, body)
    shown = checks.status_view(call, owner, record)
    told = {name: shown[name] for name in ("id", "state", "description", "target_url", "context", "created_at")}
    call.emit("status", told | {"sha": sha, "repository": repository(call, owner)}, owner)
    return created(shown)


def list_statuses(call: Call) -> Reply:
    """The statuses of a commit, newest first."""
    found = checks.statuses(call, call.repository, _sha(call, call.path["ref"]))
    return page(call, [checks.status_view(call, call.repository, one) for one in reversed(found)])


def combined_status(call: Call) -> Reply:
    """The latest status of each context, and what they come to: failure, pending or success."""
    owner, sha = call.repository, _sha(call, call.path["ref"])
    latest = {one["context"]: one for one in checks.statuses(call, owner, sha)}
    states = {one["state"] for one in latest.values()}
    state = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
    base = repository_url(call, owner)
    shown = [checks.status_view(call, owner, one) for one in latest.values()]
    for one in shown:
        del one["creator"]
    return ok(
        {
            "state": state,
            "statuses": shown,
            "sha": sha,
            "total_count": len(shown),
            "repository": repository(call, owner),
            "commit_url": f"{base}/commits/{sha}",
            "url": f"{base}/commits/{sha}/status",
        }
    )


def _app(call: Call) -> int:
    app = call.actor.get("app")
    if app is None:
        raise forbidden("You must authenticate via a GitHub App.")
    return app


def _state(call: Call, given: Json) -> Json:
    """The fields of a check run that are given, with those that follow from them."""
    changes = {name: given[name] for name in _FIELDS if name in given}
    now = call.store.now()
    if changes.get("conclusion"):
        changes |= {"status": "completed", "completed_at": changes.get("completed_at") or now}
    elif changes.get("status") == "completed":
        raise unprocessable('Invalid request.\n\nNo subschema in "anyOf" matched.\n"conclusion" wasn\'t supplied.')
    elif changes.get("status"):
        changes |= {"conclusion": None, "completed_at": None}
    return changes


def report(call: Call, owner: Record, given: Json, app: int) -> Record:
    """A new check run of an app; `given` has name and head_sha."""
    suite = checks.suite_of(call, owner, given["head_sha"], app)
    body: Json = {
        **dict.fromkeys(_FIELDS),
        "status": "queued",
        **_state(call, given),
        "head_sha": given["head_sha"],
        "suite": suite.id,
        "app": app,
    }
    body["started_at"] = body["started_at"] or call.store.now()
    record = call.store.insert("check", owner.id, uuid4().hex, body)
    _tell(call, owner, record, "created")
    return record


def _tell(call: Call, owner: Record, record: Record, action: str) -> None:
    shown: Json = {"repository": repository(call, owner)}
    done = record["status"] == "completed"
    what = "completed" if done else action
    call.emit("check_run", {"action": what, "check_run": checks.check_view(call, owner, record), **shown}, owner)
    suite = checks.suite_view(call, owner, call.need(call.store.by_id("check_suite", record["suite"])))
    if done and suite["status"] == "completed":
        call.emit("check_suite", {"action": "completed", "check_suite": suite, **shown}, owner)


def create(call: Call) -> Reply:
    """Report a check run; only apps may."""
    app, sha = _app(call), _sha(call, call.body["head_sha"])
    record = report(call, call.repository, call.body | {"head_sha": sha}, app)
    return created(checks.check_view(call, call.repository, record))


def _check(call: Call) -> Record:
    return call.need(call.store.by_id("check", call.number("check_run_id"), call.repository.id))


def update(call: Call) -> Reply:
    """Change a check run of one's own."""
    app, record = _app(call), _check(call)
    if record["app"] != app:
        raise forbidden("Invalid app_id - check run can only be modified by the GitHub App that created it.")
    changes = _state(call, call.body)
    if "output" in changes:
        changes["output"] = {**as_object(record["output"]), **as_object(changes["output"])}
    record = call.store.update(record, changes)
    _tell(call, call.repository, record, "created")
    return ok(checks.check_view(call, call.repository, record))


def _job_behind(call: Call) -> tuple[Record, Record] | None:
    job = call.store.by_id("job", call.number("check_run_id"))
    run = call.store.by_id("run", job.parent, call.repository.id) if job else None
    return (job, run) if job and run else None


def get(call: Call) -> Reply:
    """A check run, or the job that is one."""
    if found := _job_behind(call):
        return ok(checks.job_check_view(call, call.repository, found[1], found[0]))
    return ok(checks.check_view(call, call.repository, _check(call)))


def list_annotations(call: Call) -> Reply:
    """The annotations of a check run."""
    if _job_behind(call):
        return page(call, [])
    sha = _check(call)["head_sha"]
    plain: Json = dict.fromkeys(("start_column", "end_column", "title", "raw_details"))
    base = repository_url(call, call.repository)
    found = as_list(as_object(_check(call)["output"]).get("annotations"))
    return page(call, [plain | one | {"blob_href": f"{base}/git/blobs/{sha}"} for one in found])


def _listed(call: Call, shown: list[Json]) -> Reply:
    if (call.query.get("filter") or "latest") == "latest":
        shown = checks.latest_only(shown)
    name, status, app = (call.query.get(one) for one in ("check_name", "status", "app_id"))
    found = [
        one
        for one in shown
        if name in (None, one["name"])
        and status in (None, one["status"])
        and app in (None, as_object(one["app"]).get("id"))
    ]
    return page(call, found, "check_runs")


def list_for_ref(call: Call) -> Reply:
    """The check runs of a commit, by name, state or app."""
    owner = call.repository
    return _listed(call, checks.check_runs(call, owner, _sha(call, call.path["ref"])))


def _suite(call: Call) -> Record:
    owner, identity = call.repository, call.number("check_suite_id")
    found = call.store.by_id("check_suite", identity, owner.id) or call.store.by_id("run", identity, owner.id)
    if found is None:
        raise not_found()
    return found


def list_for_suite(call: Call) -> Reply:
    """The check runs of a suite."""
    owner, suite = call.repository, _suite(call)
    every = checks.check_runs(call, owner, suite["head_sha"])
    return _listed(call, [one for one in every if one["check_suite"]["id"] == suite.id])


def get_suite(call: Call) -> Reply:
    """A check suite, or the workflow run that is one."""
    return ok(checks.suite_view(call, call.repository, _suite(call)))


def list_suites(call: Call) -> Reply:
    """The check suites of a commit, by app or by the name of a check in them."""
    owner, sha = call.repository, _sha(call, call.path["ref"])
    found = [one for one in call.store.children("check_suite", owner.id) if one["head_sha"] == sha]
    shown = [checks.suite_view(call, owner, one) for one in found + checks.runs_of(call, owner, sha)]
    app, name = call.query.get("app_id"), call.query.get("check_name")
    if name:
        with_it = {one["check_suite"]["id"] for one in checks.check_runs(call, owner, sha) if one["name"] == name}
        shown = [one for one in shown if one["id"] in with_it]
    return page(call, [one for one in shown if app in (None, as_object(one["app"]).get("id"))], "check_suites")


def create_suite(call: Call) -> Reply:
    """Make the suite of an app for a commit; 200 if it is there."""
    app, owner, sha = _app(call), call.repository, _sha(call, call.body["head_sha"])
    held = call.store.find("check_suite", owner.id, f"{sha}:{app}")
    record = checks.suite_of(call, owner, sha, app)
    return (ok if held else created)(checks.suite_view(call, owner, record))
