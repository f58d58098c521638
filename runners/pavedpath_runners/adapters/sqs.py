"""The launch queue on SQS."""

import json
import math
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws import calling, code_of

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_NOT_HELD = frozenset(
    {"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "ReceiptHandleIsInvalid"}
    | {"InvalidParameterValue"}  # FIFO: "Message does not exist or is not available for visibility timeout change"
)


class JobQueue:
    """`ports.Queue` on an SQS FIFO queue, for the sake of its deduplication.

    Each message is a group of its own. In one group for each job, a message whose function was killed would hold back
    what the reconciler sends for the same job until it is visible again, minutes later. That two messages of a job are
    not worked at together is the ledger's care: a machine's lease, and conditional writes.

    Args:
        client: boto3's SQS client.
        url: the queue's.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client, self._url = client, url

    def send(self, job: int, key: str) -> None:
        """Ask for a look at a job. It cannot be one later on: a FIFO queue delays all of its messages or none."""
        with calling("SQS SendMessage"):
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=json.dumps({"job": job}),
                MessageGroupId=key,
                MessageDeduplicationId=key,
            )

    def postpone(self, receipt: str, seconds: float) -> None:
        """Have a message that was received come again after so many seconds (ChangeMessageVisibility), if nobody
        acknowledges it. One that comes again already is left alone."""
        try:
            with calling("SQS ChangeMessageVisibility"):
                self._client.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=math.ceil(seconds)
                )
        except ClientError as error:
            if code_of(error) not in _NOT_HELD:
                raise


def job_of(body: str) -> int:
    """The job that a message asks for.

    Raises:
        ValueError: it is no message of `JobQueue`.
    """
    try:
        job = json.loads(body)["job"]
    except (ValueError, KeyError, TypeError):
        job = None
    if not isinstance(job, int) or isinstance(job, bool):
        raise ValueError(f"not a message of the launch queue: {body[:200]!r}")
    return job
