"""What must hold at every step, whatever happens; and what is counted on the way."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pavedpath_runners.configuration import Market
from pavedpath_runners.records import TRANSITIONS, JobState

from .dynamodb import Attributes
from .ec2 import Listeners, Machine
from .engine import Entry
from .github import Ears, Registered, WorkflowJob
from .scenario import LONGEST_HOLD, SPOT_SHARE, START
from .world import SimulatedWorld

_HOUR = 3600.0
SLACK = 15 * 60.0
"""Seconds beyond what the configuration promises: the reconciler comes once a minute, its token buckets make clean-up
wait for launches, and a lease of 90 s and a visibility time-out pass before what crashed is taken up again."""
_STATE = re.compile(r'"state": ?"(\w+)"')
"""A record's state in its JSON, where quotes within a text have a backslash. Every write is looked at: to read all of
it takes ten times as long."""
WILD = 4 * _HOUR
"""Bound of everything while faults last: then a step may fail any number of times."""


class ViolationError(AssertionError):
    """An invariant does not hold.

    `timeline` has what happened to the job or machine, in the order of time.
    """

    def __init__(self, seed: int, scenario: str, what: str, timeline: Sequence[Entry]) -> None:
        lines = "\n".join(line(each) for each in timeline)
        again = f"python -m pavedpath_runners.simulator show {seed}"
        super().__init__(f"seed {seed} ({scenario}): {what}\n{lines}\nThe whole of it: {again}")
        self.seed, self.what, self.timeline = seed, what, timeline


def line(entry: Entry) -> str:
    """One line of a timeline as text: seconds since the start, who, what, whom."""
    job = f" job {entry.job}" if entry.job else ""
    machine = f" {entry.machine}" if entry.machine else ""
    return f"{entry.at - START:10.3f}  {entry.actor:<18} {entry.what}{job}{machine} {entry.detail}".rstrip()


@dataclass
class Counters:
    """What is counted. For a policy that is only measured, a broken invariant is no more than a count."""

    double_launches: int = 0
    """Launches for a job that had a healthy machine of its own already."""
    wasted_launches: int = 0
    """Launches for a job that ran, had ended or was held back by then."""
    killed: int = 0
    """Machines that the control plane ended while a job ran on them."""
    orphans: int = 0
    """Machines and registrations that nothing claimed for longer than their bound."""
    starved: int = 0
    """Jobs that were overtaken for longer than their bound, although there was room."""
    stolen: int = 0
    """Jobs that ran on a machine which was launched for another."""
    over_maximum: int = 0
    """Launches beyond a pool's maximum."""
    useful_seconds: float = 0.0
    machine_seconds: float = 0.0
    spend_usd: float = 0.0
    forks_run: int = 0
    """Forks' jobs that ran to their end although the fleet does not allow them."""
    queue_seconds: list[float] = field(default_factory=list[float])


def _nothing(_: object) -> None:
    """Some news is of no interest."""


