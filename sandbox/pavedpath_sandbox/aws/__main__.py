"""``python -m pavedpath_sandbox.aws --port P [--journal FILE] [--functions URL]``: serve AWS until TERM."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType


def main() -> None:
    """Parse the arguments, print ``{"port": N}``, serve, and bring the journalled state back."""
    parser = argparse.ArgumentParser(prog="python -m pavedpath_sandbox.aws")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--functions", default="", help="address of the part that runs functions")
    arguments = parser.parse_args()
    # moto reads the first when its IAM module is imported. The second: no account sees another's buckets.
    os.environ |= {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true", "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "false"}
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)

    from .server import build, listen

    application = build(arguments.journal, arguments.functions)
    server = listen(application, arguments.port)
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    # A thread that is just making another could take the signal, and this one, which has to handle it, would sleep on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    replayed = application.replay()
    logging.info(
        "ready; %d requests replayed in %.2f s, %d problems",
        replayed.entries,
        replayed.seconds,
        len(replayed.problems),
    )
    threading.Event().wait()


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
