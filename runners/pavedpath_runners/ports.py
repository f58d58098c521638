"""What the control plane needs of the world, as small interfaces. Adapters for AWS and GitHub are in `adapters`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .configuration import Market, Pool
from .records import Breaker, Bucket, Change, Cursor, Job, PoolCount, Runner

T = TypeVar("T")


class ConflictError(Exception):
    """A conditional write found something else than what was read; nothing of the commit was written."""


class PoolFullError(ConflictError):
    """A count would have gone over its maximum; nothing of the commit was written."""


class DuplicateDeliveryError(ConflictError):
    """The delivery was taken before; nothing of the commit was written."""


class UnavailableError(Exception):
    """A service throttled, timed out or failed: whether it acted is unknown. The next run asks again.

    `retry_after` is how many seconds it wants to be left alone; 0 if it does not say.
    """

    def __init__(self, what: str, retry_after: float = 0.0) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class ThrottledError(UnavailableError):
    """A service refused since it is asked too much: it is certain that it did nothing."""


class NoCapacityError(Exception):
    """EC2 has no machine of the kinds that were asked for; it launched none."""


class NameTakenError(Exception):
    """GitHub has a runner of that name already."""


class RunnerBusyError(Exception):
    """GitHub refuses to remove a runner since a job runs on it."""


class RunActiveError(Exception):
    """GitHub refuses to run a job again while its workflow run goes on (403, 'already running')."""


class Clock(Protocol):
    """Time."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...


class Ledger(Protocol):
    """Durable records; every reader sees what was committed before, but the lists (`open_jobs`, `queued_jobs`,
    `live_runners`, `spare_runners`) may lag."""

    def job(self, identity: int) -> Job | None:
        """The record of a job, or None."""
        ...

    def runner(self, name: str) -> Runner | None:
        """The record of a machine, or None."""
        ...

    def count(self, pool: str) -> PoolCount:
        """How many machines of a pool live."""
        ...

    def breaker(self, pool: str) -> Breaker:
        """A pool's interruptions; one of version 0 where none was written."""
        ...

    def bucket(self, api: str) -> Bucket | None:
        """A budget's tokens; None before the first were taken."""
        ...

    def cursor(self, name: str) -> Cursor:
        """How far a sweep has come; one of version 0 before the first."""
        ...

    def open_jobs(self) -> Sequence[Job]:
        """All jobs that are `Job.open`, the oldest (`queued_at`) first."""
        ...

    def queued_jobs(self) -> Iterator[Job]:
        """Those of `open_jobs` that want a machine (`Job.queues`), the oldest (`queued_at`) first. They are read as far
        as they are taken: whose turn it is, the oldest few tell, and thousands may wait."""
        ...

    def live_runners(self) -> Sequence[Runner]:
        """All machines that are not gone (`Runner.live`)."""
        ...

    def spare_runners(self) -> Sequence[Runner]:
        """Those of `live_runners` that are `Runner.spare`. Every launch asks, so it costs what there are of these."""
        ...

    def commit(self, *changes: Change) -> None:
        """Write all or nothing.

        Raises:
            ConflictError: a condition did not hold (see its kinds); nothing was written.
            UnavailableError: whether it was written is unknown.
        """
        ...


@dataclass(frozen=True)
class Order:
    """One machine to be launched. The same order twice, within EC2's memory of client tokens, is one machine."""

    runner: str
    pool: Pool
    market: Market
    avoid: Sequence[tuple[str, str]] = ()
    """(instance type, zone) that were interrupted of late; not asked for if others are left."""


ENDED = frozenset({"shutting-down", "terminated"})
"""EC2's states of a machine of which no more comes."""


@dataclass(frozen=True)
class Instance:
    """A machine as EC2 shows it."""

    id: str
    runner: str
    """Its tag; empty if it has none."""
    state: str
    """EC2's: pending, running, stopping, stopped, shutting-down, terminated."""
    type: str
    zone: str
    launched_at: float
    market: Market
    reclaimed: bool = False
    """Whether EC2 has taken it away, as spot machines must expect."""

    @property
    def ended(self) -> bool:
        """Whether it is gone, or on its way there: no more comes of it."""
        return self.state in ENDED


class Compute(Protocol):
    """EC2, for this fleet's own machines alone."""

    def launch(self, order: Order) -> Instance:
        """Ask for one machine. Raises NoCapacityError, UnavailableError."""
        ...

    def instances(self, identity: str = "") -> Sequence[Instance]:
        """All machines with the fleet's tag that EC2 still shows, the terminated of the last hour among them; if an id
        is given, that one alone."""
        ...

    def terminate(self, instance_ids: Sequence[str]) -> None:
        """End machines; those that are gone do no harm. Raises UnavailableError."""
        ...

    def start(self, instance_id: str) -> None:
        """Wake a stopped machine. Raises NoCapacityError, UnavailableError."""
        ...

    def stop(self, instance_id: str) -> None:
        """Put a machine to sleep; its disk stays. Raises UnavailableError."""
        ...


