"""Waiting for a registry that is busy or away."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.durations import retry_after
from pavedpath_delivery.kit.errors import DeliveryError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

ATTEMPTS = 6
"""With 1, 2, 4, 8 and 16 s between them where the registry says nothing: half a minute."""
LONGEST_WAIT_S = 300.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


class TransientError(Exception):
    """It may work later; `after` is what the registry said, in seconds, or as an HTTP date."""

    def __init__(self, message: str, after: str = "") -> None:
        super().__init__(message)
        self.after = after


def transient(response: "httpx.Response") -> TransientError | None:
    """Return the error of an answer that says "later"; None for every other answer."""
    if response.status_code not in _BUSY:
        return None
    url = response.request.url
    return TransientError(f"{url.host} answered {response.status_code}", response.headers.get("Retry-After", ""))


def patiently(clock: Clock, work: Callable[[], T], doing: str) -> T:
    """Do something as often as it takes, at most `ATTEMPTS` times; it must be safe to do again.

    Raises:
        DeliveryError: it never worked, or the registry asks for a longer wait than `LONGEST_WAIT_S`.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = retry_after(error.after, clock.now()) if isinstance(error, TransientError) else 0.0
        if asked > LONGEST_WAIT_S:
            raise DeliveryError(f"{doing}: {error}, and asks to wait {asked:.0f} s. Fix: run it again then.")
        return max(asked, 2.0 ** (state.attempt_number - 1))

    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait,
        sleep=clock.sleep,
        reraise=True,
    )
    try:
        return retrying(work)
    except TransientError as error:
        raise DeliveryError(f"{doing}: {error}, {ATTEMPTS} times. Fix: run it again later; it goes on.") from error
