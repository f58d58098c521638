"""What the reconciler makes of one machine, one job, one instance or one registration that it looks at.

It is level-triggered: it knows nothing of what was done before, and compares what is with what should be. The lists it
sees may be a minute old and the record is not, so nothing is concluded from a thing's absence until that has lasted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from zlib import crc32

from pavedpath_runners.configuration import Fleet
from pavedpath_runners.events import Action, JobEvent
from pavedpath_runners.ports import Attempt, Instance, JobFacts, Registration
from pavedpath_runners.records import UNUSED, Job, JobState, Runner, RunnerState

from . import idling, launching
from .launching import is_half_way, lease_is_over
from .model import (
    NOTHING,
    WAITING,
    BringUp,
    Check,
    Checked,
    Decision,
    Deregister,
    Look,
    Metric,
    NotRerun,
    Outcome,
    Rerun,
    Scene,
    Seen,
    Sight,
    Stop,
    Stopped,
    Terminate,
    Withdraw,
)
from .moves import LOSS_BACKOFF, Draft, backoff, drop, fail, follow, pool_of, requeue, step, waiting_job

MISSING = 180.0
"""Seconds after which an instance that EC2 does not show is none: its lists lag, and ours is read before the record."""
SETTLE = 180.0
"""Seconds that a machine gets for its first boot before it is put to sleep."""
RESEND = 45.0
"""Seconds within which a job's message counts as on its way."""
AT_ONCE = 5.0
"""The same where room has become free that the message may have found taken."""
FREED = 3
"""Jobs that the end of one machine calls at most: the pool may have had room before, and the reconciler calls all."""
SILENCE = 300.0
"""Seconds without news after which GitHub is asked about a job that has a machine."""
LONG_SILENCE = 900.0
"""The same for a job that waits for one, or runs."""
SHORT_SILENCE = 60.0
"""The same for a job that runs though its machine is gone, and once for one that has just been held back."""
RERUN_PATIENCE = 60.0
"""Seconds between asking for a re-run and asking again, since the workflow run still goes on."""
ASKED = 10
"""Workflow runs of one repository whose jobs one pass lists."""
KEPT = 3
"""Of those, the ones that new runs do not take from known ones, nor these from new ones."""
ATTEMPTS = 8
"""Attempts at a delivery after which it is sent no more."""


# --- one machine -----------------------------------------------------------------------------------------------------


def look(scene: Scene, name: str, sight: Sight, outcome: Outcome | None = None) -> Decision:  # noqa: PLR0911 - a table of states
    """Return what is to be done about a machine; `outcome` is what the effect of the last decision brought about."""
    runner = scene.runners.get(name)
    if runner is None or not runner.live:
        return NOTHING
    if isinstance(outcome, Stopped):
        return _asleep(scene, runner)
    checked = isinstance(outcome, Checked)
    if outcome is not None and not checked:
        unwritten = runner.state is RunnerState.LAUNCHING
        return _unwritten(scene, runner, outcome) if unwritten else idling.remove(scene, name, outcome)
    if is_dead(scene, runner, sight):
        return _ended(scene, runner, checked)
    if (missing := _missing(scene, runner, sight)) != bool(runner.missing_since):
        draft = Draft(scene)
        draft.put(replace(runner, missing_since=scene.now if missing else 0.0))
        return Decision(draft.changes())
    match runner.state:
        case RunnerState.DRAINING if (job := waiting_job(scene, runner)) is not None:
            # Only now that no job can reach it is GitHub's word on its own final.
            return idling.let_go(scene, runner) if checked else Decision(effects=(Check(job.id),))
        case RunnerState.DONE | RunnerState.DRAINING:
            return idling.leftover(scene, runner) if idling.is_leftover(scene, runner) else NOTHING
        case RunnerState.BUSY:
            return _outlived(scene, runner) if _is_old(scene, runner) else NOTHING
        case RunnerState.REGISTERED if runner.stored:
            return _registered(scene, runner, sight, checked)
        case RunnerState.LAUNCHING if runner.park and runner.job is None:
            return _parking(scene, runner, sight)
        case RunnerState.STOPPED if runner.job is None:
            why = _over(scene, runner)
            return discard(scene, name, why) if why else NOTHING
        case _:
            return _half_way(scene, runner, checked)


