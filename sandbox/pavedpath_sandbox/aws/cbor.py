"""Translates CloudWatch's Smithy RPC v2 CBOR to the JSON protocol that moto speaks, and the answers back.

AWS SDKs send ``POST /service/GraniteServiceVersion20100801/operation/<Op>``; the service model says which members are
timestamps, blobs and floating-point numbers, which the two encodings write differently
(https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html).
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, cast
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import cbor2
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationNotFoundError, ServiceModel, Shape, StructureShape
from werkzeug.test import run_wsgi_app

from .operations import cbor_operation

if TYPE_CHECKING:
    from werkzeug.datastructures import Headers

_SERVICES = {"GraniteServiceVersion20100801": "cloudwatch"}
_EPOCH_SECONDS = 1  # CBOR tag 1, RFC 8949 section 3.4.2


class CborTranslation:
    """WSGI middleware; requests of other protocols pass untouched."""

    def __init__(self, application: WSGIApplication) -> None:
        """Wrap an application that speaks AWS JSON 1.0."""
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        called = cbor_operation(str(environ.get("PATH_INFO", "")))
        if called is None or called[0] not in _SERVICES:
            return self._application(environ, start_response)
        target, operation = called
        try:
            body = _request_body(environ)
            inner = _as_json_request(environ, target, operation, to_json(body))
        except (ValueError, cbor2.CBORDecodeError) as error:
            return _answer(start_response, "400 Bad Request", _error("SerializationException", str(error)), [])
        answer, status, headers = run_wsgi_app(self._application, inner, buffered=True)
        content = b"".join(answer)
        failed = not status.startswith("2")
        encoded = _encode_error(content) if failed else encode_output(_SERVICES[target], operation, content)
        return _answer(start_response, status, encoded, _kept(headers))


def _request_body(environ: WSGIEnvironment) -> bytes:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return gzip.decompress(body) if environ.get("HTTP_CONTENT_ENCODING") == "gzip" else body


def to_json(body: bytes) -> bytes:
    """Decode a CBOR request body to AWS JSON: timestamps as epoch seconds, blobs in base64.

    Raises:
        ValueError: the body is not a CBOR map.
    """
    value: object = cbor2.loads(body) if body else {}
    if not isinstance(value, dict):
        raise ValueError("the body is not a CBOR map")
    return json.dumps(cast("object", value), default=_json_scalar).encode()


def _json_scalar(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise ValueError(f"a {type(value).__name__} has no place in a request")


def encode_output(service: str, operation: str, content: bytes) -> bytes:
    """Encode an operation's JSON output in CBOR, by its output shape; members outside the model are left out."""
    try:
        shape = _model(service).operation_model(operation).output_shape
    except OperationNotFoundError:
        shape = None
    value: object = json.loads(content) if content else {}
    return cbor2.dumps({} if shape is None else shaped(value, shape))


def shaped(value: object, shape: Shape) -> object:
    """Give a JSON value the Python types whose CBOR encoding `shape` asks for."""
    if value is None:
        return None
    if isinstance(shape, StructureShape):
        members = shape.members
        given = cast("dict[str, object]", value)
        return {name: shaped(given[name], kind) for name, kind in members.items() if given.get(name) is not None}
    if isinstance(shape, ListShape):
        return [shaped(item, shape.member) for item in cast("list[object]", value)]
    if isinstance(shape, MapShape):
        kind = shape.value
        return {key: shaped(item, kind) for key, item in cast("dict[str, object]", value).items()}
    return _scalar(value, shape.type_name)


def _scalar(value: object, kind: str) -> object:
    match kind:
        case "timestamp":
            seconds = (
                datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(cast("float", value))
            )
            return cbor2.CBORTag(_EPOCH_SECONDS, seconds)
        case "float" | "double":
            return float(cast("float", value))
        case "integer" | "long":
            return int(cast("int", value))
        case "blob":
            return base64.b64decode(cast("str", value))
        case _:
            return value


def _encode_error(content: bytes) -> bytes:
    try:
        problem = cast("dict[str, object]", json.loads(content))
    except ValueError:
        return _error("InternalFailure", content.decode("utf-8", "replace")[:500])
    message = problem.get("message", problem.get("Message", ""))
    return _error(str(problem.get("__type", "InternalFailure")).rpartition("#")[2], str(message))


def _error(kind: str, message: str) -> bytes:
    return cbor2.dumps({"__type": kind, "message": message, "Message": message})


def _as_json_request(environ: WSGIEnvironment, target: str, operation: str, body: bytes) -> WSGIEnvironment:
    changed = {
        "PATH_INFO": "/",
        "RAW_URI": "/",
        "REQUEST_URI": "/",
        "CONTENT_TYPE": "application/x-amz-json-1.0",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_AMZ_TARGET": f"{target}.{operation}",
        "wsgi.input": io.BytesIO(body),
    }
    dropped = {"HTTP_CONTENT_ENCODING", "HTTP_SMITHY_PROTOCOL", "HTTP_ACCEPT"}
    return {key: value for key, value in environ.items() if key not in dropped} | changed


def _kept(headers: Headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in {"content-type", "content-length"}]


def _answer(start_response: StartResponse, status: str, body: bytes, headers: list[tuple[str, str]]) -> Iterable[bytes]:
    protocol = [
        ("Content-Type", "application/cbor"),
        ("Smithy-Protocol", "rpc-v2-cbor"),
        ("Content-Length", str(len(body))),
    ]
    start_response(status, headers + protocol)
    return [body]


@cache
def _model(service: str) -> ServiceModel:
    description = Loader().load_service_model(service, "service-2")
    return ServiceModel(description, service)