class Watch:
    """Hears of everything that happens and holds it against the invariants.

    - `written`: no update of the ledger is lost, no job goes where `TRANSITIONS` does not lead, nothing comes back.
    - `launched`: at most one live launch a job, one instance a client token, no pool over its maximum, none for a job
      that GitHub has held back for longer than its news may take.
    - `asked`: no machine is ended by the control plane while a job runs on it, but for its lifetime.
    - `changed`: no fork's job runs unless the fleet allows it.
    - `look`, twice a minute: no orphan beyond its bound, no starvation, no job given up while it is held back, the end.
    - `finish`: no accepted job lost, spend within its bound.
    """

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.counters = Counters()
        self.broken: tuple[str, int, str] | None = None
        """(what, job, machine) of the first invariant that did not hold."""
        self.unfinished: dict[int, WorkflowJob] = {}
        fleet = world.scenario.fleet
        self._name = re.compile(rf"{re.escape(fleet.name)}-(\d+)-\d+")
        self._tokens: dict[str, str] = {}
        self._launches: dict[int, list[Machine]] = {}
        """Live machines by the job for which they were launched."""
        self._held: dict[int, float] = {}
        """By job: since when GitHub holds it back."""
        self._ran: dict[str, int] = {}
        """Job that ran on a live instance."""
        self._since: dict[int, float] = {}
        """By running job: since when."""
        self._unclaimed: dict[str, float] = {}
        self._prices: dict[str, float] = {}
        self._droughts = [START + each.end for each in world.scenario.droughts]
        self._maximum = {each.name: each.maximum for each in fleet.pools}
        self._live: dict[str, dict[str, Machine]] = {each.name: {} for each in fleet.pools}
        self._full: dict[str, float] = {}
        """When each pool was last full."""
        self._overtaken: dict[int, float] = {}
        self._started: dict[str, float] = {}
        """By pool: latest `queued_at` of a job that has started."""
        self._lost: set[int] = set()
        self._states: dict[str, str] = {}
        """Latest state of each record of the ledger."""

    def listeners(self) -> Listeners:
        """What EC2 tells."""
        return Listeners(self.launched, _nothing, self.asked, self.halted)

    def ears(self) -> Ears:
        """What GitHub tells."""
        return Ears(self.assigned, _nothing, self.changed, _nothing)

    def _fail(self, what: str, job: int = 0, machine: str = "") -> None:
        self.world.engine.say("invariant", what, job, machine)
        if self.world.deployment.strict:
            self.world.engine.stop()
        if self.broken is None:
            self.broken = (what, job, machine)

    def record(self, key: str) -> dict[str, Any]:
        """A record of the ledger as it is now; empty if there is none."""
        item = self.world.dynamodb.item(key)
        return json.loads(item["body"]["S"]) if item else {}

    def written(self, key: str, old: Attributes | None, new: Attributes) -> None:
        """Hold a write of the ledger against what was stored.

        A record's version goes up by one: otherwise somebody wrote over what he had not read. A job's state moves as
        `TRANSITIONS` says; a machine that is gone stays gone.
        """
        kind, _, name = key.partition("#")
        if kind not in ("JOB", "RUNNER"):
            return
        state = cast(re.Match[str], _STATE.search(new["body"]["S"])).group(1)
        before = self._states.get(key)
        self._states[key] = state
        job, machine = (int(name), "") if kind == "JOB" else (0, name)
        if int(new["version"]["N"]) != (int(old["version"]["N"]) if old else 0) + 1:
            self._fail(f"an update of {key} is lost", job, machine)
        if before is None or before == state:
            return
        if JobState(state) not in TRANSITIONS[JobState(before)] if kind == "JOB" else before == "gone":
            self._fail(f"{key} goes from {before} to {state}", job, machine)

    def expired(self, key: str) -> None:
        """A record that has expired may come anew."""
        self._states.pop(key, None)

    def _claimed(self, machine: Machine) -> bool:
        """Whether the ledger has a live record of a machine."""
        return f"RUNNER#{machine.runner}" in self.world.dynamodb.open

    def launched(self, machine: Machine) -> None:
        """Hold a new machine against what lives already.

        At most one live launch a job: a machine that was launched for the same job must have run another's job, or
        have been given up by the control plane (its record is gone, or stands for another job), or be no good any
        more. One instance a client token is EC2's promise; it is held here against the model itself. A job that GitHub
        holds back may have been told as queued, and the news of the hold come late, or before that; GitHub is asked by
        then.
        """
        if machine.token and self._tokens.setdefault(machine.token, machine.id) != machine.id:
            self._fail("two instances of one client token", machine=machine.id)
        self._count_pool(machine)
        identity = self._launched_for(machine)
        job = self.world.github.jobs.get(identity)
        if job is None:
            return
        others = [each for each in self._launches.get(identity, []) if self._serves(each, identity)]
        if others:
            self.counters.double_launches += 1
            self._fail(f"job {identity} has {others[0].id} and gets {machine.id} too", identity, machine.id)
        if job.status != "queued":
            self.counters.wasted_launches += 1
        held = self.world.engine.time - max(self._held.get(identity, 0.0), self.world.calm_at)
        if job.status == "waiting" and held > SLACK * 2:
            self._fail(f"job {identity} is held back and gets {machine.id} all the same", identity, machine.id)
        self._launches.setdefault(identity, []).append(machine)

    def _launched_for(self, machine: Machine) -> int:
        """The job for which a machine was launched; 0: none."""
        match = self._name.fullmatch(machine.runner)
        return int(match.group(1)) if match else int(machine.tags.get("simulator:job", 0))

    def _serves(self, machine: Machine, job: int) -> bool:
        if not machine.live or self._ran.get(machine.id, job) != job:
            return False
        if not self.world.deployment.strict:
            machines = self.world.machines
            return machine.id not in machines.interrupted and machine.id not in machines.broken
        return self._claimed(machine) and self.record(f"RUNNER#{machine.runner}").get("job") == job

    def _count_pool(self, machine: Machine) -> None:
        name = machine.tags.get("pavedpath:pool", "")
        if name not in self._live:
            return
        machines, most = self._live[name], self._maximum[name]
        machines[machine.id] = machine
        if len(machines) < most:
            return
        self._full[name] = self.world.engine.time
        strict = self.world.deployment.strict
        live = sum(1 for each in machines.values() if not strict or self._claimed(each))
        if live > most:
            self.counters.over_maximum += 1
            self._fail(f"pool {name} has {live} machines, of at most {most}", machine=machine.id)

    def asked(self, machine: Machine, how: str) -> None:
        """No machine is ended or put to sleep by the control plane while a job runs on it, but at the end of its
        lifetime (a minute less is granted: what is stored is when it was asked for)."""
        job = self.world.machines.busy(machine)
        if job is None:
            return
        pool = self.world.scenario.fleet.pool(machine.tags.get("pavedpath:pool", ""))
        lifetime = pool.lifetime_minutes * 60.0 if pool else math.inf
        if self.world.engine.time - machine.launched_at < lifetime - 60:
            self.counters.killed += 1
            self._fail(f"{how} of {machine.id} while job {job.id} runs on it", job.id, machine.id)

    def halted(self, machine: Machine) -> None:
        """Count what a machine has cost."""
        self._end_use(self.world.machines.busy(machine))
        if machine.live:
            return
        self._unclaimed.pop(machine.id, None)
        self._ran.pop(machine.id, None)
        self._drop_launch(machine)
        name = machine.tags.get("pavedpath:pool", "")
        if name in self._live:
            if len(self._live[name]) >= self._maximum[name]:
                self._full[name] = self.world.engine.time
            self._live[name].pop(machine.id, None)
        self._cost(machine)

    def _drop_launch(self, machine: Machine) -> None:
        identity = self._launched_for(machine)
        left = [each for each in self._launches.pop(identity, ()) if each is not machine]
        if left:
            self._launches[identity] = left

    def _cost(self, machine: Machine) -> None:
        seconds = machine.ran(self.world.engine.time)
        self.counters.machine_seconds += seconds
        share = SPOT_SHARE if machine.market is Market.SPOT else 1.0
        self.counters.spend_usd += seconds / _HOUR * self._price(machine.type) * share

    def _price(self, kind: str) -> float:
        """USD an hour; the highest, if pools know several."""
        if kind not in self._prices:
            self._prices[kind] = max(each.hourly_usd.get(kind, 0.0) for each in self.world.scenario.fleet.pools)
        return self._prices[kind]

    def assigned(self, runner: Registered, job: WorkflowJob) -> None:
        """Note which machine runs a job."""
        match = self._name.fullmatch(runner.name)
        if match and int(match.group(1)) != job.id:
            self.counters.stolen += 1
        self._since[job.id] = self.world.engine.time

    def _end_use(self, job: WorkflowJob | None) -> None:
        since = self._since.pop(job.id, None) if job else None
        if since is not None:
            self.counters.useful_seconds += self.world.engine.time - since

    def changed(self, job: WorkflowJob) -> None:
        """Follow the jobs."""
        now = self.world.engine.time
        pool = self._pool_of(job)
        if job.status in ("queued", "waiting"):
            if job.status == "waiting":
                self._held[job.id] = now
            if pool:
                self.unfinished[job.id] = job
            return
        if job.status == "in_progress":
            self.counters.queue_seconds.append(now - job.queued_at)
            self._note_machine(job)
            self._started[pool] = max(self._started.get(pool, 0.0), job.queued_at)
            return
        self._end_use(job)
        self.unfinished.pop(job.id, None)
        if not job.own and job.conclusion == "success" and not self.world.scenario.fleet.allow_forks:
            self.counters.forks_run += 1
            self._fail(f"job {job.id} is a fork's and ran", job.id, job.runner)
        if job.cancelled_by == "GitHub's time limit" and not self._refused(job):
            self._lose(job, "was cancelled by GitHub's time limit")

    def _note_machine(self, job: WorkflowJob) -> None:
        machine = self.world.machines.with_runner(job.registration)
        if machine is not None:
            self._ran[machine.id] = job.id

    def _pool_of(self, job: WorkflowJob) -> str:
        arrival = self.world.arrivals.get(job.rerun_of or job.id)
        return arrival.pool if arrival else ""

    def _refused(self, job: WorkflowJob) -> bool:
        """Whether the ledger has given a job up, and says why."""
        record = self.record(f"JOB#{job.id}")
        return record.get("state") == "failed" and bool(record.get("reason"))

    def _lose(self, job: WorkflowJob, why: str) -> None:
        if job.id not in self._lost:
            self._lost.add(job.id)
            self._fail(f"job {job.id} is lost: it {why}", job.id, job.runner)

    @property
    def lost(self) -> int:
        """Jobs that were lost."""
        return len(self._lost)

    def look(self) -> None:
        """Look for what has been left lying."""
        now, calm = self.world.engine.time, self.world.calm_at
        for agent in list(self.world.machines.agents.values()):
            machine = agent.machine
            self._note_orphan(machine.id, self._has_owner(machine))
        for each in list(self.world.github.registrations.values()):
            owned = not self.world.deployment.strict or f"RUNNER#{each.name}" in self.world.dynamodb.open
            self._note_orphan(f"registration {each.name}", owned or each.job is not None)
        bound = SLACK * 2 if now > calm else WILD
        for job in list(self.unfinished.values()):
            self._starvation(job, now, bound)
            if job.status == "waiting" and self._refused(job) and not self._is_fork(job):
                self._lose(job, "was given up while GitHub held it back")

    def _is_fork(self, job: WorkflowJob) -> bool:
        """Whether the fleet may refuse a job, since GitHub says that its run's code is a fork's."""
        return not self.world.scenario.fleet.allow_forks and not self.world.github.runs[job.run_id][0].own

    def _has_owner(self, machine: Machine) -> bool:
        if self.world.deployment.strict:
            return self._claimed(machine)
        agent = self.world.machines.agents[machine.id]
        return agent.job is not None or (agent.runner is not None and agent.runner.online)

    def _note_orphan(self, name: str, owned: bool) -> None:
        """An orphan (no live record claims it) is gone `orphan_minutes` and SLACK after it has become one; while
        faults last, after WILD."""
        now = self.world.engine.time
        if owned:
            self._unclaimed.pop(name, None)
            return
        first = self._unclaimed.setdefault(name, now)
        bound = self.world.scenario.fleet.orphan_minutes * 60 + SLACK
        calm = self.world.calm_at
        if first != math.inf and (now - max(first, calm) > bound or now - first > WILD):
            self.counters.orphans += 1
            self._fail(f"{name} is an orphan since {first - START:.0f} s", machine=name.removeprefix("registration "))
            self._unclaimed[name] = math.inf

    def _starvation(self, job: WorkflowJob, now: float, bound: float) -> None:
        """A job starves that waits for longer than the bound while its pool had room all the time, and a younger job
        of its pool has started. GitHub deals jobs to idle runners as it likes, so being overtaken is no offence as
        such; to be overtaken and to have no machine of one's own for half an hour is."""
        pool = self._pool_of(job)
        if job.status != "queued" or self._started.get(pool, 0.0) <= job.queued_at:
            return
        droughts = [each for each in self._droughts if each <= now]
        since = max([job.queued_at, self._full.get(pool, 0.0), *droughts])
        if now > self.world.calm_at:
            since = max(since, self.world.calm_at)
        room = len(self._live[pool]) < self._maximum[pool]
        if room and now - since > bound and job.id not in self._overtaken and not self._refused(job):
            self._overtaken[job.id] = now
            self.counters.starved += 1
            self._fail(f"job {job.id} starves", job.id)

    def settled(self) -> bool:
        """Whether all is done: each job ended or refused, nothing open in the ledger, no machine, no registration."""
        if self.world.machines.agents or self.world.github.registrations:
            return False
        if self.world.deployment.strict and self.world.dynamodb.open:
            return False
        return all(self._refused(job) for job in self.unfinished.values())

    def limit(self) -> float:
        """When all must be done.

        After the last fault, drought and arrival every pool works its jobs off in turns of `maximum` machines; a turn
        takes the longest job, a boot, and what a lost machine costs (`boot_minutes` until it is given up, idleness
        before it is removed). On top comes the longest silence of GitHub's rate limit, an hour, and WILD's half for
        back-offs that grew while faults lasted.
        """
        scenario = self.world.scenario
        last = max([scenario.span, scenario.faults_until, *(each.end for each in scenario.droughts)])
        if any(each.warm.hot or each.warm.stopped for each in scenario.fleet.pools):
            last = max(last, _HOUR)  # the schedule of a drawn scenario ends before
        turns = max(math.ceil(scenario.jobs / each.maximum) for each in scenario.fleet.pools)
        boot = max(each.boot_minutes + each.idle_minutes for each in scenario.fleet.pools) * 60.0
        last += LONGEST_HOLD if scenario.approvals else 0.0
        return START + last + turns * (scenario.durations[1] + boot + SLACK) + _HOUR + WILD / 2

    def finish(self) -> None:
        """Hold the end against the bounds.

        Lost: a job that has neither ended on GitHub nor been given up with a reason. Spend: useful machine time, plus
        for each launch `overhead_seconds`, plus for as long as faults last the machines that lived then.
        """
        for job in self.unfinished.values():
            if not self._refused(job):
                self._lose(job, f"is {job.status} at the end")
        for agent in self.world.machines.agents.values():
            self._cost(agent.machine)
        if not self.world.deployment.strict:
            return
        for key in self.world.dynamodb.open:
            kind, _, name = key.partition("#")
            state = self.record(key).get("state")
            self._fail(f"{key} is {state} at the end", int(name) if kind == "JOB" else 0, name)
            break
        self._spend()

    def overhead_seconds(self) -> float:
        """Seconds without a job that one launch may cost: the boot, the idleness before removal with its grace, the
        drain window of 10 minutes, the 5 minutes until a machine that hangs is ended, and SLACK."""
        fleet = self.world.scenario.fleet
        boot = max(each.boot_minutes + each.idle_minutes for each in fleet.pools) * 60.0
        return boot + fleet.grace_seconds + 10 * 60 + 5 * 60 + SLACK

    def _spend(self) -> None:
        counters, launches = self.counters, self.world.ec2.launches
        scenario = self.world.scenario
        # A machine that is up while faults last may have to wait for their end.
        wild = scenario.faults_until if scenario.rates or scenario.habits.requests < 5000 else 0.0
        warm = sum(each.warm.hot + each.warm.stopped for each in scenario.fleet.pools) * _HOUR
        bound = counters.useful_seconds + launches * (self.overhead_seconds() + wild) + warm
        if counters.machine_seconds > bound:
            self._fail(f"machines cost {counters.machine_seconds:.0f} s, of at most {bound:.0f}")
