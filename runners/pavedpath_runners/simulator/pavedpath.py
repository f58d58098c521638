"""Our own control plane in the simulated world: the same decisions, adapters and receiver as in production."""

from collections.abc import Mapping, Sequence
from typing import Any

from pavedpath_runners.adapters.dynamodb import TableLedger
from pavedpath_runners.adapters.ec2 import FleetCompute
from pavedpath_runners.adapters.github import GithubForge
from pavedpath_runners.adapters.sqs import JobQueue
from pavedpath_runners.adapters.ssm import ParameterHandover
from pavedpath_runners.control import ControlPlane
from pavedpath_runners.functions import interruption, launch, reconcile
from pavedpath_runners.ports import ConflictError, UnavailableError, World
from pavedpath_runners.receiver import Request, receive

from .policy import Deployment, Hook, Message, Services
from .world import ACCOUNT, REGION


class Pavedpath:
    """One execution environment: what `functions/` are, without their reading of the environment's variables."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tokens = 0
        fleet, clock = services.fleet, services.clock
        ledger = TableLedger(
            services.dynamodb, services.table, clock, fleet.record_days, fleet.delivery_days, self._token
        )
        self._compute = FleetCompute(services.ec2, fleet, clock)
        self._queue = JobQueue(services.sqs, services.queue_url)
        self._control = ControlPlane(
            fleet,
            World(
                clock=clock,
                ledger=ledger,
                compute=self._compute,
                handover=ParameterHandover(services.ssm, fleet, REGION, ACCOUNT),
                forge=GithubForge(services.github, fleet, clock),
                queue=self._queue,
                telemetry=services.telemetry,
            ),
        )

    def _token(self) -> str:
        """A token of its own for each write, in any environment."""
        self._tokens += 1
        return f"{self._services.environment}-{self._tokens}"

    def webhook(self, hook: Hook) -> int:
        """As functions/webhook.py."""
        services = self._services
        request = Request("POST", hook.headers, hook.body)
        return receive(request, (services.secret,), services.fleet, self._control, services.clock.now()).status

    def messages(self, batch: Sequence[Message]) -> Sequence[str]:
        """By functions/launch.py."""
        records = [
            # JobQueue has a group for each message.
            {
                "messageId": each.id,
                "receiptHandle": each.handle,
                "body": each.body,
                "attributes": {"MessageGroupId": each.id, "ApproximateReceiveCount": str(each.receives)},
            }
            for each in batch
        ]
        services = self._services
        answer = launch.handle(records, self._launched, self._queue.postpone, services.telemetry, services.remaining)
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def _launched(self, job: int) -> None:
        """Launch; what the function would only count and log is a defect here."""
        try:
            self._control.launch(job)
        except (UnavailableError, ConflictError):
            raise
        except Exception:
            self._services.defect()
            raise

    def tick(self) -> None:
        """As functions/reconcile.py."""
        self._control.reconcile(self._services.clock.now() + self._services.remaining() - reconcile.RESERVE_SECONDS)

    def interruption(self, event: Mapping[str, Any]) -> None:
        """By functions/interruption.py."""
        interruption.handle(event, self._control.interrupted, self._control.ended, self._compute.instances)


VISIBILITY_SECONDS = 360.0
"""As the component sets it: six times the function's time-out."""
PAVEDPATH = Deployment("pavedpath", Pavedpath, visibility_seconds=VISIBILITY_SECONDS, guard=True)