def is_dead(scene: Scene, runner: Runner, sight: Sight) -> bool:
    """Whether a machine's instance is gone: EC2 says so, or no look has shown it for longer than its lists lag. One
    list without it proves nothing, even of a machine that has run for hours."""
    if not runner.instance_id or not sight.instances_known:
        return False
    if sight.instance is not None:
        return sight.instance.ended
    return bool(runner.missing_since) and scene.now - runner.missing_since > MISSING


def _missing(scene: Scene, runner: Runner, sight: Sight) -> bool:
    """Whether a machine counts as not shown after this look."""
    if not runner.instance_id or not sight.instances_known:
        return bool(runner.missing_since)
    if sight.instance is not None:
        return False
    return bool(runner.missing_since) or scene.now - runner.asked_at > MISSING


def discard(scene: Scene, name: str, why: str) -> Decision:
    """Return the end of a machine that no job can be on, since it has no registration: it sleeps, or GitHub said so."""
    runner = scene.runners.get(name)
    if runner is None or runner.state not in (RunnerState.LAUNCHING, RunnerState.STOPPED) or runner.registration:
        return NOTHING
    draft = Draft(scene)
    job = waiting_job(scene, runner)
    # What kept it from being registered is no fault of the machine, and its job is not given up for it.
    delay = backoff(LOSS_BACKOFF, job.attempt) if job is not None else 0.0
    drop(draft, runner, lost=False, why=why, delay=delay)
    draft.effects.append(Terminate((runner.instance_id,)))
    return Decision(draft.changes(), draft.effects)


def _fails_its_job(scene: Scene, runner: Runner) -> bool:
    return waiting_job(scene, runner) is not None and not runner.interrupted_at


def _is_old(scene: Scene, runner: Runner) -> bool:
    """Whether its lifetime is over: a sleeper's since it was made, any other's since it was launched or woken."""
    since = runner.created_at if runner.state is RunnerState.STOPPED else runner.asked_at
    return scene.now - since > pool_of(scene.fleet, runner.pool).lifetime_minutes * 60


def _over(scene: Scene, runner: Runner) -> str:
    """Why a sleeper is to sleep no more; empty: it is."""
    if scene.fleet.pool(runner.pool) is None:
        return "its pool is configured no more"
    return "its lifetime is over" if _is_old(scene, runner) else ""


def _ended(scene: Scene, runner: Runner, checked: bool) -> Decision:
    """Its instance is gone. A job that waits for it may have run on it, and its news be late or lost."""
    job = waiting_job(scene, runner)
    if job is not None and not checked:
        return Decision(effects=(Check(job.id),))
    draft = Draft(scene)
    drop(draft, runner, _fails_its_job(scene, runner), "its instance ended")
    if not runner.online_at:
        draft.effects.append(Withdraw(runner.instance_id))
    return Decision(draft.changes(), draft.effects)


def _outlived(scene: Scene, runner: Runner) -> Decision:
    """A busy machine is ended for one reason alone: that it has lived for as long as its pool allows."""
    draft = Draft(scene)
    draft.measure(Metric.LIFETIME, pool=runner.pool)
    draft.tell("busy machine ended at the end of its lifetime", runner=runner.name, job=runner.running)
    draft.effects.append(Terminate((runner.instance_id,)))
    return Decision(effects=draft.effects)


def _registered(scene: Scene, runner: Runner, sight: Sight, checked: bool) -> Decision:
    pool = pool_of(scene.fleet, runner.pool)
    if runner.interrupted_at or launching.is_past_service(scene, runner):
        # GitHub refuses if a job runs there.
        return Decision(effects=(Deregister(runner.registration, runner.scope),))
    job = waiting_job(scene, runner)
    seen = sight.registration
    if idling.is_late(runner, pool, scene.now) and (seen is None or not seen.online):
        return _doubt(runner, job, checked)
    if not sight.registrations_known:
        return NOTHING
    if runner.online_at and seen is None:
        fresh = scene.now - max(runner.online_at, runner.changed_at) <= MISSING
        return NOTHING if fresh else _doubt(runner, job, checked)
    if job is not None and runner.idle_since:
        ignored = scene.now - max(runner.idle_since, job.changed_at)
        if ignored > max(scene.fleet.grace_seconds, pool.boot_minutes * 60):
            # GitHub does not give it its job; a new one may fare better.
            return Decision(effects=(Deregister(runner.registration, runner.scope) if checked else Check(job.id),))
    return idling.saw(scene, runner, seen, sight.keep)


