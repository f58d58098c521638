"""Metrics and logs of the functions: one JSON object a line on standard output, which Lambda takes to CloudWatch Logs.

A line with metrics is in CloudWatch's embedded metric format ("Specification: Embedded metric format"), of which
CloudWatch makes metrics by itself: no call, no permission, no waiting. AWS Lambda Powertools writes the same; it is
left out since the package has to stay small (cold starts are part of a webhook's ten seconds), and since its logger
prints what it is given, where this one cannot print a secret.
"""

import json
import re
from collections.abc import Mapping
from typing import TextIO, cast

from pavedpath_runners.ports import Clock

NAMESPACE = "Pavedpath/RunnerFleet"
_HIDDEN = "[redacted]"
_SECRET_NAMES = re.compile(
    r"secret|token|password|private_?key|authorization|jit_?config|configuration|signature", re.I
)
_SECRET_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\bgh[a-z]_[A-Za-z0-9_.-]{16,}"  # GitHub's tokens ("About authentication to GitHub", token formats)
    r"|\bgithub_pat_[A-Za-z0-9_]{16,}"
    r"|\bey[IJ][A-Za-z0-9_.=/+-]{30,}"  # Base64 of a JSON object: JSON Web Tokens, and configurations of runners
    r"|(?i:\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,})",
    re.DOTALL,
)
_SHORTEST = 8


class Redaction:
    """Takes secrets out of texts: the values that it was told, and whatever has the form of one."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def learn(self, value: str) -> None:
        """Keep a value out of every line from now on; in a value of several lines, each of them."""
        self._values.update(part for part in (value, *value.splitlines()) if len(part) >= _SHORTEST)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for value in sorted(self._values, key=len, reverse=True):  # what is left of the longer one is a secret, too
            text = text.replace(value, _HIDDEN)
        return _SECRET_SHAPES.sub(_HIDDEN, text)

    def value(self, value: object) -> object:
        """Return a value as JSON holds it, without secrets; what JSON does not know becomes text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return self.fields({str(key): each for key, each in cast("Mapping[object, object]", value).items()})
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each) for each in cast("list[object]", value)]
        return self.text(str(value))

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return fields without secrets; those that are called like one are hidden whatever they hold."""
        return {
            self.text(name): _HIDDEN if _SECRET_NAMES.search(name) else self.value(each)
            for name, each in fields.items()
        }


class EmbeddedMetrics:
    """`ports.Telemetry` as lines of JSON.

    Every metric has the dimension `fleet`; one with further dimensions is counted without them, too, so that an alarm
    on the fleet needs no sum.

    Args:
        stream: where the lines go.
        clock: dates them.
        fleet: its name.
        redaction: keeps secrets out.
    """

    def __init__(self, stream: TextIO, clock: Clock, fleet: str, redaction: Redaction | None = None) -> None:
        self._stream, self._clock, self._fleet = stream, clock, fleet
        self._redaction = redaction or Redaction()

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        """Add to a metric that counts."""
        self._measure(metric, value, "Count", dimensions)

    def seconds(self, metric: str, value: float, **dimensions: str) -> None:
        """Add one measured time, in seconds."""
        self._measure(metric, value, "Seconds", dimensions)

    def say(self, event: str, **fields: object) -> None:
        """One line of the log: what happened, to what."""
        self._write({"event": event}, fields)

    def _measure(self, metric: str, value: float, unit: str, dimensions: Mapping[str, str]) -> None:
        sets = [["fleet"], ["fleet", *sorted(dimensions)]] if dimensions else [["fleet"]]
        metrics = [{"Name": metric, "Unit": unit}]
        embedded = {
            "Timestamp": int(self._clock.now() * 1000),
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}],
        }
        self._write({"_aws": embedded, metric: value}, dimensions)

    def _write(self, own: Mapping[str, object], given: Mapping[str, object]) -> None:
        # What is ours comes last: no field that is given can pass for it.
        line = {**self._redaction.fields(given), "at": round(self._clock.now(), 3), "fleet": self._fleet, **own}
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
