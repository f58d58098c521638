"""The host's calls of the sandbox's AWS: kept to the standard library, so that the part starts at once."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from .model import Json, Snapshot

_WAIT = 20.0


class CloudError(Exception):
    """AWS does not answer, or refuses; the message says what."""


class Cloud:
    """One AWS server, `http://127.0.0.1:PORT`."""

    def __init__(self, address: str) -> None:
        self.address = address

    def snapshot(self, known: str) -> Snapshot:
        """What is deployed, once it is something else than the known revision, or after some time."""
        path = f"/_sandbox/functions?revision={known}&wait={_WAIT:.0f}"
        return Snapshot.read(json.loads(self._send("GET", path, b"", {}, _WAIT + 10)))

    def code(self, digest: str) -> bytes:
        """A deployed archive."""
        return self._send("GET", f"/_sandbox/functions/code/{digest}", b"", {}, 60)

    def done(self, identity: str) -> None:
        """A deferred invocation has been done."""
        self._send("POST", f"/_sandbox/invocations/{identity}", b"{}", {}, 30)

    def log(self, account: str, region: str, group: str, stream: str, lines: Sequence[tuple[int, str]]) -> None:
        """Write lines (milliseconds, text) to a log stream, if its group is there."""
        body = {"account": account, "region": region, "group": group, "stream": stream, "lines": lines}
        self._send("POST", "/_sandbox/logs", json.dumps(body).encode(), {}, 30)

    def receive(self, account: str, region: str, queue: str, count: int, wait: int) -> list[Json]:
        """Messages of a queue."""
        asked = {"MaxNumberOfMessages": count, "WaitTimeSeconds": wait}
        names = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        answer = self._queue("ReceiveMessage", account, region, queue, {**asked, **names}, wait + 30.0)
        return cast(list[Json], answer.get("Messages") or [])

    def delete(self, account: str, region: str, queue: str, messages: Iterable[Json]) -> None:
        """Delete messages."""
        entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(messages)]
        if entries:
            self._queue("DeleteMessageBatch", account, region, queue, {"Entries": entries}, 30.0)

    def _queue(self, operation: str, account: str, region: str, queue: str, body: Json, limit: float) -> Json:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/sqs/aws4_request",
        }
        content = json.dumps({**body, "QueueUrl": f"{self.address}/{account}/{queue}"}).encode()
        return cast(Json, json.loads(self._send("POST", "/", content, headers, limit) or b"{}"))

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str], limit: float) -> bytes:
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=limit)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise CloudError(f"AWS does not answer: {type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise CloudError(f"AWS answered {answer.status}: {_shortened(content)}")
        return content


def _shortened(content: bytes) -> Any:
    return content[:300].decode("utf-8", "replace")
