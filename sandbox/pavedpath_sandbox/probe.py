"""Asks a part over HTTP whether it is ready. Kept to the standard library: `status` and `env` must answer at once."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import cast


@dataclass(frozen=True)
class Probe:
    """A GET on 127.0.0.1 that answers 200 when the part is ready. `ca_file` makes it TLS."""

    port: int
    path: str
    ca_file: Path | None = None


def ask(probe: Probe, timeout: float = 2.0) -> str | None:
    """Return None if the part is ready, else why not."""
    return _get(probe, timeout)[0]


def details(probe: Probe, timeout: float = 2.0) -> dict[str, object]:
    """Return the JSON object that a part answers, or an empty one."""
    problem, body = _get(probe, timeout)
    try:
        value: object = json.loads(body) if problem is None else None
    except ValueError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _get(probe: Probe, timeout: float) -> tuple[str | None, bytes]:
    try:
        connection = _connection(probe, timeout)
        try:
            connection.request("GET", probe.path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}", b""
    if response.status != http.HTTPStatus.OK:
        return f"HTTP {response.status}: {body[:200].decode('utf-8', 'replace').strip()}", body
    return None, body


def _connection(probe: Probe, timeout: float) -> http.client.HTTPConnection:
    if probe.ca_file is None:
        return http.client.HTTPConnection("127.0.0.1", probe.port, timeout=timeout)
    context = ssl.create_default_context(cafile=str(probe.ca_file))
    return http.client.HTTPSConnection("127.0.0.1", probe.port, timeout=timeout, context=context)
