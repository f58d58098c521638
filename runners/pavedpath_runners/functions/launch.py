"""The function behind the launch queue."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pavedpath_runners.adapters.sqs import job_of
from pavedpath_runners.decisions.model import LEASE
from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import ConflictError, Telemetry, UnavailableError

RESERVE_SECONDS = 25.0
"""Time that one launch may take: with less than that left, a message waits for the next invocation."""

AGAIN_SECONDS = 5.0
"""Seconds after which a message comes again that a service's failure kept from its work; twice as long each time."""
MOST_SECONDS = 120.0
KILLED_SECONDS = LEASE + 10.0
"""Seconds after which a message comes again whose function was killed within its first ten: by then nobody holds the
lease that it renewed last. After a later kill the reconciler goes on. The queue's own visibility time-out is made for
messages that Lambda holds and has not handed over yet."""
PATIENCE = 4
"""Receives after which such a message is left to the reconciler; the queue's dead letters begin after one more."""


def handler(event: Mapping[str, Any], context: wiring.Context) -> dict[str, Any]:
    """Launch for each job of a batch (event source mapping with ReportBatchItemFailures)."""
    from pavedpath_runners.control import ControlPlane

    fleet = wiring.configuration()
    world = wiring.world(fleet)
    control = ControlPlane(fleet, world)
    return handle(
        event["Records"], control.launch, world.queue.postpone, world.telemetry, lambda: wiring.remaining(context)
    )


def handle(
    messages: Sequence[Mapping[str, Any]],
    launch: Callable[[int], None],
    postpone: Callable[[str, float], None],
    telemetry: Telemetry,
    left: Callable[[], float],
) -> dict[str, Any]:
    """Launch for each message, and name those that must come again.

    What a service that throttles or fails has prevented comes again soon: the ledger says how far it got. After
    `PATIENCE` receives it is left to the reconciler, which looks each minute; only defects become dead letters.

    Args:
        messages: SQS's records. Each is a group of its own, so that none keeps others back.
        launch: takes a job's id.
        postpone: takes a message's receipt handle, and the seconds after which it is to come again.
        telemetry: is told what failed.
        left: seconds until the function is killed.

    Returns:
        dict[str, Any]: `batchItemFailures`, as Lambda wants it.
    """
    failed = [
        message["messageId"]
        for message in messages
        if left() < RESERVE_SECONDS or not _launched(message, launch, postpone, telemetry)
    ]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _launched(
    message: Mapping[str, Any],
    launch: Callable[[int], None],
    postpone: Callable[[str, float], None],
    telemetry: Telemetry,
) -> bool:
    """Whether a message has done its duty."""
    try:
        # Where this is not served, the reconciler goes on with the job a little later.
        with suppress(UnavailableError):
            postpone(message["receiptHandle"], KILLED_SECONDS)
        launch(job_of(message["body"]))
    except (UnavailableError, ConflictError) as error:
        receives = int(message["attributes"]["ApproximateReceiveCount"])
        telemetry.say("launch_postponed", message=message["messageId"], receives=receives, why=_told(error))
        if receives >= PATIENCE:
            return True
        wanted = error.retry_after if isinstance(error, UnavailableError) else 0.0
        # Where this fails too, the message comes when its visibility time-out is over.
        with suppress(UnavailableError):
            postpone(message["receiptHandle"], min(MOST_SECONDS, max(wanted, AGAIN_SECONDS * 2 ** (receives - 1))))
    except Exception as error:  # noqa: BLE001 - one job's defect must not keep the others of the batch from launching
        telemetry.count("LaunchErrors")
        telemetry.say("launch_failed", message=message["messageId"], why=_told(error))
    else:
        return True
    return False


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
