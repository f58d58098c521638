"""Virtual time: waiting takes none, and tests say what happens when."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class VirtualClock:
    """Starts at a fixed moment; sleeping moves it, and does what was planned for the time it passes."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._planned: list[tuple[float, Callable[[], None]]] = []
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        until = self.elapsed + seconds
        while self._planned and self._planned[0][0] <= until:
            self.elapsed, happen = self._planned.pop(0)
            happen()
        self.elapsed = until

    def at(self, seconds: float, happen: Callable[[], None]) -> None:
        """Plan something for a moment after the start."""
        self._planned.append((seconds, happen))
        self._planned.sort(key=lambda each: each[0])
