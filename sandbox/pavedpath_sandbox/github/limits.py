"""GitHub's primary and secondary rate limits.

The primary one counts requests in an hour that starts with the first; the secondary one counts points in a
minute, a read 1 and a write 5
(https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
"""

from collections.abc import Callable
from dataclasses import dataclass

from pavedpath_sandbox.github.errors import GitHubError
from pavedpath_sandbox.github.store import Json

HOUR = 3600
MINUTE = 60
_GUIDE = "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"


@dataclass
class _Window:
    started: float
    used: int = 0


class Limits:
    """Counts of one server, kept in memory: a restart forgives."""

    def __init__(self, primary: int, secondary: int, clock: Callable[[], float]) -> None:
        self._primary, self._secondary, self._clock = primary, secondary, clock
        self._hours: dict[str, _Window] = {}
        self._minutes: dict[str, _Window] = {}

    def _window(self, windows: dict[str, _Window], user: str, length: int) -> _Window:
        now = self._clock()
        window = windows.get(user)
        if window is None or now >= window.started + length:
            window = windows[user] = _Window(now)
        return window

    def status(self, user: str) -> Json:
        """The primary limit as `/rate_limit` shows it."""
        window = self._window(self._hours, user, HOUR)
        return {
            "limit": self._primary,
            "used": window.used,
            "remaining": max(0, self._primary - window.used),
            "reset": int(window.started) + HOUR,
        }

    def headers(self, user: str) -> dict[str, str]:
        """The `x-ratelimit-*` headers."""
        return {f"x-ratelimit-{name}": str(value) for name, value in self.status(user).items()} | {
            "x-ratelimit-resource": "core"
        }

    def take(self, user: str, *, write: bool) -> None:
        """Count a request; raises GitHubError 403 or 429 when it is one too many."""
        hour = self._window(self._hours, user, HOUR)
        if hour.used >= self._primary:
            raise GitHubError(403, f"API rate limit exceeded for user {user}.", extra={"documentation_url": _GUIDE})
        minute = self._window(self._minutes, user, MINUTE)
        points = 5 if write else 1
        if minute.used + points > self._secondary:
            wait = max(1, round(minute.started + MINUTE - self._clock()))
            raise GitHubError(
                429,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                extra={"documentation_url": f"{_GUIDE}#about-secondary-rate-limits"},
                headers={"retry-after": str(wait)},
            )
        hour.used += 1
        minute.used += points

    def refund(self, user: str) -> None:
        """A conditional request that was answered 304 does not count."""
        self._window(self._hours, user, HOUR).used -= 1
