"""The server: authentication, limits, validation, dispatch, conditional requests, access log."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pavedpath_sandbox.github import description
from pavedpath_sandbox.github.access import authorize
from pavedpath_sandbox.github.aliases import canonical, moved
from pavedpath_sandbox.github.call import Call, Reply, Urls
from pavedpath_sandbox.github.deliveries import Deliverer, enqueue
from pavedpath_sandbox.github.description import Operation
from pavedpath_sandbox.github.errors import DOCUMENTATION, GitHubError, not_found
from pavedpath_sandbox.github.handlers import admin, oidc, smart_http
from pavedpath_sandbox.github.handlers.apps import register
from pavedpath_sandbox.github.identity import authenticate, seed
from pavedpath_sandbox.github.limits import Limits
from pavedpath_sandbox.github.routes import HANDLERS, OPEN, Handler
from pavedpath_sandbox.github.runtokens import require_for
from pavedpath_sandbox.github.settings import APP_ID, Settings
from pavedpath_sandbox.github.store import Json, Record, Store
from pavedpath_sandbox.github.validation import Validator, strict_violation
from pavedpath_sandbox.github.workflows import release_due

LOG = logging.getLogger("pavedpath_sandbox.github")
_PREFIX = "/api/v3"


class GitHub:
    """One GitHub: its state and everything that answers a request."""

    def __init__(self, settings: Settings, handlers: Mapping[str, Handler] = HANDLERS) -> None:
        self.settings = settings
        self.handlers = handlers
        self.store = Store(settings.state, settings.clock)
        self.limits = Limits(settings.rate_limit, settings.secondary_limit, settings.clock)
        self.deliverer = Deliverer(self.store, settings.delivery_timeout)
        self._validator: Validator | None = None
        with self.store.transaction():
            organization = seed(self.store, settings)
            if app := settings.app:
                register(self.store, organization, app.name, app.public_key, dict(app.permissions), APP_ID)

    @property
    def validator(self) -> Validator:
        """Validators of GitHub's description, which is read on the first request."""
        if self._validator is None:
            self._validator = Validator(description.load())
        return self._validator

    async def endpoint(self, request: Request) -> Response:
        """Answer any request of the REST or GraphQL interface."""
        started = time.perf_counter()
        body = await request.body()
        raw = cast(bytes, request.scope.get("raw_path") or request.scope["path"].encode()).decode("ascii", "replace")
        prefix = _PREFIX if raw == _PREFIX or raw.startswith(_PREFIX + "/") else ""
        web = f"{request.url.scheme}://{request.url.netloc}"
        exchange = _Exchange(request, raw.removeprefix(prefix), body, Urls(web + prefix, web))
        reply = self._answer(exchange)
        self.deliverer.wake()
        response = _response(reply)
        _log(exchange, response.status_code, time.perf_counter() - started)
        return response

    def _answer(self, exchange: "_Exchange") -> Reply:
        try:
            exchange.user, exchange.token = authenticate(
                self.store, self.settings, exchange.headers.get("authorization")
            )
            reply = self._limited(exchange)
        except GitHubError as error:
            reply = Reply(error.status, error.body(exchange.documentation_url), error.headers)
        except Exception:
            LOG.exception("%s", json.dumps({"event": "crash", "operation": exchange.operation}))
            reply = Reply(500, {"message": "Server Error", "documentation_url": DOCUMENTATION, "status": "500"})
        headers = dict(reply.headers)
        if exchange.user:
            headers |= self.limits.headers(exchange.user["login"])
        return Reply(reply.status, reply.body, headers, reply.media)

    def _limited(self, exchange: "_Exchange") -> Reply:
        login = exchange.user["login"] if exchange.user else None
        if login and exchange.path != "/rate_limit":
            self.limits.take(login, write=exchange.method not in {"GET", "HEAD"})
        if exchange.path in {"/graphql", "/api/graphql"} and exchange.method == "POST":
            from pavedpath_sandbox.github.handlers import graphql

            exchange.operation = "graphql"
            return graphql.answer(self._call(exchange, {}, {}, exchange.json()))
        reply = _conditional(self._dispatch(exchange), exchange)
        if reply.status == 304 and login:
            self.limits.refund(login)
        return reply

    def _dispatch(self, exchange: "_Exchange") -> Reply:
        described = description.load()
        path = canonical(self.store, self.settings, exchange.path)
        method = "GET" if exchange.method == "HEAD" else exchange.method
        match = described.served.match(method, path)
        if match is None:
            raise self._unserved(exchange, method, path)
        operation = described.operations[match.operation]
        exchange.operation, exchange.documentation_url = operation.id, operation.documentation_url
        if exchange.user is None and operation.id not in OPEN:
            raise GitHubError(401, "Requires authentication")
        if location := moved(self.store, match.parameters, path):
            return _redirect(exchange, method, location)
        query = self.validator.request(operation, match.parameters, exchange.query, exchange.json())
        call = self._call(exchange, match.parameters, {**exchange.query, **query}, exchange.json() or {})
        with self.store.transaction():
            authorize(call, operation)
            if operation.method != "GET":
                require_for(call, operation.id)
            release_due(call)
            reply = self._checked(operation, self.handlers[operation.id](call))
            enqueue(call)
        return reply

    def _call(
        self, exchange: "_Exchange", path: Mapping[str, str], query: Mapping[str, Any], body: Json | None
    ) -> Call:
        return Call(
            settings=self.settings,
            store=self.store,
            limits=self.limits,
            urls=exchange.urls,
            user=exchange.user,
            token=exchange.token,
            path=path,
            query=query,
            body=body or {},
            headers=exchange.headers,
            full_path=exchange.path,
        )

    def _checked(self, operation: Operation, reply: Reply) -> Reply:
        if reply.media != "application/json":
            return reply
        violations = self.validator.response(operation, reply.status, reply.body)
        if violations:
            LOG.error("%s", json.dumps({"event": "violation", "operation": operation.id, "violations": violations}))
            if self.settings.strict:
                raise strict_violation(operation, reply.status, violations)
        return reply

    def _unserved(self, exchange: "_Exchange", method: str, path: str) -> GitHubError:
        known = description.load().unserved.match(method, path)
        if known is None:
            return not_found()
        exchange.operation = known.operation
        LOG.warning("%s", json.dumps({"event": "unserved", "operation": known.operation, "path": path}))
        message = f"The sandbox does not serve {known.operation} ({method} {path})."
        return GitHubError(501 if self.settings.strict else 404, message)


