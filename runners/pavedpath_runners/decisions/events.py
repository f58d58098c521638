"""What GitHub's news of a job change: the job by rank, and the machines that it touches.

News come late, twice and in any order. A later state is never overwritten by earlier news, so all orders of the same
news end in the same state. Only between queued and held back a job goes to and fro: there the last news counts, and a
look at GitHub soon follows.
"""

from dataclasses import replace

from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.records import UNUSED, Breaker, Delivery, Job, JobState, Runner, RunnerState

from . import capacity
from .matching import pool_for, refusal
from .model import NOTHING, WAITING, Decision, Measure, Metric, Say, Scene
from .moves import Draft, give, move, requeue, serves, step

_OVER = frozenset({RunnerState.DONE, RunnerState.GONE})


def decide(scene: Scene, event: JobEvent, delivery: Delivery | None = None) -> Decision:
    """Return what an event changes.

    The scene holds the job, the runner that the event names, and the jobs and machines that these are linked with.
    `delivery` is remembered in the same write, so that it counts once; without one, the event is a look at GitHub's
    facts. An event of no job of this fleet changes nothing.
    """
    facts = event.facts
    named = scene.runners.get(facts.runner) if facts.runner else None
    known = scene.jobs.get(facts.id)
    # Whatever the policies say, GitHub gives a runner any job whose labels fit: what it runs is the fleet's.
    if known is None and named is None and (policy := refusal(scene.fleet, event)):
        return _refused(event, policy)
    draft = Draft(scene)
    if delivery is not None:
        draft.once(delivery)
    job = known or _new(scene, event, named)
    draft.put(_ranked(draft, job, event, named))
    if named is not None:
        _occupy(draft, named, facts.id, job.runner)
    _let_go(draft, facts.id, job.runner)
    _ask_again(draft, facts.id)
    if known is None:
        draft.measure(Metric.ACCEPTED, pool=job.pool)
        draft.tell("job accepted", job=job.id, repository=job.repository, pool=job.pool, action=str(event.action))
    current = draft.job(facts.id)
    if current is not None and current.queues and (known is None or known.held_at):
        draft.send(current)
    return Decision(draft.changes(), draft.effects)


def _refused(event: JobEvent, policy: str) -> Decision:
    fields = {"job": event.facts.id, "repository": event.facts.repository, "policy": policy}
    return Decision(effects=(Say("job refused", fields), Measure(Metric.REFUSED, dimensions={"policy": policy})))


def _new(scene: Scene, event: JobEvent, named: Runner | None) -> Job:
    facts = event.facts
    pool = pool_for(scene.fleet, facts.labels)
    return Job(
        id=facts.id,
        repository=facts.repository,
        run_id=facts.run_id,
        run_attempt=facts.run_attempt,
        labels=tuple(facts.labels),
        pool=pool.name if pool else named.pool if named else "",
        state=JobState.QUEUED,
        queued_at=facts.queued_at,
        changed_at=scene.now,
    )


def _ranked(draft: Draft, job: Job, event: JobEvent, named: Runner | None) -> Job:
    """The job after the news, by rank: queued, held back < in progress < completed."""
    facts = event.facts
    # A foreign runner is none of the ledger's; then the job has none here.
    place = {"runner": named.name if named else ""} if facts.runner else {}
    started = job.started_at or (facts.started_at if facts.runner else 0.0)
    if event.action is Action.WAITING:
        return _held(draft, job)
    if event.action is Action.QUEUED:
        return replace(job, held_at=0.0, queued_at=draft.now, not_before=0.0) if job.held_at else job
    if event.action is Action.IN_PROGRESS:
        if job.state is JobState.COMPLETED:
            return replace(job, started_at=started, **place)
        if job.state is not JobState.RUNNING:
            _measure_queue_time(draft, job, started)
        facts_of_run = {"started_at": started, "held_at": 0.0, "reason": "", "ended_at": 0.0}
        return move(job, JobState.RUNNING, draft.now, **facts_of_run, **place)
    if job.state is JobState.COMPLETED:
        return job
    if job.state is not JobState.RUNNING and facts.runner:
        _measure_queue_time(draft, job, started)
    draft.measure(Metric.COMPLETED, pool=job.pool, conclusion=facts.conclusion)
    draft.tell("job completed", job=job.id, conclusion=facts.conclusion, runner=facts.runner)
    ended = {"conclusion": facts.conclusion, "ended_at": facts.ended_at, "held_at": 0.0, "reason": ""}
    return move(job, JobState.COMPLETED, draft.now, started_at=started, **ended, **place)


