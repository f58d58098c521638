"""What all adapters for AWS share: which errors mean that a service is unwell, and how they are told."""

from typing import Any, cast

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BrokenConnection

from pavedpath_runners.ports import UnavailableError

THROTTLES = frozenset(
    {
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TooManyUpdates",
    }
)
"""Codes with which services ask for patience (botocore's standard retry mode has the same list)."""
OUTAGES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestExpired",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "TransactionInProgressException",
        "Unavailable",
    }
)
"""Codes after which it is unknown whether the service acted."""


def code_of(error: ClientError) -> str:
    """The code of an error; empty if its answer has none."""
    return str(cast(dict[str, Any], error.response).get("Error", {}).get("Code", ""))


class calling:  # noqa: N801 - it is used as contextlib.suppress is, which has a small letter, too
    """Tells throttles, outages and broken connections as UnavailableError; any other error is a defect and passes.

    botocore's own retries have come before. `what` begins the message, and holds nothing secret.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """The call follows."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Tell what went wrong."""
        if isinstance(error, ClientError):
            code = code_of(error)
            status = int(cast(dict[str, Any], error.response).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if code in THROTTLES or code in OUTAGES or status >= 500 or status == 429:
                raise UnavailableError(f"{self._what}: {code or status}") from error
        if isinstance(error, (BrokenConnection, HTTPClientError)):
            raise UnavailableError(f"{self._what}: {type(error).__name__}") from error