class _Exchange:
    """What is known of a request while it is answered."""

    def __init__(self, request: Request, path: str, body: bytes, urls: Urls) -> None:
        self.method = request.method
        self.path = path if path == "/" else path.rstrip("/")
        self.query = dict(request.query_params)
        self.headers = request.headers
        self.urls = urls
        self.user: Record | None = None
        self.token: Record | None = None
        self.operation: str | None = None
        self.documentation_url = DOCUMENTATION
        self._body = body

    def json(self) -> Json | None:
        """The body, None if there is none; raises GitHubError 400 if it is not a JSON object."""
        if not self._body.strip():
            return None
        try:
            value: object = json.loads(self._body)
        except ValueError as error:
            raise GitHubError(400, "Problems parsing JSON") from error
        if value is None:
            return None
        if not isinstance(value, dict):
            raise GitHubError(400, "Body should be a JSON object")
        return cast(Json, value)


def _redirect(exchange: _Exchange, method: str, location: str) -> Reply:
    status = 301 if method == "GET" else 307
    url = exchange.urls.api + location
    body = {"message": "Moved Permanently", "url": url, "documentation_url": exchange.documentation_url}
    return Reply(status, body, {"location": url})


def _conditional(reply: Reply, exchange: _Exchange) -> Reply:
    if exchange.method not in {"GET", "HEAD"} or reply.status != 200:
        return reply
    representation = reply.body if isinstance(reply.body, str) else json.dumps(reply.body, sort_keys=True)
    etag = f'W/"{hashlib.sha256(representation.encode()).hexdigest()}"'
    headers = {**reply.headers, "etag": etag, "cache-control": "private, max-age=60, s-maxage=60"}
    asked = [tag.strip().removeprefix("W/") for tag in exchange.headers.get("if-none-match", "").split(",")]
    if etag.removeprefix("W/") in asked:
        return Reply(304, None, headers)
    return Reply(200, reply.body, headers, reply.media)


def _response(reply: Reply) -> Response:
    headers = {**reply.headers, "x-github-request-id": str(uuid4()), "x-github-api-version-selected": "2022-11-28"}
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    content = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
    return Response(content, reply.status, headers, media_type=f"{reply.media}; charset=utf-8")


def _log(exchange: _Exchange, status: int, seconds: float) -> None:
    entry = {
        "event": "request",
        "method": exchange.method,
        "path": exchange.path,
        "operation": exchange.operation,
        "status": status,
        "user": exchange.user["login"] if exchange.user else None,
        "ms": round(seconds * 1000, 1),
    }
    LOG.info("%s", json.dumps(entry))


def create_app(settings: Settings, handlers: Mapping[str, Handler] = HANDLERS) -> Starlette:
    """The ASGI application; `app.state.github` is the GitHub behind it."""
    github = GitHub(settings, handlers)
    git = smart_http.SmartHttp(github.store, settings, github.limits, github.deliverer.wake)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        github.deliverer.wake()
        yield
        await github.deliverer.close()
        git.close()
        github.store.close()

    routes = [
        *admin.routes(github.store, github.settings, github.limits, github.deliverer),
        *oidc.routes(github.store, github.settings, github.limits),
        *git.routes(),
        Route("/{path:path}", github.endpoint, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.github = github
    return app