class Handover(Protocol):
    """Where a machine finds its configuration: a secret that it alone can read, and deletes when it has."""

    def put(self, instance_id: str, runner: str, configuration: str) -> None:
        """Lay it down, in the place of an older one."""
        ...

    def remove(self, instance_id: str) -> None:
        """Take it back, if it is still there."""
        ...


@dataclass(frozen=True)
class Registration:
    """A runner as GitHub shows it. `busy` and `online` may be minutes old."""

    id: int
    name: str
    online: bool
    busy: bool
    scope: str = ""
    """Repository that it is registered with; empty: the organisation."""


@dataclass(frozen=True)
class JobFacts:
    """A job as GitHub shows it."""

    id: int
    repository: str
    run_id: int
    status: str
    """GitHub's: queued, in_progress, completed, waiting, pending."""
    conclusion: str
    labels: Sequence[str]
    queued_at: float
    started_at: float
    ended_at: float
    runner: str
    """Name of the runner that has it; empty: none."""
    run_attempt: int = 1
    """Which run of its workflow run it belongs to, from 1: a re-run has the next."""
    public: bool | None = None
    """Whether everyone sees its repository, where the answer says so (`waiting` does: a run names its repository)."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a webhook delivery; a delivery that is sent again has several."""

    id: int
    """Later ones have higher ids."""
    guid: str
    """The delivery's."""
    at: float
    status: int
    """Of the answer; 0: there was none."""
    again: bool = False
    """Whether it is not the first of its delivery."""
    scope: str = ""
    """Repository (OWNER/NAME) whose webhook it is; empty: the organisation's."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list: what one request gives."""

    found: Sequence[T]
    after: str = ""
    """Names the page after it; empty: it is the last."""


class Forge(Protocol):
    """GitHub. Every method raises UnavailableError when GitHub throttles or fails."""

    def register(self, runner: str, pool: Pool, scope: str) -> tuple[int, str]:
        """Make a just-in-time configuration; (id of the registration, the configuration). Raises NameTakenError."""
        ...

    def registrations(self, scope: str, page: str = "") -> Page[Registration]:
        """Runners with the fleet's names of a repository (OWNER/NAME), or of the organisation: one request."""
        ...

    def registration(self, name: str, scope: str) -> Registration | None:
        """The runner of that name, or None."""
        ...

    def remove(self, identity: int, scope: str) -> None:
        """Remove a registration, if it is there. Raises RunnerBusyError."""
        ...

    def is_own(self, repository: str, run_id: int) -> bool:
        """Whether a run's code is the repository's own, and no fork's."""
        ...

    def job(self, repository: str, identity: int) -> JobFacts | None:
        """A job; None if GitHub knows it no more."""
        ...

    def waiting(self, repository: str, choose: Callable[[Sequence[int]], Sequence[int]]) -> Sequence[JobFacts]:
        """The jobs of a repository that are queued or running now, of those of its runs that `choose` picks: it is
        given the ids of all that have not ended, the oldest first, and each that it picks costs a request."""
        ...

    def rerun(self, repository: str, identity: int) -> None:
        """Run a job again, with those that need it. Raises RunActiveError, ThrottledError: it was not."""
        ...

    def attempts(self, scope: str, since: float, page: str = "") -> Page[Attempt]:
        """Attempts since then, which are over, at deliveries of jobs' events by a repository's webhook or the
        organisation's, the newest first: one request."""
        ...

    def redeliver(self, attempt: Attempt) -> None:
        """Have its delivery sent again."""
        ...


class Queue(Protocol):
    """The launch queue: at least once, in no order."""

    def send(self, job: int, key: str) -> None:
        """Ask for a look at a job. Messages of the same key within five minutes are one."""
        ...

    def postpone(self, receipt: str, seconds: float) -> None:
        """Have a message that was received come again after so many seconds, if nobody acknowledges it."""
        ...


class Telemetry(Protocol):
    """Metrics and structured logs. Nothing secret is given to it."""

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        """Add to a metric that counts."""
        ...

    def seconds(self, metric: str, value: float, **dimensions: str) -> None:
        """Add one measured time, in seconds."""
        ...

    def say(self, event: str, **fields: object) -> None:
        """One line of the log: what happened, to what."""
        ...


@dataclass(frozen=True)
class World:
    """All of it."""

    clock: Clock
    ledger: Ledger
    compute: Compute
    handover: Handover
    forge: Forge
    queue: Queue
    telemetry: Telemetry
