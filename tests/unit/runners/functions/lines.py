"""Telemetry that is kept."""

from collections.abc import Mapping


class Lines:
    """`ports.Telemetry` as lists."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, Mapping[str, str]]] = []
        self.said: list[tuple[str, Mapping[str, object]]] = []

    def count(self, metric: str, value: float = 1.0, **dimensions: str) -> None:
        self.counted.append((metric, dimensions))

    def seconds(self, metric: str, value: float, **dimensions: str) -> None:
        self.counted.append((metric, dimensions))

    def say(self, event: str, **fields: object) -> None:
        self.said.append((event, fields))
