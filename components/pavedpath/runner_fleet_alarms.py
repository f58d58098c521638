"""The alarms of a runner fleet, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

METRICS = "Pavedpath/RunnerFleet"
"""Namespace of the metrics that the functions write."""
LOST, OLDEST, QUEUE_TIME = "JobsLost", "OldestWaiting", "QueueTime"
"""Those of them that alarm."""

RUNBOOK: Mapping[str, str] = {
    "LostJobs": (
        "A job that was accepted got no machine and was given up. 1. The log of launch and reconcile names it and says"
        " why. 2. Mend the cause. 3. Re-run the job on GitHub."
    ),
    "OldestWaitingJob": (
        "A job has waited too long, or the reconciler no longer says so. 1. No data: read the log of the function"
        " reconcile. 2. Has the App's key been filled in? 3. Is the pool at its maximum? Raise it. 4. No capacity: add"
        " instance types or zones, or allow on-demand. 5. Machines that never come online: read a machine's own log."
    ),
    "QueueTime": (
        "One job in twenty waits longer than the target. 1. Compare with the pools' maximum. 2. Keep warm machines, or"
        " use an image that brings the runner."
    ),
    "DeadLetters": (
        "A job could not be looked at, again and again. 1. The log of the function launch says why. 2. Mend it; the"
        " reconciler sends waiting jobs again by itself. 3. Purge the dead queue."
    ),
    "LaunchQueueAge": (
        "Jobs are not looked at. 1. Are there errors of the function launch, or throttles? 2. Raise launch_concurrency,"
        " or the account's limit on concurrent functions."
    ),
    "FailedCalls": (
        "An interruption or a round of the reconciler was given up after its retries. The reconciler makes up for both"
        " within a minute; read the function's log, then purge the queue."
    ),
    "FunctionErrors": "The functions fail again and again. Their logs say why; nothing is lost, it waits.",
}
"""What to do about each alarm: its description."""


@dataclass(frozen=True)
class FleetAlarm:
    """One alarm; its metric is looked at in steps of `period` seconds, and `breaches` of the last `steps` alarm."""

    kind: str
    """A key of `RUNBOOK`."""
    metric: str
    above: float
    namespace: str = METRICS
    statistic: str = "Maximum"
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])
    sum_over: Sequence[Mapping[str, str]] = ()
    """Instead of `dimensions`: the metric of each of these, added up."""
    period: int = 60
    steps: int = 1
    breaches: int = 1
    silence_alarms: bool = False
    """Whether a missing value is as bad as one above the limit."""


def fleet_alarms(
    fleet: str, queues: Mapping[str, str], functions: Sequence[str], waiting_seconds: int, target_seconds: int
) -> list[FleetAlarm]:
    """Return the alarms of a fleet.

    Args:
        fleet: its name.
        queues: names of its queues (launch, dead, failures).
        functions: names of its functions.
        waiting_seconds: how long the oldest waiting job may wait.
        target_seconds: how long nineteen of twenty jobs may wait.
    """
    own = {"fleet": fleet}
    visible, sqs = "ApproximateNumberOfMessagesVisible", "AWS/SQS"
    each = [{"FunctionName": name} for name in functions]
    return [
        FleetAlarm("LostJobs", LOST, 0, statistic="Sum", dimensions=own),
        # The reconciler says it each minute, 0 for none: silence means that it does not run.
        FleetAlarm(
            "OldestWaitingJob",
            OLDEST,
            waiting_seconds,
            dimensions=own,
            steps=5,
            breaches=3,
            silence_alarms=True,
        ),
        FleetAlarm(
            "QueueTime",
            QUEUE_TIME,
            target_seconds,
            statistic="p95",
            dimensions=own,
            period=900,
            steps=2,
            breaches=2,
        ),
        FleetAlarm("DeadLetters", visible, 0, sqs, dimensions={"QueueName": queues["dead"]}),
        FleetAlarm("FailedCalls", visible, 0, sqs, dimensions={"QueueName": queues["failures"]}),
        FleetAlarm(
            "LaunchQueueAge", "ApproximateAgeOfOldestMessage", 900, sqs, dimensions={"QueueName": queues["launch"]}
        ),
        # The reconciler is called once a minute: one that fails each time makes five errors of a period.
        FleetAlarm("FunctionErrors", "Errors", 4, "AWS/Lambda", "Sum", sum_over=each, period=300, steps=2, breaches=2),
    ]
