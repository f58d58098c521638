"""The capacity ladder: spot, then on-demand; and the circuit breaker that leaves spot out."""

from collections.abc import Sequence
from dataclasses import replace

from pavedpath_runners.configuration import Fleet, Market, Pool
from pavedpath_runners.records import Breaker

HOUR = 3600.0
_KEPT = 2 * HOUR + 60.0
"""An order is repeated for up to an hour, with what was to be avoided when it was first given; a minute more for who
is late."""


def first_market(fleet: Fleet, pool: Pool, breaker: Breaker | None, now: float) -> Market:
    """Return where a machine is bought first: spot, unless the pool has none or its breaker is open."""
    if not pool.spot:
        return Market.ON_DEMAND
    if pool.on_demand and breaker is not None and is_open(breaker, fleet.interruptions, now):
        return Market.ON_DEMAND
    return Market.SPOT


def next_market(pool: Pool, market: Market) -> Market | None:
    """Return where to try after a market that had none; None: nowhere."""
    return Market.ON_DEMAND if market is Market.SPOT and pool.on_demand else None


def is_open(breaker: Breaker, limit: int, now: float) -> bool:
    """Whether `limit` interruptions fell within one hour, the last of them less than an hour ago."""
    times = sorted(at for at, _, _ in breaker.interruptions)
    return any(
        last - first <= HOUR and 0 <= now - last < HOUR for first, last in zip(times, times[limit - 1 :], strict=False)
    )


def avoided(breaker: Breaker | None, asked_at: float) -> Sequence[tuple[str, str]]:
    """Return what was interrupted in the hour before an order was first given.

    It is asked as of that time, so that the order is the same when it is repeated: EC2 refuses a client token that
    comes with other parameters.
    """
    if breaker is None:
        return ()
    recent = {(kind, zone) for at, kind, zone in breaker.interruptions if 0 <= asked_at - at <= HOUR}
    return tuple(sorted(recent))


def interrupted(breaker: Breaker, at: float, instance_type: str, zone: str) -> Breaker:
    """Return the breaker with one interruption more, without those that no decision looks at any more."""
    kept = [each for each in breaker.interruptions if at - each[0] <= _KEPT]
    return replace(breaker, interruptions=(*kept, (at, instance_type, zone)))