def _doubt(runner: Runner, job: Job | None, checked: bool) -> Decision:
    """Something is wrong with a machine that may have had a job: first GitHub is asked for that, then for itself."""
    if job is not None and not checked:
        return Decision(effects=(Check(job.id),))
    return Decision(effects=(Look(runner.name, runner.scope),))


def _half_way(scene: Scene, runner: Runner, checked: bool) -> Decision:
    if not is_half_way(runner) or not lease_is_over(runner, scene.now):
        return NOTHING
    job = waiting_job(scene, runner)
    if runner.state is RunnerState.LAUNCHING and _given_up(scene, runner):
        return _doubt(runner, job, checked)
    late = idling.is_late(runner, pool_of(scene.fleet, runner.pool), scene.now)
    if runner.state is RunnerState.REGISTERED and (late or runner.interrupted_at):
        return _doubt(runner, job, checked)
    if job is None:
        return Decision(effects=(BringUp(runner.name),))
    return resend(scene, job.id)


def _given_up(scene: Scene, runner: Runner) -> str:
    """Why a machine without a registration is not to go on; empty: it is."""
    if runner.job is None and not runner.warm:
        return "no job needs it"
    late = idling.is_late(runner, pool_of(scene.fleet, runner.pool), scene.now)
    return "it could not be registered in time" if late or runner.interrupted_at else ""


def _unwritten(scene: Scene, runner: Runner, outcome: Outcome) -> Decision:
    """GitHub was asked about a machine that has no registration by its record, before it is given up.

    Whoever made it one may have died before he wrote that, or after he had handed the configuration over and another
    had doubted it: then a job may run there. What GitHub knows is registered, and goes the way of all that are.
    """
    why = _given_up(scene, runner)
    if not isinstance(outcome, Seen) or not why or not lease_is_over(runner, scene.now):
        return NOTHING
    seen = outcome.registration
    if seen is None:
        return discard(scene, runner.name, why)
    draft = Draft(scene)
    facts = {"registration": seen.id, "scope": seen.scope, "stored": True}
    follow(draft, step(runner, RunnerState.REGISTERED, scene.now, **facts))
    return Decision(draft.changes(), draft.effects)


def _parking(scene: Scene, runner: Runner, sight: Sight) -> Decision:
    if sight.instance is not None and sight.instance.state in ("stopped", "stopping"):
        return _asleep(scene, runner)
    if sight.instance is not None and scene.now - runner.asked_at > SETTLE:
        return Decision(effects=(Stop(runner.instance_id),))
    return NOTHING


def _asleep(scene: Scene, runner: Runner) -> Decision:
    draft = Draft(scene)
    if runner.state is not RunnerState.LAUNCHING or runner.job is not None:
        return NOTHING
    draft.put(step(runner, RunnerState.STOPPED, scene.now))
    draft.tell("machine sleeps", runner=runner.name, instance=runner.instance_id)
    return Decision(draft.changes(), draft.effects)


# --- one job ---------------------------------------------------------------------------------------------------------


def is_suspicious(job: Job, runner: Runner | None, now: float) -> bool:
    """Whether GitHub is to be asked about an open job: no news of it came for long."""
    if job.rerun_wanted:
        return False
    silence = now - max(job.changed_at, job.checked_at, job.held_at)
    if job.held_at:
        # News come in any order: that it is held may be older than that it is not.
        return silence > (SHORT_SILENCE if job.checked_at < job.held_at else LONG_SILENCE)
    if job.state is JobState.RUNNING:
        works = runner is not None and runner.state is RunnerState.BUSY
        return silence > (LONG_SILENCE if works else SHORT_SILENCE)
    return silence > (LONG_SILENCE if job.state is JobState.QUEUED else SILENCE)


def as_event(facts: JobFacts) -> JobEvent:
    """Return a look at a job as the event that would have told the same."""
    actions = {"queued": Action.QUEUED, "in_progress": Action.IN_PROGRESS, "completed": Action.COMPLETED}
    return JobEvent(
        action=actions.get(facts.status, Action.WAITING),
        facts=facts,
        organization=facts.repository.partition("/")[0],
        # What is not known to be private is not let in by the look.
        public=facts.public is not False,
    )


def asked(scene: Scene, identity: int) -> Decision:
    """Return the note that GitHub was asked about a job just now."""
    job = scene.jobs.get(identity)
    if job is None:
        return NOTHING
    draft = Draft(scene)
    draft.put(replace(job, checked_at=scene.now))
    return Decision(draft.changes())


