"""The HTTP interface, as ChartMuseum's README and its handlers have it, for one tenant."""

from __future__ import annotations

import hmac
import io
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import yaml
from werkzeug.datastructures import Authorization
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from .store import ExistsError, NotAChartError, Store, Upload, package, provenance

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOG = logging.getLogger("pavedpath_sandbox.charts")
_LARGEST_UPLOAD = 20 << 20  # ChartMuseum's default of --max-upload-size
_ROUTES = Map(
    [
        Rule("/health", methods=["GET"], endpoint="health"),
        Rule("/index.yaml", methods=["GET"], endpoint="index"),
        Rule("/charts/<file>", methods=["GET"], endpoint="download"),
        Rule("/api/charts", methods=["POST"], endpoint="upload"),
        Rule("/api/prov", methods=["POST"], endpoint="upload_provenance"),
        Rule("/api/charts", methods=["GET"], endpoint="charts"),
        Rule("/api/charts/<name>", methods=["GET"], endpoint="chart"),
        Rule("/api/charts/<name>/<version>", methods=["GET"], endpoint="version"),
        Rule("/api/charts/<name>/<version>", methods=["DELETE"], endpoint="delete"),
    ]
)


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class ChartMuseum:
    """The WSGI application.

    Args:
        store: where the charts are.
        users: passwords by user name; all routes but /health ask for one of them.
    """

    def __init__(self, store: Store, users: Mapping[str, str]) -> None:
        self._store = store
        self._users = users
        self._endpoints: Mapping[str, Callable[..., Response]] = {
            "health": self._health,
            "index": self._index,
            "download": self._download,
            "upload": self._upload,
            "upload_provenance": self._upload_provenance,
            "charts": self._charts,
            "chart": self._chart,
            "version": self._version,
            "delete": self._delete,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        """Answer a request."""
        request = Request(environ)
        request.max_content_length = _LARGEST_UPLOAD
        response = self._answer(request)
        LOG.info("%s %s %d", request.method, request.path, response.status_code)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, found = _ROUTES.bind_to_environ(request.environ).match()
            if endpoint != "health" and not self._knows(request.authorization):
                response = _json({"error": "unauthorized"}, HTTPStatus.UNAUTHORIZED)
                response.headers["WWW-Authenticate"] = 'Basic realm="ChartMuseum"'
                return response
            return self._endpoints[cast(str, endpoint)](request, **found)
        except _RefusedError as error:
            return _json({"error": str(error)}, error.status)
        except HTTPException as error:
            return _json({"error": error.name.lower()}, HTTPStatus(error.code or 500))

    def _knows(self, login: Authorization | None) -> bool:
        if login is None or login.type != "basic":
            return False
        expected = self._users.get(login.username or "")
        return expected is not None and hmac.compare_digest(expected.encode(), (login.password or "").encode())

    def _health(self, _request: Request) -> Response:
        return _json({"healthy": True})

    def _charts(self, _request: Request) -> Response:
        return _json(self._store.entries())

    def _index(self, _request: Request) -> Response:
        generated = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        index = {"apiVersion": "v1", "entries": self._store.entries(), "generated": generated, "serverInfo": {}}
        return Response(yaml.safe_dump(index, sort_keys=False), mimetype="application/x-yaml")

    def _download(self, _request: Request, file: str) -> Response:
        content = self._store.read(file)
        if content is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "not found")
        return Response(
            content, mimetype="application/pgp-signature" if file.endswith(".prov") else "application/x-tar"
        )

    def _upload(self, request: Request) -> Response:
        if request.mimetype != "multipart/form-data":
            # As there: an unreadable archive is the server's failure on this route, and the client's on the other.
            return self._save(request, {"chart": request.get_data()}, HTTPStatus.INTERNAL_SERVER_ERROR, "file")
        parts = {name: request.files[name].read() for name in ("chart", "prov") if name in request.files}
        if not parts:
            message = "no package or provenance file found in form fields chart and prov"
            raise _RefusedError(HTTPStatus.BAD_REQUEST, message)
        return self._save(request, parts, HTTPStatus.BAD_REQUEST, "chart")

    def _upload_provenance(self, request: Request) -> Response:
        return self._save(request, {"prov": request.get_data()}, HTTPStatus.INTERNAL_SERVER_ERROR, "file")

    def _save(self, request: Request, parts: Mapping[str, bytes], unreadable: HTTPStatus, what: str) -> Response:
        read: Mapping[str, Callable[[bytes], Upload]] = {"chart": package, "prov": provenance}
        try:
            uploads = [read[kind](content) for kind, content in parts.items()]
            self._store.save(uploads, force="force" in request.args)
        except NotAChartError as error:
            raise _RefusedError(unreadable, str(error)) from error
        except ExistsError as error:
            raise _RefusedError(HTTPStatus.CONFLICT, f"{what} already exists") from error
        return _json({"saved": True}, HTTPStatus.CREATED)

    def _chart(self, _request: Request, name: str) -> Response:
        versions = self._store.entries().get(name)
        if versions is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "chart not found")
        return _json(versions)

    def _version(self, _request: Request, name: str, version: str) -> Response:
        versions = self._store.entries().get(name)
        if versions is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "no chart name found")
        for entry in versions:
            if str(entry["version"]) == version or (version == "latest" and "-" not in str(entry["version"])):
                return _json(entry)
        raise _RefusedError(HTTPStatus.NOT_FOUND, f"no chart version found for {name}-{version}")

    def _delete(self, _request: Request, name: str, version: str) -> Response:
        if not self._store.delete(name, version):
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"{name}-{version}.tgz not found")
        return _json({"deleted": True})


def _json(document: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(json.dumps(document, default=str) + "\n", status, mimetype="application/json")


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave it to the application."""


def listen(application: ChartMuseum, port: int = 0) -> BaseWSGIServer:
    """Bind 127.0.0.1 (port 0 picks a free one); call ``serve_forever`` on the result."""
    return make_server("127.0.0.1", port, cast("Any", application), threaded=True, request_handler=_Handler)


def read_users(text: str) -> dict[str, str]:
    """Read lines `USER:PASSWORD`.

    Raises:
        ValueError: a line is another, or there is none; the message never holds its content.
    """
    users: dict[str, str] = {}
    for number, line in enumerate(io.StringIO(text), 1):
        user, colon, password = line.strip().partition(":")
        if not (user and colon and password):
            raise ValueError(f"line {number} of the user file is not USER:PASSWORD")
        users[user] = password
    if not users:
        raise ValueError("the user file has no line USER:PASSWORD")
    return users
