"""Started by the engine for `--policy-pack policy`; serves until the engine ends."""

import sys
from pathlib import Path

# The engine runs this directory as a program, so that it stands first on the path; the package is one level up.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from policy.pack import start  # noqa: E402  the path is set first

start()
