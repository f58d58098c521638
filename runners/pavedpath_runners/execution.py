"""How decisions take place: read, decide, commit, carry out; what that brought about is decided on again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from .configuration import Fleet
from .decisions import budgets, launching, reconciling
from .decisions.events import decide as decide_event
from .decisions.events import interrupted
from .decisions.model import (
    AskOwn,
    BringUp,
    Check,
    Checked,
    Decision,
    Deregister,
    Effect,
    Find,
    Found,
    Full,
    Launch,
    Launched,
    Look,
    Measure,
    NameTaken,
    NoCapacity,
    NotRerun,
    Occupied,
    Outcome,
    Owned,
    Register,
    Registered,
    Removed,
    Rerun,
    Say,
    Scene,
    Seen,
    Send,
    Sight,
    Start,
    Started,
    Stop,
    Stopped,
    Store,
    Stored,
    Taken,
    Terminate,
    Waiting,
    Withdraw,
)
from .decisions.moves import pool_of
from .events import JobEvent
from .ports import (
    ConflictError,
    DuplicateDeliveryError,
    NameTakenError,
    NoCapacityError,
    PoolFullError,
    RunActiveError,
    RunnerBusyError,
    ThrottledError,
    UnavailableError,
    World,
)
from .records import Delivery, Job, Put, Runner

TRIES = 10
"""Commits that are tried after one another, each on what was read anew, while others write the same records."""
ROUNDS = 16
"""Effects in a row for one thing, before it is left to the next run. The longest way has 8."""

Decide = Callable[[Outcome | None], Decision]

_COSTS: Mapping[type[Effect], str] = {
    Deregister: "github",
    Look: "github",
    Check: "github",
    Rerun: "github",
    Terminate: "ec2",
    Stop: "ec2",
}
"""Budgets of what is no launch."""


class Executor:
    """Carries decisions out in a world. It keeps nothing: what it has to know stands in the ledger."""

    def __init__(self, fleet: Fleet, world: World) -> None:
        self.fleet = fleet
        self.world = world

    # --- reading ---

    def scene(self, jobs: Iterable[int] = (), runners: Iterable[str] = (), breaker: bool = False) -> Scene:
        """Read records, and those that they are linked with; with `breaker`, that of the first machine's pool too."""
        ledger = self.world.ledger
        found_jobs: dict[int, Job | None] = {}
        found_runners: dict[str, Runner | None] = {}
        new_jobs, new_runners = set(jobs), {name for name in runners if name}
        while new_jobs or new_runners:
            found_jobs |= {identity: ledger.job(identity) for identity in sorted(new_jobs)}
            found_runners |= {name: ledger.runner(name) for name in sorted(new_runners)}
            held = [each for each in found_runners.values() if each is not None]
            linked = {each for runner in held for each in (runner.job, runner.running) if each is not None}
            named = {job.runner for job in found_jobs.values() if job is not None and job.runner}
            new_jobs, new_runners = linked - found_jobs.keys(), named - found_runners.keys()
        some = {name: each for name, each in found_runners.items() if each is not None}
        first = next(iter(some.values()), None)
        return Scene(
            fleet=self.fleet,
            now=self.world.clock.now(),
            jobs={identity: each for identity, each in found_jobs.items() if each is not None},
            runners=some,
            breaker=ledger.breaker(first.pool) if breaker and first is not None else None,
        )

    # --- the loop ---

    def run(
        self,
        decide: Decide,
        outcome: Outcome | None = None,
        thrifty: bool = False,
        noted: Callable[[Decision], None] | None = None,
    ) -> Outcome | None:
        """Decide and carry out until nothing follows, or a job has a machine (`Taken` is returned then).

        `thrifty`: what has a budget takes place only if that has more than what is reserved for launches.
        `noted` sees every decision once it is written.
        """
        for _ in range(ROUNDS):
            try:
                decision = self.settle(decide, outcome)
            except PoolFullError:
                outcome = Full()
                continue
            if noted is not None:
                noted(decision)
            outcome = self._perform(decision, thrifty)
            if outcome is None or isinstance(outcome, Taken):
                return outcome
        raise UnavailableError(f"no end after {ROUNDS} steps; it is left to the next run")

    def settle(self, decide: Decide, outcome: Outcome | None = None) -> Decision:
        """Decide and write. If others wrote meanwhile, read and decide anew.

        Raises:
            PoolFullError, DuplicateDeliveryError: these do not go away by trying again.
            UnavailableError: others wrote meanwhile every time.
        """
        for _ in range(TRIES):
            decision = decide(outcome)
            if not decision.changes:
                return decision
            try:
                self.world.ledger.commit(*decision.changes)
            except (PoolFullError, DuplicateDeliveryError):
                raise
            except ConflictError:
                continue
            return decision
        raise UnavailableError(f"others wrote the same records {TRIES} times; it is left to the next run")

    def afford(self, api: str, tokens: float = 1.0) -> bool:
        """Take tokens for what is no launch, if there are more than those that are reserved for launches."""
        budget = self.fleet.budgets.get(api)
        if budget is None:
            return True

        def decide(_: Outcome | None) -> Decision:
            now = self.world.clock.now()
            left = budgets.take(budget, self.world.ledger.bucket(api), api, now, tokens, launch=False)
            return Decision((Put(left),) if left is not None else ())

        return bool(self.settle(decide).changes)

    # --- what is done with one thing ---

    def apply(self, event: JobEvent, delivery: Delivery | None = None) -> None:
        """Write a job's news. Raises DuplicateDeliveryError if the delivery was taken before."""
        facts = event.facts
        self.run(lambda _: decide_event(self.scene((facts.id,), (facts.runner,)), event, delivery))

    def obtain(self, identity: int, outcome: Outcome | None) -> Decision:
        """Decide how a queued job gets a machine."""
        ledger = self.world.ledger
        scene = self.scene((identity,))
        job = scene.jobs.get(identity)
        if job is None:
            return launching.obtain(Waiting(scene, identity), outcome)
        spares = self._spare(scene, job)
        if spares or not self._has_turn(job, scene.now):
            # Most tries end here while a pool is full: what a launch needs is not read for them.
            return launching.obtain(Waiting(scene, identity, spares, turn=False), outcome)
        view = Waiting(
            scene=Scene(self.fleet, scene.now, scene.jobs, scene.runners, ledger.breaker(job.pool)),
            job=identity,
            buckets={api: ledger.bucket(api) for api in launching.COSTS if api in self.fleet.budgets},
        )
        return launching.obtain(view, outcome)

    def _has_turn(self, job: Job, now: float) -> bool:
        free = self.room(job.pool)
        # While there is room for many, nobody has to wait for his turn, and the list need not be read.
        plenty = free > max(1, pool_of(self.fleet, job.pool).maximum // 10)
        return plenty or (free > 0 and reconciling.has_turn(job, self.world.ledger.queued_jobs(), free, now))

    def room(self, pool: str) -> int:
        """How many machines more a pool may have."""
        return max(0, pool_of(self.fleet, pool).maximum - self.world.ledger.count(pool).live)

    def refill(self, pool: str) -> None:
        """Send for the jobs that get the room which a machine of a pool has just left."""
        waiting = self.world.ledger.queued_jobs()
        for job in reconciling.next_due(pool, waiting, self.room(pool), self.world.clock.now()):
            self.resend(job.id, reconciling.AT_ONCE)

    def resend(self, identity: int, patience: float = reconciling.RESEND) -> None:
        """Send a job's message again, unless one is on its way."""
        self.run(lambda _: reconciling.resend(self.scene((identity,)), identity, patience))

    def _spare(self, scene: Scene, job: Job) -> Sequence[Runner]:
        """One spare machine for a job, just read; the list that it is from may lag."""
        ledger = self.world.ledger
        for each in launching.fitting(scene, job, ledger.spare_runners())[:TRIES]:
            current = ledger.runner(each.name)
            if current is not None and launching.fitting(scene, job, [current]):
                return (current,)
        return ()

    def bring_up(self, name: str, outcome: Outcome | None = None, lease: float = 0.0) -> None:
        """Take a machine as far as it goes, with the lease on it, or if nobody has one."""
        held = lease

        def note(decision: Decision) -> None:
            nonlocal held
            for change in decision.changes:
                if isinstance(change, Put) and isinstance(change.record, Runner) and change.record.name == name:
                    held = change.record.changed_at

        try:
            self.run(
                lambda outcome: launching.bring_up(self.scene(runners=(name,), breaker=True), name, outcome, held),
                outcome,
                noted=note,
            )
        except UnavailableError:
            # Where this does not succeed either, the lease ends by itself.
            with suppress(UnavailableError):
                self.settle(lambda _: launching.give_back(self.scene(runners=(name,)), name, held))
            raise

    def look(self, name: str, sight: Sight) -> None:
        """Do what is to be done about a machine."""
        self.run(lambda outcome: reconciling.look(self.scene(runners=(name,)), name, sight, outcome), thrifty=True)

    def taken_away(self, name: str, ended: bool) -> None:
        """Write that EC2 takes a machine away within two minutes, or (`ended`) has done so."""

        def decide(_: Outcome | None) -> Decision:
            scene = self.scene(runners=(name,))
            runner = scene.runners.get(name)
            return interrupted(scene, name, self.world.ledger.breaker(runner.pool if runner else ""), ended)

        self.run(decide)

    def check(self, identity: int) -> None:
        """Ask GitHub what became of a job, and write that."""
        job = self.world.ledger.job(identity)
        if job is None:
            return
        facts = self.world.forge.job(job.repository, identity)
        self.settle(lambda _: reconciling.asked(self.scene((identity,)), identity))
        if facts is None:
            self.run(lambda _: reconciling.unknown(self.scene((identity,)), identity))
        else:
            self.apply(reconciling.as_event(facts))

    def again(self, identity: int) -> None:
        """Have a job run again whose machine was taken away."""
        self.run(lambda outcome: reconciling.again(self.scene((identity,)), identity, outcome))

    # --- effects ---

    def _perform(self, decision: Decision, thrifty: bool) -> Outcome | None:
        outcome = decision.then
        for effect in decision.effects:
            api = _COSTS.get(type(effect)) if thrifty else None
            if api is not None and not self.afford(api):
                self.world.telemetry.say("left for later", effect=type(effect).__name__, api=api)
                return None
            outcome = self._do(effect) or outcome
        return outcome

    def _do(self, effect: Effect) -> Outcome | None:
        match effect:
            case Say(event, fields):
                self.world.telemetry.say(event, **fields)
            case Measure(metric, value, dimensions, seconds):
                report = self.world.telemetry.seconds if seconds else self.world.telemetry.count
                report(str(metric), value, **dimensions)
            case Send(job, key):
                self._send(job, key)
            case BringUp(runner):
                self.bring_up(runner)
            case Check(job):
                self.check(job)
                return Checked()
            case Launch() | Start() | Stop() | Terminate() | Find():
                return self._compute(effect)
            case Store(instance_id, runner, configuration):
                self.world.handover.put(instance_id, runner, configuration)
                return Stored()
            case Withdraw(instance_id):
                self.world.handover.remove(instance_id)
            case _:
                return self._forge(effect)
        return None

    def _send(self, job: int, key: str) -> None:
        try:
            self.world.queue.send(job, key)
        except UnavailableError as error:
            # What matters is written; the reconciler sends it again.
            self.world.telemetry.say("job could not be sent", job=job, why=str(error))

    def _compute(self, effect: Launch | Start | Stop | Terminate | Find) -> Outcome | None:  # noqa: PLR0911 - a table
        compute = self.world.compute
        match effect:
            case Launch(order):
                try:
                    return Launched(compute.launch(order))
                except NoCapacityError:
                    return NoCapacity()
            case Start(instance_id):
                try:
                    compute.start(instance_id)
                except NoCapacityError:
                    return NoCapacity()
                return Started()
            case Stop(instance_id):
                compute.stop(instance_id)
                return Stopped()
            case Terminate(instance_ids):
                compute.terminate([each for each in instance_ids if each])
                return None
            case Find(runner):
                shown = (each for each in compute.instances() if each.runner == runner and not each.ended)
                return Found(next(shown, None))

    def _forge(self, effect: Register | Deregister | Look | AskOwn | Rerun) -> Outcome | None:  # noqa: PLR0911 - a table
        forge = self.world.forge
        match effect:
            case Register(runner, pool, scope):
                try:
                    registration, configuration = forge.register(runner, pool_of(self.fleet, pool), scope)
                except NameTakenError:
                    return NameTaken()
                return Registered(registration, configuration, scope)
            case Deregister(registration, scope):
                try:
                    forge.remove(registration, scope)
                except RunnerBusyError:
                    return Occupied()
                return Removed()
            case Look(runner, scope):
                return Seen(forge.registration(runner, scope))
            case AskOwn(repository, run_id):
                return Owned(forge.is_own(repository, run_id))
            case Rerun(repository, job):
                try:
                    forge.rerun(repository, job)
                except (RunActiveError, ThrottledError):
                    return NotRerun()
                return None
