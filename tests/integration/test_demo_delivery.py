"""The story of `make demo-delivery`, told to its end: each of its steps checks itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pavedpath_sandbox.layout import DIRECTORY_VARIABLE, Layout
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]


@pytest.fixture
def told(toolchain: Path, tmp_path: Path) -> str:
    """What the story prints, in a sandbox of its own."""
    directory = tmp_path / "sandbox"
    environ = {**os.environ, DIRECTORY_VARIABLE: str(directory)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "demo.delivery"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
        )
    finally:
        Sandbox(layout=Layout.find(directory)).reset()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-4000:]
    return done.stdout


def test_a_change_goes_to_production_and_what_does_not_work_goes_back(told: str) -> None:
    for line in (
        "deployed to dev by digest, smoke test passed",
        "At least 2 approving reviews are required",
        "prod runs dev's digests",
        "the channel was told",
        "rolled back once",
        "the smoke test failed",
        "rollback.yml went back",
    ):
        assert line in told, told
