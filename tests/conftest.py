"""What holds for every test."""

from hypothesis import settings

# How long an example takes depends on what else the machine does; time is measured by `make bench` alone.
settings.register_profile("pavedpath", deadline=None)
settings.load_profile("pavedpath")
