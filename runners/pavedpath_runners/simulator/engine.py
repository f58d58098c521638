"""Virtual time: a heap of events, and invocations that give way to one another at every call to a service."""

import heapq
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class Crash(BaseException):  # not an Exception: the process is gone, and no `except Exception` may see it
    """The execution environment of an invocation ended, by a crash or by its time-out."""


class Entry(NamedTuple):
    """One line of a timeline."""

    at: float
    actor: str
    """Invocation or service."""
    what: str
    job: int
    """0: none."""
    machine: str
    """Instance id or runner's name; empty: none."""
    detail: str


@dataclass(frozen=True)
class Rates:
    """Probabilities of what may befall one call to a service, while faults last."""

    crash: float = 0.0
    """The invocation ends: before the effect or, as often, after it."""
    lost: float = 0.0
    """The effect takes place and the answer is lost; in half of the cases the client tries again by itself."""
    throttle: float = 0.0
    """The call is refused for too many requests."""
    stall: float = 0.0
    """The call takes up to 70 s, which no function outlives."""

    @cached_property
    def total(self) -> float:
        """Probability that anything happens."""
        return self.crash + self.lost + self.throttle + self.stall


class Invocation:
    """One run of a function."""

    __slots__ = ("crashed", "dead", "deadline", "greenlet", "name")

    def __init__(self, name: str, deadline: float) -> None:
        self.name = name
        self.deadline = deadline
        self.dead = False
        """Whether it has ended, in whatever way."""
        self.crashed = False
        self.greenlet: greenlet | None = None


Effect = Callable[[Mapping[str, Any]], T]


