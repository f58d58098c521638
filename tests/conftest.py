"""What holds for every test."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does; time is measured by `make bench` alone.
settings.register_profile("pavedpath", deadline=None)
settings.load_profile("pavedpath")

# A shell starts its background jobs with the interrupt ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def event_loop_of_the_thread() -> Iterator[None]:
    """An output of Pulumi wants the thread's loop, and ``asyncio.run`` in an earlier test leaves the thread none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
