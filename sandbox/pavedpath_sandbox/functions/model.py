"""What is deployed in the sandbox's AWS, as its server tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """One function. `timeout` is in seconds, `memory` in MB, `code` the SHA-256 of its archive in hexadecimal.

    `reserved` is its reserved concurrency, None without one; `url` the id of its URL, empty without one.
    """

    account: str
    region: str
    name: str
    arn: str
    handler: str
    runtime: str
    package: str
    timeout: float
    memory: int
    environment: Mapping[str, str]
    reserved: int | None
    code: str
    log_group: str
    url: str
    url_authentication: str


@dataclass(frozen=True)
class EventSource:
    """One event source mapping; `source` is the ARN of a queue."""

    id: str
    account: str
    region: str
    function: str
    source: str
    enabled: bool
    batch_size: int
    window: float
    maximum_concurrency: int | None
    item_failures: bool

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self.source.rpartition(":")[2]


@dataclass(frozen=True)
class Schedule:
    """A schedule of EventBridge Scheduler (`source` aws.scheduler) or a scheduled rule of EventBridge (aws.events)."""

    arn: str
    source: str
    expression: str
    enabled: bool
    function: str
    input: str


@dataclass(frozen=True)
class Deferred:
    """An invocation that nobody waits for; `payload` is JSON."""

    id: str
    function: str
    payload: str


@dataclass(frozen=True)
class Snapshot:
    """All of it, as of a revision."""

    revision: str
    functions: Mapping[str, Function]
    """By ARN."""
    mappings: tuple[EventSource, ...]
    schedules: tuple[Schedule, ...]
    pending: tuple[Deferred, ...]

    @staticmethod
    def read(content: Json) -> Snapshot:
        """Read the server's answer."""
        functions = [Function(**each) for each in content["functions"]]
        return Snapshot(
            revision=content["revision"],
            functions={each.arn: each for each in functions},
            mappings=tuple(EventSource(**each) for each in content["mappings"] if ":sqs:" in each["source"]),
            schedules=tuple(Schedule(**each) for each in content["schedules"]),
            pending=tuple(Deferred(**each) for each in content["pending"]),
        )


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended. `content` is JSON: the answer, or the error with its type.

    `error` is Lambda's kind of a function's error (`Unhandled`), empty if there was none; `throttled` says that it did
    not run at all.
    """

    content: str
    error: str = ""
    throttled: bool = False
