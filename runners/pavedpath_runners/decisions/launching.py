"""From a queued job to a machine that waits for it: the intent first, then one step after the other.

Every step is written before the next one is taken, so whoever comes after a crash goes on from what is written. Two
never work at one machine at once: who takes it on renews its lease (`changed_at`) by a conditional write, and who finds
at his next step that another has renewed it leaves it alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from pavedpath_runners.configuration import Fleet, Market, Pool
from pavedpath_runners.ports import Instance, Order, Registration
from pavedpath_runners.records import Count, Job, Runner, RunnerState

from . import budgets, capacity, naming
from .matching import pool_for, scope
from .model import (
    LEASE,
    NOTHING,
    AskOwn,
    Decision,
    Deregister,
    Find,
    Found,
    Full,
    Go,
    Launch,
    Launched,
    Look,
    Metric,
    NameTaken,
    NoCapacity,
    Outcome,
    Owned,
    Register,
    Registered,
    Removed,
    Scene,
    Seen,
    Start,
    Started,
    Store,
    Stored,
    Taken,
    Terminate,
    Waiting,
)
from .moves import Draft, backoff, drop, fail, follow, give, pool_of, serves, step

TOKEN = 3600.0
"""Seconds for which EC2 is trusted to know a client token; it promises about a day."""
CAPACITY_BACKOFF = 15.0
"""Seconds that a job waits after EC2 had no machine for it; twice as long after each further time, up to 5 minutes."""
SERVICE = 0.5
"""Part of its lifetime within which a machine takes a job, which so has the rest for itself. Of the default of 12 hours
that is GitHub's own default limit of a job: 6 hours."""
COSTS = {"ec2": 1.0, "jit": 1.0, "github": 2.0}
"""What a launch takes of each budget: CreateFleet, a configuration, and that with the question whose code it is."""

_READY = (RunnerState.REGISTERED, RunnerState.STOPPED, RunnerState.LAUNCHING, RunnerState.INTENDED)
"""Spare machines, the soonest ready first."""


# --- a job that has no machine ---------------------------------------------------------------------------------------


def obtain(view: Waiting, outcome: Outcome | None) -> Decision:
    """Return how a queued job gets a machine: a spare one, or the intent to launch one (`Taken` follows)."""
    scene = view.scene
    job = scene.jobs.get(view.job)
    if job is None or not job.queues or not job.is_due(scene.now) or isinstance(outcome, Full):
        return NOTHING
    draft = Draft(scene)
    pool = scene.fleet.pool(job.pool) or pool_for(scene.fleet, job.labels)
    if pool is None:
        fail(draft, job, "no pool takes its labels any more", lost=True)
        return _decided(draft)
    if isinstance(outcome, Owned):
        job = replace(job, own=outcome.own)
        draft.put(job)
    if job.own is None and not scene.fleet.allow_forks:
        return Decision(effects=(AskOwn(job.repository, job.run_id),))
    if job.own is False and not scene.fleet.allow_forks:
        fail(draft, job, "its code is a fork's, which the fleet's policy refuses", lost=False)
        return _decided(draft)
    job = replace(job, pool=pool.name)
    if spares := fitting(scene, job, view.spares):
        return _take_over(draft, job, spares[0])
    return _intend(view, draft, job, pool)


def _decided(draft: Draft, then: Outcome | None = None) -> Decision:
    return Decision(draft.changes(), draft.effects, then)


def fitting(scene: Scene, job: Job, spares: Sequence[Runner]) -> Sequence[Runner]:
    """Return the spare machines that a job may take over, the soonest ready first."""
    usable = [
        each
        for each in spares
        if each.spare
        and serves(each, job)
        and _is_promising(scene, each)
        and not (each.park and each.state is not RunnerState.STOPPED)
    ]
    return sorted(usable, key=lambda each: (_READY.index(each.state), each.created_at, each.name))


def _is_promising(scene: Scene, runner: Runner) -> bool:
    """Whether a machine has half of its life before it, and is no late one."""
    pool = scene.fleet.pool(runner.pool)
    if pool is None or is_past_service(scene, runner):
        return False
    late = scene.now - runner.asked_at > pool.boot_minutes * 60
    return runner.state is RunnerState.STOPPED or bool(runner.online_at) or not late


def is_past_service(scene: Scene, runner: Runner) -> bool:
    """Whether too little is left of a machine's life for another job. Sleep does not count."""
    if runner.state is RunnerState.STOPPED:
        return False
    return scene.now - runner.asked_at > SERVICE * pool_of(scene.fleet, runner.pool).lifetime_minutes * 60


def _take_over(draft: Draft, job: Job, spare: Runner) -> Decision:
    lease = None
    if spare.state is RunnerState.STOPPED:
        spare = step(spare, spare.state, draft.now, asked_at=draft.now)
        lease = spare.changed_at
    give(draft, spare, job)
    draft.tell("machine taken over", job=job.id, runner=spare.name, state=str(spare.state))
    return _decided(draft, Taken(spare.name, lease))


