"""A model of one SQS queue, FIFO or standard, at the level of boto3's low-level client, and of what a poller does."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .dynamodb import AwsRefusals, client_error
from .engine import Engine
from .policy import Message

_DEDUPLICATION = 300.0
"""Seconds for which a FIFO queue knows deduplication ids (SQS, "Exactly-once processing")."""
_LONGEST = 43200.0
"""Most seconds that a message stays out of sight, from its receive on (SQS, "Visibility timeout": 12 hours)."""


@dataclass
class _Stored:
    id: str
    body: str
    group: str
    receives: int = 0
    flight: int = 0
    """Number of the receive that holds it; 0: none."""
    received_at: float = 0.0
    visible_at: float = 0.0
    """When it is visible again, unless it is deleted or that is put off."""


class SQS:
    """One queue and its dead-letter queue.

    FIFO: within a group in order and one at a time, so one that is in flight or failed holds up those behind it.
    Standard: no order, no deduplication, and with `duplicates` a message is handed over twice.
    """

    def __init__(
        self, engine: Engine, fifo: bool, visibility: float, receives: int, delay: float = 0.0, duplicates: float = 0.0
    ) -> None:
        self._engine = engine
        self._fifo = fifo
        self._visibility = visibility
        self._receives = receives
        self._delay = delay
        self.duplicates = duplicates
        self._groups: dict[str, deque[_Stored]] = {}
        self._ready: deque[str] = deque()
        self._in_flight: dict[str, _Stored] = {}
        self._known: dict[str, float] = {}
        self._sent = 0
        self._flights = 0
        self._refusals = AwsRefusals("RequestThrottled")
        self.dead: list[str] = []
        """Bodies of the messages in the dead-letter queue."""
        self.on_ready: Callable[[], None] = lambda: None
        """Called when a message can be received."""

    def send_message(self, **request: Any) -> dict[str, Any]:
        """SendMessage."""
        return self._engine.call("sqs", "SendMessage", 0.01, lambda: self._send(request), self._refusals)

    def _send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._fifo:
            if request.get("DelaySeconds"):
                raise client_error("SendMessage", "InvalidParameterValue", "DelaySeconds: not for this queue type")
            key = request["MessageDeduplicationId"]
            known = self._known.get(key)
            if known is not None and self._engine.time < known + _DEDUPLICATION:
                return {"MessageId": "known"}
            self._forget()
            self._known[key] = self._engine.time
        self._sent += 1
        message = _Stored(f"m-{self._sent}", request["MessageBody"], request["MessageGroupId"] if self._fifo else "")
        if self._fifo:
            self._add(message)
            return {"MessageId": message.id}
        message.group = message.id
        delay = request.get("DelaySeconds", self._delay)
        self._engine.after(delay, self._add, message)
        if self._engine.random.random() < self.duplicates:
            twin = _Stored(f"{message.id}b", message.body, f"{message.id}b")
            self._engine.after(delay + self._engine.random.uniform(0, 20), self._add, twin)
        return {"MessageId": message.id}

    def _forget(self) -> None:
        while self._known:
            key, at = next(iter(self._known.items()))
            if at + _DEDUPLICATION > self._engine.time:
                return
            del self._known[key]

    def _add(self, message: _Stored) -> None:
        group = self._groups.setdefault(message.group, deque())
        group.append(message)
        if len(group) == 1:
            self._ready.append(message.group)
            self.on_ready()

    def receive(self, most: int) -> Sequence[Message]:
        """Take up to so many messages, one of a group, out of sight for the visibility time-out."""
        taken: list[Message] = []
        while self._ready and len(taken) < most:
            message = self._groups[self._ready.popleft()][0]
            message.receives += 1
            self._flights += 1
            message.flight = self._flights
            message.received_at = self._engine.time
            self._hide(message, self._visibility)
            taken.append(Message(message.id, message.body, message.receives, _handle(message)))
            self._in_flight[message.id] = message
        return taken

    def _hide(self, message: _Stored, seconds: float) -> None:
        message.visible_at = self._engine.time + seconds
        self._engine.at(message.visible_at, self._expire, message, message.flight)

    def change_message_visibility(self, **request: Any) -> dict[str, Any]:
        """ChangeMessageVisibility of a message that is in flight: visible so many seconds from now."""
        return self._engine.call("sqs", "ChangeMessageVisibility", 0.01, lambda: self._change(request), self._refusals)

    def _change(self, request: Mapping[str, Any]) -> dict[str, Any]:
        handle, seconds = request["ReceiptHandle"], request["VisibilityTimeout"]
        message = self._in_flight.get(handle.rpartition("/")[0])
        why = ""
        if message is None or _handle(message) != handle:
            why = (
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not "
                "available for visibility timeout change."
            )
        elif not 0 <= seconds <= _LONGEST:
            why = f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200."
        elif self._engine.time + seconds > message.received_at + _LONGEST:
            why = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
        if message is None or why:
            raise client_error("ChangeMessageVisibility", "InvalidParameterValue", why)
        self._hide(message, seconds)
        return {}

    def delete(self, message: Message) -> None:
        """Delete a message that was received and is still held; sometimes that fails, and it comes again."""
        held = self._in_flight.get(message.id)
        if held is None or held.receives != message.receives:
            return
        if self._engine.random.random() < self.duplicates:
            self._engine.say("sqs", "delete lost", detail=held.body)
            return
        self._end(held)

    def _end(self, message: _Stored) -> None:
        message.flight = 0
        self._in_flight.pop(message.id, None)
        group = self._groups[message.group]
        group.popleft()
        if group:
            self._ready.append(message.group)
            self.on_ready()
        else:
            del self._groups[message.group]

    def _expire(self, message: _Stored, flight: int) -> None:
        if message.flight != flight or message.visible_at > self._engine.time:
            return
        if self._receives and message.receives >= self._receives:
            self._engine.say("sqs", "to the dead-letter queue", detail=message.body)
            self.dead.append(message.body)
            self._end(message)
            return
        message.flight = 0
        self._in_flight.pop(message.id, None)
        self._ready.append(message.group)
        self.on_ready()


def _handle(message: _Stored) -> str:
    """What stands for one receive of a message."""
    return f"{message.id}/{message.flight}"
