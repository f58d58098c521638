"""Started by the engine as pulumi-language-python [flags] ENGINE_ADDRESS; prints its port and serves until the end."""

import argparse
import os
import signal
import sys
import threading
from concurrent import futures
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file: the installed launcher knows no package

import grpc

from toolchain.language_host import processes
from toolchain.language_host.host import Host
from toolchain.language_host.protocol import language_pb2_grpc

MESSAGE_BYTES = 400 << 20
"""The engine's own limit for a message."""


def arguments(argv: list[str]) -> argparse.Namespace:
    """The engine's flags for tracing and logging are taken and not used."""
    parser = argparse.ArgumentParser(prog="pulumi-language-python", allow_abbrev=False)
    parser.add_argument("--exec", required=True, type=Path, help="path of pulumi-language-python-exec")
    parser.add_argument("--tracing", "-tracing", default="")
    parser.add_argument("--logtostderr", "-logtostderr", action="store_true")
    parser.add_argument("--logflow", action="store_true")
    parser.add_argument("-v", default="")
    parser.add_argument("engine", nargs="?", default="")
    return parser.parse_known_args(argv)[0]


def stop(host: Host, grpc_server: grpc.Server) -> None:
    """End everything that runs here, and this process."""
    host.programs.end()
    host.plugins.end()
    grpc_server.stop(None)
    os._exit(0)  # threads of running calls must not hold the process back


def main(argv: list[str]) -> None:
    """Serve one engine."""
    options = arguments(argv)
    host = Host(options.engine, options.exec)
    limits = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=limits)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    parent = os.getppid()

    def follow_parent() -> None:
        processes.watch_parent(parent)
        stop(host, server)

    def on_signal(_number: int, _frame: object) -> None:
        stop(host, server)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    threading.Thread(target=follow_parent, daemon=True).start()
    print(port, flush=True)  # noqa: T201 - how the engine learns the port
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