def unknown(scene: Scene, identity: int) -> Decision:
    """Return the end of a job that GitHub knows no more; its run was deleted, say."""
    job = scene.jobs.get(identity)
    if job is None or not job.open or job.state is JobState.COMPLETED:
        return NOTHING
    draft = Draft(scene)
    runner = draft.runner(job.runner)
    if runner is not None and runner.job == job.id and runner.live:
        if runner.running == job.id:
            draft.put(step(runner, RunnerState.DONE, scene.now))
        elif runner.state in UNUSED:
            draft.put(replace(runner, job=None))
    # A run can be deleted once it has ended. That a job which never ran is not there has another reason, as a rule: the
    # App may not see its repository any more, and then it may wait there for ever.
    fail(draft, job, "GitHub knows it no more", lost=job.state in WAITING)
    return Decision(draft.changes(), draft.effects)


def resend(scene: Scene, identity: int, patience: float = RESEND) -> Decision:
    """Return a job's message once more, unless one is on its way: it was sent within so many seconds."""
    job = scene.jobs.get(identity)
    if (
        job is None
        or job.state not in WAITING
        or job.held_at
        or scene.now - job.sent_at < patience
        or not job.is_due(scene.now)
    ):
        return NOTHING
    draft = Draft(scene)
    draft.send(job)
    return Decision(draft.changes(), draft.effects)


def again(scene: Scene, identity: int, outcome: Outcome | None) -> Decision:
    """Return the re-run of a job whose machine was taken away.

    It is written that it was asked for before it is: a crash between the two loses the re-run, and never does it
    twice, which would cost its side effects. Only GitHub's own refusal, which is certain, is followed by another try.
    """
    job = scene.jobs.get(identity)
    if job is None:
        return NOTHING
    draft = Draft(scene)
    if isinstance(outcome, NotRerun):
        if not job.rerun or job.rerun_wanted:
            return NOTHING
        draft.put(replace(job, rerun=False, rerun_wanted=True, checked_at=scene.now))
        return Decision(draft.changes())
    if outcome is not None or not job.rerun_wanted or scene.now - job.checked_at < RERUN_PATIENCE:
        return NOTHING
    draft.put(replace(job, rerun=True, rerun_wanted=False))
    draft.measure(Metric.RERUN, pool=job.pool)
    draft.tell("job run again", job=job.id, repository=job.repository)
    return Decision(draft.changes(), (*draft.effects, Rerun(job.repository, job.id)))


def dangling(scene: Scene, identity: int) -> Decision:
    """Return how a job goes on whose machine is none, or stands for another one. No write leaves that; were there one
    that did, the job would wait for ever."""
    job = scene.jobs.get(identity)
    if job is None or not is_dangling(job, scene.runners.get(job.runner)):
        return NOTHING
    draft = Draft(scene)
    requeue(draft, job, lost=False, why="its machine is not there")
    return Decision(draft.changes(), draft.effects)


def is_dangling(job: Job, runner: Runner | None) -> bool:
    """Whether a job counts on a machine that does not count on it."""
    waits = job.state in WAITING and job.state is not JobState.QUEUED
    return waits and (runner is None or not runner.live or runner.job != job.id)


# --- waiting jobs ----------------------------------------------------------------------------------------------------


def due(jobs: Sequence[Job], free: Mapping[str, int], launches: int, now: float) -> Sequence[Job]:
    """Return the queued jobs to be sent again: the oldest first, no more of a pool than it has room for, and no more
    than the budgets serve. `free`: room by pool; a pool that is not there has none."""
    left = dict(free)
    chosen: list[Job] = []
    for job in sorted(jobs, key=lambda each: (each.queued_at, each.id)):
        if len(chosen) >= launches:
            break
        if job.queues and job.is_due(now) and left.get(job.pool, 0) > 0:
            left[job.pool] -= 1
            chosen.append(job)
    return chosen


def has_turn(job: Job, jobs: Iterable[Job], free: int, now: float) -> bool:
    """Whether no older job needs the room that a pool has left: else newcomers, whose message comes at once, could
    starve those that wait for the reconciler's. `jobs`: the oldest first; no more are taken than it needs."""
    older = 0
    for each in jobs:
        if older >= free or each.queued_at > job.queued_at:
            break
        first = (each.queued_at, each.id) < (job.queued_at, job.id)
        if first and each.pool == job.pool and each.queues and each.is_due(now):
            older += 1
    return older < free


