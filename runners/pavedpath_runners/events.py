"""What GitHub tells about jobs, as typed values."""

from dataclasses import dataclass
from enum import StrEnum

from .ports import JobFacts


class Action(StrEnum):
    """What happened to a job (GitHub, "Webhook events and payloads": workflow_job)."""

    WAITING = "waiting"
    """It waits for an approval; it is not to be launched for yet."""
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


@dataclass(frozen=True)
class JobEvent:
    """One `workflow_job` event."""

    action: Action
    facts: JobFacts
    organization: str
    """Login of the repository's owner."""
    public: bool
    """Whether everyone sees the repository."""
