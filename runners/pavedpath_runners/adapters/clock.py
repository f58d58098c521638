"""The machine's clock."""

import time


class SystemClock:
    """The time of day, which Lambda keeps by NTP."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()
