"""moto's clock, which a replay sets to the time of each request: ages, visibility and expiry come back as they were."""

from __future__ import annotations

import datetime as real
import time
from typing import Any, cast

from moto.core import utils

from .determinism import require

_ahead: list[float | None] = [None]
_installed: list[bool] = []


def set_to(moment: float | None) -> None:
    """Let moto's clock go on from a time (seconds since 1970); None: from the machine's."""
    _ahead[0] = None if moment is None else moment - time.time()


class _Class(type):
    """Every datetime is one of these, as for the class that it stands for."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, real.datetime)


class _Datetime(real.datetime, metaclass=_Class):
    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> Any:
        ahead = _ahead[0]
        return real.datetime.now(tz) if ahead is None else real.datetime.fromtimestamp(time.time() + ahead, tz)


class _Module:
    """The module datetime as `moto.core.utils` sees it; `utcnow` and `unix_time` there serve all of moto."""

    datetime = _Datetime

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)


def install() -> None:
    """Put the hook in place, once per process.

    Raises:
        MotoChangedError: the installed moto tells the time in another way.
    """
    if _installed:
        return
    module = cast("Any", utils)
    module.datetime = _Module()
    set_to(0.0)
    try:
        require(module.unix_time() < 60.0 and module.utcnow().year == 1970, "moto.core.utils.utcnow")
    finally:
        set_to(None)
    _installed.append(True)
