"""Endpoints of the sandbox itself, below `/_sandbox`: nothing of GitHub's. See docs/sandbox-github.md."""

import json
from collections.abc import Callable
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from pavedpath_sandbox.github.access import is_owner
from pavedpath_sandbox.github.call import Call, Urls
from pavedpath_sandbox.github.deliveries import Deliverer, enqueue
from pavedpath_sandbox.github.errors import DOCUMENTATION, GitHubError, forbidden, not_found
from pavedpath_sandbox.github.handlers.apps import register
from pavedpath_sandbox.github.handlers.secrets import decrypt
from pavedpath_sandbox.github.identity import authenticate
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.render import organization_of
from pavedpath_sandbox.github.settings import Settings
from pavedpath_sandbox.github.store import Json, Record, Store
from pavedpath_sandbox.github.workflows import connect_runner, finish_job, job_view, run_view, start_job, start_run

Action = Callable[[Call], Json]


def _field(call: Call, name: str) -> Any:
    if name not in call.body:
        raise GitHubError(422, f'"{name}" wasn\'t supplied.')
    return call.body[name]


def _repository(call: Call) -> Record:
    return call.child("repository", organization_of(call), str(_field(call, "repository")).lower())


def _start_run(call: Call) -> Json:
    jobs: Any = _field(call, "jobs")
    if not isinstance(jobs, list) or not jobs:
        raise GitHubError(422, "jobs must be a list of at least one job with `name` and `labels`.")
    for job in cast(list[Json], jobs):
        if not isinstance(job.get("name"), str) or not isinstance(job.get("labels"), list):
            raise GitHubError(422, "Every job needs a `name` and a list of `labels`.")
    return run_view(call, start_run(call, _repository(call), call.body))


def _runner(call: Call) -> Record:
    name = str(_field(call, "runner")).lower()
    return call.need(next((one for one in call.store.everywhere("runner", name)), None))


def _advance(call: Call) -> Json:
    job = call.need(call.store.by_id("job", call.number("id")))
    if "conclusion" in call.body:
        return job_view(call, finish_job(call, job, call.body["conclusion"]))
    return job_view(call, start_job(call, job, _runner(call)))


def _connect(call: Call) -> Json:
    job = connect_runner(call, call.need(call.store.by_id("runner", call.number("id"))))
    return {"job": job_view(call, job) if job else None}


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
        organization = store.find("organization", 0, settings.organization.lower())
        if user is None:
            raise GitHubError(401, "Requires authentication")
        if organization is None or not is_owner(store, user, organization):
            raise forbidden("You must be an organization owner.")
        try:
            decoded: object = json.loads(body or b"{}")
        except ValueError as error:
            raise GitHubError(400, "Problems parsing JSON") from error
        if not isinstance(decoded, dict):
            raise GitHubError(400, "Body should be a JSON object")
        web = f"{request.url.scheme}://{request.url.netloc}"
        call = Call(
            settings=settings,
            store=store,
            limits=limits,
            urls=Urls(web, web),
            user=user,
            token=token,
            path=cast(dict[str, str], request.path_params),
            query={},
            body=cast(Json, decoded),
            headers=request.headers,
            full_path=request.url.path,
        )
        with store.transaction():
            answer = action(call)
            enqueue(call)
        return answer

    return [
        Route("/_sandbox/health", health),
        route("runs", _start_run),
        route("jobs/{id}", _advance),
        route("runners/{id}/connect", _connect),
        route("secrets/decrypt", _secret),
        route("apps", _app),
    ]
