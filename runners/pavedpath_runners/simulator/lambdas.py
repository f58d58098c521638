"""A model of Lambda: environments, time-outs, asynchronous retries, the event source mapping, the schedule."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pavedpath_runners.ports import ConflictError, UnavailableError

from .ec2 import Machine
from .engine import Engine
from .policy import Deployment, Hook, Policy
from .sqs import SQS

T = TypeVar("T")
_RETRIES = (60.0, 120.0)
"""Seconds before the retries of an asynchronous invocation (Lambda, "How Lambda handles errors": two)."""


class Lambdas:
    """The four functions of a control plane."""

    def __init__(self, engine: Engine, deployment: Deployment, queue: SQS, build: Callable[[], Policy]) -> None:
        self._engine = engine
        self._deployment = deployment
        self._queue = queue
        self._build = build
        self._idle: dict[str, list[Policy]] = {}
        self._numbers: dict[str, int] = {}
        self._polling = 0
        self.twice = 0.0
        """Probability that a schedule's tick or an event comes twice."""
        self.notices_lost = 0.0
        """Probability that EventBridge's event is never seen."""
        self.defects: list[str] = []
        """Tracebacks of errors that no function should end with."""
        self.failures = 0
        """Invocations that failed, crashed or timed out."""
        queue.on_ready = self._poll_soon

    def defect(self) -> None:
        """Note the error that is being handled."""
        self.defects.append(traceback.format_exc())
        if self._deployment.strict:
            self._engine.stop()

    def start(self) -> None:
        """Begin the schedule."""
        self._engine.after(self._engine.random.uniform(1, self._deployment.tick_seconds), self._tick)

    def recycle(self) -> None:
        """End the environments that are idle now."""
        self._idle.clear()

    def webhook(self, hook: Hook, done: Callable[[int], None]) -> None:
        """A request of the function URL."""
        self._run("webhook", 10.0, lambda policy: policy.webhook(hook), lambda status: done(status or 502))

    def announced(self, machine: Machine) -> None:
        """EC2 announces a spot interruption."""
        self.event(
            "EC2 Spot Instance Interruption Warning", {"instance-id": machine.id, "instance-action": "terminate"}
        )

    def changed(self, machine: Machine) -> None:
        """EC2 tells of a machine's new state."""
        self.event("EC2 Instance State-change Notification", {"instance-id": machine.id, "state": machine.state})

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Send an event of EventBridge, at least once as a rule."""
        random = self._engine.random
        if random.random() < self.notices_lost:
            self._engine.say("events", "lost", machine=str(detail["instance-id"]), detail=kind)
            return
        event = {"source": "aws.ec2", "detail-type": kind, "detail": detail}
        self._engine.after(random.uniform(0.2, 4), self._interruption, event, 0)
        if random.random() < self.twice:
            self._engine.after(random.uniform(1, 30), self._interruption, event, 0)

    def _interruption(self, event: Mapping[str, Any], tries: int) -> None:
        def done(answer: bool | None) -> None:
            if not answer and tries < len(_RETRIES):
                self._engine.after(_RETRIES[tries], self._interruption, event, tries + 1)

        self._run("interruption", 30.0, lambda policy: policy.interruption(event) is None, done)

    def _tick(self) -> None:
        self._engine.after(self._deployment.tick_seconds, self._tick)
        self._reconcile()
        if self.twice and self._engine.random.random() < self.twice:
            self._engine.after(self._engine.random.uniform(0, 10), self._reconcile)

    def _reconcile(self) -> None:
        self._run("reconcile", self._deployment.timeout_seconds, lambda policy: policy.tick() is None, lambda _: None)

    def _poll_soon(self) -> None:
        self._engine.after(0.02 + 0.1 * self._engine.random.random(), self._poll)

    def _poll(self) -> None:
        if self._polling >= self._deployment.concurrency:
            return
        batch = self._queue.receive(self._deployment.batch)
        if not batch:
            return
        self._polling += 1

        def done(failed: Sequence[str] | None) -> None:
            self._polling -= 1
            if failed is not None:
                for message in batch:
                    if message.id not in failed:
                        self._queue.delete(message)
            self._poll_soon()

        self._run("launch", self._deployment.timeout_seconds, lambda policy: policy.messages(batch), done)

    def _run(self, kind: str, timeout: float, work: Callable[[Policy], T], done: Callable[[T | None], None]) -> None:
        number = self._numbers[kind] = self._numbers.get(kind, 0) + 1
        idle = self._idle.setdefault(kind, [])
        policy = idle.pop() if idle else self._build()

        def body() -> tuple[T | None, bool]:
            try:
                return work(policy), True
            except (UnavailableError, ConflictError) as error:
                self._engine.say(f"{kind} {number}", "failed", detail=f"{type(error).__name__}: {error}")
            except Exception:  # noqa: BLE001 - whatever a function may end with is a failed invocation, and is reported
                self.defect()
            return None, False

        def over(result: tuple[T | None, bool] | None, why: str) -> None:
            if not why:
                idle.append(policy)
            if result is None or not result[1]:
                self.failures += 1
            done(result[0] if result else None)

        self._engine.invoke(f"{kind} {number}", timeout, body, over)
