"""Endpoints of the sandbox itself, below `/_sandbox`: nothing of GitHub's. See docs/sandbox-github.md."""

import json
from collections.abc import Callable
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pavedpath_sandbox.github import gates
from pavedpath_sandbox.github.access import is_owner
from pavedpath_sandbox.github.call import Call, call_of
from pavedpath_sandbox.github.checks import check_view
from pavedpath_sandbox.github.deliveries import Deliverer, enqueue, set_faults
from pavedpath_sandbox.github.errors import DOCUMENTATION, GitHubError, forbidden, not_found
from pavedpath_sandbox.github.gitdata import Git
from pavedpath_sandbox.github.handlers.apps import register
from pavedpath_sandbox.github.handlers.checks import report
from pavedpath_sandbox.github.handlers.secrets import decrypt
from pavedpath_sandbox.github.identity import authenticate
from pavedpath_sandbox.github.identitytokens import request_of_job, request_of_run
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.render import ACTIONS_APP, organization_of
from pavedpath_sandbox.github.runtokens import issue
from pavedpath_sandbox.github.runviews import job_view, jobs_of, run_view
from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import ROOT, Json, Record, Store
from pavedpath_sandbox.github.workflows import (
    add_jobs,
    close_run,
    connect_runner,
    finish_job,
    release_due,
    start_job,
    start_run,
)

Action = Callable[[Call], Json]


def _field(call: Call, name: str) -> Any:
    if name not in call.body:
        raise GitHubError(422, f'"{name}" wasn\'t supplied.')
    return call.body[name]


def _repository(call: Call) -> Record:
    return call.child("repository", organization_of(call), str(_field(call, "repository")).lower())


def _jobs(call: Call) -> None:
    jobs: Any = _field(call, "jobs")
    if not isinstance(jobs, list):
        raise GitHubError(422, "jobs must be a list of jobs with `name` and `labels`.")
    wrong: list[str] = []
    for position, job in enumerate(cast(list[Json], jobs)):
        lists = [job.get("labels"), job.get("needs", [])]
        if (
            not isinstance(job.get("name"), str)
            or not all(isinstance(one, list) for one in lists)
            or not isinstance(job.get("environment"), str | None)
        ):
            wrong.append(str(position))
    if wrong:
        raise GitHubError(
            422,
            f"Jobs {', '.join(wrong)}: every job needs a `name` and a list of `labels`, and may have an `environment` "
            "(a name), a list of `needs` (names) and `always`.",
        )


def _start_run(call: Call) -> Json:
    _jobs(call)
    return run_view(call, start_run(call, _repository(call), call.body))


def _run_named(call: Call) -> Record:
    return call.need(call.store.by_id("run", call.number("id")))


def _add_jobs(call: Call) -> Json:
    _jobs(call)
    run = add_jobs(call, _run_named(call), call.body["jobs"])
    return {"jobs": [job_view(call, one) for one in jobs_of(call, run)]}


def _inputs(call: Call) -> Json:
    run = _run_named(call)
    return {name: run[name] for name in ("inputs", "ref", "event", "path", "head_sha")}


def _close(call: Call) -> Json:
    return run_view(call, close_run(call, _run_named(call)))


def _run_token(call: Call) -> Json:
    return {"token": issue(call, _run_named(call), call.body.get("permissions"))}


def _token_request(call: Call) -> Json:
    return request_of_job(call, call.need(call.store.by_id("job", call.number("id"))))


def _run_token_request(call: Call) -> Json:
    return request_of_run(call, _run_named(call), call.body.get("environment"))


def _gate(call: Call) -> Json:
    owner = _repository(call)
    record = call.store.find("environment", owner.id, str(_field(call, "environment")).lower())
    if record is None:  # a job that names it makes it, without rules
        return {"refusal": None, "waits": False}
    waits = bool(record["reviewers"] or record["wait_timer"])
    return {"refusal": gates.refusal(call, owner, str(_field(call, "ref")), record), "waits": waits}


