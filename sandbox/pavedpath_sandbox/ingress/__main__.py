"""Run the ingress: ``python -m pavedpath_sandbox.ingress --port P --logs-port P --kubeconfig F --work DIR …``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

from pavedpath_sandbox.registry import Registry

from .app import ingress_app, logs_app, register
from .cluster import Cluster
from .kubelet import Kubelet
from .process import Host
from .unpack import Store

_INHERITED = ("HOME", "LANG", "LC_ALL", "TMPDIR", "USER")


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pavedpath_sandbox.ingress", description="A cluster's ingress and kubelet.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1 of the ingress")
    parser.add_argument("--logs-port", type=int, required=True, help="port on 127.0.0.1 of the kubelet's logs, TLS")
    parser.add_argument("--certificate", type=Path, required=True, help="certificate of the latter, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its key, PEM")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--registry", default="", help="HOST:PORT of the sandbox's registry; without it no pod runs")
    parser.add_argument("--images", type=Path, required=True, help="directory of unpacked images; may be shared")
    parser.add_argument("--logs", type=Path, required=True, help="directory of the containers' logs; emptied")
    return parser.parse_args(argv)


def this_machine(environ: Mapping[str, str], marks: Mapping[str, str]) -> Host:
    """The machine as containers see it.

    Its Python is the one that this environment was made of: an image brings its own packages.
    """
    own = Path(sys.base_prefix) / "bin"
    path = [str(own), *(entry for entry in environ.get("PATH", os.defpath).split(":") if entry)]
    kept = {name: environ[name] for name in _INHERITED if name in environ}
    return Host(own / "python3", path, {**kept, "PYTHONDONTWRITEBYTECODE": "1", **marks})


async def _serve(arguments: argparse.Namespace) -> None:
    from pavedpath_sandbox.supervisor import MARKER

    cluster = Cluster.from_kubeconfig(arguments.kubeconfig)
    store = Store(arguments.images, Registry(arguments.registry)) if arguments.registry else None
    marks = {MARKER: os.environ[MARKER]} if MARKER in os.environ else {}
    host = this_machine(os.environ, marks)
    kubelet = Kubelet(cluster, store, arguments.registry, arguments.logs, host)
    app = ingress_app(cluster, kubelet, lambda: asyncio.ensure_future(register(cluster, arguments.logs_port)))
    common: dict[str, Any] = {
        "host": "127.0.0.1",
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": 2,
    }
    front = uvicorn.Server(uvicorn.Config(app, port=arguments.port, lifespan="on", server_header=False, **common))
    logs = uvicorn.Server(
        uvicorn.Config(
            logs_app(kubelet),
            port=arguments.logs_port,
            lifespan="off",
            ssl_certfile=str(arguments.certificate),
            ssl_keyfile=str(arguments.key),
            **common,
        )
    )
    # In this order: a signal reaches the second, which hands it on to the first when it has ended.
    await asyncio.gather(front.serve(), logs.serve())


def main(argv: list[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_serve(_arguments(argv)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
