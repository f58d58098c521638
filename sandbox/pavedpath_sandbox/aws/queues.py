"""SQS as AWS has it where moto differs: what a FIFO queue remembers, and reading a long queue without scanning it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from moto.core.utils import unix_time_millis
from moto.sqs.models import DEDUPLICATION_TIME_IN_SECONDS, Queue

from .determinism import require

_COUNTS = (
    "approximate_number_of_messages",
    "approximate_number_of_messages_delayed",
    "approximate_number_of_messages_not_visible",
)


def install() -> None:
    """Replace the queue's methods.

    Raises:
        MotoChangedError: they are not there any more.
    """
    kind = cast("Any", Queue)
    for name in ("messages", *_COUNTS):
        require(isinstance(getattr(kind, name, None), property), f"Queue.{name} is no property")
    require(callable(getattr(kind, "add_message", None)), "Queue.add_message is gone")
    kind.messages = property(_messages)
    kind.approximate_number_of_messages = property(lambda self: len(_messages(self)))
    kind.approximate_number_of_messages_delayed = property(_delayed)
    kind.approximate_number_of_messages_not_visible = property(_in_flight)
    kind.add_message = _add


def attributes(shown: dict[str, Any]) -> dict[str, Any]:
    """A queue's attributes; AWS gives a redrive policy back without blanks, and clients compare the text."""
    if policy := shown.get("RedrivePolicy"):
        shown["RedrivePolicy"] = json.dumps(json.loads(policy), separators=(",", ":"))
    return shown


def set_attributes(self: Any, original: Callable[..., Any], attributes: dict[str, Any], now: Any = None) -> None:
    """SetQueueAttributes leaves the policy that it does not name; moto clears it."""
    kept = self.policy if hasattr(self, "_policy_json") else None
    original(self, attributes, now)
    if "Policy" not in attributes:
        self.policy = kept


def _messages(self: Any) -> list[Any]:
    now = unix_time_millis()
    return [each for each in self._messages if now > each.visible_at and now >= each.delayed_until]


def _delayed(self: Any) -> int:
    now = unix_time_millis()
    return sum(now < each.delayed_until for each in self._messages)


def _in_flight(self: Any) -> int:
    now = unix_time_millis()
    return sum(now <= each.visible_at for each in self._messages)


def _add(self: Any, message: Any) -> None:
    """Take a message, unless a FIFO queue had one of its deduplication id within five minutes, deleted or not.

    Event source mappings are not looked at: the part `functions` polls for them.
    """
    if self.fifo_queue and message.deduplication_id:
        remembered = cast("dict[str, float]", cast("dict[str, Any]", vars(self)).setdefault("deduplicated", {}))
        oldest = message.sent_timestamp - DEDUPLICATION_TIME_IN_SECONDS * 1000
        for known in [each for each, sent in remembered.items() if sent <= oldest]:
            del remembered[known]
        if message.deduplication_id in remembered:
            return
        remembered[message.deduplication_id] = message.sent_timestamp
    with self._messages_lock:
        self._messages.append(message)
        self._messages_lock.notify_all()