def _intend(view: Waiting, draft: Draft, job: Job, pool: Pool) -> Decision:
    fleet, now = draft.fleet, draft.now
    draft.put(job)
    if not view.turn:
        return _decided(draft)
    left = {
        api: budgets.take(budget, view.buckets.get(api), api, now, COSTS[api], launch=True)
        for api, budget in fleet.budgets.items()
        if api in COSTS
    }
    if empty := [api for api, bucket in left.items() if bucket is None]:
        draft.tell("launch waits for budget", job=job.id, apis=",".join(empty))
        return _decided(draft)
    for bucket in left.values():
        if bucket is not None:
            draft.store(bucket)
    attempt = job.attempt + 1
    runner = Runner(
        name=naming.runner_name(fleet.name, job.id, attempt),
        pool=pool.name,
        state=RunnerState.INTENDED,
        changed_at=now,
        created_at=now,
        asked_at=now,
        market=capacity.first_market(fleet, pool, view.scene.breaker, now),
        scope=scope(fleet, job.repository),
    )
    # The lists of ports may lag, the count does not: it moves in this very write, or none of it is written.
    draft.also(Count(pool.name, 1, pool.maximum))
    give(draft, runner, replace(job, attempt=attempt))
    draft.tell("launch intended", job=job.id, runner=runner.name, market=str(runner.market))
    return _decided(draft, Taken(runner.name, runner.changed_at))


# --- a machine on its way --------------------------------------------------------------------------------------------


def bring_up(  # noqa: C901, PLR0911, PLR0912 - a table
    scene: Scene, name: str, outcome: Outcome | None, lease: float
) -> Decision:
    """Return a machine's next step, up to where its configuration lies ready for it.

    `outcome` None: somebody asks who does not hold its lease. `lease` is the holder's: the `changed_at` that he wrote.
    """
    runner = scene.runners.get(name)
    if runner is None:
        return NOTHING
    if outcome is None:
        return _take_lease(scene, runner)
    if runner.changed_at != lease:
        return _left(runner, outcome)
    match outcome:
        case Go():
            return _next(scene, runner)
        case Launched(instance):
            return _launched(scene, runner, instance)
        case NoCapacity():
            return _no_capacity(scene, runner)
        case Started():
            return _moved(scene, step(runner, RunnerState.LAUNCHING, scene.now))
        case Registered():
            return _registered(scene, runner, outcome)
        case NameTaken():
            return Decision(effects=(Look(runner.name, _scope(scene, runner)),))
        case Seen(registration):
            return _seen(scene, runner, registration)
        case Removed():
            return _register(scene, runner)
        case Stored():
            return _moved(scene, step(runner, runner.state, scene.now, stored=True), None)
        case Found(instance):
            return _found(scene, runner, instance)
        case _:
            return NOTHING


def is_half_way(runner: Runner) -> bool:
    """Whether a machine is somebody's work in progress, or waits for somebody to go on."""
    if runner.state is RunnerState.REGISTERED:
        return not runner.stored
    if runner.state is RunnerState.STOPPED:
        return runner.job is not None
    return runner.state in (RunnerState.INTENDED, RunnerState.LAUNCHING)


def lease_is_over(runner: Runner, now: float) -> bool:
    """Whether whoever worked at a machine is dead by now."""
    return now - runner.changed_at > LEASE


def give_back(scene: Scene, name: str, lease: float) -> Decision:
    """Return the end of a lease whose holder stops half-way and knows it: a service did not serve him. The next one
    need not wait until he would be dead."""
    runner = scene.runners.get(name)
    if runner is None or runner.changed_at != lease or not is_half_way(runner):
        return NOTHING
    draft = Draft(scene)
    draft.put(replace(runner, changed_at=scene.now - LEASE - 1.0))
    return Decision(draft.changes())


def _take_lease(scene: Scene, runner: Runner) -> Decision:
    if not is_half_way(runner) or not lease_is_over(runner, scene.now):
        return NOTHING
    return _moved(scene, step(runner, runner.state, scene.now))


def _moved(scene: Scene, runner: Runner, then: Outcome | None = Go()) -> Decision:  # noqa: B008 - Go is frozen
    draft = Draft(scene)
    follow(draft, runner)
    return _decided(draft, then)


def _left(runner: Runner, outcome: Outcome) -> Decision:
    """Another has taken the machine on, or it is gone: what was brought about meanwhile is nobody's."""
    if isinstance(outcome, Launched) and outcome.instance.id != runner.instance_id and runner.state is RunnerState.GONE:
        return Decision(effects=(Terminate((outcome.instance.id,)),))
    return NOTHING


def _next(scene: Scene, runner: Runner) -> Decision:  # noqa: PLR0911 - a table of states
    pool = scene.fleet.pool(runner.pool)
    unwanted = runner.job is None and not runner.warm
    match runner.state:
        case RunnerState.INTENDED if pool is None:
            return _dropped(scene, runner, "its pool is configured no more")
        case RunnerState.INTENDED if unwanted or scene.now - runner.asked_at > TOKEN:
            return Decision(effects=(Find(runner.name),))
        case RunnerState.INTENDED if pool is not None:
            return Decision(effects=(Launch(_order(scene, runner, pool)),))
        case RunnerState.STOPPED if runner.job is not None:
            return Decision(effects=(Start(runner.instance_id),))
        case RunnerState.LAUNCHING if not unwanted and not (runner.park and runner.job is None):
            return _register(scene, runner)
        case RunnerState.REGISTERED if not runner.stored:
            # Its configuration is lost, or was handed over and that was not written.
            return Decision(effects=(Look(runner.name, runner.scope),))
        case _:
            return NOTHING


