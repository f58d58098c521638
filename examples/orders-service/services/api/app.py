"""The API of orders: health, readiness, metrics and one computation, with nothing but the standard library."""

import json
import os
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("APP_VERSION", "dev")
REQUIRED = ("DATABASE_URL", "SESSION_KEY")
LARGEST = 10_000_000


class Metrics:
    """Counts requests by path and status."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], int] = {}
        self._lock = threading.Lock()

    def count(self, path: str, status: int) -> None:
        """Count one request."""
        with self._lock:
            self._counts[path, status] = self._counts.get((path, status), 0) + 1

    def render(self) -> str:
        """Return the counts as Prometheus reads them."""
        with self._lock:
            lines = [
                f'http_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self._counts.items())
            ]
        return "\n".join(["# TYPE http_requests_total counter", *lines]) + "\n"


def largest_prime_up_to(limit: int) -> int | None:
    """Return the largest prime that is not above `limit`; None below 2."""
    for number in range(limit, 1, -1):
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            return number
    return None


def respond(path: str, environ: Mapping[str, str] = os.environ) -> tuple[int, str, str]:
    """Return status, content type and body of a GET."""
    parts = urlsplit(path)
    if parts.path == "/healthz":
        return HTTPStatus.OK, "text/plain", "ok\n"
    if parts.path in {"/ready", "/readyz"}:
        missing = [name for name in REQUIRED if not environ.get(name)]
        if missing:
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"not set: {', '.join(missing)}\n"
        return HTTPStatus.OK, "text/plain", "ready\n"
    if parts.path == "/version":
        return HTTPStatus.OK, "application/json", json.dumps({"version": environ.get("APP_VERSION", VERSION)}) + "\n"
    if parts.path == "/compute/prime":
        return _prime(parse_qs(parts.query).get("n", [""])[0])
    return HTTPStatus.NOT_FOUND, "text/plain", "there is no such page\n"


def _prime(given: str) -> tuple[int, str, str]:
    if not given.isdecimal() or int(given) > LARGEST:
        return HTTPStatus.BAD_REQUEST, "text/plain", f"n must be a whole number up to {LARGEST}\n"
    return (
        HTTPStatus.OK,
        "application/json",
        json.dumps({"n": int(given), "prime": largest_prime_up_to(int(given))}) + "\n",
    )


class Handler(BaseHTTPRequestHandler):
    """Serves `respond` and the metrics."""

    metrics = Metrics()

    def do_GET(self) -> None:
        """Answer one request."""
        path = urlsplit(self.path).path
        if path == "/metrics":
            status, kind, body = HTTPStatus.OK, "text/plain; version=0.0.4", self.metrics.render()
        else:
            status, kind, body = respond(self.path)
        self.metrics.count(path, int(status))
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
