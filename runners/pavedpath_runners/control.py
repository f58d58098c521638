"""The control plane: what the four functions do. It is thin; what is decided stands in `decisions`."""

from .configuration import Fleet
from .decisions.model import WAITING, Go, Sight, Taken
from .events import JobEvent
from .execution import Executor
from .ports import DuplicateDeliveryError, Instance, World
from .reconciler import Reconciler
from .records import Delivery, JobState


class ControlPlane:
    """A fleet's control plane in a world. It keeps nothing between calls; any number may run at once, and each may end
    between any two calls to a service: the next goes on from the ledger.

    Its methods raise UnavailableError where a service throttled or failed, and then call for being called again.
    """

    def __init__(self, fleet: Fleet, world: World) -> None:
        self._executor = Executor(fleet, world)
        self._world = world

    def take(self, delivery: Delivery, event: JobEvent) -> None:
        """Write a job's news, once for each delivery, and have the job looked at. Nothing else: GitHub waits."""
        try:
            self._executor.apply(event, delivery)
        except DuplicateDeliveryError:
            self._world.telemetry.say("delivery repeated", delivery=delivery.guid, job=event.facts.id)

    def launch(self, job: int) -> None:
        """Take a job as far on as it goes: it gets a spare machine or a new one, or its machine goes on where somebody
        left it. For a job that runs, has ended or is unknown, there is nothing to do but a re-run that it waits for."""
        record = self._world.ledger.job(job)
        if record is None:
            return
        if record.rerun_wanted:
            self._executor.again(job)
        elif record.state is JobState.QUEUED:
            taken = self._executor.run(lambda outcome: self._executor.obtain(job, outcome))
            if isinstance(taken, Taken):
                held = taken.lease is not None
                self._executor.bring_up(taken.runner, Go() if held else None, taken.lease or 0.0)
        elif record.state in WAITING:
            self._executor.bring_up(record.runner)

    def reconcile(self, deadline: float) -> None:
        """Compare what is with what should be, and repair it, until there is nothing left or the time (in seconds since
        1970) has come.

        Raises:
            ExceptionGroup: of what went wrong with single things; the others were looked after.
        """
        Reconciler(self._executor, deadline).run()

    def interrupted(self, instance_id: str) -> None:
        """Note that EC2 takes a machine away within two minutes. One that runs no job is removed at once, so that no
        job reaches it."""
        name = self._name(instance_id)
        if not name:
            self._world.telemetry.say("unknown machine is taken away", instance=instance_id)
            return
        self._executor.taken_away(name, ended=False)
        runner = self._world.ledger.runner(name)
        if runner is not None and runner.instance_id:
            # One without is still somebody's to launch, which this function may not.
            self._executor.look(name, Sight())

    def ended(self, instance: Instance) -> None:
        """Note that a machine of the fleet has ended, and have the room that it leaves used at once: the reconciler
        would do it within a minute."""
        runner = self._world.ledger.runner(instance.runner)
        if runner is None or not runner.live or runner.instance_id != instance.id:
            return
        if instance.reclaimed:
            self._executor.taken_away(runner.name, ended=True)
        self._executor.look(runner.name, Sight(instance, instances_known=True))
        self._executor.refill(runner.pool)

    def _name(self, instance_id: str) -> str:
        """The runner on an instance: by its tag or, where EC2 does not show it yet, by its record."""
        shown = next((each.runner for each in self._world.compute.instances(instance_id)), "")
        if shown:
            return shown
        return next((each.name for each in self._world.ledger.live_runners() if each.instance_id == instance_id), "")
