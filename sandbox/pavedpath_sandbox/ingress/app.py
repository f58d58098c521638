"""The HTTP servers: the ingress, and the kubelet's logs that the API server asks for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from pavedpath_sandbox.kubernetes.config import NODES

from . import routing
from .cluster import Cluster
from .kubelet import Kubelet

_LOG = logging.getLogger(__name__)
_HEALTH = "/_sandbox/health"
_NETWORKING = "/apis/networking.k8s.io/v1"
# Source: RFC 9110, 7.6.1: what concerns one connection is not passed on.
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding")
) | {"upgrade", "proxy-connection"}
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Ingress:
    """Finds the pod for a request and passes it on."""

    def __init__(self, cluster: Cluster, kubelet: Kubelet) -> None:
        self._cluster, self._kubelet = cluster, kubelet
        self._turns: dict[routing.Backend, Iterator[int]] = defaultdict(itertools.count)
        # An answer may take its time, as behind an ingress in a cloud; a connection on loopback may not.
        self._client = httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(60, connect=2), follow_redirects=False)

    async def health(self, _: Request) -> Response:
        """Say whether the cluster's pods are known."""
        ready = self._kubelet.synchronised.is_set()
        return PlainTextResponse("ok" if ready else "waiting for the API server", 200 if ready else 503)

    async def serve(self, request: Request) -> Response:
        """Answer as the pod does; 404 without a rule, 503 without a ready pod, 502 if its process does not answer."""
        host = (request.headers.get("host") or "").rsplit(":", 1)[0].lower()
        try:
            ingresses = await self._cluster.items(f"{_NETWORKING}/ingresses")
            backend = routing.find(ingresses, host, request.url.path)
            if backend is None:
                known = ", ".join(routing.hosts(ingresses)) or "none"
                return _problem(404, f"no Ingress has a rule for {host}{request.url.path}; hosts: {known}")
            ports = await self._ports(backend)
        except httpx.HTTPError as error:
            return _problem(503, f"the cluster does not answer: {type(error).__name__}")
        except LookupError as error:
            return _problem(503, str(error.args[0]))
        return await self._forward(request, ports[next(self._turns[backend]) % len(ports)])

    async def _ports(self, backend: routing.Backend) -> list[int]:
        """The ports on this machine of the ready pods.

        Raises:
            LookupError: there is none; says why.
        """
        base, name = f"namespaces/{backend.namespace}", f"the service {backend.namespace}/{backend.service}"
        service = await self._cluster.get(f"/api/v1/{base}/services/{backend.service}")
        if service is None:
            raise LookupError(f"{name} does not exist")
        slices = await self._cluster.items(
            f"/apis/discovery.k8s.io/v1/{base}/endpointslices",
            labelSelector=f"kubernetes.io/service-name={backend.service}",
        )
        try:
            found = routing.endpoints(service, slices, backend.port)
        except LookupError as error:
            raise LookupError(f"{name}: {error.args[0]}") from error
        ports: list[int] = []
        reasons: list[str] = []
        for each in found:
            run = self._kubelet.find(backend.namespace, each.pod)
            if run is None:
                reasons.append(f"pod {each.pod} runs nothing here: its image is not of the sandbox's registry")
            elif each.ready and (port := run.port(each.port)) is not None:
                ports.append(port)
            else:
                reasons.append(f"pod {each.pod}: {run.reason() or 'not ready'}")
        if not ports:
            raise LookupError(f"{name} has no ready pod: {'; '.join(reasons) or 'no pod matches its selector'}")
        return ports

    async def _forward(self, request: Request, port: int) -> Response:
        headers = [(name, value) for name, value in request.headers.raw if name.decode("latin-1") not in _HOP_BY_HOP]
        client = request.client.host if request.client else ""
        headers += [
            (b"x-forwarded-for", client.encode()),
            (b"x-forwarded-proto", b"http"),
            (b"x-forwarded-host", request.headers.get("host", "").encode("latin-1")),
        ]
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raw = request.scope.get("raw_path", b"") or target.encode()
        query = request.scope.get("query_string", b"")
        url = httpx.URL(scheme="http", host="127.0.0.1", port=port, raw_path=raw + (b"?" + query if query else b""))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = httpx.Request(request.method, url, headers=headers, content=request.stream() if has_body else None)
        try:
            answer = await self._client.send(outgoing, stream=True)
        except httpx.HTTPError as error:
            return _problem(502, f"the pod's process does not answer: {type(error).__name__}")
        response = StreamingResponse(_pieces(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.decode("latin-1").lower() not in _HOP_BY_HOP
        ]
        return response


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def _problem(code: int, text: str) -> Response:
    return PlainTextResponse(f"sandbox ingress: {text}\n", code)


def ingress_app(cluster: Cluster, kubelet: Kubelet, register: Callable[[], asyncio.Future[None]]) -> Starlette:
    """The ingress; while it serves, the kubelet runs, and what the cluster must know of it is kept there."""
    ingress = Ingress(cluster, kubelet)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        tasks = [asyncio.ensure_future(kubelet.run()), asyncio.ensure_future(register())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return Starlette(
        routes=[Route(_HEALTH, ingress.health), Route("/{path:path}", ingress.serve, methods=_METHODS)],
        lifespan=lifespan,
    )


def logs_app(kubelet: Kubelet) -> Starlette:
    """The part of the kubelet's API that `kubectl logs` leads to."""

    async def logs(request: Request) -> Response:
        found = kubelet.find(request.path_params["namespace"], request.path_params["pod"])
        if found is None:
            return PlainTextResponse("kwok plays this pod: it runs nothing and writes no log", 404)
        query = request.query_params
        path = found.log(request.path_params["container"], previous=query.get("previous") == "true")
        if path is None:
            return PlainTextResponse("there is no such log", 404)
        lines = int(query["tailLines"]) if query.get("tailLines") else None
        return StreamingResponse(_read(path, lines, follow=query.get("follow") == "true"), media_type="text/plain")

    return Starlette(routes=[Route("/containerLogs/{namespace}/{pod}/{container}", logs)])


async def _read(path: Path, lines: int | None, *, follow: bool) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        content = file.read()
        yield content if lines is None else b"".join(content.splitlines(keepends=True)[-lines:] if lines else [])
        while follow and path.exists():
            await asyncio.sleep(0.2)
            if piece := file.read():
                yield piece


async def register(cluster: Cluster, logs_port: int) -> None:
    """Tell the cluster of its ingress class, the default one, and where its nodes' logs are. Tries until it is done."""
    ingress_class = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": routing.CLASS,
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
        },
        "spec": {"controller": "pavedpath.sandbox/ingress"},
    }
    logs = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": logs_port}}}}
    missing = set(NODES)
    while True:
        try:
            await cluster.create(f"{_NETWORKING}/ingressclasses", ingress_class)
            for name in sorted(missing):
                if await cluster.patch(f"/api/v1/nodes/{name}/status", logs):
                    missing.discard(name)
            if not missing:
                return
        except httpx.HTTPError as error:
            _LOG.info("registering: %s %s", type(error).__name__, error)
        await asyncio.sleep(0.2)
