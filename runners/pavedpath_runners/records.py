"""The ledger's records: what is durably known of jobs, machines and the fleet itself.

A record is a frozen value with a `version`. It changes only by a conditional write: `Ledger.commit` stores the changed
value if the stored one still has the version that was read, and counts it up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .configuration import Market


class JobState(StrEnum):
    """Where a job is on its way. Its machine's way is its `Runner`'s."""

    QUEUED = "queued"
    """Accepted; it waits for a machine, for capacity or for its turn."""
    INTENDED = "intended"
    """A machine is about to be asked for; written before the request."""
    LAUNCHING = "launching"
    """EC2 gave a machine."""
    REGISTERED = "registered"
    """GitHub knows its machine's runner, which has its configuration."""
    RUNNING = "running"
    COMPLETED = "completed"
    """GitHub has ended it, whatever its conclusion."""
    FAILED = "failed"
    """The fleet has given it up; `reason` says why."""


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED})
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    # Back to `queued` leads the loss of a machine; to `running` and the ends, whatever GitHub says has happened.
    # A spare machine takes a waiting job over from wherever it is on its own way.
    JobState.QUEUED: frozenset({JobState.INTENDED, JobState.LAUNCHING, JobState.REGISTERED, JobState.RUNNING, *FINAL}),
    JobState.INTENDED: frozenset({JobState.QUEUED, JobState.LAUNCHING, JobState.REGISTERED, JobState.RUNNING, *FINAL}),
    JobState.LAUNCHING: frozenset({JobState.QUEUED, JobState.INTENDED, JobState.REGISTERED, JobState.RUNNING, *FINAL}),
    JobState.REGISTERED: frozenset({JobState.QUEUED, JobState.INTENDED, JobState.LAUNCHING, JobState.RUNNING, *FINAL}),
    JobState.RUNNING: FINAL,
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset({JobState.RUNNING, JobState.COMPLETED}),
}
"""Where a job may go from each state; staying is always allowed. A job that was given up may still end on GitHub."""


class RunnerState(StrEnum):
    """Where a machine is on its way."""

    INTENDED = "intended"
    """Written before CreateFleet, with the client token that follows from its name."""
    LAUNCHING = "launching"
    """EC2 gave an instance; its runner is not registered yet."""
    REGISTERED = "registered"
    """GitHub knows the runner. `stored` says whether its configuration lies ready for the instance."""
    BUSY = "busy"
    """A job runs on it: GitHub said so in an event, or in the job's own facts."""
    DONE = "done"
    """Its job has ended. An ephemeral runner takes no other; the instance ends itself."""
    DRAINING = "draining"
    """It was idle, and its registration has been removed: it can take no job any more. The instance ends itself."""
    STOPPED = "stopped"
    """A warm machine that has booted once and sleeps."""
    GONE = "gone"
    """Neither instance nor registration is left. Final."""


UNUSED = frozenset({RunnerState.INTENDED, RunnerState.LAUNCHING, RunnerState.REGISTERED, RunnerState.STOPPED})
"""Where a machine can still serve a job that has none."""


@dataclass(frozen=True)
class Job:
    """One workflow job of GitHub. A re-run is another job with an id of its own."""

    id: int
    repository: str
    """OWNER/NAME."""
    run_id: int
    labels: Sequence[str]
    pool: str
    """Name of the pool that takes it; empty if its first news came when it had ended."""
    state: JobState
    queued_at: float
    """When GitHub queued it, in seconds since 1970; of one that an environment's rules held back, when that ended."""
    changed_at: float
    """When its state last changed."""
    run_attempt: int = 1
    """Which run of its workflow run it belongs to, from 1."""
    attempt: int = 0
    """Machines that were asked for, for it."""
    losses: int = 0
    """Machines that it lost: they never came up, or went before it ran. Lack of capacity and theft are none."""
    runner: str = ""
    """Name of the one live machine that stands for it: launched for it, or running it."""
    own: bool | None = None
    """Whether its code is the repository's own (no fork's pull request); None: not known yet."""
    not_before: float = 0.0
    """Earliest time of the next launch, after one that failed."""
    held_at: float = 0.0
    """Since when GitHub holds it back, until somebody approves it, say; 0: it does not."""
    sent_at: float = 0.0
    """When it was last put into the launch queue."""
    checked_at: float = 0.0
    """When GitHub was last asked about it."""
    started_at: float = 0.0
    ended_at: float = 0.0
    reason: str = ""
    """Why it failed, or why it was refused."""
    conclusion: str = ""
    """GitHub's, once it has ended."""
    interrupted: bool = False
    """Whether its machine was taken away while it ran."""
    rerun: bool = False
    """Whether GitHub was asked to run it again."""
    rerun_wanted: bool = False
    """Whether it has ended and still waits for GitHub to be asked to run it again."""
    version: int = 0

    @property
    def open(self) -> bool:
        """Whether the fleet still has to do with it: `Ledger.open_jobs` lists it."""
        return self.state not in FINAL or self.rerun_wanted

    @property
    def queues(self) -> bool:
        """Whether it wants a machine and has none: `Ledger.queued_jobs` lists it."""
        return self.state is JobState.QUEUED and not self.held_at

    def is_due(self, now: float) -> bool:
        """Whether the time for its next launch has come."""
        return self.not_before <= now


