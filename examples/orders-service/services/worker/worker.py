"""The worker of orders: takes what is due, until it is asked to stop."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """One order."""

    number: int
    items: int
    price_cents: int


def total(orders: list[Order]) -> int:
    """Return what all orders cost together, in cents."""
    return sum(order.items * order.price_cents for order in orders)


def work(stopped: Callable[[], bool], wait: Callable[[float], object], seconds: float = 5.0) -> int:
    """Go round until stopped; return how often."""
    rounds = 0
    while not stopped():
        rounds += 1
        wait(seconds)
    return rounds


if __name__ == "__main__":
    if not os.environ.get("DATABASE_URL"):
        sys.exit("DATABASE_URL is not set")
    stop = threading.Event()

    def end(number: int, frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    started = time.monotonic()
    done = work(stop.is_set, stop.wait)
    sys.stdout.write(f"stopped after {done} rounds, {time.monotonic() - started:.0f} s\n")
