"""``python -m pavedpath_sandbox.functions --port P --aws URL --work DIR [--github URL] [--minute SECONDS]``."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from .archive import unpack
from .cloud import Cloud, CloudError
from .host import Host, LogBook
from .model import Function, Snapshot
from .server import FunctionServer
from .sources import Sources

LOG = logging.getLogger("pavedpath_sandbox.functions")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PAVEDPATH_SANDBOX_PART")
_RETRY_SECONDS = 0.3
_TIDY_SECONDS = 30.0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pavedpath_sandbox.functions")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--aws", required=True, help="address of the sandbox's AWS")
    parser.add_argument("--github", default="", help="address of the sandbox's GitHub")
    parser.add_argument("--work", type=Path, required=True, help="directory of unpacked code")
    parser.add_argument("--minute", type=float, default=60.0, help="seconds that a minute of a schedule takes")
    return parser.parse_args(argv)


def environment(aws: str, github: str) -> dict[str, str]:
    """What every function has besides what Lambda gives it: where the sandbox is."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    where = {"AWS_ENDPOINT_URL": aws, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*", "no_proxy": "*"}
    # A profile of the user's must not name another place.
    where |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **where, **({"GITHUB_BASE_URL": f"{github}/"} if github else {})}


def main(argv: list[str] | None = None) -> int:
    """Serve until TERM."""
    arguments = _arguments(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    cloud = Cloud(arguments.aws)

    def code(function: Function) -> Path:
        if function.package != "Zip" or not function.runtime.startswith("python"):
            raise CloudError(f"{function.name}: only archives for Python run here, not {function.runtime or 'images'}")
        directory = arguments.work / function.code
        return directory if directory.is_dir() else unpack(cloud.code(function.code), directory)

    def write(function: Function, stream: str, lines: list[tuple[int, str]]) -> None:
        try:
            cloud.log(function.account, function.region, function.log_group, stream, lines)
        except CloudError as error:
            LOG.warning("%d lines are not in CloudWatch Logs: %s", len(lines), error)

    book = LogBook(write)
    host = Host(code, environment(arguments.aws, arguments.github), book.hear)
    server = FunctionServer(arguments.port, host)
    sources = Sources(cloud, host, arguments.minute)

    def stop(_number: int, _frame: FrameType | None) -> None:
        host.end()
        os._exit(0)  # threads that wait for an answer of a function would hold up the end

    signal.signal(signal.SIGTERM, stop)
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    for target in (server.serve_forever, book.run, lambda: _tick(sources, host)):
        threading.Thread(target=target, daemon=True).start()
    follower = _Follower(cloud, host, server, sources)
    server.refresh = follower.refresh
    follower.run()
    return 0


def _tick(sources: Sources, host: Host) -> None:
    tidied = time.monotonic()
    while True:
        time.sleep(0.1)
        sources.tick()
        if time.monotonic() - tidied > _TIDY_SECONDS:
            tidied = time.monotonic()
            host.tidy()


class _Follower:
    """Keeps host, URLs and sources as they are deployed."""

    def __init__(self, cloud: Cloud, host: Host, server: FunctionServer, sources: Sources) -> None:
        self._cloud, self._host, self._server, self._sources = cloud, host, server, sources
        self._known = ""
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Take over what is deployed at this moment: somebody asks for what is not known yet."""
        with contextlib.suppress(CloudError):
            self._take(self._cloud.snapshot(""))

    def run(self) -> None:
        """Take over every change, for ever."""
        problem = ""
        while True:
            try:
                self._take(self._cloud.snapshot(self._known))
                problem = ""
            except CloudError as error:
                if str(error) != problem:  # AWS may be starting, or be started again: once is enough
                    problem = str(error)
                    LOG.info("%s", problem)
                time.sleep(_RETRY_SECONDS)

    def _take(self, snapshot: Snapshot) -> None:
        with self._lock:
            if snapshot.revision == self._known:
                return
            self._known = snapshot.revision
            self._host.deploy(snapshot.functions)
            self._server.urls = {each.url: each for each in snapshot.functions.values() if each.url}
            self._sources.follow(snapshot)
            self._server.known = True


if __name__ == "__main__":
    raise SystemExit(main())
