"""Plays the machines that a fleet of runners launches: they boot, fetch their runner's configuration as their user data
would, take a job of the sandbox's GitHub, run it for a while, and end themselves."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

from .layout import write_private

Json = dict[str, Any]


class State(StrEnum):
    """How far a machine is."""

    BOOTING = "booting"
    DEAD = "dead"
    """It runs, and will never do anything: a boot that failed."""
    ASKING = "asking"
    """It waits for its configuration."""
    LISTENING = "listening"
    RUNNING = "running"
    DOOMED = "doomed"
    """Its end has been announced."""
    ENDING = "ending"
    """It has done all but ended itself."""


@dataclass(frozen=True)
class Options:
    """How machines behave. Times are means in seconds, around which each machine's vary by half; chances are 0 to 1."""

    boot: float = 2.0
    job: float = 3.0
    notice: float = 2.0
    """How long after its announcement a spot machine is taken away; 120 on AWS."""
    never: float = 0.0
    """Chance that a machine boots and never registers."""
    interrupt: float = 0.0
    """Chance that a spot machine is taken away in the middle of its job."""
    fail: float = 0.0
    """Chance that a job fails."""
    allow_forks: bool = False
    """Whether a fork's job is run; if not, it fails before its first step, as by the user data's hook."""
    seed: int = 1
    parameter: str = "/pavedpath/{fleet}/jit/{instance}"


@dataclass(frozen=True)
class Seen:
    """A running machine as EC2 shows it."""

    instance: str
    runner: str
    fleet: str
    spot: bool


@dataclass
class Machine:
    """What is known of one machine; `at` is when it goes on."""

    instance: str
    runner: str
    fleet: str
    spot: bool
    state: State
    at: float
    registration: int = 0
    job: int = 0
    ends: float = 0.0
    interrupted: bool = field(default=False)


class Cloud(Protocol):
    """EC2, Systems Manager and EventBridge."""

    def running(self) -> list[Seen]:
        """The running machines with the tag."""
        ...

    def take(self, parameter: str) -> str | None:
        """Read a parameter and delete it; None if it is not there."""
        ...

    def announce(self, instance: str) -> None:
        """Send EC2's announcement that a spot machine is taken away."""
        ...

    def terminate(self, instance: str) -> None:
        """End a machine."""
        ...

    def reclaim(self, instance: str) -> None:
        """Take a spot machine away, as EC2 does."""
        ...


class Forge(Protocol):
    """GitHub, as a runner sees it."""

    def connect(self, registration: int) -> tuple[bool, int, bool, int]:
        """Come online and ask for a job: whether the registration is there, the job's id (0: none), whether its code is
        a fork's, and which run of its workflow run it belongs to, from 1."""
        ...

    def finish(self, job: int, conclusion: str) -> None:
        """End a job; one that has ended by now does no harm."""
        ...