class Engine:
    """Clock, events and calls. Everything that happens is in the order of its time, then of its scheduling."""

    def __init__(self, seed: int, start: float, journal: bool = True) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation is to be repeatable, not secret
        self.start = start
        self.time = start
        self.journal: list[Entry] | None = [] if journal else None
        self.rates: Mapping[str, Rates] = {}
        """By service; empty while nothing fails."""
        self.events = 0
        self.calls: dict[str, int] = {}
        self.faults = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._hub = getcurrent()
        self._running: Invocation | None = None
        self._alone = False
        """Whether the event that happens now is over when the invocation that runs now gives way."""
        self._until = -math.inf
        """Until when `run` goes on; in the past if it does not."""

    def now(self) -> float:
        """Seconds since 1970 (it is also the `Clock` of the control plane)."""
        return self.time

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        """Have something happen."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Have something happen later."""
        self.at(self.time + seconds, action, *arguments)

    def say(self, actor: str, what: str, job: int = 0, machine: str = "", detail: str = "") -> None:
        """Write a line of the timeline."""
        if self.journal is not None:
            self.journal.append(Entry(self.time, actor, what, job, machine, detail))

    def step(self) -> bool:
        """Let the next event happen; whether there was one."""
        if not self._heap:
            return False
        self.time, _, action, arguments = heapq.heappop(self._heap)
        self.events += 1
        action(*arguments)
        return True

    def run(self, until: float) -> None:
        """Let everything happen until a time, until there is nothing left or until somebody says `stop`."""
        self._until = until
        while self.time < self._until and self.step():
            pass
        self._until = -math.inf

    def stop(self) -> None:
        """Have the event that happens now be the last one of this `run`."""
        self._until = -math.inf

    @property
    def actor(self) -> str:
        """Name of the invocation that runs now."""
        return self._running.name if self._running else "world"

    def remaining(self) -> float:
        """Seconds that the invocation which runs now has left."""
        return self._running.deadline - self.time if self._running else 60.0

    def invoke(self, name: str, timeout: float, body: Callable[[], T], done: Callable[[T | None, str], None]) -> None:
        """Run a function as an invocation of its own; `done` gets its result, or None and "crash" or "time-out"."""
        invocation = Invocation(name, self.time + timeout)

        def whole() -> None:
            try:
                result = body()
            except Crash:
                if not invocation.dead:  # a time-out has told already
                    invocation.dead = True
                    done(None, "crash")
                return
            invocation.dead = True
            done(result, "")

        def expire() -> None:
            if not invocation.dead:
                invocation.dead = True
                self.say(name, "timed out")
                done(None, "time-out")

        invocation.greenlet = greenlet(whole, parent=self._hub)
        self.at(invocation.deadline, expire)
        self._resume(invocation, alone=False)  # the caller goes on when it first gives way

    def _wake(self, invocation: Invocation) -> None:
        self._resume(invocation, alone=True)

    def _resume(self, invocation: Invocation, *, alone: bool) -> None:
        before = self._running, self._alone
        self._running, self._alone = invocation, alone
        cast(greenlet, invocation.greenlet).switch()
        self._running, self._alone = before

    def sleep(self, seconds: float) -> None:
        """Let the invocation that runs now wait, while others run."""
        invocation = self._running
        if invocation is None:
            return
        wake = self.time + seconds
        if self._alone and wake < self._until and (not self._heap or wake < self._heap[0][0]):
            # Nothing comes in between, and to give way to nobody takes time.
            self.time = wake
            self.events += 1
        else:
            self.at(wake, self._wake, invocation)
            self._hub.switch()
        if invocation.dead:
            raise Crash

    def call(self, service: str, operation: str, latency: float, effect: Callable[[], T], refuse: "Refusals") -> T:
        """Call a service: the time that it takes, what may go wrong on the way, and its effect, which is atomic.

        Raises:
            Crash: the invocation ended before or after the effect.
            Exception: what `refuse` makes of throttling and of a lost answer, or what the effect raises.
        """
        if self._running is not None and self._running.crashed:
            raise Crash  # a `finally` on the way out of a process that is no more
        key = f"{service}.{operation}"
        self.calls[key] = self.calls.get(key, 0) + 1
        draw = self.random.random()
        rates = self.rates.get(service)
        if rates is None or self._running is None or draw >= rates.total:
            # One call in twenty is slow, up to a hundredfold: races need windows.
            slow = min(5.0, latency * 2000 * (draw - 0.95)) if draw > 0.95 else 0.0
            self.sleep(latency * (0.5 + draw) + slow)
            return effect()
        return self._fail(rates, draw, operation, effect, refuse)

    def _fail(self, rates: Rates, draw: float, operation: str, effect: Callable[[], T], refuse: "Refusals") -> T:
        self.faults += 1
        reached = self.random.random() < 0.5
        self.sleep(0.05)
        if draw < rates.crash:
            if reached:
                _try(effect)
            self.say(self.actor, "crashed", detail=f"{'after' if reached else 'before'} {operation}")
            cast(Invocation, self._running).crashed = True
            raise Crash
        if draw < rates.crash + rates.throttle:
            self.say(self.actor, "throttled", detail=operation)
            raise refuse.throttled(operation)
        if draw < rates.crash + rates.throttle + rates.lost:
            _try(effect)
            self.say(self.actor, "answer lost", detail=operation)
            self.sleep(self.random.uniform(1, 6))
            if reached:
                return effect()  # the client's own second try, with the same token
            raise refuse.lost(operation)
        self.say(self.actor, "stalls", detail=f"{'after' if reached else 'before'} {operation}")
        if reached:
            answer = effect()
            self.sleep(self.random.uniform(5, 70))
            return answer
        self.sleep(self.random.uniform(5, 70))
        return effect()


def _try(effect: Callable[[], object]) -> None:
    try:
        effect()
    except Exception:  # noqa: BLE001 - the service refused; nobody hears of it
        return


class Refusals:
    """How a service's client tells that a call failed."""

    def throttled(self, operation: str) -> Exception:
        """Too many requests: nothing happened."""
        raise NotImplementedError

    def lost(self, operation: str) -> Exception:
        """No answer came: whether anything happened is unknown."""
        raise NotImplementedError
