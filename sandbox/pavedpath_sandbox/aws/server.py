"""The AWS server: moto's WSGI application, one request at a time, journalled, on a threaded HTTP server."""

from __future__ import annotations

import io
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from xml.sax.saxutils import escape

from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.test import run_wsgi_app

from . import clock, completions, control, determinism, fleets, lambdas
from .accounts import addressed, is_for_others
from .attempts import Answers, attempt_of
from .cbor import CborTranslation
from .control import Answer
from .journal import Contents, Entry, Journal
from .operations import Operation, identify

LOG = logging.getLogger("pavedpath_sandbox.aws")
HEALTH_PATH = "/_sandbox/health"
_KEPT_KEYS = frozenset(
    {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI", "CONTENT_TYPE"}
    | {"SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.url_scheme"}
)
# Moto does not look at them. The first could be a real one, sent here by mistake; the others are what makes an entry
# long: a fleet of runners makes thousands.
_DROPPED_KEYS = frozenset(
    {"HTTP_X_AMZ_SECURITY_TOKEN", "HTTP_USER_AGENT", "HTTP_X_AMZ_USER_AGENT", "HTTP_AMZ_SDK_INVOCATION_ID"}
    | {"HTTP_AMZ_SDK_REQUEST", "HTTP_ACCEPT_ENCODING", "HTTP_CONNECTION", "HTTP_X_AMZN_QUERY_MODE"}
)
# Changes of these services are what the part `functions` waits for; a machine of EC2's that ends is an event.
_WATCHED = frozenset({"lambda", "scheduler", "events", "ec2", "-"})
_POLL_SECONDS = 0.2
# What a request is, in its environment, for those who see it when its answer cannot be sent.
_CHANGE = "pavedpath_sandbox.change"


@dataclass(frozen=True)
class Replay:
    """How bringing the state back went. `problems` names each entry that ended otherwise than when it was recorded."""

    entries: int
    seconds: float
    problems: tuple[str, ...]


class Moto:
    """moto's application; what it does not implement is answered with 501, which SDKs do not retry."""

    def __init__(self) -> None:
        """Install the hooks and build moto's dispatcher."""
        determinism.install()
        completions.install()
        self._dispatcher = cast("WSGIApplication", DomainDispatcherApplication(_create_backend_app))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        try:
            return self._dispatcher(addressed(environ), start_response)
        except NotImplementedError as error:
            message = f"the sandbox's AWS (moto) does not implement this: {error}"
            LOG.warning("%s", message)
            status, headers, body = _failure(environ, "501 Not Implemented", "NotImplemented", message)
            start_response(status, headers)
            return [body]


def _create_backend_app(service: Any) -> Any:
    app = create_backend_app(service)
    # Else Flask answers 500, and an SDK tries again for minutes what can never work.
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


def _failure(environ: Mapping[str, object], status: str, code: str, message: str) -> Answer:
    """An error in the encoding that the caller reads: JSON or the query protocol's XML."""
    if "json" in str(environ.get("CONTENT_TYPE", "")) or environ.get("HTTP_X_AMZ_TARGET"):
        body, kind = json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1"
    else:
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        # The one form is for IAM, SNS and most others, the other for EC2.
        body = f"<ErrorResponse>{error}<Errors>{error}</Errors><RequestID>sandbox</RequestID></ErrorResponse>"
        kind = "text/xml"
    content = body.encode()
    return status, [("Content-Type", kind), ("Content-Length", str(len(content)))], content


class JournalledApplication:
    """Runs requests one at a time with a seed each, and writes those that can change state to the journal.

    One at a time: moto draws all identifiers from one random source, so two requests at once would mix their draws
    and a replay would not give the same ones.
    """

    def __init__(self, application: WSGIApplication, journal: Journal | None, functions: str = "") -> None:
        """Wrap an application. Without a journal nothing is kept.

        `functions` is the address of the part that runs functions; empty: there is none.
        """
        self._application = application
        self._journal = journal
        self._functions = functions
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._written = 0
        self._contents = Contents((), (), False) if journal is None else journal.load()
        self.replayed: Replay | None = None
        self._watch = control.Watch()
        self._answers = Answers()

    def replay(self) -> Replay:
        """Run the journal's requests again. Call it once; a request that comes meanwhile waits for its end."""
        started = time.monotonic()
        problems = [f"line {number} of the journal cannot be read" for number in self._contents.damaged_lines]
        problems += [problem for problem in self._run_again(self._contents) if problem]
        seconds = round(time.monotonic() - started, 3)
        self.replayed = Replay(len(self._contents.entries), seconds, tuple(problems))
        self._contents = Contents((), (), False)
        self._open.set()
        self._watch.change()
        for problem in problems:
            LOG.warning("%s", problem)
        return self.replayed

    def close(self) -> None:
        """Give the journal free."""
        if self._journal is not None:
            self._journal.close()

    def _run_again(self, contents: Contents) -> Iterable[str | None]:
        for number, entry in enumerate(contents.entries, 1):
            self._written = number
            environ = _environ_of(entry)
            status, _, _ = self._run(environ, entry.body, entry.seed, entry.at or None)
            if _code(status) == entry.status:
                yield None
            else:
                operation = identify(environ, entry.body)
                yield (
                    f"entry {number}, {operation.service} {operation.name}: "
                    f"answered {entry.status} when it was recorded, {_code(status)} now"
                )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        if environ.get("PATH_INFO") == HEALTH_PATH:
            status, headers, body = self._health()
        elif is_for_others(environ):
            status, headers, body = _forwards_nothing(environ)
        else:
            body = _read_body(environ)
            self._open.wait()  # an answer before the replay's end would show an account that is not there yet
            operation = identify(environ, body)
            started = time.monotonic()
            path = str(environ.get("PATH_INFO", ""))
            if path == control.FUNCTIONS:
                status, headers, body = control.functions(environ, self._watch, self._lock)
            elif path.startswith(control.CODE):
                status, headers, body = control.code(path, self._lock)
            elif self._functions and (function := control.invoked(environ)) is not None:
                status, headers, body = control.invoke(environ, function, body, self._functions)
            elif operation.name == "ReceiveMessage":
                status, headers, body = self._receive(environ, body, operation)
            else:
                status, headers, body = self._serve(environ, body, operation)
            LOG.info("%s %s %s %.0f ms", operation.service, operation.name, status, 1000 * (time.monotonic() - started))
        start_response(status, headers)
        return [body]

    def _serve(self, environ: WSGIEnvironment, body: bytes, operation: Operation) -> Answer:
        if operation.mutates:
            return self._change(environ, body, operation)
        with self._lock:
            return self._run(environ, body, secrets.randbits(64))

    def _change(self, environ: WSGIEnvironment, body: bytes, operation: Operation) -> Answer:
        seed, name, attempt = secrets.randbits(64), f"{operation.service} {operation.name}", attempt_of(environ)
        environ[_CHANGE] = name
        with self._lock:
            at = time.time()
            if attempt and (given := self._answers.given(attempt, name, at)):
                LOG.warning("%s: attempt %d is answered as the one before, which was done", name, attempt.number)
                return given
            if attempt and attempt.number > 1:
                LOG.warning("%s: attempt %d; none before it succeeded here", name, attempt.number)
            answer = self._run(environ, body, seed)
            self._record(environ, body, seed, answer, at)
            if attempt and answer[0].startswith("2"):
                self._answers.keep(attempt, name, answer, at)
        if _code(answer[0]) == 500:
            LOG.warning("%s failed: how much of it was done is unknown", name)
        if operation.service in _WATCHED:
            self._watch.change()
        return answer

    def _receive(self, environ: WSGIEnvironment, body: bytes, operation: Operation) -> Answer:
        """SQS's long poll, as short polls that leave the lock to others; one that takes messages is a change."""
        try:
            parameters = cast("dict[str, object]", json.loads(body))
            wait = float(cast("float", parameters.get("WaitTimeSeconds", 0)))
        except ValueError:  # the query protocol of old SDKs: served as it is
            return self._serve(environ, body, operation)
        body = json.dumps({**parameters, "WaitTimeSeconds": 0}).encode()
        deadline = time.monotonic() + wait
        while True:
            seed = secrets.randbits(64)
            with self._lock:
                at = time.time()
                answer = self._run(environ, body, seed)
                taken = b'"Messages"' in answer[2]
                if taken:
                    self._record(environ, body, seed, answer, at)
            if taken or _code(answer[0]) != 200 or time.monotonic() + _POLL_SECONDS > deadline:
                return answer
            time.sleep(_POLL_SECONDS)

    def _run(self, environ: WSGIEnvironment, body: bytes, seed: int, at: float | None = None) -> Answer:
        determinism.reseed(seed)
        clock.set_to(at)
        request = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        request.pop("HTTP_TRANSFER_ENCODING", None)
        try:
            chunks, status, headers = run_wsgi_app(self._application, request, buffered=True)
            return status, list(headers), b"".join(chunks)
        except Exception as error:
            LOG.exception("moto failed")
            message = f"moto failed with {type(error).__name__}; `pavedpath-sandbox logs aws` has the rest"
            return _failure(request, "500 Internal Server Error", "InternalFailure", message)
        finally:
            clock.set_to(None)

    def _record(self, environ: WSGIEnvironment, body: bytes, seed: int, answer: Answer, at: float) -> None:
        if self._journal is None:
            return
        kept = {
            key: value
            for key, value in environ.items()
            if isinstance(value, str) and (key in _KEPT_KEYS or key.startswith("HTTP_")) and key not in _DROPPED_KEYS
        }
        preserved = cast("Mapping[str, str]", environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY) or {})
        self._journal.append(Entry(seed, kept, body, _code(answer[0]), preserved, at))
        self._written += 1

    def _health(self) -> Answer:
        replayed = self.replayed
        if replayed is None:
            status = "503 Service Unavailable"
            answer: dict[str, object] = {"replaying": self._written}
        else:
            status = "200 OK"
            answer = {"journal_entries": self._written, "replay": asdict(replayed)}
        body = json.dumps(answer).encode()
        return status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body


