"""What holds for every test."""

import signal

from hypothesis import settings

# How long an example takes depends on what else the machine does; time is measured by `make bench` alone.
settings.register_profile("pavedpath", deadline=None)
settings.load_profile("pavedpath")

# A shell starts its background jobs with the interrupt ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
