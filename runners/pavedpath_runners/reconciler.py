"""One pass of the reconciler: it reads the lists once, and then each thing anew before it decides about it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from typing import TypeVar

from .configuration import Level, Pool
from .decisions import budgets, launching, matching, reconciling, warm
from .decisions.model import WAITING, Decision, Go, Metric, Scene, Sight
from .execution import Executor
from .ports import Attempt, ConflictError, Instance, JobFacts, Registration, RunnerBusyError, UnavailableError
from .records import Cursor, Job, JobState, Put, Runner, RunnerState

OVERLAP = 300.0
"""Seconds by which the look at failed deliveries overlaps the one before: GitHub lists one a while after it failed."""
FIRST_LOOK = 3600.0
"""Seconds that the first of those looks goes back."""
KNOWN = 3 * 86400.0
"""Seconds that GitHub remembers a delivery (GitHub, "Viewing webhook deliveries")."""
PAGES = 10
"""Requests for one list of deliveries in one pass."""
SCOPES = 10
"""Repositories whose registrations or deliveries one pass lists, where each has its own."""
REPOSITORIES = 5
"""Repositories that one pass sweeps for jobs whose webhook never came."""
SHARE = 0.6
"""Part of the time left that one kind of thing may take: the others have their turn, however slow it is."""
YOUNG = 60.0
"""Seconds within which a job's webhook is still on its way."""

T = TypeVar("T")


