"""The control plane: what the four functions do. It is thin; what is decided stands in `decisions`."""

from .configuration import Fleet
from .decisions import events
from .decisions.model import WAITING, Decision, Go, Sight, Taken
from .events import JobEvent
from .execution import Executor
from .ports import DuplicateDeliveryError, World
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
        executor = self._executor

        def decide(_: object) -> Decision:
            scene = executor.scene(runners=(name,))
            runner = scene.runners.get(name)
            return events.interrupted(scene, name, self._world.ledger.breaker(runner.pool if runner else ""))

        executor.run(decide)
        executor.look(name, Sight())

    def _name(self, instance_id: str) -> str:
        """The runner on an instance: by its record or, where the list lags, by its tag."""
        listed = (each.name for each in self._world.ledger.live_runners() if each.instance_id == instance_id)
        name = next(listed, "")
        if name:
            return name
        return next((each.runner for each in self._world.compute.instances(instance_id)), "")
