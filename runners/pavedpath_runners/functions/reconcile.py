"""The function that the schedule calls, each minute; its reserved concurrency of 1 keeps it single."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import ConflictError, Telemetry, UnavailableError

RESERVE_SECONDS = 15.0
"""Time that the last step may take once the deadline has passed."""


def handler(event: Mapping[str, Any], context: wiring.Context) -> None:  # noqa: ARG001 - Lambda's signature
    """Compare what is with what should be, and repair, until the deadline."""
    from pavedpath_runners.control import ControlPlane

    fleet = wiring.configuration()
    world = wiring.world(fleet)
    deadline = wiring.CLOCK.now() + wiring.remaining(context) - RESERVE_SECONDS
    handle(lambda: ControlPlane(fleet, world).reconcile(deadline), world.telemetry)


def handle(reconcile: Callable[[], None], telemetry: Telemetry) -> None:
    """Reconcile, and tell of each thing that could not be looked after.

    What a service's outage or another executor's work has prevented, the next minute does. Anything else is a defect:
    it is raised again, so that the function's errors count it.
    """
    try:
        reconcile()
    except Exception as error:
        defects = False
        for each in _leaves(error):
            postponed = isinstance(each, UnavailableError | ConflictError)
            defects = defects or not postponed
            what = "reconcile_postponed" if postponed else "reconcile_failed"
            telemetry.say(what, why=f"{type(each).__name__}: {each}")
        if defects:
            raise


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for each in cast("ExceptionGroup[Exception]", error).exceptions:
            yield from _leaves(each)
    else:
        yield error
