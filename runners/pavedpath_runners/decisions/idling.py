"""Taking away a machine that has a registration: in two phases, so that no busy one is ended.

GitHub's `busy` and `online` may be minutes old, so nothing follows from one look. First its registration is removed,
which GitHub refuses while a job runs; from then on no job can reach it. The agent exits and its instance ends itself;
one that still lives after a further while, without any news of a job, is terminated.
"""

from dataclasses import replace

from pavedpath_runners.configuration import Pool
from pavedpath_runners.ports import Registration
from pavedpath_runners.records import Runner, RunnerState

from .model import (
    NOTHING,
    Check,
    Decision,
    Deregister,
    Metric,
    Occupied,
    Outcome,
    Removed,
    Scene,
    Seen,
    Terminate,
    Withdraw,
)
from .moves import Draft, pool_of, release, step, waiting_job

DRAIN = 600.0
"""Seconds that an instance has to end itself after its registration was removed."""
AFTERLIFE = 300.0
"""Seconds that an instance has to end itself after its job."""


def saw(scene: Scene, runner: Runner, registration: Registration | None, keep: bool) -> Decision:
    """Return what a look at a registered machine that runs nothing changes: since when it is idle, or that it may go.

    `registration` is what the list showed. `keep`: the warm pool wants it.
    """
    if registration is None or not registration.online:
        return _note(scene, replace(runner, idle_since=0.0))
    if not runner.online_at:
        draft = Draft(scene)
        draft.put(replace(runner, online_at=scene.now))
        draft.measure(Metric.LAUNCH_TIME, max(0.0, scene.now - runner.asked_at), seconds=True, pool=runner.pool)
        return Decision(draft.changes(), draft.effects)
    if registration.busy:
        return _note(scene, replace(runner, idle_since=0.0))
    if not runner.idle_since:
        return _note(scene, replace(runner, idle_since=scene.now))
    if keep or not may_go(scene, runner):
        return NOTHING
    return Decision(effects=(Deregister(runner.registration, runner.scope),))


def may_go(scene: Scene, runner: Runner) -> bool:
    """Whether a machine is idle beyond doubt: no news of a job, no job that counts on it, idle in every look over the
    grace window and for as long as its pool allows."""
    if runner.state is not RunnerState.REGISTERED or runner.running is not None or not runner.idle_since:
        return False
    if any(job.runner == runner.name and job.open for job in scene.jobs.values()):
        return False
    pool = pool_of(scene.fleet, runner.pool)
    return scene.now - runner.idle_since >= max(scene.fleet.grace_seconds, pool.idle_minutes * 60)


def remove(scene: Scene, name: str, outcome: Outcome) -> Decision:
    """Return what follows from having asked GitHub to remove a runner, or about it before that."""
    runner = scene.runners.get(name)
    if runner is None or runner.state is not RunnerState.REGISTERED:
        # News of a job came in between.
        return NOTHING
    match outcome:
        case Seen(registration) if registration is not None and (registration.busy or registration.online):
            return _evidence(scene, runner)
        case Seen(registration) if registration is not None:
            return Decision(effects=(Deregister(registration.id, registration.scope),))
        case Seen() | Removed():
            return _drained(scene, runner)
        case Occupied():
            return _evidence(scene, runner)
        case _:
            return NOTHING


def leftover(scene: Scene, runner: Runner) -> Decision:
    """Return the end of an instance that should have ended itself by now: its job is over, or it can get none."""
    draft = Draft(scene)
    draft.effects.append(Terminate((runner.instance_id,)))
    draft.tell("machine did not end itself", runner=runner.name, instance=runner.instance_id, state=str(runner.state))
    return Decision(effects=draft.effects)


def is_leftover(scene: Scene, runner: Runner) -> bool:
    """Whether an instance that still lives should have ended itself by now."""
    since = scene.now - runner.changed_at
    if runner.state is RunnerState.DONE:
        return since > AFTERLIFE
    # One that never came online is broken; late news of a job may still come as long as the grace window lasts.
    return since > (DRAIN if runner.online_at else scene.fleet.grace_seconds)


def is_late(runner: Runner, pool: Pool, now: float) -> bool:
    """Whether a machine has not come online within its time."""
    return not runner.online_at and now - runner.asked_at > pool.boot_minutes * 60


def _note(scene: Scene, runner: Runner) -> Decision:
    draft = Draft(scene)
    draft.put(runner)
    return Decision(draft.changes())


def _evidence(scene: Scene, runner: Runner) -> Decision:
    """It is at work, or alive: what was thought of it does not hold."""
    return _note(scene, replace(runner, idle_since=0.0, online_at=runner.online_at or scene.now))


def let_go(scene: Scene, runner: Runner) -> Decision:
    """Return how a job waits for another machine than one that drains: GitHub, asked after the registration was
    removed, did not say that it runs."""
    draft = Draft(scene)
    draft.put(release(draft, runner, lost=not runner.interrupted_at, why=_why(runner)))
    return Decision(draft.changes(), draft.effects)


def _why(runner: Runner) -> str:
    return "it ran no job" if runner.online_at else "it never came online"


def _drained(scene: Scene, runner: Runner) -> Decision:
    """A job that waits for it keeps it until GitHub was asked once more: `busy`, by which GitHub let it be removed, may
    have been old, and the job run there."""
    job = waiting_job(scene, runner)
    draft = Draft(scene)
    draft.put(step(runner, RunnerState.DRAINING, scene.now, idle_since=0.0))
    healthy = runner.online_at and (job is None or runner.interrupted_at)
    draft.measure(Metric.IDLE_REMOVED if healthy else Metric.RETIRED, pool=runner.pool)
    draft.tell("machine drains", runner=runner.name, instance=runner.instance_id, why=_why(runner))
    draft.effects.append(Withdraw(runner.instance_id))
    if job is not None:
        draft.effects.append(Check(job.id))
    return Decision(draft.changes(), draft.effects)
