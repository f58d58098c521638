"""The function behind EventBridge's news of machines.

EC2 announces the end of a spot machine two minutes ahead, at best effort (EC2, "Spot Instance interruption notices").
What the notice missed, the machine's end shows: its reason says whether EC2 has taken it. And the place that a machine
leaves in its pool is free as soon as it has ended, so that a waiting job need not wait for the reconciler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import ENDED, Instance

NOTICE = "EC2 Spot Instance Interruption Warning"
CHANGE = "EC2 Instance State-change Notification"


def handler(event: Mapping[str, Any], context: wiring.Context) -> None:  # noqa: ARG001 - Lambda's signature
    """Take one event of EventBridge's. An error makes Lambda call again, twice."""
    from pavedpath_runners.control import ControlPlane

    fleet = wiring.configuration()
    world = wiring.world(fleet)
    control = ControlPlane(fleet, world)
    handle(event, control.interrupted, control.ended, world.compute.instances)


def handle(
    event: Mapping[str, Any],
    interrupted: Callable[[str], None],
    ended: Callable[[Instance], None],
    instances: Callable[[str], Sequence[Instance]],
) -> None:
    """Tell of a machine that EC2 takes away or that has ended; all other news is the reconciler's to see.

    Args:
        event: EventBridge's.
        interrupted: takes the instance's id.
        ended: takes the machine.
        instances: shows the fleet's machine of an id, if there is one; asked only when one has ended.
    """
    kind, detail = event["detail-type"], event["detail"]
    identity = str(detail["instance-id"])
    if kind == NOTICE:
        interrupted(identity)
    elif kind == CHANGE and detail["state"] in ENDED:
        for each in instances(identity):
            # The answer may be older than the event.
            ended(replace(each, state=detail["state"]))
