"""What invokes functions by itself: queues, schedules, and invocations that nobody waits for."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from . import events
from .cloud import Cloud, CloudError
from .host import Host
from .model import Deferred, EventSource, Function, Json, Outcome, Schedule, Snapshot

LOG = logging.getLogger("pavedpath_sandbox.functions")
ATTEMPTS = 3
"""Lambda runs an asynchronous invocation that fails twice more."""
_WAIT_SECONDS = 10
_RETRY_SECONDS = 1.0
_UNLIMITED = 1000


class Poller:
    """Reads one queue for one function. Messages that it takes and does not delete come back by their visibility."""

    def __init__(self, source: EventSource, cloud: Cloud, host: Host, size: int) -> None:
        """`size` is how many batches are worked on at once."""
        self.source, self.size = source, size
        self._cloud, self._host = cloud, host
        self._stopped = threading.Event()
        self._slots = threading.Semaphore(size)
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=f"poll-{source.queue}")

    def start(self) -> None:
        """Poll until `stop`."""
        threading.Thread(target=self._run, daemon=True, name=f"poll-{self.source.queue}").start()

    def stop(self) -> None:
        """Take no more messages; what was taken is brought to its end."""
        self._stopped.set()
        self._pool.shutdown(wait=False)

    def _run(self) -> None:
        source = self.source
        while not self._stopped.is_set():
            self._slots.acquire()
            taken = False
            try:
                count = min(source.batch_size, 10)
                found = self._cloud.receive(source.account, source.region, source.queue, count, _WAIT_SECONDS)
                if found:
                    self._pool.submit(self._handle, found)
                    taken = True
            except CloudError as error:
                LOG.warning("queue %s: %s", source.queue, error)
                self._stopped.wait(_RETRY_SECONDS)
            except RuntimeError:  # stopped in between: the messages come back
                return
            finally:
                if not taken:
                    self._slots.release()

    def _handle(self, messages: list[Json]) -> None:
        source = self.source
        try:
            function = self._host.function(source.function)
            if function is None:
                return
            payload = json.dumps(events.queue_event(source, messages))
            outcome = self._host.invoke(function, payload, wait=True)
            done = events.handled(source, messages, outcome)
            self._cloud.delete(source.account, source.region, source.queue, done)
        except CloudError as error:
            LOG.warning("queue %s: messages come again, since they could not be deleted: %s", source.queue, error)
        except Exception:
            LOG.exception("queue %s", source.queue)
        finally:
            self._slots.release()


class Sources:
    """All of them, as they are deployed."""

    def __init__(self, cloud: Cloud, host: Host, minute: float = 60.0) -> None:
        """`minute` is how many seconds a minute of a schedule takes."""
        self._cloud, self._host, self._minute = cloud, host, minute
        self._pollers: dict[str, Poller] = {}
        self._due: dict[Schedule, float] = {}
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="event")

    def follow(self, snapshot: Snapshot) -> None:
        """Take over what is deployed now."""
        self._follow_queues(snapshot)
        with self._lock:
            now = time.monotonic()
            self._due = {
                each: self._due.get(each, now + self._period(each)) for each in snapshot.schedules if each.enabled
            }
        for each in snapshot.pending:
            with self._lock:
                if each.id in self._running:
                    continue
                self._running.add(each.id)
            self._pool.submit(self._deferred, each)

    def _follow_queues(self, snapshot: Snapshot) -> None:
        wanted = {each.id: each for each in snapshot.mappings if each.enabled and each.function in snapshot.functions}
        sizes = {name: self._size(snapshot.functions[each.function], each) for name, each in wanted.items()}
        for identity, poller in list(self._pollers.items()):
            if (wanted.get(identity), sizes.get(identity)) != (poller.source, poller.size):
                self._pollers.pop(identity).stop()
        for identity, source in wanted.items():
            if identity not in self._pollers and sizes[identity]:
                self._pollers[identity] = Poller(source, self._cloud, self._host, sizes[identity])
                self._pollers[identity].start()

    def _size(self, function: Function, source: EventSource) -> int:
        """0 where a function may not run at all: its messages are left in their queue."""
        return min(self._host.room(function), source.maximum_concurrency or _UNLIMITED)

    def _period(self, schedule: Schedule) -> float:
        period = events.minutes(schedule.expression)
        if period is None:
            LOG.warning("%s: only rate(…) is played here, not %s", schedule.arn, schedule.expression)
            return float("inf")
        return period * self._minute

    def tick(self) -> None:
        """Start what is due."""
        now = time.monotonic()
        with self._lock:
            due = [each for each, moment in self._due.items() if moment <= now]
            for each in due:
                self._due[each] = now + self._period(each)
        for each in due:
            self._pool.submit(self._scheduled, each)

    def _scheduled(self, schedule: Schedule) -> None:
        payload = events.schedule_event(schedule, str(uuid4()), time.time())
        self._attempt(schedule.function, payload)

    def _deferred(self, deferred: Deferred) -> None:
        try:
            self._attempt(deferred.function, deferred.payload)
            self._until_answered(lambda: self._cloud.done(deferred.id))
        finally:
            with self._lock:
                self._running.discard(deferred.id)

    def _attempt(self, arn: str, payload: str) -> None:
        function = self._host.function(arn)
        if function is None:
            LOG.warning("there is no function %s", arn)
            return
        outcome = Outcome("")
        for attempt in range(ATTEMPTS):
            outcome = self._host.invoke(function, payload, wait=True)
            if not outcome.error:
                return
            time.sleep(_RETRY_SECONDS * attempt)
        LOG.warning("%s: given up after %d attempts: %s", function.name, ATTEMPTS, outcome.content[:500])

    def _until_answered(self, call: Callable[[], None]) -> None:
        while True:
            try:
                call()
            except CloudError as error:
                LOG.warning("%s", error)
                time.sleep(_RETRY_SECONDS)
            else:
                return
