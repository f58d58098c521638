"""Durations, rates and figures as people read them."""

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def duration(seconds: float | None) -> str:
    """Return a duration with the unit that suits it, for example "1.5 h"; "none" without one."""
    if seconds is None:
        return "none"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def rate(share: float | None) -> str:
    """Return a share (0 to 1) in percent; "none" without one."""
    return "none" if share is None else f"{share:.1%}"