def _check(call: Call) -> Json:
    owner = _repository(call)
    name = str(call.body.get("head_sha") or call.body.get("ref") or owner["default_branch"])
    sha = Git(call.store, owner).resolve(name)
    if sha is None:
        raise GitHubError(422, f"No commit found for SHA: {name}")
    given = {"name": str(_field(call, "name")), "head_sha": sha}
    return check_view(call, owner, report(call, owner, call.body | given, ACTIONS_APP))


def _runner(call: Call) -> Record:
    name = str(_field(call, "runner")).lower()
    return call.need(next((one for one in call.store.everywhere("runner", name)), None))


def _advance(call: Call) -> Json:
    job = call.need(call.store.by_id("job", call.number("id")))
    if "conclusion" in call.body:
        return job_view(call, finish_job(call, job, call.body["conclusion"]))
    if call.body.get("hosted"):
        return job_view(call, start_job(call, job, None))
    return job_view(call, start_job(call, job, _runner(call)))


def _connect(call: Call) -> Json:
    job = connect_runner(call, call.need(call.store.by_id("runner", call.number("id"))))
    if job is None:
        return {"job": None, "fork": None}
    return {"job": job_view(call, job), "fork": call.need(call.store.by_id("run", job.parent)).get("fork")}


def _secret(call: Call) -> Json:
    scope = organization_of(call)
    if "repository" in call.body:
        scope = _repository(call)
        if "environment" in call.body:
            scope = call.child("environment", scope, call.body["environment"].lower())
    value = decrypt(call.store, scope, str(_field(call, "name")))
    if value is None:
        raise not_found()
    return {"value": value}


def _app(call: Call) -> Json:
    name, key = str(_field(call, "name")), str(_field(call, "public_key"))
    app, installation = register(call.store, organization_of(call), name, key, _field(call, "permissions"))
    return {"app_id": app.id, "installation_id": installation.id}


def _faults(call: Call) -> Json:
    return set_faults(call.store, call.body)


def require_owner(store: Store, settings: Settings, user: Record | None) -> Record:
    """The user, who must own the organisation; raises GitHubError 401 or 403."""
    organization = store.find("organization", ROOT, settings.organization.lower())
    if user is None:
        raise GitHubError(401, "Requires authentication")
    if organization is None or not is_owner(store, user, organization):
        raise forbidden("You must be an organization owner.")
    return user


def routes(store: Store, settings: Settings, limits: Limits, deliverer: Deliverer) -> list[BaseRoute]:
    """The routes; all but `health` need the token of an owner."""

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "organization": settings.organization, "strict": settings.strict})

    def route(path: str, action: Action) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                answer = _run(request, await request.body(), action)
            except GitHubError as error:
                return JSONResponse(error.body(DOCUMENTATION), error.status)
            deliverer.wake()
            return JSONResponse(answer)

        return Route(f"/_sandbox/{path}", endpoint, methods=["POST"])

    def _run(request: Request, body: bytes, action: Action) -> Json:
        user, token = authenticate(store, settings, request.headers.get("authorization"))
        require_owner(store, settings, user)
        try:
            decoded: object = json.loads(body or b"{}")
        except ValueError as error:
            raise GitHubError(400, "Problems parsing JSON") from error
        if not isinstance(decoded, dict):
            raise GitHubError(400, "Body should be a JSON object")
        call = call_of(request, store, settings, limits, user=user, token=token, body=cast(Json, decoded))
        with store.transaction():
            release_due(call)
            answer = action(call)
            enqueue(call)
        return answer

    return [
        Route("/_sandbox/health", health),
        route("runs", _start_run),
        route("runs/{id}", _inputs),
        route("runs/{id}/jobs", _add_jobs),
        route("runs/{id}/close", _close),
        route("runs/{id}/token", _run_token),
        route("runs/{id}/oidc", _run_token_request),
        route("jobs/{id}/oidc", _token_request),
        route("checks", _check),
        route("jobs/{id}", _advance),
        route("runners/{id}/connect", _connect),
        route("environments/gate", _gate),
        route("secrets/decrypt", _secret),
        route("apps", _app),
        route("hooks/faults", _faults),
    ]
