"""What holds for every test."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pavedpath_sandbox import ports

# How long an example takes depends on what else the machine does, and how many are thrown away on chance; time is
# measured by `make bench` alone.
BY_CHANCE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("pavedpath", deadline=None, suppress_health_check=BY_CHANCE)
settings.load_profile("pavedpath")

# What a terminal or a job's machine says of itself; programs print for neither here, and 80 is what they take for none.
OF_OUTSIDE = {"FORCE_COLOR", "NO_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES"}
for name in [each for each in os.environ if each in OF_OUTSIDE or each.startswith("GITHUB_")]:
    del os.environ[name]
os.environ["COLUMNS"] = "80"

# A shell starts its background jobs with the interrupt ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Have the sandboxes of each worker look for ports in a part of their range that is this worker's alone.

    Between the choice of a port and its part's start another sandbox may choose the same one.
    """
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        number, share = int(worker["workerid"].removeprefix("gw")), len(ports.RANGE) // worker["workercount"]
        ports.RANGE = ports.RANGE[number * share : (number + 1) * share]


@pytest.fixture(autouse=True)
def event_loop_of_the_thread() -> Iterator[None]:
    """An output of Pulumi wants the thread's loop, and ``asyncio.run`` in an earlier test leaves the thread none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
