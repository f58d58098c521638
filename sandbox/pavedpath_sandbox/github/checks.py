"""What was reported for commits: commit statuses, check runs, and jobs of workflow runs, which are check runs too."""

from pavedpath_sandbox.github.call import Call
from pavedpath_sandbox.github.render import (
    ACTIONS_APP,
    account,
    app_view,
    full_name,
    node_id,
    person,
    repository,
    repository_url,
)
from pavedpath_sandbox.github.rules import Check
from pavedpath_sandbox.github.runviews import jobs_of, run_status
from pavedpath_sandbox.github.store import Json, Record, as_list, as_object

GOOD = {"success", "neutral", "skipped"}
"""Conclusions that satisfy a required check."""


def runs_of(call: Call, owner: Record, sha: str) -> list[Record]:
    """Workflow runs of a commit, oldest first."""
    return [one for one in call.store.children("run", owner.id) if one["head_sha"] == sha]


def checks_of(call: Call, owner: Record, sha: str) -> tuple[Check, ...]:
    """The latest state of each name and app on a commit."""
    latest: dict[tuple[str, int | None], str] = {}
    for status in _of_commit(call, "status", owner, sha):
        state = {"success": "success", "pending": "pending"}.get(status["state"], "failure")
        latest[status["context"], status["app"]] = state
    for run in check_runs(call, owner, sha):
        done = "success" if run["conclusion"] in GOOD else "failure"
        app = as_object(run["app"]).get("id")
        latest[run["name"], app] = done if run["status"] == "completed" else "pending"
    return tuple(Check(name, state, app) for (name, app), state in latest.items())


def _of_commit(call: Call, kind: str, owner: Record, sha: str) -> list[Record]:
    return [one for one in call.store.children(kind, owner.id) if one["head_sha"] == sha]


def statuses(call: Call, owner: Record, sha: str) -> list[Record]:
    """All statuses of a commit, oldest first."""
    return _of_commit(call, "status", owner, sha)


def check_runs(call: Call, owner: Record, sha: str) -> list[Json]:
    """All check runs of a commit as GitHub shows them, oldest first; of a workflow run only the latest attempt."""
    found: list[tuple[Record, Record | None]] = [(one, None) for one in _of_commit(call, "check", owner, sha)]
    found += [(job, run) for run in runs_of(call, owner, sha) for job in jobs_of(call, run)]
    return [
        check_view(call, owner, one) if run is None else job_check_view(call, owner, run, one)
        for one, run in sorted(found, key=lambda pair: pair[0].id)
    ]


def latest_only(shown: list[Json]) -> list[Json]:
    """The latest check run of each name and app."""
    return list({(one["name"], as_object(one["app"]).get("id")): one for one in shown}.values())


def _view(call: Call, owner: Record, record: Record, suite: int, app: int, body: Json) -> Json:
    base = repository_url(call, owner)
    url = f"{base}/check-runs/{record.id}"
    output = {"title": None, "summary": None, "text": None, **as_object(body.get("output"))}
    annotations = as_list(output.pop("annotations", None))
    output.pop("images", None)
    web = f"{call.urls.web}/{full_name(call, owner)}/runs/{record.id}"
    return {
        "id": record.id,
        "name": body["name"],
        "node_id": node_id("check", record.id),
        "head_sha": body["head_sha"],
        "external_id": body.get("external_id") or "",
        "url": url,
        "html_url": web,
        "details_url": body.get("details_url") or web,
        **{name: body.get(name) for name in ("status", "conclusion", "started_at", "completed_at")},
        "output": {**output, "annotations_count": len(annotations), "annotations_url": f"{url}/annotations"},
        "check_suite": {"id": suite},
        "app": app_view(call, app),
        "pull_requests": [],
    }


def check_view(call: Call, owner: Record, record: Record) -> Json:
    """Schema `check-run` of one that was reported."""
    return _view(call, owner, record, record["suite"], record["app"], record.body)


def job_check_view(call: Call, owner: Record, run: Record, job: Record) -> Json:
    """Schema `check-run` of a job: the names, the states and the commit of its run."""
    reason = {"output": {"title": job["reason"], "summary": job["reason"]}} if job.get("reason") else {}
    body = {**job.body, "head_sha": run["head_sha"], **reason}
    body["started_at"] = job["started_at"] or job.created_at
    return _view(call, owner, job, run.id, ACTIONS_APP, body)


def suite_of(call: Call, owner: Record, sha: str, app: int) -> Record:
    """The suite in which an app reports for a commit."""
    key = f"{sha}:{app}"
    held = call.store.find("check_suite", owner.id, key)
    return held or call.store.insert("check_suite", owner.id, key, {"head_sha": sha, "app": app})


def suite_view(call: Call, owner: Record, record: Record) -> Json:
    """Schema `check-suite`, of an app's suite or of a workflow run."""
    if record.kind == "run":
        shown = [job_check_view(call, owner, record, job) for job in jobs_of(call, record)]
        (status, conclusion), app = run_status(call, record), ACTIONS_APP
    else:
        shown = [one for one in check_runs(call, owner, record["head_sha"]) if one["check_suite"]["id"] == record.id]
        (status, conclusion), app = _summed_up(latest_only(shown)), record["app"]
    url = f"{repository_url(call, owner)}/check-suites/{record.id}"
    nobody = {"name": "GitHub", "email": "noreply@github.com"}
    return {
        "id": record.id,
        "node_id": node_id("check_suite", record.id),
        "head_branch": record.get("head_branch"),
        "head_sha": record["head_sha"],
        "status": status,
        "conclusion": conclusion,
        "url": url,
        "before": None,
        "after": record["head_sha"],
        "pull_requests": [],
        "app": app_view(call, app),
        "repository": repository(call, owner),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "head_commit": {
            "id": record["head_sha"],
            "tree_id": record["head_sha"],
            "message": "",
            "timestamp": record.created_at,
            "author": nobody,
            "committer": nobody,
        },
        "latest_check_runs_count": len(shown),
        "check_runs_url": f"{url}/check-runs",
    }


def _summed_up(shown: list[Json]) -> tuple[str, str | None]:
    if not shown or any(one["status"] != "completed" for one in shown):
        return ("in_progress" if any(one["status"] != "queued" for one in shown) else "queued"), None
    bad = [one["conclusion"] for one in shown if one["conclusion"] not in GOOD]
    return "completed", bad[0] if bad else "success"


def status_view(call: Call, owner: Record, record: Record) -> Json:
    """Schema `status`."""
    creator = call.store.by_id("user", record["creator"])
    return {
        "url": f"{repository_url(call, owner)}/statuses/{record['head_sha']}",
        "avatar_url": account(call.urls, creator)["avatar_url"] if creator else None,
        "id": record.id,
        "node_id": node_id("status", record.id),
        **{name: record[name] for name in ("state", "description", "target_url", "context")},
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "creator": person(call, record["creator"]),
    }