def _forwards_nothing(environ: Mapping[str, object]) -> Answer:
    host = environ.get("HTTP_HOST")
    message = (
        f"The sandbox's AWS forwards nothing to {host}. HTTP_PROXY points to it so that the account's own host names "
        "of S3 Control work here. Use HTTPS, or unset HTTP_PROXY for this command.\n"
    )
    content = message.encode()
    return "403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))], content


def _code(status: str) -> int:
    return int(status.split(" ", 1)[0])


def _read_body(environ: WSGIEnvironment) -> bytes:
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):  # chunked: werkzeug has put the chunks together
        return stream.read()
    return stream.read(int(environ.get("CONTENT_LENGTH") or 0))


def _environ_of(entry: Entry) -> WSGIEnvironment:
    return {
        **entry.environ,
        PRESERVED_HEADER_NAMES_ENVIRON_KEY: dict(entry.preserved),
        "wsgi.version": (1, 0),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


class _Handler(MotoRequestHandler):
    # Kept connections and no Nagle delay: a Pulumi run makes thousands of small requests.
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave it to `JournalledApplication`, whose line names the operation and never the query string."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """Name a change whose client may not know that it was done."""
        if change := (environ or {}).get(_CHANGE):
            LOG.warning("%s: its client may have no answer: %s", change, error)


def build(journal_path: Path | None, functions: str = "") -> JournalledApplication:
    """Build the application and read its journal; serve it, and call its ``replay``.

    `functions` is the address of the part that runs functions (`http://127.0.0.1:PORT`); empty: there is none.

    Raises:
        JournalError: another server holds the journal.
        MotoChangedError: the installed moto is not the one the hooks were written for.
    """
    journal = None if journal_path is None else Journal(journal_path)
    lambdas.serve_at(functions)
    lambdas.forget()
    fleets.forget()
    return JournalledApplication(control.Controls(CborTranslation(Moto())), journal, functions)


def listen(application: JournalledApplication, port: int = 0) -> BaseWSGIServer:
    """Bind 127.0.0.1 (port 0 picks a free one); call ``serve_forever`` on the result."""
    return make_server("127.0.0.1", port, cast("Any", application), threaded=True, request_handler=_Handler)
