"""The function behind the launch queue."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pavedpath_runners.adapters.sqs import job_of
from pavedpath_runners.functions import wiring
from pavedpath_runners.ports import ConflictError, Telemetry, UnavailableError

RESERVE_SECONDS = 25.0
"""Time that one launch may take: with less than that left, a message waits for the next invocation."""


def handler(event: Mapping[str, Any], context: wiring.Context) -> dict[str, Any]:
    """Launch for each job of a batch (event source mapping with ReportBatchItemFailures)."""
    from pavedpath_runners.control import ControlPlane

    fleet = wiring.configuration()
    world = wiring.world(fleet)
    control = ControlPlane(fleet, world)
    return handle(event["Records"], control.launch, world.telemetry, lambda: wiring.remaining(context))


def handle(
    messages: Sequence[Mapping[str, Any]],
    launch: Callable[[int], None],
    telemetry: Telemetry,
    left: Callable[[], float],
) -> dict[str, Any]:
    """Launch for each message, and name those that must come again.

    A message that fails keeps the later ones of its job back, as its FIFO group wants it, and no others: jobs do not
    depend on each other.

    Args:
        messages: SQS's records.
        launch: takes a job's id.
        telemetry: is told what failed.
        left: seconds until the function is killed.

    Returns:
        dict[str, Any]: `batchItemFailures`, as Lambda wants it.
    """
    held: set[str] = set()
    failed: list[str] = []
    for message in messages:
        group = message["attributes"]["MessageGroupId"]
        if group in held or left() < RESERVE_SECONDS or not _launched(message, launch, telemetry):
            held.add(group)
            failed.append(message["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


def _launched(message: Mapping[str, Any], launch: Callable[[int], None], telemetry: Telemetry) -> bool:
    try:
        launch(job_of(message["body"]))
    except (UnavailableError, ConflictError) as error:
        telemetry.say("launch_postponed", message=message["messageId"], why=_told(error))
    except Exception as error:  # noqa: BLE001 - one job's defect must not keep the others of the batch from launching
        telemetry.count("LaunchErrors")
        telemetry.say("launch_failed", message=message["messageId"], why=_told(error))
    else:
        return True
    return False


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