@dataclass(frozen=True)
class Runner:
    """One machine and the one runner on it."""

    name: str
    """`<fleet>-<job id>-<attempt>`, or `<fleet>-warm-<pool>-<number>`: of it follow client token and registration."""
    pool: str
    state: RunnerState
    changed_at: float
    """When its state last changed, or an executor took it on: its lease."""
    created_at: float
    asked_at: float = 0.0
    """When its machine was asked for or woken: from then on it has `boot_minutes`, and so long EC2 has known the client
    token."""
    warm: bool = False
    """Whether it was launched for the warm pool, and for no job."""
    park: bool = False
    """Whether it is stopped after its first boot, and not registered."""
    job: int | None = None
    """Id of the job that it stands for; None: it is spare or warm."""
    running: int | None = None
    """Id of the job that runs on it, by GitHub's word."""
    market: Market = Market.SPOT
    """How the machine is bought; together with the name it makes the client token."""
    instance_id: str = ""
    instance_type: str = ""
    zone: str = ""
    registration: int = 0
    """GitHub's id of the runner; 0: not registered."""
    stored: bool = False
    """Whether its configuration was handed over."""
    online_at: float = 0.0
    """When it was first seen online."""
    idle_since: float = 0.0
    """Since when every look has seen it idle; 0: the last look did not."""
    interrupted_at: float = 0.0
    """When EC2 announced that it takes the machine away."""
    missing_since: float = 0.0
    """Since when no look at EC2 has shown its instance; 0: the last one did, or could not be had."""
    ended_at: float = 0.0
    scope: str = ""
    """Repository (OWNER/NAME) that it is registered with; empty: the organisation."""
    version: int = 0

    @property
    def live(self) -> bool:
        """Whether it counts for its pool: `Ledger.live_runners` lists it."""
        return self.state is not RunnerState.GONE

    @property
    def spare(self) -> bool:
        """Whether a waiting job may take it over: `Ledger.spare_runners` lists it."""
        return self.job is None and self.running is None and self.state in UNUSED


@dataclass(frozen=True)
class PoolCount:
    """How many machines of a pool live. It is no guess: it moves in the same write as the machine's state."""

    pool: str
    live: int = 0


@dataclass(frozen=True)
class Breaker:
    """A pool's spot interruptions of late: (time, instance type, zone)."""

    pool: str
    interruptions: Sequence[tuple[float, str, str]] = ()
    version: int = 0


@dataclass(frozen=True)
class Bucket:
    """A budget's tokens as of a time."""

    api: str
    tokens: float
    at: float
    version: int = 0


@dataclass(frozen=True)
class Cursor:
    """How far a sweep has come, so that the next one goes on there, after a crash too."""

    name: str
    """`deliveries`, `deliveries OWNER/NAME`, `repositories` or `warm-<pool>`."""
    at: float = 0.0
    """Everything up to this time has been looked at."""
    position: str = ""
    """Where within it, as the sweep writes it."""
    version: int = 0


@dataclass(frozen=True)
class Delivery:
    """A webhook delivery that was taken: it is taken once."""

    guid: str
    at: float


Record = Job | Runner | Breaker | Bucket | Cursor
"""What is written under its version."""


@dataclass(frozen=True)
class Put:
    """Store a record, if what is stored has its version (0: if nothing is stored)."""

    record: Record


@dataclass(frozen=True)
class Once:
    """Store a delivery, if it has not been stored."""

    delivery: Delivery


@dataclass(frozen=True)
class Count:
    """Count a pool's live machines up or down; up only while it stays within `maximum`."""

    pool: str
    by: int
    maximum: int = 0
    """Needed for counting up."""


Change = Put | Once | Count
