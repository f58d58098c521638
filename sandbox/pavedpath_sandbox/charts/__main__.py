"""``python -m pavedpath_sandbox.charts --port P --storage DIR --user-file FILE``: serve charts until TERM."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from pathlib import Path
from types import FrameType


def main() -> int:
    """Parse the arguments, print ``{"port": N}`` and serve; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pavedpath_sandbox.charts")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--storage", type=Path, required=True, help="the directory that holds the charts")
    parser.add_argument("--user-file", type=Path, required=True, help="lines USER:PASSWORD")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _stop)

    from .server import ChartMuseum, listen, read_users
    from .store import Store

    try:
        users = read_users(arguments.user_file.read_text(encoding="utf-8"))
        server = listen(ChartMuseum(Store(arguments.storage), users), arguments.port)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    raise SystemExit(main())