def _held(draft: Draft, job: Job) -> Job:
    """The job when GitHub holds it back, for an approval or a timer of its environment: it wants no machine. GitHub
    tells of such a job as queued first, so it may have one by now, which another job may use."""
    if job.state not in WAITING or job.held_at:
        return job
    runner = draft.runner(job.runner)
    if runner is not None and runner.job == job.id and runner.state in UNUSED:
        draft.put(replace(runner, job=None, idle_since=0.0))
    draft.tell("job is held back", job=job.id, runner=job.runner)
    return move(job, JobState.QUEUED, draft.now, runner="", held_at=draft.now)


def _measure_queue_time(draft: Draft, job: Job, started: float) -> None:
    # Of one that is held back by all that is known, nobody has said when that ended.
    if started and job.queued_at and not job.held_at:
        draft.measure(Metric.QUEUE_TIME, max(0.0, started - job.queued_at), seconds=True, pool=job.pool)


def _occupy(draft: Draft, runner: Runner, identity: int, before: str) -> None:
    """Let a machine run a job, whomever it was launched for: GitHub gives any runner any job that fits."""
    job = draft.job(identity)
    if job is None:
        return
    if runner.interrupted_at and not job.interrupted:
        # Also where the machine is gone already: the news of what ran there may come last.
        job = replace(job, interrupted=True)
        draft.put(job)
    if runner.state in _OVER:
        return
    host = draft.job(runner.job) if runner.job != identity else None
    state = RunnerState.DONE if job.state is JobState.COMPLETED else RunnerState.BUSY
    if runner.running == identity and runner.state is state:
        return
    if not runner.online_at:
        waited = max(0.0, (job.started_at or draft.now) - runner.asked_at)
        draft.measure(Metric.LAUNCH_TIME, waited, seconds=True, pool=runner.pool)
    online = runner.online_at or job.started_at or draft.now
    busy = replace(runner, job=identity, running=identity, idle_since=0.0, online_at=online)
    draft.put(step(busy, state, draft.now))
    if host is not None and host.runner == runner.name and host.state in WAITING:
        _compensate(draft, host, identity, runner.name, before)


def _compensate(draft: Draft, host: Job, thief: int, stolen: str, before: str) -> None:
    """A job whose machine another one runs on gets that one's machine, or waits for a new one."""
    draft.measure(Metric.STOLEN, pool=host.pool)
    draft.tell("machine stolen", job=host.id, by=thief, runner=stolen)
    own = draft.runner(before) if before != stolen else None
    if own is not None and own.job == thief and own.running is None and serves(own, host):
        give(draft, own, host)
    else:
        requeue(draft, host, lost=False, why="its machine runs another job")


def _let_go(draft: Draft, identity: int, before: str) -> None:
    """The machine that the job had before, and does not run on, is spare; one that it ran on is done."""
    job, runner = draft.job(identity), draft.runner(before)
    if job is None or runner is None or job.state in WAITING or runner.job != identity:
        return
    if runner.running == identity:
        if job.state is JobState.COMPLETED and runner.state is RunnerState.BUSY:
            draft.put(step(runner, RunnerState.DONE, draft.now))
        return
    if runner.state in UNUSED:
        draft.put(replace(runner, job=None, idle_since=0.0))
    if job.runner == before:
        draft.put(replace(job, runner=""))


def _ask_again(draft: Draft, identity: int) -> None:
    """A job that failed since its spot machine was taken away is run again, once."""
    job = draft.job(identity)
    if job is None or job.rerun or job.rerun_wanted or not draft.fleet.rerun_interrupted:
        return
    if job.run_attempt > 1:
        # It is a re-run itself, under an id of its own.
        return
    if job.state is JobState.COMPLETED and job.interrupted and job.conclusion == "failure":
        draft.send(replace(job, rerun_wanted=True))


def interrupted(scene: Scene, name: str, breaker: Breaker, ended: bool = False) -> Decision:
    """Return what changes when EC2 takes a machine away within two minutes, or (`ended`) has done so: the job that runs
    there is noted, and the pool's circuit breaker has one interruption more. The notice may come more than once, or
    never: then the machine's end tells of it, and its job may have failed by then."""
    runner = scene.runners.get(name)
    if runner is None or not runner.live:
        return NOTHING
    draft = Draft(scene)
    if not runner.interrupted_at:
        draft.put(replace(runner, interrupted_at=scene.now))
        draft.store(capacity.interrupted(breaker, scene.now, runner.instance_type, runner.zone))
        draft.measure(Metric.INTERRUPTIONS, pool=runner.pool)
        draft.tell("machine is taken away", runner=name, instance=runner.instance_id, job=runner.running)
    job = draft.job(runner.running)
    failed = job is not None and job.state is JobState.COMPLETED and job.runner == name and ended
    if job is not None and not job.interrupted and (job.state is JobState.RUNNING or failed):
        draft.put(replace(job, interrupted=True))
        _ask_again(draft, job.id)
    return Decision(draft.changes(), draft.effects)
