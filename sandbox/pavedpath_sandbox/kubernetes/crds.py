"""Gives the cluster the custom resources of operators that do not run here: their definitions alone."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from .nodes import Api, ClusterError

_APPLIED = "pavedpath-sandbox/sha256"
_POLL_SECONDS = 0.05


def name_of(path: Path) -> str:
    """Return the name of the definition in a file that controller-gen wrote: `<group>_<plural>.yaml`.

    Raises:
        ClusterError: another form of name.
    """
    group, _, plural = path.stem.partition("_")
    if not group or not plural:
        raise ClusterError(f"{path}: a definition's file is named <group>_<plural>.yaml")
    return f"{plural}.{group}"


def ensure(api: Api, directory: Path, timeout: float = 30.0, cancelled: Callable[[], bool] = lambda: False) -> None:
    """Apply every definition of a directory that the cluster has not got yet, and wait until it serves them.

    A directory that does not exist holds none.

    Raises:
        ClusterError: a definition was refused, or `timeout` seconds passed.
    """
    paths = sorted(directory.glob("*.yaml"))
    if paths:
        with ThreadPoolExecutor(len(paths)) as pool:
            for done in [pool.submit(_ensure, api, path, timeout, cancelled) for path in paths]:
                done.result()


def _ensure(api: Api, path: Path, timeout: float, cancelled: Callable[[], bool]) -> None:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = name_of(path)
    url = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    # The whole definition is hundreds of kilobytes; at every later start its metadata is enough.
    as_metadata = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    _, known = _request(api, "GET", url, as_metadata)
    metadata = cast("Mapping[str, Mapping[str, str]]", known.get("metadata") or {})
    if metadata.get("annotations", {}).get(_APPLIED) == digest:
        return
    query = "?fieldManager=pavedpath-sandbox&force=true"
    status, answer = _request(api, "PATCH", url + query, {"Content-Type": "application/apply-patch+yaml"}, content)
    if status not in {200, 201}:
        raise ClusterError(f"the definition {name} was refused: {answer.get('message', status)}")
    deadline = time.monotonic() + timeout
    # Not found until it is established, then too many requests until the server's cache is filled.
    while _request(api, "GET", _collection(answer), {})[0] != 200:
        if cancelled():
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"after {timeout:.0f} s the cluster does not serve {name}")
        time.sleep(_POLL_SECONDS)
    mark = json.dumps({"metadata": {"annotations": {_APPLIED: digest}}}).encode()
    _request(api, "PATCH", url, {"Content-Type": "application/merge-patch+json", **as_metadata}, mark)


def _collection(definition: Mapping[str, object]) -> str:
    """Return the path at which the objects of a definition are listed."""
    spec = cast("Mapping[str, object]", definition["spec"])
    versions = cast("Sequence[Mapping[str, object]]", spec["versions"])
    version = next(each["name"] for each in versions if each["storage"])
    plural = cast("Mapping[str, str]", spec["names"])["plural"]
    return f"/apis/{spec['group']}/{version}/{plural}?limit=1"


def _request(
    api: Api, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, Mapping[str, object]]:
    context = ssl.create_default_context(cafile=str(api.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", api.port, timeout=30, context=context)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {api.token}", **headers})
        response = connection.getresponse()
        text = response.read()
        # The server's answer for a path that it does not know at all is plain text.
        is_json = (response.getheader("Content-Type") or "").startswith("application/json")
        return response.status, cast("Mapping[str, object]", json.loads(text)) if is_json else {}
    finally:
        connection.close()
