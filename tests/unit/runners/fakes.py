"""A small world in memory: ports that may crash, fail or lag at any call, and GitHub and EC2 behind them.

It is there to break the control plane between any two calls. What services do in detail is the simulator's matter.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from pavedpath_runners.configuration import Budget, Fleet, Market, Pool
from pavedpath_runners.control import ControlPlane
from pavedpath_runners.decisions.model import LEASE
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.ports import (
    Attempt,
    Instance,
    JobFacts,
    NameTakenError,
    NoCapacityError,
    Order,
    Page,
    Registration,
    RunActiveError,
    RunnerBusyError,
    UnavailableError,
    World,
)
from pavedpath_runners.records import Change, Delivery, Job, Runner

from .ledger_model import LedgerModel

T = TypeVar("T")
START = 1_790_000_000.0
LABELS = ("self-hosted", "linux", "arm64", "dev")
REPOSITORY = "acme/orders"
VISIBILITY = LEASE + 10


class Crash(BaseException):
    """The process ends."""


class Fault(StrEnum):
    """What befalls one call."""

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    FAIL_BEFORE = "fails"
    FAIL_AFTER = "answer lost"


@dataclass
class Faults:
    """Which call of the control plane, counted from 1, what befalls."""

    at: int = 0
    kind: Fault = Fault.CRASH_BEFORE
    only: str = ""
    """Name of the calls that are counted; empty: all."""
    calls: int = 0
    names: list[str] = field(default_factory=list[str])

    def call(self, name: str, act: Callable[[], T]) -> T:
        if self.only in ("", name):
            self.calls += 1
            self.names.append(name)
        hit = self.calls == self.at and self.only in ("", name)
        if hit and self.kind is Fault.CRASH_BEFORE:
            raise Crash
        if hit and self.kind is Fault.FAIL_BEFORE:
            raise UnavailableError(name)
        result = act()
        if hit and self.kind is Fault.CRASH_AFTER:
            raise Crash
        if hit and self.kind is Fault.FAIL_AFTER:
            raise UnavailableError(name)
        return result


class MemoryClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time


class MemoryLedger(LedgerModel):
    """Lists show what was `lag` seconds ago; records are as they are."""

    def __init__(self, clock: MemoryClock, faults: Faults, lag: float) -> None:
        super().__init__()
        self._clock, self._faults, self._lag = clock, faults, lag
        self._past: list[tuple[float, Sequence[Job], Sequence[Runner]]] = [(0.0, (), ())]
        self.history: list[Change] = []

    def job(self, identity: int) -> Job | None:
        return self._faults.call("ledger.job", lambda: LedgerModel.job(self, identity))

    def runner(self, name: str) -> Runner | None:
        return self._faults.call("ledger.runner", lambda: LedgerModel.runner(self, name))

    def open_jobs(self) -> Sequence[Job]:
        return self._faults.call("ledger.open_jobs", lambda: self._then()[0])

    def queued_jobs(self) -> Iterator[Job]:
        shown = self._faults.call("ledger.queued_jobs", lambda: self._then()[0])
        return (each for each in shown if each.queues)

    def live_runners(self) -> Sequence[Runner]:
        return self._faults.call("ledger.live_runners", lambda: self._then()[1])

    def spare_runners(self) -> Sequence[Runner]:
        return self._faults.call("ledger.spare_runners", lambda: [each for each in self._then()[1] if each.spare])

    def commit(self, *changes: Change) -> None:
        self._faults.call("ledger.commit", lambda: self._commit(changes))

    def _commit(self, changes: Sequence[Change]) -> None:
        LedgerModel.commit(self, *changes)
        self.history.extend(changes)
        self._past.append((self._clock.time, LedgerModel.open_jobs(self), LedgerModel.live_runners(self)))

    def _then(self) -> tuple[Sequence[Job], Sequence[Runner]]:
        seen = self._clock.time - self._lag
        while len(self._past) > 1 and self._past[1][0] <= seen:
            self._past.pop(0)
        return self._past[0][1:]


@dataclass
class Machine:
    """An instance and the agent on it."""

    instance: Instance
    ended_at: float = 0.0
    boots_at: float = 0.0
    broken: bool = False
    """It boots and never registers."""
    hangs: bool = False
    """It does not end itself."""
    registration: int = 0
    states: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])

    def at(self, time: float) -> Instance | None:
        """As it was at a time; None before its launch."""
        then = [state for since, state in self.states if since <= time]
        return replace(self.instance, state=then[-1]) if then else None


class MemoryCompute:
    """EC2. `dry` holds the markets that have no machine."""

    def __init__(self, clock: MemoryClock, faults: Faults, lag: float) -> None:
        self._clock, self._faults, self._lag = clock, faults, lag
        self.machines: dict[str, Machine] = {}
        self.tokens: dict[tuple[str, Market], str] = {}
        self.dry: set[Market] = set()
        self.orders: list[Order] = []
        self.broken: set[str] = set()
        """Runners whose machine never registers."""
        self.hanging: set[str] = set()
        self.terminated: list[str] = []
        self.boot_seconds = 40.0

    def launch(self, order: Order) -> Instance:
        return self._faults.call("compute.launch", lambda: self._launch(order))

    def _launch(self, order: Order) -> Instance:
        self.orders.append(order)
        token = (order.runner, order.market)
        if token not in self.tokens:
            if order.market in self.dry:
                raise NoCapacityError(order.market)
            now = self._clock.time
            identity = f"i-{len(self.machines) + 1:04}"
            instance = Instance(identity, order.runner, "pending", "c7g.large", "eu-west-1a", now, order.market)
            self.tokens[token] = identity
            self.machines[identity] = Machine(
                instance,
                boots_at=now + self.boot_seconds,
                broken=order.runner in self.broken,
                hangs=order.runner in self.hanging,
                states=[(now, "running")],
            )
        return self.machines[self.tokens[token]].instance

    def instances(self, identity: str = "") -> Sequence[Instance]:
        found = self._faults.call("compute.instances", self._instances)
        return [each for each in found if identity in ("", each.id)]

    def _instances(self) -> Sequence[Instance]:
        shown = (each.at(self._clock.time - self._lag) for each in self.machines.values())
        return [each for each in shown if each is not None]

    def terminate(self, instance_ids: Sequence[str]) -> None:
        def act() -> None:
            self.terminated.extend(instance_ids)
            for each in instance_ids:
                self.end(each)

        self._faults.call("compute.terminate", act)

    def end(self, identity: str, reclaimed: bool = False) -> None:
        machine = self.machines[identity]
        if not machine.ended_at:
            machine.ended_at = self._clock.time
            machine.instance = replace(machine.instance, reclaimed=reclaimed)
            machine.states.append((self._clock.time, "terminated"))

    def start(self, instance_id: str) -> None:
        def act() -> None:
            machine = self.machines[instance_id]
            if machine.ended_at or Market.ON_DEMAND in self.dry:
                raise NoCapacityError("start")
            machine.states.append((self._clock.time, "running"))
            machine.boots_at = self._clock.time + 10

        self._faults.call("compute.start", act)

    def stop(self, instance_id: str) -> None:
        self._faults.call(
            "compute.stop", lambda: self.machines[instance_id].states.append((self._clock.time, "stopped"))
        )

    def living(self) -> list[Machine]:
        return [each for each in self.machines.values() if not each.ended_at]


class MemoryHandover:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.held: dict[str, str] = {}

    def put(self, instance_id: str, runner: str, configuration: str) -> None:
        self._faults.call("handover.put", lambda: self.held.update({instance_id: configuration}))

    def remove(self, instance_id: str) -> None:
        self._faults.call("handover.remove", lambda: self.held.pop(instance_id, None))


@dataclass
class Work:
    """A job on GitHub."""

    facts: JobFacts
    seconds: float
    runs: list[str] = field(default_factory=list[str])
    """Runners that it has run on."""
    conclusion: str = "success"


class MemoryForge:
    """GitHub: it gives a queued job to any idle runner, the newest first, which makes theft common."""

    def __init__(self, clock: MemoryClock, faults: Faults, lag: float) -> None:
        self._clock, self._faults, self._lag = clock, faults, lag
        self.jobs: dict[int, Work] = {}
        self.runners: dict[int, Registration] = {}
        self.forks: set[int] = set()
        self.asleep: set[str] = set()
        """Runners that get no job."""
        self.public: bool | None = False
        """What a sweep says of a repository."""
        self.reruns: list[int] = []
        self.active_runs: set[int] = set()
        self.tried: list[Attempt] = []
        """Attempts at deliveries, the oldest first."""
        self.redelivered: list[Attempt] = []
        self.page = 100
        """Attempts on one page of their list."""
        self.removed: list[str] = []
        self.listed: list[int] = []
        """Runs whose jobs were listed."""
        self.events: list[JobEvent] = []
        self._registered = 0
        self._past: list[tuple[float, Sequence[Registration]]] = [(0.0, ())]

    def register(self, runner: str, pool: Pool, scope: str) -> tuple[int, str]:
        def act() -> tuple[int, str]:
            if any(each.name == runner for each in self.runners.values()):
                raise NameTakenError(runner)
            self._registered += 1
            self.runners[self._registered] = Registration(self._registered, runner, False, False, scope)
            return self._registered, f"secret-{self._registered}"

        return self._faults.call("forge.register", act)

    def registrations(self, scope: str, page: str = "") -> Page[Registration]:
        def act() -> Page[Registration]:
            seen = self._clock.time - self._lag
            shown = next((shown for at, shown in reversed(self._past) if at <= seen), ())
            return Page([each for each in shown if each.scope == scope])

        return self._faults.call("forge.registrations", act)

    def registration(self, name: str, scope: str) -> Registration | None:
        found = (each for each in self.runners.values() if each.name == name)
        return self._faults.call("forge.registration", lambda: next(found, None))

    def remove(self, identity: int, scope: str) -> None:
        def act() -> None:
            held = self.runners.get(identity)
            if held is not None and any(
                work.facts.status == "in_progress" and work.facts.runner == held.name for work in self.jobs.values()
            ):
                raise RunnerBusyError(held.name)
            if held is not None:
                self.removed.append(held.name)
            self.runners.pop(identity, None)

        self._faults.call("forge.remove", act)

    def is_own(self, repository: str, run_id: int) -> bool:
        return self._faults.call("forge.is_own", lambda: run_id not in self.forks)

    def job(self, repository: str, identity: int) -> JobFacts | None:
        held = self.jobs.get(identity)
        return self._faults.call("forge.job", lambda: held.facts if held else None)

    def waiting(self, repository: str, choose: Callable[[Sequence[int]], Sequence[int]]) -> Sequence[JobFacts]:
        def act() -> Sequence[JobFacts]:
            going = [
                replace(each.facts, public=self.public)
                for each in self.jobs.values()
                if each.facts.repository == repository and each.facts.status != "completed"
            ]
            chosen = choose(sorted({each.run_id for each in going}))
            self.listed.extend(chosen)
            return [each for each in going if each.run_id in chosen]

        return self._faults.call("forge.waiting", act)

    def rerun(self, repository: str, identity: int) -> None:
        def act() -> None:
            if identity in self.active_runs:
                raise RunActiveError
            self.reruns.append(identity)

        self._faults.call("forge.rerun", act)

    def attempts(self, scope: str, since: float, page: str = "") -> Page[Attempt]:
        def act() -> Page[Attempt]:
            below = int(page or 2**63)
            held = [each for each in reversed(self.tried) if each.id < below and each.scope == scope][: self.page]
            young = [each for each in held if each.at >= since]
            return Page(young, str(held[-1].id) if len(young) == self.page else "")

        return self._faults.call("forge.attempts", act)

    def redeliver(self, attempt: Attempt) -> None:
        self._faults.call("forge.redeliver", lambda: self.redelivered.append(attempt))

    # --- what GitHub does ---

    def remember(self) -> None:
        self._past = [each for each in self._past if each[0] > self._clock.time - 600] or self._past[-1:]
        self._past.append((self._clock.time, tuple(self.runners.values())))

    def begin(self, work: Work, registration: Registration) -> None:
        self.runners[registration.id] = replace(registration, busy=True)
        work.runs.append(registration.name)
        work.facts = replace(work.facts, status="in_progress", started_at=self._clock.time, runner=registration.name)
        self.events.append(event(Action.IN_PROGRESS, work.facts))

    def end(self, work: Work, conclusion: str) -> None:
        work.facts = replace(work.facts, status="completed", conclusion=conclusion, ended_at=self._clock.time)
        self.events.append(event(Action.COMPLETED, work.facts))


class MemoryQueue:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.messages: list[tuple[float, int]] = []
        """(earliest time, job)"""
        self.keys: set[str] = set()

    def send(self, job: int, key: str, delay: float = 0.0) -> None:
        def act() -> None:
            if key not in self.keys:
                self.keys.add(key)
                self.messages.append((0.0, job))

        self._faults.call("queue.send", act)

    def postpone(self, receipt: str, seconds: float) -> None:
        raise NotImplementedError("no function of this world receives a message")


class MemoryTelemetry:
    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.times: dict[str, list[float]] = {}
        self.lines: list[tuple[str, dict[str, object]]] = []

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        self.counts[metric] = self.counts.get(metric, 0.0) + value

    def seconds(self, metric: str, value: float, **dimensions: str) -> None:
        self.times.setdefault(metric, []).append(value)

    def say(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def event(action: Action, facts: JobFacts, public: bool = False) -> JobEvent:
    return JobEvent(action, facts, facts.repository.partition("/")[0], public)


def job_facts(identity: int, at: float = START, **given: Any) -> JobFacts:
    base = JobFacts(identity, REPOSITORY, identity + 1000, "queued", "", LABELS, at, 0.0, 0.0, "", False)
    return replace(base, **given)


def pool(**given: Any) -> Pool:
    base = Pool("small", LABELS, ("c7g.large",), ("subnet-1",), "lt-1", maximum=20)
    return replace(base, **given)


def fleet(*pools: Pool, **given: Any) -> Fleet:
    budgets = {api: Budget(1000.0, 100.0) for api in ("github", "jit", "ec2")}
    base = Fleet("dev", "acme", pools or (pool(),), ("orders",), hook_id=1, budgets=budgets)
    return replace(base, **given)


class FakeWorld:
    """All of it, in steps of five seconds."""

    def __init__(self, configuration: Fleet | None = None, faults: Faults | None = None, lag: float = 0.0) -> None:
        self.fleet = configuration or fleet()
        self.faults = faults or Faults()
        self.clock = MemoryClock()
        self.ledger = MemoryLedger(self.clock, self.faults, lag)
        self.compute = MemoryCompute(self.clock, self.faults, lag)
        self.handover = MemoryHandover(self.faults)
        self.forge = MemoryForge(self.clock, self.faults, lag)
        self.queue = MemoryQueue(self.faults)
        self.telemetry = MemoryTelemetry()
        self.random = random.Random(1)  # noqa: S311 - the same in every run
        self.deliver: Callable[[JobEvent], Sequence[float]] = lambda _: (0.0,)
        """After how many seconds an event arrives; several: more than once; none: never."""
        self.killed_busy: list[str] = []
        self._webhooks: list[tuple[float, str, JobEvent]] = []
        self._sent: dict[str, JobEvent] = {}
        self._deliveries = 0
        self._next_reconciliation = START + 60
        self.crashes = 0
        self.control = self.new_process()

    def new_process(self) -> ControlPlane:
        world = World(self.clock, self.ledger, self.compute, self.handover, self.forge, self.queue, self.telemetry)
        return ControlPlane(self.fleet, world)

    # --- what the world does ---

    def push(self, identity: int, seconds: float = 60.0, conclusion: str = "success", run: int = 0) -> None:
        """A job is queued on GitHub."""
        facts = job_facts(identity, self.clock.time, run_id=run or identity + 1000)
        self.forge.jobs[identity] = Work(facts, seconds, conclusion=conclusion)
        self.forge.events.append(event(Action.QUEUED, facts))

    def stop_reconciling(self) -> None:
        """No schedule calls any more."""
        self._next_reconciliation = math.inf

    def guarded(self, act: Callable[[], None]) -> bool:
        """Run a function as Lambda would: whether it succeeded."""
        try:
            act()
        except Crash:
            self.crashes += 1
            self.control = self.new_process()
            return False
        except UnavailableError:
            return False
        return True

    def advance(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass: agents, GitHub, deliveries, messages, and the reconciler each minute."""
        end = self.clock.time + seconds
        while self.clock.time < end and not until():
            self.clock.time += 5
            self._agents()
            self._assign()
            self.forge.remember()
            self._collect()
            self._webhook()
            self._messages()
            if self.clock.time >= self._next_reconciliation:
                self._next_reconciliation += 60
                self.guarded(lambda: self.control.reconcile(self.clock.time + 50))

    def settled(self) -> bool:
        """Whether all jobs have ended, for GitHub and the ledger, and no machine is left."""
        work = all(each.facts.status == "completed" for each in self.forge.jobs.values())
        return work and not self.compute.living() and not self.open_records() and not self._webhooks

    def open_records(self) -> list[Job | Runner]:
        return [*LedgerModel.open_jobs(self.ledger), *LedgerModel.live_runners(self.ledger)]

    def record(self, identity: int) -> Job:
        found = LedgerModel.job(self.ledger, identity)
        assert found is not None
        return found

    def machine(self, name: str) -> Runner:
        found = LedgerModel.runner(self.ledger, name)
        assert found is not None
        return found

    def _agents(self) -> None:
        for machine in self.compute.living():
            self._agent(machine)
        for machine in self.compute.machines.values():
            if machine.ended_at and machine.registration in self.forge.runners:
                held = self.forge.runners[machine.registration]
                self.forge.runners[held.id] = replace(held, online=False)
                self._lose(held.name)

    def _agent(self, machine: Machine) -> None:
        identity = machine.instance.id
        if machine.states[-1][1] == "stopped" or machine.broken or self.clock.time < machine.boots_at:
            return
        if not machine.registration and identity in self.handover.held:
            machine.registration = int(self.handover.held.pop(identity).removeprefix("secret-"))
            if machine.registration in self.forge.runners:
                held = self.forge.runners[machine.registration]
                self.forge.runners[held.id] = replace(held, online=True)
        if machine.registration and machine.registration not in self.forge.runners and not machine.hangs:
            self.compute.end(identity)
            self._lose(machine.instance.runner)

    def _lose(self, runner: str) -> None:
        """The machine of a running job went away."""
        for work in self.forge.jobs.values():
            if work.facts.status == "in_progress" and work.facts.runner == runner:
                self.killed_busy.append(runner)
                self.forge.end(work, "failure")

    def _assign(self) -> None:
        for work in self.forge.jobs.values():
            facts = work.facts
            if facts.status == "in_progress" and self.clock.time - facts.started_at >= work.seconds:
                self.forge.end(work, work.conclusion)
                held = next((each for each in self.forge.runners.values() if each.name == facts.runner), None)
                if held is not None:
                    del self.forge.runners[held.id]
            elif facts.status == "queued":
                idle = [
                    each
                    for each in self.forge.runners.values()
                    if each.online and not each.busy and each.name not in self.forge.asleep
                ]
                if idle:
                    self.forge.begin(work, idle[-1])

    def _collect(self) -> None:
        for each in self.forge.events:
            self._deliveries += 1
            guid = f"guid-{self._deliveries}"
            for delay in self.deliver(each):
                self._webhooks.append((self.clock.time + delay, guid, each))
        self.forge.events.clear()
        for attempt in self.forge.redelivered:
            self._webhooks.append((self.clock.time, attempt.guid, self._sent[attempt.guid]))
        self.forge.redelivered.clear()

    def _webhook(self) -> None:
        due = [each for each in self._webhooks if each[0] <= self.clock.time]
        self._webhooks = [each for each in self._webhooks if each[0] > self.clock.time]
        for _, guid, news in due:
            taken = self.guarded(lambda guid=guid, news=news: self.control.take(Delivery(guid, START), news))
            tried = self.forge.tried
            tried.append(Attempt(len(tried) + 1, guid, self.clock.time, 200 if taken else 503, guid in self._sent))
            self._sent[guid] = news

    def _messages(self) -> None:
        due = [each for each in self.queue.messages if each[0] <= self.clock.time]
        for each in due:
            self.queue.messages.remove(each)
            if not self.guarded(lambda job=each[1]: self.control.launch(job)):
                self.queue.messages.append((self.clock.time + VISIBILITY, each[1]))
