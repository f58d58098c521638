"""Asks the endpoints of a smoke test until they answer as they must, or the budget is used up."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Json, fields
from pavedpath_delivery.smoke.spec import Endpoint, steps

_LONGEST_BACKOFF_S = 10.0
_UNASKED = "not asked: the budget was used up before"


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers with names in lower case, body, and seconds until it was there.

    `problem` is why nothing came back; then the rest means nothing.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    seconds: float = 0.0
    problem: str = ""


Ask = Callable[[Endpoint, float], Answer]
"""Sends an endpoint's request, and gives up after so many seconds."""


@dataclass(frozen=True)
class Outcome:
    """What came of an endpoint. `latency_ms` is the last answer's; `problems` is empty for one that is good."""

    endpoint: Endpoint
    attempts: int
    latency_ms: int | None
    status: int | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it answered as it must."""
        return not self.problems

    def document(self) -> dict[str, Any]:
        """Return it as JSON; no body, no header."""
        return {
            "endpoint": self.endpoint.title,
            "ok": self.ok,
            "status": self.status,
            "attempts": self.attempts,
            "latency_ms": self.latency_ms,
            "problems": list(self.problems),
        }


def judge(endpoint: Endpoint, answer: Answer) -> list[str]:
    """Return everything that is wrong with an answer. Pure. Bodies and header values are not repeated."""
    if answer.problem:
        return [answer.problem]
    problems: list[str] = []
    if answer.status not in endpoint.good:
        problems.append(f"status {answer.status}, not {' or '.join(map(str, endpoint.good))}")
    size = f"{len(answer.body)} bytes of {answer.headers.get('content-type', 'no type').partition(';')[0]}"
    text = answer.body.decode("utf-8", "replace")
    if endpoint.contains and endpoint.contains not in text:
        problems.append(f"the body ({size}) does not contain {endpoint.contains!r}")
    if endpoint.matches and not re.search(endpoint.matches, text, re.MULTILINE):
        problems.append(f"nothing in the body ({size}) matches {endpoint.matches!r}")
    problems += _json_problems(endpoint, text, size)
    for name, wanted in endpoint.headers.items():
        found = answer.headers.get(name.lower())
        if found is None:
            problems.append(f"there is no header {name}")
        elif wanted.lower() not in found.lower():
            problems.append(f"the header {name} does not contain {wanted!r}")
    if answer.seconds * 1000 > endpoint.latency_ms:
        problems.append(f"it took {answer.seconds * 1000:.0f} ms, more than {endpoint.latency_ms}")
    return problems


def _json_problems(endpoint: Endpoint, text: str, size: str) -> list[str]:
    if not endpoint.json_equals:
        return []
    try:
        document: Json = json.loads(text)
    except ValueError:
        return [f"the body ({size}) is no JSON"]
    problems: list[str] = []
    for path, wanted in endpoint.json_equals.items():
        try:
            found = _at(document, steps(path))
        except LookupError:
            problems.append(f"there is no {path}")
            continue
        # In Python True is 1, in JSON it is not.
        if found != wanted or isinstance(found, bool) != isinstance(wanted, bool):
            problems.append(f"{path} is not {json.dumps(wanted)}")
    return problems


def _at(document: Json, path: Sequence[str | int]) -> Json:
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list):
                raise LookupError(step)
            document = cast(list[Json], document)[step]
        else:
            document = fields(document)[step]
    return document


@dataclass
class _Trial:
    """An endpoint that is asked: how often it was, when it is due again, and what came of it."""

    endpoint: Endpoint
    due: float
    attempts: int = 0
    answer: Answer = field(default_factory=Answer)
    problems: Sequence[str] = (_UNASKED,)

    def take(self, answer: Answer, now: float) -> bool:
        """Take in an answer; return whether it is asked again."""
        self.attempts += 1
        self.answer, self.problems = answer, judge(self.endpoint, answer)
        self.due = now + min(self.endpoint.backoff_s * 2 ** (self.attempts - 1), _LONGEST_BACKOFF_S)
        return bool(self.problems) and self.attempts <= self.endpoint.retries

    def outcome(self) -> Outcome:
        """Return what came of it."""
        answered = self.attempts > 0 and not self.answer.problem
        return Outcome(
            self.endpoint,
            self.attempts,
            round(self.answer.seconds * 1000) if answered else None,
            self.answer.status if answered else None,
            tuple(self.problems),
        )


def smoke(endpoints: Sequence[Endpoint], ask: Ask, clock: Clock, budget_s: float) -> list[Outcome]:
    """Ask every endpoint, and again those that do not answer as they must; all within `budget_s` seconds.

    One after the other, whichever is due first: one that is down does not keep the others from being asked.
    """
    until = clock.monotonic() + budget_s
    trials = [_Trial(endpoint, clock.monotonic()) for endpoint in endpoints]
    waiting = list(trials)
    while waiting:
        trial = min(waiting, key=lambda each: each.due)
        if max(trial.due, clock.monotonic()) >= until:
            break
        clock.sleep(max(0.0, trial.due - clock.monotonic()))
        answer = ask(trial.endpoint, min(trial.endpoint.timeout_s, until - clock.monotonic()))
        if not trial.take(answer, clock.monotonic()):
            waiting.remove(trial)
    ended = clock.monotonic()
    for trial in waiting:
        if trial.attempts:
            pause = max(0.0, trial.due - ended)
            left = max(0.0, until - ended)
            trial.problems = [
                *trial.problems,
                f"not asked again: the next wait would have been {pause:.1f} s, with {left:.1f} s left in the budget",
            ]
    return [trial.outcome() for trial in trials]
