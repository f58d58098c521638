"""What a request to AWS asks for, and whether it can change anything. Pure functions of the WSGI environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

LOGS = "/_sandbox/logs"
_CBOR_PATH = re.compile(r"^/service/(?P<service>[^/]+)/operation/(?P<operation>[A-Za-z0-9]+)$")
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]*/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")

# KMS's cryptographic calls read a key and answer: nothing is kept, so nothing has to be replayed.
_READS = re.compile(
    r"^(Describe|List|Get|Head|BatchGet|TransactGet|Lookup|Search|Query|Scan|Filter|Simulate|Validate|Verify|"
    r"Encrypt|Decrypt|ReEncrypt|GenerateDataKey|GenerateRandom|GenerateMac|Sign$|ReceiveMessage$)"
)


@dataclass(frozen=True)
class Operation:
    """One API call.

    ``name`` is the operation's name in the service model, or ``GET /path`` for REST services, whose name only the
    service's router knows. ``service`` is the signing name, or ``-`` for an unsigned request.
    """

    service: str
    name: str
    mutates: bool


def identify(environ: Mapping[str, object], body: bytes) -> Operation:
    """Name the API call of a request and say whether it can change state.

    Anything that is not known to be a read counts as a change: a read in the journal costs a few milliseconds of
    replay, a change that is missing from it costs the user's state.
    """
    if environ.get("PATH_INFO") == LOGS:  # what a function has said is not worth a replay
        return Operation("-", "write logs", False)
    method = str(environ.get("REQUEST_METHOD", "GET"))
    scope = _CREDENTIAL_SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    service = scope["service"] if scope else "-"
    name = _rpc_name(environ, body)
    if name is None:
        return Operation(service, f"{method} {environ.get('PATH_INFO', '/')}", method not in {"GET", "HEAD", "OPTIONS"})
    return Operation(service, name, not _READS.match(name))


def region_of(environ: Mapping[str, object]) -> str:
    """The region that a request is signed for; us-east-1 for one that is not signed."""
    scope = _CREDENTIAL_SCOPE.search(str(environ.get("HTTP_AUTHORIZATION", "")))
    return scope["region"] if scope else "us-east-1"


def cbor_operation(path: str) -> tuple[str, str] | None:
    """Split a Smithy RPC v2 path into service and operation, or None (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html)."""
    match = _CBOR_PATH.match(path)
    return (match["service"], match["operation"]) if match else None


def _rpc_name(environ: Mapping[str, object], body: bytes) -> str | None:
    if target := str(environ.get("HTTP_X_AMZ_TARGET", "")):
        return target.rpartition(".")[2]
    if cbor := cbor_operation(str(environ.get("PATH_INFO", ""))):
        return cbor[1]
    form = b""
    if str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded"):
        form = body
    for encoded in (form.decode("utf-8", "replace"), str(environ.get("QUERY_STRING", ""))):
        if actions := parse_qs(encoded).get("Action"):
            return actions[0]
    return None
