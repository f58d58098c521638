"""What must hold at the end of `make demo-fleet`, judged from what GitHub, EC2, the ledger and the queues recorded."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pavedpath_runners.records import FINAL, Job, Runner, RunnerState

from demo.fleet_load import Kind


@dataclass(frozen=True)
class Attempt:
    """A job as GitHub shows it. A re-run copies the jobs of its run that it does not run again, under new ids."""

    id: int
    run: int
    name: str
    status: str
    conclusion: str
    runner: str
    """Name of the runner that has or had it; empty: none."""
    queued_at: float
    """Seconds since 1970, as all times here."""
    started_at: float

    @property
    def execution(self) -> tuple[str, float]:
        """The same for a job and its copies."""
        return self.runner, self.started_at


@dataclass(frozen=True)
class Machine:
    """An instance of EC2's."""

    id: str
    runner: str
    """Its tag."""
    state: str
    type: str


@dataclass(frozen=True)
class Facts:
    """What was recorded."""

    runs: Mapping[int, Kind]
    """What was meant to become of each run of GitHub's."""
    attempts: Sequence[Attempt]
    jobs: Mapping[int, Job]
    """The ledger's, by id."""
    runners: Sequence[Runner]
    """The ledger's, those that are gone too."""
    counts: Mapping[str, int]
    """Live machines by pool, as the ledger counts them."""
    machines: Sequence[Machine]
    began: Mapping[str, Sequence[int]]
    """Ids of the jobs that each instance began, as the machines themselves tell."""
    registrations: Sequence[str]
    """Names of runners that GitHub still knows."""
    messages: Mapping[str, int]
    """What waits in each queue."""
    prices: Mapping[str, float]
    """USD an hour by EC2 type."""


@dataclass(frozen=True)
class Summary:
    """Numbers of a run in which nothing is wrong. Times in seconds."""

    done: int
    refused: int
    cancelled: int
    rerun: int
    launched: int
    terminated: int
    markets: Mapping[str, int]
    """Machines by how they were bought."""
    queue_p50: float
    queue_p95: float
    queue_max: float
    machine_hours: float
    cost: float
    """USD."""


def ledger_line(job: Job | None, identity: int) -> str:
    """Return what the ledger has of a job, in a line."""
    if job is None:
        return f"ledger: job {identity} is not in it"
    told = [f"attempt {job.attempt}", f"losses {job.losses}", f"version {job.version}"]
    told += [f"pool {job.pool}"] if job.pool else []
    told += [f"runner {job.runner}"] if job.runner else []
    told += [f"conclusion {job.conclusion}"] if job.conclusion else []
    told += [f"interrupted{', run again' if job.rerun else ''}"] if job.interrupted else []
    told += [f"reason: {job.reason}"] if job.reason else []
    return f"ledger: job {job.id} {job.state}, {', '.join(told)}"


def problems(facts: Facts) -> Sequence[str]:
    """Return what is wrong, a line each; empty if all is as it must be."""
    return [*_work(facts), *_strangers(facts), *_one_each(facts), *_ledger(facts), *_left_over(facts)]


def _work(facts: Facts) -> Iterator[str]:
    """Every job that is to be done is done, and done once."""
    interrupted = {each.execution for each in facts.attempts if (job := facts.jobs.get(each.id)) and job.interrupted}
    for (run, name), attempts in _by_job(facts, Kind.WORK).items():
        where, last = f"job {name} of run {run}", max(attempts, key=lambda each: each.id)
        line = ledger_line(facts.jobs.get(last.id), last.id)
        good = {each.execution for each in attempts if each.conclusion == "success"}
        if not good:
            yield f"{where} was not done: GitHub has it {last.status} {last.conclusion}. {line}"
        elif len(good) > 1:
            yield f"{where} was done {len(good)} times, on {', '.join(sorted(name for name, _ in good))}. {line}"
        for each in attempts:
            failed = each.status == "completed" and each.conclusion != "success"
            if failed and each.execution not in interrupted:
                line = ledger_line(facts.jobs.get(each.id), each.id)
                yield f"{where} ended as {each.conclusion} on {each.runner or 'no runner'}, uninterrupted. {line}"


def _strangers(facts: Facts) -> Iterator[str]:
    """Nothing of a fork's began, and what was cancelled has ended."""
    begun = {job for jobs in facts.began.values() for job in jobs}
    for (run, name), attempts in _by_job(facts, Kind.FORK).items():
        for each in attempts:
            # GitHub may give it to a machine that was launched for another; there it must end before it begins.
            job, told = facts.jobs.get(each.id), f"job {name} of run {run} is a fork's, and"
            if each.id in begun:
                yield f"{told} began on {each.runner}. {ledger_line(job, each.id)}"
            elif job is None or job.state not in FINAL or job.attempt or each.conclusion == "success":
                yield f"{told} was not refused. {ledger_line(job, each.id)}"
    for (run, name), attempts in _by_job(facts, Kind.CANCELLED).items():
        for each in attempts:
            if each.status != "completed":
                line = ledger_line(facts.jobs.get(each.id), each.id)
                yield f"job {name} of run {run} was cancelled, and is {each.status}. {line}"


