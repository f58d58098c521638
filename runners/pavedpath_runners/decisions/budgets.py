"""Token buckets: how much of an API's budget is left, and for whom."""

from dataclasses import replace

from pavedpath_runners.configuration import Budget
from pavedpath_runners.records import Bucket


def take(budget: Budget, bucket: Bucket | None, api: str, now: float, tokens: float, launch: bool) -> Bucket | None:
    """Return the bucket without `tokens`, or None if there are too few; what is no launch leaves the reserve.

    A clock that went back adds nothing and takes nothing away.
    """
    held = _refilled(budget, bucket, api, now)
    floor = 0.0 if launch else budget.reserve
    if held.tokens - tokens < floor:
        return None
    return replace(held, tokens=held.tokens - tokens)


def level(budget: Budget, bucket: Bucket | None, now: float) -> float:
    """Return how many tokens there are."""
    return _refilled(budget, bucket, "", now).tokens


def _refilled(budget: Budget, bucket: Bucket | None, api: str, now: float) -> Bucket:
    if bucket is None:
        return Bucket(api, budget.capacity, now)
    passed = max(0.0, now - bucket.at)
    # A budget that was made smaller holds no more than it may.
    tokens = min(budget.capacity, bucket.tokens + passed * budget.per_second)
    return replace(bucket, tokens=max(0.0, tokens), at=max(now, bucket.at))
