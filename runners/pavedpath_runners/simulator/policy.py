"""What the simulator drives: a control plane, as the four functions that Lambda would call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pavedpath_runners.configuration import Fleet
from pavedpath_runners.ports import Clock, Telemetry

if TYPE_CHECKING:
    from .github import GitHub


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook's request, as GitHub sends it."""

    headers: Mapping[str, str]
    """Names in lower case, as a Lambda function URL gives them: `x-github-event`, `x-github-delivery`, …"""
    body: bytes


@dataclass(frozen=True)
class Message:
    """A message of the queue, as Lambda's event source mapping hands it over."""

    id: str
    body: str
    receives: int
    """How often it was handed over, this time included."""
    handle: str = ""
    """SQS's receipt handle: what stands for this receive, and is worth nothing when it is over."""


class Policy(Protocol):
    """A control plane in one execution environment of Lambda.

    It works at one invocation at a time, and keeps what is in its memory from one to the next until the environment
    crashes. Any exception is a failed invocation.
    """

    def webhook(self, hook: Hook) -> int:
        """Answer a webhook; the HTTP status."""
        ...

    def messages(self, batch: Sequence[Message]) -> Sequence[str]:
        """Work at messages; the ids of those that the queue shall hand over again."""
        ...

    def tick(self) -> None:
        """Do what is done on schedule."""
        ...

    def interruption(self, event: Mapping[str, Any]) -> None:
        """Take EventBridge's event "EC2 Spot Instance Interruption Warning"."""
        ...


@dataclass(frozen=True)
class Services:
    """The simulated world, as a control plane reaches it. The clients have the methods of boto3's low-level clients."""

    fleet: Fleet
    table: str
    queue_url: str
    secret: bytes
    """With which GitHub signs webhooks."""
    dynamodb: Any
    sqs: Any
    ec2: Any
    ssm: Any
    github: "GitHub"
    """`request(method, path, body=None)` as the GitHub adapter's transport."""
    clock: Clock
    telemetry: Telemetry
    remaining: Callable[[], float]
    """Seconds that the running invocation has left, as Lambda's context tells."""
    defect: Callable[[], None] = lambda: None
    """Told while an error is handled that no function should meet with."""
    environment: int = 0
    """Number of the execution environment."""


@dataclass(frozen=True)
class Deployment:
    """How a control plane is deployed."""

    name: str
    build: Callable[[Services], Policy]
    """Called once an execution environment, without a call to any service."""
    fifo: bool = True
    """Whether the queue is FIFO; if not, it keeps no order, knows no deduplication and doubles messages at times."""
    delay_seconds: float = 0.0
    """Seconds before a message of a standard queue is seen."""
    batch: int = 1
    """Most messages of one invocation."""
    concurrency: int = 10
    """Most invocations of the event source mapping at once."""
    visibility_seconds: float = 120.0
    """Seconds until an unfinished message is handed over again."""
    receives: int = 5
    """Receives after which a message goes to the dead-letter queue; 0: never."""
    tick_seconds: float = 60.0
    timeout_seconds: float = 60.0
    """Time-out of the functions but for the webhook's, which has GitHub's 10 s."""
    guard: bool = False
    """Whether its machines refuse a fork's job when it starts, unless the fleet allows forks."""
    strict: bool = True
    """Whether a broken invariant ends the run; if not, it is only counted."""