def _one_each(facts: Facts) -> Iterator[str]:
    """A runner had one job at most, and was one machine; a job began on one machine at most."""
    where: defaultdict[int, list[str]] = defaultdict(list)
    for instance, jobs in facts.began.items():
        if len(jobs) > 1:
            yield f"instance {instance} began {len(jobs)} jobs: {', '.join(map(str, jobs))}"
        for job in jobs:
            where[job].append(instance)
    for job, instances in where.items():
        if len(instances) > 1:
            yield f"job {job} began on {', '.join(instances)}. {ledger_line(facts.jobs.get(job), job)}"
    ran: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
    for each in facts.attempts:
        if each.runner:
            ran[each.runner].add((each.run, each.name))
    for runner, jobs in sorted(ran.items()):
        if len(jobs) > 1:
            yield f"runner {runner} ran {len(jobs)} jobs: {', '.join(f'{name} of {run}' for run, name in sorted(jobs))}"
    for runner, count in sorted(Counter(each.runner for each in facts.machines).items()):
        if count > 1:
            yield f"runner {runner} was launched {count} times: one client token was {count} machines"


def _ledger(facts: Facts) -> Iterator[str]:
    """All that GitHub queued is in the ledger, and has ended there."""
    for each in facts.attempts:
        job = facts.jobs.get(each.id)
        copy = each.id not in facts.jobs and any(
            other.id != each.id and other.execution == each.execution and other.id in facts.jobs
            for other in facts.attempts
        )
        if not copy and (job is None or job.state not in FINAL):
            yield f"job {each.name} of run {each.run} has not ended for the fleet. {ledger_line(job, each.id)}"
    for runner in facts.runners:
        if runner.state is not RunnerState.GONE:
            yield f"ledger: runner {runner.name} is still {runner.state} ({runner.instance_id or 'no instance'})"
    for pool, count in facts.counts.items():
        if count:
            yield f"ledger: pool {pool} counts {count} machines, and none is left"


def _left_over(facts: Facts) -> Iterator[str]:
    """No machine, registration or message is left."""
    known = {each.instance_id for each in facts.runners}
    for each in facts.machines:
        if each.state != "terminated":
            yield f"instance {each.id} of runner {each.runner} is {each.state}, not terminated"
        if each.id not in known:
            yield f"instance {each.id} of runner {each.runner} is in no record of the ledger"
    for name in facts.registrations:
        yield f"runner {name} is still registered with GitHub"
    for queue, count in facts.messages.items():
        if count:
            yield f"queue {queue} has {count} messages that wait"


def _by_job(facts: Facts, kind: Kind) -> Mapping[tuple[int, str], list[Attempt]]:
    found: defaultdict[tuple[int, str], list[Attempt]] = defaultdict(list)
    for each in facts.attempts:
        if facts.runs.get(each.run) is kind:
            found[each.run, each.name].append(each)
    return found


def summary(facts: Facts) -> Summary:
    """Return the numbers of a run without problems."""
    work = [min(each, key=lambda one: one.id) for each in _by_job(facts, Kind.WORK).values()]
    waits = sorted(each.started_at - each.queued_at for each in work)
    lives = [(each, each.ended_at - each.asked_at) for each in facts.runners if each.instance_id and each.asked_at]
    return Summary(
        done=len(work),
        refused=len(_by_job(facts, Kind.FORK)),
        cancelled=len(_by_job(facts, Kind.CANCELLED)),
        rerun=sum(each.rerun for each in facts.jobs.values()),
        launched=len(facts.machines),
        terminated=sum(each.state == "terminated" for each in facts.machines),
        markets=dict(sorted(Counter(str(each.market) for each, _ in lives).items())),
        queue_p50=percentile(waits, 50),
        queue_p95=percentile(waits, 95),
        queue_max=waits[-1],
        machine_hours=sum(life for _, life in lives) / 3600,
        cost=sum(life / 3600 * facts.prices.get(each.instance_type, 0.0) for each, life in lives),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values, the smallest first, do not exceed (the nearest rank)."""
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def began(log: Iterable[str]) -> Mapping[str, Sequence[int]]:
    """Return the jobs that each instance began, from the lines of `pavedpath-sandbox machines`."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for line in log:
        told = json.loads(line)
        if told["event"] == "runs":
            found[told["instance"]].append(told["job"])
    return found
