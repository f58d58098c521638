"""The words of the decisions: what is seen, what has happened, what is to be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pavedpath_runners.configuration import Fleet
from pavedpath_runners.ports import Instance, Order, Registration
from pavedpath_runners.records import Breaker, Bucket, Change, Job, JobState, Runner

LEASE = 90.0
"""Seconds after which whoever worked at a machine is dead: a function's time-out of 60 s, and a margin."""


class Metric(StrEnum):
    """Every metric. Times are in seconds; the dimension is `pool` unless it says otherwise."""

    ACCEPTED = "JobsAccepted"
    REFUSED = "JobsRefused"
    """By a policy; dimension `policy`."""
    COMPLETED = "JobsCompleted"
    FAILED = "JobsFailed"
    """The fleet gave them up."""
    LOST = "JobsLost"
    """Of those, the ones that no policy refused. 0 is reported by every reconciliation, for the alarm."""
    REQUEUED = "JobsRequeued"
    STOLEN = "MachinesStolen"
    RERUN = "JobsRerun"
    QUEUE_TIME = "QueueTime"
    """From GitHub's queueing a job to its start."""
    LAUNCHES = "Launches"
    """Dimension `market` beside the pool."""
    LAUNCH_TIME = "LaunchTime"
    """From asking for a machine to its runner's being online."""
    NO_CAPACITY = "NoCapacity"
    RETIRED = "MachinesRetired"
    """That were lost, or never came up."""
    IDLE_REMOVED = "IdleRemoved"
    LIFETIME = "LifetimeEnded"
    INTERRUPTIONS = "SpotInterruptions"
    ORPHANS = "OrphansTerminated"
    GHOSTS = "GhostsRemoved"
    REDELIVERED = "DeliveriesRedelivered"
    DISCOVERED = "JobsDiscovered"
    COST = "CostUSD"
    """Of a machine that served a job, for its whole life, at the configured hourly price."""
    WAITING = "JobsWaiting"
    OLDEST = "OldestWaiting"
    MACHINES = "Machines"


# --- what is to be done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Send:
    """Put a job into the launch queue."""

    job: int
    key: str


@dataclass(frozen=True)
class Launch:
    """Ask EC2 for a machine: `Launched` or `NoCapacity`."""

    order: Order


@dataclass(frozen=True)
class Start:
    """Wake a stopped machine: `Started` or `NoCapacity`."""

    instance_id: str


@dataclass(frozen=True)
class Stop:
    """Put a machine to sleep: `Stopped`."""

    instance_id: str


@dataclass(frozen=True)
class Terminate:
    """End machines."""

    instance_ids: Sequence[str]


@dataclass(frozen=True)
class Register:
    """Make a runner's configuration: `Registered` or `NameTaken`."""

    runner: str
    pool: str
    scope: str


@dataclass(frozen=True)
class Deregister:
    """Remove a registration: `Removed` or `Occupied`."""

    registration: int
    scope: str


@dataclass(frozen=True)
class Look:
    """Ask GitHub for a runner: `Seen`."""

    runner: str
    scope: str


@dataclass(frozen=True)
class Find:
    """Look for a runner's machine by its tag: `Found`."""

    runner: str


@dataclass(frozen=True)
class Store:
    """Hand a configuration over: `Stored`."""

    instance_id: str
    runner: str
    configuration: str = field(repr=False)


@dataclass(frozen=True)
class Withdraw:
    """Take a configuration back that was never fetched."""

    instance_id: str


@dataclass(frozen=True)
class Check:
    """Ask GitHub what became of a job, and act on it: `Checked`."""

    job: int


@dataclass(frozen=True)
class BringUp:
    """Go on with a machine that stands half-way and that no job's message leads to."""

    runner: str


@dataclass(frozen=True)
class AskOwn:
    """Ask GitHub whether a run's code is the repository's own: `Owned`."""

    repository: str
    run_id: int


@dataclass(frozen=True)
class Rerun:
    """Have GitHub run a job again: `NotRerun` if it is too early."""

    repository: str
    job: int


@dataclass(frozen=True)
class Measure:
    """Report a metric: a count, or a time in seconds."""

    metric: Metric
    value: float = 1.0
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: bool = False


