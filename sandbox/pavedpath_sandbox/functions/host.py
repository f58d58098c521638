"""Runs functions: each in processes of its own, one invocation at a time in each, kept for the next one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

from .model import Function, Json, Outcome

LOG = logging.getLogger("pavedpath_sandbox.functions")
MOST = 8
"""Processes of one function at once, whatever is reserved: this is one machine."""
_READY_SECONDS = 60.0
_IDLE_SECONDS = 300.0
_WORKER = Path(__file__).with_name("worker.py")

Hear = Callable[[Function, str, str], None]
"""Is told each line that a function has written: the function, its log stream, the line."""


class WorkerError(Exception):
    """A process did not answer; the message is Lambda's."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Worker:
    """One process. Its pipes end with this process, and it ends with them."""

    def __init__(self, function: Function, code: Path, environment: Mapping[str, str], hear: Hear) -> None:
        self.function = function
        self.stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid4().hex}"
        self.idle_since = time.monotonic()
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(requests), str(answers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **variables(function, code, self.stream)},
            cwd=code,
            pass_fds=(requests, answers),
        )
        os.close(requests)
        os.close(answers)
        self._unread = b""
        output = cast("IO[bytes]", self._process.stdout)
        threading.Thread(target=self._listen, args=(output, hear), daemon=True).start()
        self._expect(_READY_SECONDS, "Runtime.InitError")

    def _listen(self, output: IO[bytes], hear: Hear) -> None:
        with output:
            for line in output:
                hear(self.function, self.stream, line.decode("utf-8", "replace").rstrip("\n"))

    def call(self, request: str, payload: str) -> str:
        """Run the handler; returns its answer as JSON.

        Raises:
            WorkerError: it failed, took too long or died. In the last two cases the process is gone.
        """
        asked = {"request": request, "arn": self.function.arn, "timeout": self.function.timeout, "payload": payload}
        with contextlib.suppress(OSError):  # it is dead, which reading finds
            _write_all(self._requests, json.dumps(asked).encode() + b"\n")
        return str(self._expect(self.function.timeout, "Runtime.ExitError").get("result", "null"))

    def _expect(self, seconds: float, death: str) -> Json:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._answers, 1 << 16) if ready else b""
            if not chunk:
                self.end()
                if ready:
                    raise WorkerError(death, f"Runtime exited with error: exit status {self._process.returncode}")
                raise WorkerError("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        answer = cast("Json", json.loads(line))
        if "problem" in answer:
            problem = cast("Json", answer["problem"])
            if death == "Runtime.InitError":
                self.end()
            raise _HandlerError(problem)
        return answer

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for descriptor in (self._requests, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._answers = -1


class _HandlerError(WorkerError):
    def __init__(self, problem: Json) -> None:
        super().__init__(str(problem["errorType"]), str(problem["errorMessage"]))
        self.problem = problem


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def variables(function: Function, code: Path, stream: str) -> dict[str, str]:
    """The variables that Lambda gives a function, and its own, which win."""
    return {
        "AWS_ACCESS_KEY_ID": function.account,  # as an access key id, an account's is its own here
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": function.handler,
        "TZ": ":UTC",
        **function.environment,
    }


class Host:
    """All functions. Thread-safe."""

    def __init__(self, code: Callable[[Function], Path], environment: Mapping[str, str], hear: Hear) -> None:
        """`code` gives the directory of a function's unpacked code, `environment` is what all processes have."""
        self._code, self._environment, self._hear = code, environment, hear
        self._functions: Mapping[str, Function] = {}
        self._idle: dict[str, list[Worker]] = {}
        self._busy: dict[str, set[Worker | object]] = {}
        self._changed = threading.Condition()

    def deploy(self, functions: Mapping[str, Function]) -> None:
        """Take over what is deployed now, by ARN; processes of what has changed end."""
        with self._changed:
            self._functions = functions
            stale = [
                one for each in self._idle.values() for one in each if functions.get(one.function.arn) != one.function
            ]
            for each in self._idle.values():
                each[:] = [one for one in each if one not in stale]
            self._changed.notify_all()
        for each in stale:
            each.end()

    def function(self, arn: str) -> Function | None:
        """The function of that ARN, whatever its qualifier."""
        return self._functions.get(":".join(arn.split(":")[:7]))

    def room(self, function: Function) -> int:
        """How many invocations of a function may run at once."""
        return MOST if function.reserved is None else min(MOST, function.reserved)

    def invoke(self, function: Function, payload: str, *, wait: bool) -> Outcome:
        """Run a function. Where all its room is taken, `wait` for some, or be refused."""
        place = self._enter(function, wait=wait)
        if place is None:
            return Outcome('{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded"}', throttled=True)
        started, request = time.monotonic(), str(uuid4())
        worker: Worker | None = None
        try:
            try:
                worker = self._take(function)
                outcome = Outcome(worker.call(request, payload))
            except _HandlerError as error:
                outcome = Outcome(json.dumps(error.problem), "Unhandled")
            except WorkerError as error:
                shown = {"errorType": error.kind, "errorMessage": f"RequestId: {request} Error: {error}"}
                outcome = Outcome(json.dumps(shown), "Unhandled")
            except Exception as error:
                LOG.exception("%s cannot run", function.name)
                shown = {"errorType": type(error).__name__, "errorMessage": str(error)}
                outcome = Outcome(json.dumps(shown), "Unhandled")
        finally:
            self._leave(function, place, worker)
        took = f"{1000 * (time.monotonic() - started):.0f} ms"
        LOG.info("%s %s %s %s", function.name, request, took, outcome.content[:500] if outcome.error else "ok")
        return outcome

    def _enter(self, function: Function, *, wait: bool) -> object | None:
        with self._changed:
            busy, place = self._busy.setdefault(function.arn, set()), object()
            while len(busy) >= self.room(function):
                # The machine's own limit is waited for even where Lambda has one of its own to refuse with.
                if not wait and function.reserved is not None and len(busy) >= function.reserved:
                    return None
                self._changed.wait(1.0)
                function = self._functions.get(function.arn, function)
            busy.add(place)
            return place

    def _take(self, function: Function) -> Worker:
        with self._changed:
            idle = self._idle.setdefault(function.arn, [])
            while idle:
                worker = idle.pop()  # the one that was used last is the warmest
                if worker.alive and worker.function == function:
                    return worker
                worker.end()
        return Worker(function, self._code(function), self._environment, self._hear)

    def _leave(self, function: Function, place: object, worker: Worker | None) -> None:
        with self._changed:
            self._busy[function.arn].discard(place)
            keep = worker is not None and worker.alive and self._functions.get(function.arn) == worker.function
            if worker is not None and keep:
                worker.idle_since = time.monotonic()
                self._idle.setdefault(function.arn, []).append(worker)
            self._changed.notify_all()
        if worker is not None and not keep and worker.alive:
            worker.end()

    def tidy(self) -> None:
        """End processes that have had nothing to do for some time."""
        oldest = time.monotonic() - _IDLE_SECONDS
        with self._changed:
            stale = [one for each in self._idle.values() for one in each if one.idle_since < oldest]
            for each in self._idle.values():
                each[:] = [one for one in each if one not in stale]
        for each in stale:
            each.end()

    def end(self) -> None:
        """End all processes that wait; those that run end with this one."""
        with self._changed:
            workers = [one for each in self._idle.values() for one in each]
            self._idle.clear()
        for each in workers:
            each.end()


class LogBook:
    """Takes the lines of functions to the part's own log at once, and to CloudWatch Logs in batches."""

    def __init__(self, write: Callable[[Function, str, list[tuple[int, str]]], None], seconds: float = 0.5) -> None:
        self._write, self._seconds = write, seconds
        self._lines: queue.SimpleQueue[tuple[Function, str, int, str]] = queue.SimpleQueue()

    def hear(self, function: Function, stream: str, line: str) -> None:
        """One line."""
        LOG.info("%s: %s", function.name, line)
        self._lines.put((function, stream, int(time.time() * 1000), line))

    def run(self) -> None:
        """Write for ever."""
        while True:
            time.sleep(self._seconds)
            self.flush()

    def flush(self) -> None:
        """Write what has come."""
        batches: dict[tuple[str, str], tuple[Function, list[tuple[int, str]]]] = {}
        while not self._lines.empty():
            function, stream, moment, line = self._lines.get()
            batches.setdefault((function.arn, stream), (function, []))[1].append((moment, line))
        for (_, stream), (function, lines) in batches.items():
            self._write(function, stream, lines)
