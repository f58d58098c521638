"""Run the server: `python -m pavedpath_sandbox.github --port P --state FILE --token-file F`."""

import argparse
import json
import logging
import socket
import sys
from pathlib import Path

import uvicorn

from pavedpath_sandbox.github.app import create_app
from pavedpath_sandbox.github.settings import Plan, Settings, read_tokens, runner_app


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pavedpath_sandbox.github", description="A GitHub on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="the SQLite file that holds everything")
    parser.add_argument("--token-file", type=Path, required=True, help="lines `TOKEN [LOGIN]`; the first owns")
    parser.add_argument("--organization", default="acme")
    parser.add_argument("--plan", choices=[plan.name.lower() for plan in Plan], default="team")
    parser.add_argument("--runner-app-key", type=Path, help="public key of the app pavedpath-runners, PEM")
    parser.add_argument("--strict", action="store_true", help="answer 500 and 501 where GitHub would differ")
    parser.add_argument("--rate-limit", type=int, default=5000, help="requests an hour and user")
    parser.add_argument("--secondary-limit", type=int, default=900, help="points a minute and user")
    return parser.parse_args(argv)


def _listen(port: int) -> socket.socket:
    """A listening socket on loopback.

    Its protocol is said: asyncio turns Nagle's algorithm off only for sockets that say they are TCP, and with it on
    every answer waits 40 ms for the client's delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def main(argv: list[str] | None = None) -> int:
    """Serve until a signal comes; returns the exit status."""
    arguments = _arguments(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines would repeat ours, with whole addresses
    try:
        settings = Settings(
            state=arguments.state,
            tokens=read_tokens(arguments.token_file, arguments.organization),
            organization=arguments.organization,
            plan=Plan[arguments.plan.upper()],
            app=None if arguments.runner_app_key is None else runner_app(arguments.runner_app_key.read_text()),
            strict=arguments.strict,
            rate_limit=arguments.rate_limit,
            secondary_limit=arguments.secondary_limit,
        )
        listener = _listen(arguments.port)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    app = create_app(settings)
    sys.stdout.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, access_log=False, log_level="warning", lifespan="on", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