@dataclass(frozen=True)
class Say:
    """Write a line of the log."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict[str, object])


Effect = (
    Send
    | Launch
    | Start
    | Stop
    | Terminate
    | Register
    | Deregister
    | Look
    | Find
    | Store
    | Withdraw
    | Check
    | BringUp
    | AskOwn
    | Rerun
    | Measure
    | Say
)


# --- what has happened -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Go:
    """The one who asks holds the lease, and goes on from whatever state there is."""


@dataclass(frozen=True)
class Taken:
    """A job has a machine now."""

    runner: str
    lease: float | None
    """The lease on it, if whoever asks has just written it; None: another may still work at it."""


@dataclass(frozen=True)
class Full:
    """The pool has its maximum."""


@dataclass(frozen=True)
class Owned:
    """Whether the run's code is the repository's own."""

    own: bool


@dataclass(frozen=True)
class Launched:
    """EC2 gave a machine."""

    instance: Instance


@dataclass(frozen=True)
class NoCapacity:
    """EC2 has none."""


@dataclass(frozen=True)
class Started:
    """A stopped machine wakes."""


@dataclass(frozen=True)
class Stopped:
    """A machine goes to sleep."""


@dataclass(frozen=True)
class Registered:
    """GitHub made a configuration."""

    registration: int
    configuration: str = field(repr=False)
    scope: str = ""
    """Repository (OWNER/NAME) with which it is registered; empty: the organisation."""


@dataclass(frozen=True)
class NameTaken:
    """GitHub has a runner of that name."""


@dataclass(frozen=True)
class Stored:
    """The machine can fetch its configuration."""


@dataclass(frozen=True)
class Removed:
    """The registration is gone: no job can reach the runner any more."""


@dataclass(frozen=True)
class Occupied:
    """GitHub says that a job runs on it: evidence that it is not idle."""


@dataclass(frozen=True)
class Seen:
    """The runner as GitHub shows it now; None: it knows none."""

    registration: Registration | None


@dataclass(frozen=True)
class Found:
    """The machine as EC2 shows it now; None: it shows none."""

    instance: Instance | None


@dataclass(frozen=True)
class Checked:
    """The ledger knows of a job what GitHub knows."""


@dataclass(frozen=True)
class NotRerun:
    """GitHub has not run a job again, for certain: its workflow run goes on, or GitHub is asked too much."""


Outcome = (
    Go
    | Taken
    | Full
    | Owned
    | Launched
    | NoCapacity
    | Started
    | Stopped
    | Registered
    | NameTaken
    | Stored
    | Removed
    | Occupied
    | Seen
    | Found
    | Checked
    | NotRerun
)


# --- what is seen ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Records that belong together, as they were just read, at a time."""

    fleet: Fleet
    now: float
    jobs: Mapping[int, Job] = field(default_factory=dict[int, Job])
    runners: Mapping[str, Runner] = field(default_factory=dict[str, Runner])
    breaker: Breaker | None = None
    """The pool's, where a machine is bought."""


@dataclass(frozen=True)
class Waiting:
    """What a job that has no machine is decided on."""

    scene: Scene
    job: int
    spares: Sequence[Runner] = ()
    """Machines of its pool that may be taken over; each was just read."""
    buckets: Mapping[str, Bucket | None] = field(default_factory=dict[str, Bucket | None])
    turn: bool = True
    """Whether no older job has to be served first."""


@dataclass(frozen=True)
class Sight:
    """What one look of the reconciler saw of a machine. The lists it is from may be a minute old."""

    instance: Instance | None = None
    instances_known: bool = False
    """Whether EC2 could be asked; if not, nothing follows from there being no instance."""
    registration: Registration | None = None
    registrations_known: bool = False
    keep: bool = False
    """Whether the warm pool wants it to stay, idle or not."""


@dataclass(frozen=True)
class Decision:
    """Changes are written first, all or nothing; then the effects take place in their order."""

    changes: Sequence[Change] = ()
    effects: Sequence[Effect] = ()
    then: Outcome | None = None
    """What has happened once the changes are written, if no effect says otherwise."""


NOTHING = Decision()

WAITING = frozenset({JobState.QUEUED, JobState.INTENDED, JobState.LAUNCHING, JobState.REGISTERED})
"""Where a job has not run yet."""