def registration_of(configuration: str) -> int:
    """The id of the runner in a just-in-time configuration, as GitHub encodes it.

    Raises:
        ValueError: it is none.
    """
    try:
        files = cast("Json", json.loads(base64.b64decode(configuration, validate=True)))
        return int(json.loads(base64.b64decode(files[".runner"]))["AgentId"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("this is no just-in-time configuration of a runner") from error


class Player:
    """All machines of one account. What it has begun is in a file, so that the next one goes on after a kill."""

    def __init__(
        self,
        cloud: Cloud,
        forge: Forge,
        options: Options,
        tell: Callable[[Json], None],
        file: Path | None = None,
        look_seconds: float = 0.0,
    ) -> None:
        """`look_seconds`: a step asks EC2 only if it was not asked for so long, since listing machines is dear."""
        self._cloud, self._forge, self._options, self._tell, self._file = cloud, forge, options, tell, file
        self._look_seconds, self._looked_at = look_seconds, float("-inf")
        self.machines: dict[str, Machine] = {}
        if file is not None and file.is_file():
            held = cast("dict[str, Json]", json.loads(file.read_text(encoding="utf-8")))
            self.machines = {name: Machine(**each) for name, each in held.items()}
            for machine in self.machines.values():
                machine.state = State(machine.state)

    def step(self, now: float) -> None:
        """Look at EC2, and bring on every machine whose time has come."""
        seen: dict[str, Seen] | None = None
        if now - self._looked_at >= self._look_seconds:
            seen = {each.instance: each for each in self._cloud.running()}
            self._looked_at = now
        try:
            if seen is not None:
                self._follow(seen, now)
            for machine in list(self.machines.values()):
                if machine.at <= now:
                    self._go_on(machine, now)
        finally:  # what was done before a call failed is not done again
            self._keep()

    def _follow(self, seen: Mapping[str, Seen], now: float) -> None:
        for instance in [each for each in self.machines if each not in seen]:
            self._lose(self.machines.pop(instance))
        for each in seen.values():
            if each.instance not in self.machines:
                self._boot(each, now)

    def _dice(self, machine: Seen | Machine, what: str) -> float:
        """The same number in [0, 1) for the same machine and question, in every process."""
        return random.Random(f"{self._options.seed}/{machine.runner}/{what}").random()  # noqa: S311 - no secret

    def _around(self, machine: Seen | Machine, what: str, mean: float) -> float:
        return mean * (0.5 + self._dice(machine, what))

    def _say(self, machine: Machine, event: str, **more: object) -> None:
        self._tell({"event": event, "instance": machine.instance, "runner": machine.runner, **more})

    def _boot(self, seen: Seen, now: float) -> None:
        dead = self._dice(seen, "never") < self._options.never
        state = State.DEAD if dead else State.BOOTING
        at = float("inf") if dead else now + self._around(seen, "boot", self._options.boot)
        machine = Machine(seen.instance, seen.runner, seen.fleet, seen.spot, state, at)
        self.machines[seen.instance] = machine
        self._say(machine, "never boots" if dead else "boots", spot=seen.spot)

    def _lose(self, machine: Machine) -> None:
        """The machine is gone: by its own hand, or with what it was doing."""
        if machine.state is State.ENDING:
            self._say(machine, "ends itself")
        elif machine.job:
            self._forge.finish(machine.job, "failure")
            event = "taken away" if machine.interrupted else "killed while busy"
            self._say(machine, event, job=machine.job)
        elif machine.registration:
            self._say(machine, "gone while idle")
        else:
            self._say(machine, "gone")

    def _go_on(self, machine: Machine, now: float) -> None:
        steps: Mapping[State, Callable[[Machine, float], None]] = {
            State.BOOTING: self._ask,
            State.ASKING: self._ask,
            State.LISTENING: self._listen,
            State.RUNNING: self._work,
            State.DOOMED: self._doom,
            State.ENDING: lambda machine, _: self._end(machine),
        }
        steps[machine.state](machine, now)

    def _ask(self, machine: Machine, now: float) -> None:
        name = self._options.parameter.format(fleet=machine.fleet, instance=machine.instance)
        configuration = self._cloud.take(name)
        if configuration is None:
            machine.state, machine.at = State.ASKING, now + 1.0
            return
        machine.registration = registration_of(configuration)
        machine.state, machine.at = State.LISTENING, now
        self._say(machine, "has its configuration", registration=machine.registration)
        self._listen(machine, now)

    def _listen(self, machine: Machine, now: float) -> None:
        registered, job, fork, attempt = self._forge.connect(machine.registration)
        if not registered:
            self._say(machine, "was deregistered")
            self._end(machine)
        elif not job:
            machine.at = now + 1.0
        elif fork and not self._options.allow_forks:
            self._forge.finish(job, "failure")
            self._say(machine, "refuses a fork's job", job=job)
            self._end(machine)
        else:
            machine.job, machine.state = job, State.RUNNING
            machine.ends = now + self._around(machine, "job", self._options.job)
            # A job is run again once: were its second machine taken away too, nobody would.
            taken = machine.spot and attempt == 1
            machine.interrupted = taken and self._dice(machine, "interrupt") < self._options.interrupt
            machine.at = (now + machine.ends) / 2 if machine.interrupted else machine.ends
            self._say(machine, "runs", job=job)

    def _work(self, machine: Machine, now: float) -> None:
        if machine.interrupted:
            self._cloud.announce(machine.instance)
            machine.state, machine.at = State.DOOMED, now + self._options.notice
            self._say(machine, "is announced to be taken away", job=machine.job)
            return
        conclusion = "failure" if self._dice(machine, "fail") < self._options.fail else "success"
        self._forge.finish(machine.job, conclusion)
        self._say(machine, "ends its job", job=machine.job, conclusion=conclusion)
        machine.job = 0
        self._end(machine)

    def _doom(self, machine: Machine, now: float) -> None:
        del now
        self._lose(machine)
        machine.job = 0
        self._end(machine)

    def _end(self, machine: Machine) -> None:
        machine.state = State.ENDING
        end = self._cloud.reclaim if machine.interrupted else self._cloud.terminate
        end(machine.instance)
        del self.machines[machine.instance]
        self._say(machine, "ends itself")

    def _keep(self) -> None:
        if self._file is not None:
            held = {name: asdict(each) for name, each in self.machines.items()}
            write_private(self._file, json.dumps(held))