def next_due(pool: str, jobs: Iterable[Job], free: int, now: float) -> Sequence[Job]:
    """Return the queued jobs of a pool that get the room which has just become free. `jobs`: as for `has_turn`."""
    due = (each for each in jobs if each.pool == pool and each.queues and each.is_due(now))
    return list(islice(due, max(0, min(free, FREED))))


# --- what never arrived ----------------------------------------------------------------------------------------------


def worth_asking(runs: Sequence[int], known: Collection[int], now: float) -> Sequence[int]:
    """Return the workflow runs, `ASKED` at most, whose jobs are to be listed: a sample of those of which no job is open
    here and one of the others, since one job's webhook may be lost where another's came. Either has `KEPT` places that
    the other takes only if they are left; it is another sample each minute, for runs of which no job is the fleet's
    look as new for as long as they last.

    To ask for all of them each minute would cost a request a minute for each run that goes on: 80 at once, and the
    5,000 an hour that GitHub grants an installation are gone.
    """
    minute = int(now // 60)
    drawn = sorted(runs, key=lambda run: crc32(f"{minute}-{run}".encode()))
    new, old = [each for each in drawn if each not in known], [each for each in drawn if each in known]
    places = max(KEPT, ASKED - len(new))
    return [*new[: ASKED - min(places, len(old))], *old[:places]]


def to_redeliver(attempts: Sequence[Attempt], now: float, reached: float) -> tuple[Sequence[Attempt], float]:
    """Return what is to be sent again: of each delivery that did not succeed the last attempt, the oldest first; and
    the time from which on the next look must see the attempts: `reached`, or that of the first one of a delivery that
    is not done with, so that the list always has them all.

    The pause before each attempt is twice the one before. After `ATTEMPTS`, more than an hour, the job is left to the
    sweep, and so is one that was refused: GitHub would send the same once more.

    Args:
        attempts: all since the time that the look before returned.
        now: seconds since 1970.
        reached: up to when the list is complete.
    """
    unsettled = [held for held in _by_delivery(attempts) if _is_unsettled(held)]
    tried = [held for held in unsettled if len(held) < ATTEMPTS]
    due = [held[-1] for held in tried if len(held) == 1 or now - held[-1].at >= 30.0 * 2 ** (len(held) - 1)]
    # What is given up is seen whole until none of it is seen: its last attempt alone would look like the first.
    seen = [held[0].at for held in unsettled if len(held) < ATTEMPTS or held[-1].at >= reached]
    return sorted(due, key=lambda each: each.id), min([reached, *seen])


def backlog(attempts: Sequence[Attempt], before: int = 0) -> Sequence[Attempt]:
    """Return what is to be sent again of a list that is too long for one look, the newest first; if `before` is not 0,
    from below that id on. What was tried before on other pages is not known, so nothing is sent again twice."""
    last = [held[-1] for held in _by_delivery(attempts) if _is_unsettled(held)]
    due = [each for each in last if not each.again and (not before or each.id < before)]
    return sorted(due, key=lambda each: -each.id)


def _by_delivery(attempts: Sequence[Attempt]) -> Iterable[Sequence[Attempt]]:
    held: dict[str, list[Attempt]] = {}
    for each in sorted(attempts, key=lambda each: each.id):
        held.setdefault(each.guid, []).append(each)
    return held.values()


def _is_unsettled(held: Sequence[Attempt]) -> bool:
    refused = 400 <= held[-1].status < 500 and held[-1].status not in (408, 429)
    return not refused and not any(200 <= each.status < 300 for each in held)


# --- what no record claims -------------------------------------------------------------------------------------------


def is_orphan(fleet: Fleet, instance: Instance, runner: Runner | None, now: float) -> bool:
    """Whether a machine with the fleet's tag is nobody's. Its record is read after the list that shows it."""
    if instance.ended:
        return False
    if runner is not None and not runner.live:
        return True
    old = now - instance.launched_at > fleet.orphan_minutes * 60
    return old and (runner is None or (bool(runner.instance_id) and runner.instance_id != instance.id))


def is_ghost(registration: Registration, runner: Runner | None) -> bool:
    """Whether a registration is of a machine that is gone. What the ledger does not know is another fleet's, whose name
    may begin alike."""
    return runner is not None and not runner.live and not registration.online and not registration.busy
