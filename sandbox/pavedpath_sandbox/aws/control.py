"""Endpoints of the AWS server that are nobody's on AWS, below `/_sandbox`: see docs/sandbox.md."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, unquote
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from . import fleets, lambdas
from .accounts import account_of
from .operations import LOGS, region_of

Answer = tuple[str, list[tuple[str, str]], bytes]
FUNCTIONS = "/_sandbox/functions"
CODE = "/_sandbox/functions/code/"
CAPACITY = "/_sandbox/capacity"
RECLAIM = "/_sandbox/reclaim"
INVOCATION = "/_sandbox/invocations/"
DEFAULT_ACCOUNT = "123456789012"
_INVOKE = ("/2015-03-31/functions/", "/invocations")
_LONGEST_WAIT = 30.0
_LONGEST_RUN = 920.0  # a function may run for 15 minutes


def answer(status: str, value: object) -> Answer:
    """A JSON answer."""
    body = json.dumps(value).encode()
    return status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body


class Controls:
    """WSGI middleware for those of the endpoints that change state: they run in turn with AWS's, and are kept."""

    def __init__(self, application: WSGIApplication) -> None:
        """Wrap the application that serves everything else."""
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith("/_sandbox/") or environ.get("REQUEST_METHOD") != "POST":
            return self._application(environ, start_response)
        status, headers, body = _change(path, cast("io.BytesIO", environ["wsgi.input"]).read())
        start_response(status, headers)
        return [body]


def _change(path: str, body: bytes) -> Answer:
    try:
        given: object = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise ValueError("the body is not a JSON object")
        wanted = cast("dict[str, Any]", given)
        if path == CAPACITY:
            return answer("200 OK", {"lacking": fleets.set_capacity(wanted)})
        if path == RECLAIM:
            return answer("200 OK", {"reclaimed": fleets.reclaim(wanted)})
        if path == LOGS:
            return answer("200 OK", {"written": lambdas.write_log(**wanted)})
        if path.startswith(INVOCATION):
            return answer("200 OK", {"done": lambdas.done(path.removeprefix(INVOCATION))})
    except (ValueError, TypeError) as error:
        return answer("400 Bad Request", {"message": str(error)})
    return answer("404 Not Found", {"message": f"the sandbox has no endpoint {path}"})


@dataclass
class Watch:
    """A number that changes with what the part `functions` reads, and a way to wait for its change."""

    _birth: str = field(default_factory=lambda: uuid4().hex)
    _number: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def revision(self) -> str:
        """The number, told apart from that of a server before."""
        return f"{self._birth}-{self._number}"

    def change(self) -> None:
        """Wake those who wait."""
        with self._changed:
            self._number += 1
            self._changed.notify_all()

    def wait(self, known: str, seconds: float) -> None:
        """Return when the revision is another than the known one, or after that time."""
        deadline = time.monotonic() + min(seconds, _LONGEST_WAIT)
        with self._changed:
            while self.revision == known and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)


def functions(environ: Mapping[str, object], watch: Watch, lock: threading.Lock) -> Answer:
    """`GET /_sandbox/functions?revision=R&wait=S`: what is deployed, when it is something else than R, or after S."""
    query = parse_qs(str(environ.get("QUERY_STRING", "")))
    watch.wait(query.get("revision", [""])[0], float(query.get("wait", ["0"])[0]))
    with lock:
        return answer("200 OK", {"revision": watch.revision, **lambdas.snapshot()})


def code(path: str, lock: threading.Lock) -> Answer:
    """`GET /_sandbox/functions/code/SHA256`: a deployed archive."""
    with lock:
        found = lambdas.code(path.removeprefix(CODE))
    if found is None:
        return answer("404 Not Found", {"message": "no function has that code"})
    return "200 OK", [("Content-Type", "application/zip"), ("Content-Length", str(len(found)))], found


def invoked(environ: Mapping[str, object]) -> str | None:
    """The function (a name or an ARN) that a request invokes and waits for; None: it is another request."""
    path, kind = str(environ.get("PATH_INFO", "")), environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
    first, last = _INVOKE
    if environ.get("REQUEST_METHOD") != "POST" or kind != "RequestResponse":
        return None
    return unquote(path[len(first) : -len(last)]) if path.startswith(first) and path.endswith(last) else None


def invoke(environ: Mapping[str, object], function: str, body: bytes, address: str) -> Answer:
    """Have the part run a function, and answer as Lambda does; the server goes on meanwhile."""
    account = account_of(environ) or DEFAULT_ACCOUNT
    own = f"arn:aws:lambda:{region_of(environ)}:{account}:function:"
    arn = function if function.startswith("arn:") else own + function
    request = urllib.request.Request(f"{address}/_sandbox/invoke/{arn}", data=body or b"{}", method="POST")  # noqa: S310 - the address is the sandbox's own
    open_: Callable[..., Any] = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with open_(request, timeout=_LONGEST_RUN) as response:
            content, headers = response.read(), response.headers
    except urllib.error.HTTPError as error:
        content = error.read()
        kinds = {404: "ResourceNotFoundException", 429: "TooManyRequestsException"}
        shown = [("Content-Type", "application/json"), ("x-amzn-ErrorType", kinds.get(error.code, "ServiceException"))]
        return f"{error.code} Error", [*shown, ("Content-Length", str(len(content)))], content
    except OSError as error:
        return answer("500 Internal Server Error", {"message": f"the part functions does not answer: {error}"})
    failed = headers.get("X-Amz-Function-Error")
    kept = [("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST")]
    kept += [("X-Amz-Function-Error", failed)] if failed else []
    return "200 OK", [*kept, ("Content-Length", str(len(content)))], content
