"""The part's HTTP server: function URLs, and invocations that AWS's server hands on."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast
from uuid import uuid4

from . import events
from .host import Host
from .model import Function

LOG = logging.getLogger("pavedpath_sandbox.functions")
HEALTH = "/_sandbox/health"
INVOKE = "/_sandbox/invoke/"


class FunctionServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `known` is set once it is known what is deployed."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, host: Host) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.host = host
        self.known = False
        self.urls: dict[str, Function] = {}
        self.refresh: Callable[[], None] = lambda: None

    def of_url(self, identity: str) -> Function | None:
        """The function that has a URL of that id; one may have been deployed a moment ago."""
        if identity not in self.urls:
            self.refresh()
        return self.urls.get(identity)

    def of_arn(self, arn: str) -> Function | None:
        """The function of an ARN, in the same way."""
        if self.host.function(arn) is None:
            self.refresh()
        return self.host.function(arn)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing: the host has a line for each invocation."""

    def serve(self) -> None:
        """Answer a request of any method."""
        body = self._body()
        if body is None:
            return
        if self.path == HEALTH:
            status = 200 if self._of.known else 503
            self._answer(
                status,
                [("Content-Type", "application/json")],
                b'{"known": %s}' % (b"true" if status == 200 else b"false"),
            )
        elif self.path.startswith(INVOKE):
            self._invoke(self.path.removeprefix(INVOKE), body)
        else:
            self._url(body)

    @property
    def _of(self) -> FunctionServer:
        return cast("FunctionServer", self.server)

    def _body(self) -> bytes | None:
        """The request's body; None if it was refused."""
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._answer(411, [], b"the sandbox's function URLs need a Content-Length\n")
            return None
        length = int(self.headers.get("Content-Length") or 0)
        if length > events.LARGEST_REQUEST:
            self.close_connection = True
            self._answer(413, [], b'{"message":"Request Too Long"}')
            return None
        return self.rfile.read(length)

    def _url(self, body: bytes) -> None:
        identity, _, rest = self.path.removeprefix("/").partition("/")
        identity, question, query = identity.partition("?")
        function = self._of.of_url(identity)
        if function is None:
            self._answer(404, [], b"no function has this URL\n")
        elif function.url_authentication != "NONE" and "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            self._answer(403, [("Content-Type", "application/json")], b'{"Message":"Forbidden"}')
        else:
            target = f"/{rest}{question}{query}"
            event = events.url_event(
                function, self.command, target, self.headers.items(), body, str(uuid4()), time.time()
            )
            self._answer(*events.url_answer(self._of.host.invoke(function, json.dumps(event), wait=False)))

    def _invoke(self, arn: str, body: bytes) -> None:
        function = self._of.of_arn(arn)
        if function is None:
            self._answer(404, [], json.dumps({"Message": f"Function not found: {arn}", "Type": "User"}).encode())
            return
        outcome = self._of.host.invoke(function, body.decode() or "{}", wait=False)
        failed = [("X-Amz-Function-Error", outcome.error)] if outcome.error else []
        self._answer(429 if outcome.throttled else 200, failed, outcome.content.encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD" and status != 204:
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # who asked has gone


for _method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
    setattr(_Handler, f"do_{_method}", _Handler.serve)
