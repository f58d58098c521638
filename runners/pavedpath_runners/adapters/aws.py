"""What all adapters for AWS share: which errors mean that a service is unwell, and how they are told."""

from collections.abc import Generator
from contextlib import contextmanager
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


@contextmanager
def calling(what: str) -> Generator[None]:
    """Tell throttles, outages and broken connections as UnavailableError; any other error is a defect and passes.

    botocore's own retries have come before. `what` begins the message, and holds nothing secret.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        status = int(cast(dict[str, Any], error.response).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in THROTTLES or code in OUTAGES or status >= 500 or status == 429:
            raise UnavailableError(f"{what}: {code or status}") from error
        raise
    except (BrokenConnection, HTTPClientError) as error:
        raise UnavailableError(f"{what}: {type(error).__name__}") from error
