"""One execution environment: imports a function's handler once and runs it for each event that comes down a pipe.

Run as a file of its own, with what it needs from the standard library alone: `worker.py REQUESTS ANSWERS`, two file
descriptors. It ends when the host does, however the host ends.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from typing import Any


class Context:
    """What a handler is told of its invocation."""

    def __init__(self, request: str, arn: str, deadline: float) -> None:
        self.aws_request_id = request
        self.invoked_function_arn = arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""
        return max(0, int((self._deadline - time.time()) * 1000))


def _read(descriptor: int, waiting: queue.Queue[dict[str, Any]]) -> None:
    with os.fdopen(descriptor, encoding="utf-8") as lines:
        for line in lines:
            waiting.put(json.loads(line))
    os._exit(0)  # the host is gone: an invocation that runs ends where it is, as on a machine that fails


def _problem(error: BaseException) -> dict[str, Any]:
    frames = traceback.format_tb(error.__traceback__)[1:]
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": frames}


def _handler() -> Any:
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


def main() -> None:
    """Say that it is ready, or why it is not, then answer each request."""
    requests, answers = (int(each) for each in sys.argv[1:3])
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()
    out = os.fdopen(answers, "w", encoding="utf-8")

    def answer(value: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        out.write(json.dumps(value) + "\n")
        out.flush()

    try:
        handler = _handler()
    except BaseException as error:  # noqa: BLE001 - whatever a module raises when it is imported is the function's error
        traceback.print_exc()
        answer({"problem": _problem(error)})
        return
    answer({})
    while True:
        asked = waiting.get()
        context = Context(asked["request"], asked["arn"], time.time() + asked["timeout"])
        os.environ["_X_AMZN_TRACE_ID"] = f"Root=1-0-{asked['request'].replace('-', '')[:24]}"
        try:
            result = json.dumps(handler(json.loads(asked["payload"]), context))
        except Exception as error:  # noqa: BLE001 - every error of a handler is its answer
            traceback.print_exc()
            answer({"problem": _problem(error)})
        else:
            answer({"result": result})


if __name__ == "__main__":
    main()
