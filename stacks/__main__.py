"""Entry point that the engine runs for every stack of the project."""

import sys
from pathlib import Path

# The engine runs this directory as a program, which leaves the directory above it off the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stacks.program import main

main()
