"""Attempts of one call: an SDK that did not get an answer sends the call again, and must not have it done twice.

AWS has idempotency where its API says so; most calls that create have none, and the second attempt of one whose answer
was lost fails with "already exists". Here such an attempt is given the answer of the first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from .accounts import account_of
from .control import Answer

_KEPT = 1000
_SECONDS = 600.0
_LONGEST = 65_536


@dataclass(frozen=True)
class Attempt:
    """One attempt of a call, by the headers that all SDKs send (`amz-sdk-invocation-id`, `amz-sdk-request`)."""

    account: str
    invocation: str
    """The same for every attempt of a call."""
    number: int
    """From 1."""


def attempt_of(environ: Mapping[str, object]) -> Attempt | None:
    """The attempt that a request is; None if its client does not say."""
    invocation = str(environ.get("HTTP_AMZ_SDK_INVOCATION_ID", ""))
    fields = (each.partition("=") for each in str(environ.get("HTTP_AMZ_SDK_REQUEST", "")).split(";"))
    number = next((value.strip() for name, _, value in fields if name.strip() == "attempt"), "")
    if not invocation or not number.isdecimal():
        return None
    return Attempt(account_of(environ) or "", invocation, int(number))


@dataclass
class Answers:
    """What calls that changed something were answered: the last 1,000, for ten minutes. Not safe for threads."""

    _kept: OrderedDict[tuple[str, str], tuple[float, str, Answer]] = field(
        default_factory=OrderedDict[tuple[str, str], tuple[float, str, Answer]]
    )

    def keep(self, attempt: Attempt, operation: str, answer: Answer, now: float) -> None:
        """Keep the answer to an operation (`service name`) as of `now`, a time in seconds."""
        if len(answer[2]) > _LONGEST:
            return
        self._kept[attempt.account, attempt.invocation] = now, operation, answer
        while self._kept and (len(self._kept) > _KEPT or next(iter(self._kept.values()))[0] <= now - _SECONDS):
            self._kept.popitem(last=False)

    def given(self, attempt: Attempt, operation: str, now: float) -> Answer | None:
        """The answer that an earlier attempt of the same call had."""
        at, of, answer = self._kept.get((attempt.account, attempt.invocation), (0.0, "", None))
        return answer if attempt.number > 1 and of == operation and at > now - _SECONDS else None