def _order(scene: Scene, runner: Runner, pool: Pool) -> Order:
    return Order(runner.name, pool, runner.market, capacity.avoided(scene.breaker, runner.asked_at))


def _scope(scene: Scene, runner: Runner) -> str:
    """Where it is to be registered: with its job's repository, if the fleet registers there."""
    job = scene.jobs.get(runner.job) if runner.job is not None else None
    return scope(scene.fleet, job.repository) if job is not None else runner.scope


def _register(scene: Scene, runner: Runner) -> Decision:
    return Decision(effects=(Register(runner.name, runner.pool, _scope(scene, runner)),))


def _dropped(scene: Scene, runner: Runner, why: str, delay: float = 0.0) -> Decision:
    draft = Draft(scene)
    drop(draft, runner, lost=False, why=why, delay=delay)
    return _decided(draft)


def _launched(scene: Scene, runner: Runner, instance: Instance) -> Decision:
    if runner.state is not RunnerState.INTENDED:
        return NOTHING
    draft = Draft(scene)
    draft.measure(Metric.LAUNCHES, pool=runner.pool, market=str(runner.market))
    draft.tell("machine launched", runner=runner.name, instance=instance.id, type=instance.type, zone=instance.zone)
    facts = {"instance_id": instance.id, "instance_type": instance.type, "zone": instance.zone}
    follow(draft, step(runner, RunnerState.LAUNCHING, scene.now, **facts))
    return _decided(draft, Go())


def _no_capacity(scene: Scene, runner: Runner) -> Decision:
    draft = Draft(scene)
    draft.measure(Metric.NO_CAPACITY, pool=runner.pool, market=str(runner.market))
    pool = scene.fleet.pool(runner.pool)
    market = capacity.next_market(pool, runner.market) if pool else None
    if runner.state is RunnerState.INTENDED and market is not None:
        draft.tell("market changed", runner=runner.name, market=str(market))
        follow(draft, step(runner, runner.state, scene.now, market=market, asked_at=scene.now))
        return _decided(draft, Go())
    if runner.state is RunnerState.STOPPED:
        # A new machine may be of another type and zone, so its job need not wait.
        drop(draft, runner, lost=False, why="it could not be woken")
        draft.effects.append(Terminate((runner.instance_id,)))
        return _decided(draft)
    job = draft.job(runner.job)
    tried = job.attempt if job else 1
    delay = backoff(CAPACITY_BACKOFF, max(0, tried - 1))
    drop(draft, runner, lost=False, why="no capacity", delay=delay)
    return _decided(draft)


def _registered(scene: Scene, runner: Runner, made: Registered) -> Decision:
    if runner.state is not RunnerState.LAUNCHING:
        return NOTHING
    draft = Draft(scene)
    # Where it was registered, it stays, though its job may have gone meanwhile.
    facts = {"registration": made.registration, "scope": made.scope, "stored": False}
    follow(draft, step(runner, RunnerState.REGISTERED, scene.now, **facts))
    draft.effects.append(Store(runner.instance_id, runner.name, made.configuration))
    return _decided(draft)


def _seen(scene: Scene, runner: Runner, registration: Registration | None) -> Decision:
    """A registration without a configuration that is known to have arrived."""
    if registration is None:
        again = step(runner, RunnerState.LAUNCHING, scene.now, registration=0)
        return _moved(scene, again)
    if registration.online or registration.busy:
        # It has arrived: the runner could not be there without it.
        facts = {"registration": registration.id, "scope": registration.scope, "stored": True}
        return _moved(scene, step(runner, RunnerState.REGISTERED, scene.now, **facts), None)
    if runner.state is RunnerState.REGISTERED:
        return _moved(scene, step(runner, RunnerState.LAUNCHING, scene.now, registration=0))
    return Decision(effects=(Deregister(registration.id, registration.scope),))


def _found(scene: Scene, runner: Runner, instance: Instance | None) -> Decision:
    if instance is None:
        # By now EC2 may take the token for a new one. If there is a machine after all, it is an orphan.
        return _dropped(scene, runner, "EC2 shows no machine for it")
    return _launched(scene, runner, instance)


def warm_runner(fleet: Fleet, pool: Pool, number: int, now: float, park: bool) -> Runner:
    """Return the intent of a warm machine. One that is to be stopped is no spot machine: EC2 stops none of these."""
    return Runner(
        name=naming.warm_name(fleet.name, pool.name, number),
        pool=pool.name,
        state=RunnerState.INTENDED,
        changed_at=now,
        created_at=now,
        asked_at=now,
        warm=True,
        park=park,
        market=Market.ON_DEMAND if park else capacity.first_market(fleet, pool, None, now),
    )
