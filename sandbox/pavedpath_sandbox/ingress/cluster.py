"""The cluster's API, asked without blocking: objects, patches and a watch."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from pavedpath_sandbox.documents import Json, Properties, fields, objects

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 0.2
_WATCH_SECONDS = 300


class Cluster:
    """The API server of a kubeconfig, as its first user.

    Args:
        client: an HTTP client whose base URL is the API server's and which authenticates itself.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Cluster:
        """Open the cluster of a kubeconfig as the sandbox writes it."""
        content = json.loads(path.read_text(encoding="utf-8"))
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(
            httpx.AsyncClient(
                base_url=cluster["server"],
                verify=ssl.create_default_context(cadata=authority),
                headers={"Authorization": f"Bearer {user['token']}"},
                timeout=10,
                trust_env=False,
            )
        )

    async def get(self, path: str, **params: str) -> Properties | None:
        """Return the object at a path, None where there is none."""
        response = await self._client.get(path, params=params)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        response.raise_for_status()
        return fields(response.json())

    async def items(self, path: str, **params: str) -> list[Properties]:
        """Return the objects of a list."""
        return objects((await self.get(path, **params) or {}).get("items"))

    async def patch(self, path: str, body: Mapping[str, Any]) -> bool:
        """Change an object by a strategic merge; False for one that is gone."""
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        response = await self._client.patch(path, content=json.dumps(body), headers=headers)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return False
        response.raise_for_status()
        return True

    async def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object; one that is there stays as it is."""
        response = await self._client.post(path, json=body)
        if response.status_code != HTTPStatus.CONFLICT:
            response.raise_for_status()

    async def watch(self, path: str) -> AsyncIterator[list[Properties] | tuple[str, Properties]]:
        """Yield the list of all objects, then each change; for ever, and the list anew whenever changes were missed."""
        while True:
            try:
                answer = fields(await self.get(path))
                yield objects(answer.get("items"))
                version = str(fields(answer.get("metadata")).get("resourceVersion", ""))
                async for change in self._changes(path, version):
                    yield change
            except (httpx.HTTPError, ValueError) as error:
                _LOG.info("watching %s: %s %s", path, type(error).__name__, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _changes(self, path: str, version: str) -> AsyncIterator[tuple[str, Properties]]:
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        timeout = httpx.Timeout(10, read=_WATCH_SECONDS + 30)
        async with self._client.stream("GET", path, params=params, timeout=timeout) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                event: Json = json.loads(line)
                kind = str(event["type"])
                if kind == "ERROR":  # the version is too old, usually: list again
                    return
                yield kind, fields(event["object"])
