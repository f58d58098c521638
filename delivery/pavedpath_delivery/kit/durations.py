"""Durations as people write them (90s, 5m, 1h30m, 300) and as servers ask for them (Retry-After)."""

import re
from datetime import UTC, datetime

from pavedpath_delivery.kit.errors import DeliveryError, Exit

_WHOLE = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")


def seconds(text: str, option: str) -> float:
    """Return a duration in seconds. Pure.

    Raises:
        DeliveryError: it is none, or not above zero; names the option.
    """
    found = _WHOLE.fullmatch(text.strip())
    total = float(text) if _PLAIN.fullmatch(text.strip()) else 0.0
    if found:
        hours, minutes, rest = (float(part or 0) for part in found.groups())
        total = total or hours * 3600 + minutes * 60 + rest
    if total <= 0:
        raise DeliveryError(f"{option} {text}: no duration above zero. Fix: write 90s, 5m or 1h30m.", Exit.USAGE)
    return total


def retry_after(value: str, now: datetime) -> float:
    """Return the seconds that a header Retry-After asks for; 0 for one that says nothing. Pure.

    Source: RFC 9110, 10.2.3: a number of seconds, or an HTTP date.
    """
    from email.utils import parsedate_to_datetime

    asked = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
