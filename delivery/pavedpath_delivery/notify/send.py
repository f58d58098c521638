"""Sending: signed, retried, and without ever saying the address or the secret.

Sources: Standard Webhooks, specification (headers and signature); RFC 9110, 10.2.3 (Retry-After); Slack, "Rate limits".
"""

import base64
import binascii
import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.durations import retry_after
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_TIMEOUT_S = 10.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 20.0
_REASON_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz_")


class Unreachable(Exception):  # noqa: N818  what it is, not that it is an error
    """The receiver could not be reached; says how, without the address."""


@dataclass(frozen=True)
class Answer:
    """What the receiver said."""

    status: int
    retry_after: str = ""
    text: str = ""


class Post(Protocol):
    """Sends one request to the address that it knows."""

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return the answer.

        Raises:
            Unreachable: there was none.
        """
        ...


class HttpPost:
    """Posts to an address that no message of it names. Redirects are not followed: the body would go elsewhere."""

    def __init__(self, address: str) -> None:
        import logging

        for name in ("httpx", "httpcore"):  # they log addresses
            logging.getLogger(name).setLevel(logging.WARNING)
        self._address = address

    def __call__(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Return the answer."""
        import httpx

        try:
            with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
                response = client.post(self._address, content=body, headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unreachable(type(error).__name__) from None  # its own words may name the address
        return Answer(response.status_code, response.headers.get("retry-after", ""), response.text)


@dataclass(frozen=True)
class Delivery:
    """One notification on its way.

    Args:
        body: what is sent.
        id: the same for each attempt and each repetition of this notification; by it a receiver tells them.
        secret: signs the body; empty for no signature (Slack's addresses are secrets themselves).
    """

    body: bytes
    id: str
    secret: bytes = field(default=b"", repr=False)

    def headers(self, at: datetime) -> dict[str, str]:
        """Return the headers of an attempt."""
        found = {"Content-Type": "application/json", "Idempotency-Key": self.id, "webhook-id": self.id}
        if self.secret:
            stamp = str(int(at.timestamp()))
            found |= {
                "webhook-timestamp": stamp,
                "webhook-signature": signature(self.secret, self.id, stamp, self.body),
            }
        return found


def key(secret: str) -> bytes:
    """Return the key that a secret stands for: after `whsec_` in base64, otherwise the text itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise DeliveryError("NOTIFY_SECRET begins with whsec_ but is no base64 after it.", Exit.USAGE) from None


def signature(secret: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of the header webhook-signature."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


class _TryAgain(Exception):  # noqa: N818  an instruction to tenacity
    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class Sender:
    """Sends until it is taken, refused, or the budget is spent.

    Args:
        post: sends once.
        clock: waits.
        jitter: a number between 0 and 1, so that many jobs do not come back together.
        attempts: most of them.
        budget: seconds for all of them.
    """

    post: Post
    clock: Clock
    jitter: Callable[[], float] = random.random
    attempts: int = 6
    budget: float = 60.0

    def send(self, delivery: Delivery) -> int:
        """Return how many attempts it took.

        Raises:
            DeliveryError: refused, or not taken within the budget; says why, without address and secret.
        """
        begin = self.clock.monotonic()

        def spent(state: RetryCallState) -> bool:
            late = self.clock.monotonic() - begin + state.upcoming_sleep > self.budget
            return late or state.attempt_number >= self.attempts

        def give_up(state: RetryCallState) -> int:
            why = state.outcome.exception() if state.outcome else None
            raise DeliveryError(
                f"The notification was not taken: {why}; {state.attempt_number} attempts in"
                f" {self.clock.monotonic() - begin:.0f} s. Fix: look at the receiver, then run it again."
            ) from None

        retrying = Retrying(
            sleep=self.clock.sleep,
            wait=self._wait,
            stop=spent,
            retry=retry_if_exception_type(_TryAgain),
            retry_error_callback=give_up,
        )
        retrying(self._once, delivery)
        return int(retrying.statistics.get("attempt_number", 1))

    def _once(self, delivery: Delivery) -> int:
        now = self.clock.now()
        try:
            answer = self.post(delivery.body, delivery.headers(now))
        except Unreachable as error:
            raise _TryAgain(f"no answer ({error})") from None
        if answer.status in _AGAIN:
            raise _TryAgain(f"the receiver answered {answer.status}", retry_after(answer.retry_after, now))
        if not 200 <= answer.status < 300:
            raise DeliveryError(
                f"The notification was refused: the receiver answered {answer.status}{_reason(answer)}."
                " Fix: is NOTIFY_URL (and NOTIFY_SECRET) that of this channel?"
            )
        return answer.status

    def _wait(self, state: RetryCallState) -> float:
        """Back off: half of a doubling time for certain, the other half by chance; never less than asked for."""
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (state.attempt_number - 1))
        wait = longest / 2 * (1 + self.jitter())
        error = state.outcome.exception() if state.outcome else None
        return max(wait, error.wait if isinstance(error, _TryAgain) else 0.0)


def _reason(answer: Answer) -> str:
    """Return Slack's word for why; nothing else of an answer is shown, as it may repeat what was sent."""
    word = answer.text.strip()
    return f" ({word})" if 0 < len(word) <= 40 and set(word) <= _REASON_CHARACTERS else ""