class Reconciler:
    """One pass. Launches come before clean-up."""

    def __init__(self, executor: Executor, deadline: float) -> None:
        self._executor = executor
        self._world = executor.world
        self._fleet = executor.fleet
        self._deadline = deadline
        self._errors: list[Exception] = []

    def run(self) -> None:
        """Do it all, as far as the time suffices.

        Raises:
            ExceptionGroup: of what went wrong with single things.
        """
        steps: Sequence[Callable[[], None]] = (
            # What the alarms live on comes first: their silence is an alarm, too.
            lambda: self._once("report", self._report),
            lambda: self._once("waiting jobs", self._send_waiting),
            lambda: self._each("machines", self._by_urgency(), self._look),
            # Held ones last: many may be due at once, and none of them is in a hurry.
            lambda: self._each("jobs", sorted(self._jobs, key=lambda job: bool(job.held_at)), self._look_at_job),
            lambda: self._once("waiting jobs", self._send_waiting),
            lambda: self._each("orphans", self._instances or (), self._end_orphan),
            lambda: self._each("ghosts", chain(*self._registrations.values()), self._remove_ghost),
            lambda: self._each("warm pools", self._fleet.pools, self._warm),
            lambda: self._each("deliveries", self._hooked(), self._redeliver),
            lambda: self._each("repositories", self._swept(), self._sweep),
        )
        for step in steps:
            self._once("lists", step)
        if self._errors:
            raise ExceptionGroup("reconciliation", self._errors)

    def _each(self, what: str, things: Iterable[T], act: Callable[[T], None]) -> None:
        """Look after things one by one. What goes wrong with one is told, and keeps no other from being looked
        after; a service that fails again and again is left alone."""
        failed, began = 0, self._world.clock.now()
        end = began + SHARE * (self._deadline - began)
        for number, thing in enumerate(things):
            if self._world.clock.now() >= (end if number else self._deadline):
                self._world.telemetry.say("no time left", at=what)
                return
            try:
                act(thing)
            except UnavailableError as error:
                failed += 1
                self._world.telemetry.say("service unavailable", at=what, why=str(error))
                if failed >= 5:
                    return
            except Exception as error:  # noqa: BLE001 - one thing that is not understood must not stop the fleet
                self._errors.append(error)
                self._world.telemetry.say("not understood", at=what, why=f"{type(error).__name__}: {error}")

    def _once(self, what: str, act: Callable[[], None]) -> None:
        self._each(what, (act,), lambda each: each())

    # --- the lists ---

    def _list(self, what: str, read: Callable[[], Sequence[T]]) -> Sequence[T] | None:
        """A list, or None if it could not be read: that is told, and the rest of the pass does without it."""
        found: list[Sequence[T]] = []
        self._once(f"list of {what}", lambda: found.append(read()))
        return found[0] if found else None

    @cached_property
    def _open(self) -> Sequence[Job] | None:
        return self._list("jobs", self._world.ledger.open_jobs)

    @property
    def _jobs(self) -> Sequence[Job]:
        return self._open or ()

    @cached_property
    def _live(self) -> Sequence[Runner] | None:
        return self._list("runners", self._world.ledger.live_runners)

    @cached_property
    def _runners(self) -> Mapping[str, Runner]:
        return {each.name: each for each in self._live or ()}

    @cached_property
    def _instances(self) -> Sequence[Instance] | None:
        return self._list("instances", self._world.compute.instances)

    @cached_property
    def _registrations(self) -> Mapping[str, Sequence[Registration]]:
        """Lists of registrations by the scope that they are of. Scopes of machines have their turn, and of the others
        one has, for ghosts; a list that could not be read, or paid, is not there. One repository that GitHub refuses,
        as it does where the App is not installed, keeps none of the others from being listed."""
        if not self._runners and not self._instances:
            return {}
        scopes = [""]
        if self._fleet.level is Level.REPOSITORY:
            scopes = [f"{self._fleet.organization}/{each}" for each in self._fleet.repositories]
        used = {each.scope for each in self._runners.values() if each.registration}
        found: dict[str, Sequence[Registration]] = {}
        chosen = (*self._turn(used, SCOPES), *self._turn(set(scopes) - used, 1))
        self._each("list of registrations", chosen, partial(self._add_registrations, found))
        return found

    def _add_registrations(self, found: dict[str, Sequence[Registration]], scope: str) -> None:
        listed: list[Registration] = []
        page = ""
        while self._executor.afford("github"):
            held = self._world.forge.registrations(scope, page)
            listed += held.found
            page = held.after
            if not page:
                found[scope] = listed
                return
        raise UnavailableError("the budget has no request left")

    def _turn(self, scopes: Iterable[str], places: int) -> Sequence[str]:
        """Those whose turn it is in this minute; all of them, if there are places."""
        every = sorted(scopes)
        first = int(self._world.clock.now() // 60) * places % max(1, len(every))
        return [*every[first:], *every[:first]][:places]

    @cached_property
    def _spares(self) -> Sequence[Runner]:
        return [each for each in self._runners.values() if each.spare]

    def _scene(self, job: Job | None = None, runner: Runner | None = None) -> Scene:
        """What the lists say, which decides whether a thing is worth being read anew."""
        return Scene(
            self._fleet,
            self._world.clock.now(),
            {job.id: job} if job is not None else {},
            {runner.name: runner} if runner is not None else {},
        )

    # --- machines ---

    def _by_urgency(self) -> Sequence[Runner]:
        """Machines on their way first, then those that nothing was done about for the longest."""
        return sorted(self._runners.values(), key=lambda each: (not launching.is_half_way(each), each.changed_at))

    @cached_property
    def _sights(self) -> Callable[[Runner], Sight]:
        by_id = {each.id: each for each in self._instances or ()}
        by_name = {each.runner: each for each in self._instances or () if not each.ended}
        registered = {each.name: each for held in self._registrations.values() for each in held}
        kept = {name for pool in self._fleet.pools for name in warm.kept(self._scene(), pool, self._spares)}

        def sight(runner: Runner) -> Sight:
            return Sight(
                instance=by_id.get(runner.instance_id) if runner.instance_id else by_name.get(runner.name),
                instances_known=self._instances is not None,
                registration=registered.get(runner.name),
                registrations_known=runner.scope in self._registrations,
                keep=runner.name in kept,
            )

        return sight

    @cached_property
    def _jobs_by_id(self) -> Mapping[int, Job]:
        return {each.id: each for each in self._jobs}

    def _look(self, runner: Runner) -> None:
        sight = self._sights(runner)
        if sight.instance is not None and sight.instance.reclaimed:
            self._executor.taken_away(runner.name, ended=True)
        job = self._jobs_by_id.get(runner.job) if runner.job is not None else None
        listed = reconciling.look(self._scene(job, runner), runner.name, sight)
        if listed.changes or listed.effects:
            self._executor.look(runner.name, sight)

    # --- jobs ---

    def _look_at_job(self, job: Job) -> None:
        runner = self._runners.get(job.runner)
        if job.rerun_wanted:
            self._executor.again(job.id)
        elif reconciling.is_dangling(job, runner):
            scene = self._executor.scene
            self._executor.run(lambda _: reconciling.dangling(scene((job.id,)), job.id))
        elif reconciling.is_suspicious(job, runner, self._world.clock.now()) and self._executor.afford("github"):
            self._executor.check(job.id)

    def _send_waiting(self) -> None:
        """Send the messages of queued jobs again that there is room for."""
        ledger, now = self._world.ledger, self._world.clock.now()
        waiting = list(ledger.queued_jobs())
        if not waiting:
            return
        spares = Counter(each.pool for each in ledger.spare_runners())
        names = {each.pool for each in waiting}
        free = {name: self._room(name) + spares[name] for name in names}
        for job in reconciling.due(waiting, free, self._launches(now), now):
            self._executor.resend(job.id)

    def _room(self, pool: str) -> int:
        if self._fleet.pool(pool) is None:
            # Its job finds another pool, or fails, when it is looked at.
            return 1
        return self._executor.room(pool)

    def _launches(self, now: float) -> int:
        """How many launches the budgets serve until the next pass is near."""
        served = [
            (budgets.level(budget, self._world.ledger.bucket(api), now) + 30 * budget.per_second) / launching.COSTS[api]
            for api, budget in self._fleet.budgets.items()
            if api in launching.COSTS
        ]
        return max(1, int(min(served, default=1000.0)))

    # --- what no record claims ---

    def _end_orphan(self, instance: Instance) -> None:
        listed = self._runners.get(instance.runner)
        if listed is not None and listed.instance_id in ("", instance.id):
            return
        if instance.ended:
            return
        runner = self._world.ledger.runner(instance.runner) if instance.runner else None
        if not reconciling.is_orphan(self._fleet, instance, runner, self._world.clock.now()):
            return
        if self._executor.afford("ec2"):
            self._world.compute.terminate([instance.id])
            self._world.telemetry.count(str(Metric.ORPHANS))
            self._world.telemetry.say("orphan terminated", instance=instance.id, runner=instance.runner)

    def _remove_ghost(self, registration: Registration) -> None:
        if registration.online or registration.busy or registration.name in self._runners:
            return
        runner = self._world.ledger.runner(registration.name)
        if reconciling.is_ghost(registration, runner) and self._executor.afford("github"):
            try:
                self._world.forge.remove(registration.id, registration.scope)
            except RunnerBusyError:
                # The list was old: a job runs there, and the registration ends with it.
                self._world.telemetry.say("ghost is busy", runner=registration.name)
                return
            self._world.telemetry.count(str(Metric.GHOSTS))
            self._world.telemetry.say("ghost removed", runner=registration.name)

    # --- warm pools ---

    def _warm(self, pool: Pool) -> None:
        for name in warm.surplus(self._scene(), pool, self._spares):
            self._discard(name)
        if self._live is None or not (pool.warm.hot or pool.warm.stopped):
            return
        ledger = self._world.ledger
        cursor = ledger.cursor(warm.cursor_name(pool))
        queued = sum(1 for each in self._jobs if each.pool == pool.name and each.queues)
        missing = warm.missing(self._scene(), pool, self._spares, self._room(pool.name) - queued, cursor)
        launched: list[Runner] = []
        for park in missing:
            if not self._executor.afford("ec2"):
                break
            decision, runner = warm.intend(self._scene(), pool, cursor, park)
            try:
                ledger.commit(*decision.changes)
            except ConflictError:
                # Another reconciler is at it, or the pool is full.
                break
            cursor = ledger.cursor(cursor.name)
            launched.append(runner)
        for runner in launched:
            if self._world.clock.now() >= self._deadline:
                # The next pass goes on with the rest, when their leases are over.
                break
            self._executor.bring_up(runner.name, Go(), runner.changed_at)

    def _discard(self, name: str) -> None:
        def decide(_: object) -> Decision:
            scene = self._executor.scene(runners=(name,))
            runner = scene.runners.get(name)
            asleep = runner is not None and runner.state is RunnerState.STOPPED and runner.job is None
            return reconciling.discard(scene, name, "the warm pool does not want it") if asleep else Decision()

        self._executor.run(decide, thrifty=True)

    # --- what never arrived ---

    def _hooked(self) -> Sequence[str]:
        """Whose webhooks' deliveries this pass looks at: repositories, OWNER/NAME, or the organisation."""
        fleet = self._fleet
        if fleet.level is Level.REPOSITORY:
            return self._turn((f"{fleet.organization}/{each}" for each in fleet.repository_hooks), SCOPES)
        return [""] if fleet.hook_id else []

    def _redeliver(self, scope: str) -> None:
        """Have failed deliveries sent again. The cursor is durable, so what failed while this did not run is found; it
        moves after the deepest look, so what a crash left is looked at again: a delivery that comes twice does no
        harm.

        A list that is longer than one pass may read is gone through from the newest on, over several; the cursor's
        position says how far that has come.
        """
        now = self._world.clock.now()
        cursor = self._world.ledger.cursor(f"deliveries {scope}".strip())
        since = max(cursor.at if cursor.version else now - FIRST_LOOK, now - KNOWN)
        first, before, reached = json.loads(cursor.position) if cursor.position else ("", 0, now - OVERLAP)
        attempts, after = self._attempts(scope, since, first)
        if after is None:
            return
        if not after and not cursor.position:
            due, reached = reconciling.to_redeliver(attempts, now, reached)
            self._send_again(due)
            self._advance(replace(cursor, at=max(since, reached)))
            return
        due = reconciling.backlog(attempts, before)
        sent = self._send_again(due)
        if sent < len(due):
            # The same pages once more, and from there on.
            position, at = [first, due[sent - 1].id if sent else before, reached], since
        elif after:
            position, at = [after, 0, reached], since
        else:
            position, at = [], max(since, reached)
        self._advance(replace(cursor, at=at, position=json.dumps(position) if position else ""))

    def _attempts(self, scope: str, since: float, first: str) -> tuple[Sequence[Attempt], str | None]:
        """Attempts from a page on, and the page to go on with: empty if there is none, None if nothing was read."""
        found: list[Attempt] = []
        page: str | None = None
        for _ in range(PAGES):
            if self._world.clock.now() >= self._deadline or not self._executor.afford("github"):
                break
            held = self._world.forge.attempts(scope, since, first if page is None else page)
            found += held.found
            page = held.after
            if not page:
                break
        return found, page

    def _send_again(self, attempts: Sequence[Attempt]) -> int:
        """Have deliveries sent again, as many as time and budget allow; how many those were."""
        for sent, attempt in enumerate(attempts):
            if self._world.clock.now() >= self._deadline or not self._executor.afford("github"):
                return sent
            try:
                self._world.forge.redeliver(attempt)
            except UnavailableError as error:
                # What was sent until then need not be sent again.
                self._world.telemetry.say("service unavailable", at="deliveries", why=str(error))
                return sent
            self._world.telemetry.count(str(Metric.REDELIVERED))
            self._world.telemetry.say("delivery sent again", delivery=attempt.guid)
        return len(attempts)

    def _advance(self, cursor: Cursor) -> None:
        try:
            self._world.ledger.commit(Put(cursor))
        except ConflictError:
            # Another pass has moved it; which of the two it is makes no difference.
            self._world.telemetry.say("cursor moved by another", cursor=cursor.name)

    def _swept(self) -> Sequence[str]:
        """The repositories whose turn it is, OWNER/NAME."""
        names = sorted(f"{self._fleet.organization}/{each}" for each in self._fleet.repositories)
        last = self._world.ledger.cursor("repositories").position
        after = [each for each in names if each > last]
        return (after + names[: len(names) - len(after)])[:REPOSITORIES]

    def _sweep(self, repository: str) -> None:
        """Find the jobs of a repository whose webhook never came."""
        if not self._executor.afford("github", 2):
            return
        try:
            for facts in self._world.forge.waiting(repository, self._chosen):
                self._discover(facts)
        except UnavailableError:
            raise
        except Exception:
            # What GitHub refuses now, it refuses again, and must not keep the others from their turn.
            self._end_turn(repository)
            raise
        self._end_turn(repository)

    def _end_turn(self, repository: str) -> None:
        cursor = self._world.ledger.cursor("repositories")
        self._advance(replace(cursor, at=self._world.clock.now(), position=repository))

    def _chosen(self, runs: Sequence[int]) -> Sequence[int]:
        known = {each.run_id for each in self._jobs}
        chosen = reconciling.worth_asking(runs, known, self._world.clock.now())
        return chosen if chosen and self._executor.afford("github", len(chosen)) else ()

    def _discover(self, facts: JobFacts) -> None:
        listed = self._jobs_by_id.get(facts.id)
        if listed is not None and not _is_news(facts, listed):
            # The list may lag, but not so that it would know a job to which this is news.
            return
        event = reconciling.as_event(facts)
        known = self._world.ledger.job(facts.id)
        if known is None:
            young = self._world.clock.now() - facts.queued_at < YOUNG
            if young or facts.status not in ("queued", "in_progress") or matching.refusal(self._fleet, event):
                return
            self._world.telemetry.count(str(Metric.DISCOVERED))
        elif not _is_news(facts, known):
            return
        self._executor.apply(event)

    # --- the report ---

    def _report(self) -> None:
        telemetry, now = self._world.telemetry, self._world.clock.now()
        telemetry.count(str(Metric.LOST), 0.0)
        if self._open is None or self._live is None:
            # That none is listed is not that none waits. Silence alarms.
            return
        for pool in self._fleet.pools:
            # One whose machine is on its way waits all the same, and may do so for ever if none comes up.
            waiting = [each for each in self._jobs if each.pool == pool.name and each.state in WAITING]
            oldest = min((each.queued_at for each in waiting if not each.held_at), default=now)
            machines = sum(1 for each in self._runners.values() if each.pool == pool.name)
            telemetry.count(str(Metric.WAITING), sum(each.queues for each in waiting), pool=pool.name)
            telemetry.count(str(Metric.MACHINES), machines, pool=pool.name)
            telemetry.seconds(str(Metric.OLDEST), now - oldest, pool=pool.name)


def _is_news(facts: JobFacts, job: Job) -> bool:
    """Whether a job of the ledger is further on than that knows."""
    if facts.status == "queued":
        return bool(job.held_at)
    return facts.status == "in_progress" and job.state not in (JobState.RUNNING, JobState.COMPLETED)
