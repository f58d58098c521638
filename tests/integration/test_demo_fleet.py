"""The demo of the runner fleet, with fewer jobs and all faults: it checks itself, job by job."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pavedpath_sandbox.layout import DIRECTORY_VARIABLE, Layout
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]
JOBS = 60


def demo(directory: Path, jobs: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "demo.fleet", "--jobs", str(jobs), "--verbose"],
        cwd=ROOT,
        env={**os.environ, DIRECTORY_VARIABLE: str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(process: "subprocess.Popen[str]", told: str) -> None:
    """Read until a line has the text."""
    read: list[str] = []
    for line in process.stdout or ():
        read.append(line)
        if told in line:
            return
    pytest.fail(f"it ended without {told!r}:\n{''.join(read)}")


def test_every_job_is_done_once_after_a_demo_that_was_killed(toolchain: Path, tmp_path: Path) -> None:
    directory = tmp_path / "sandbox"
    layout = Layout.find(directory / "fleet")
    try:
        with demo(directory, JOBS) as killed:
            wait_for(killed, "sandbox ready")
            killed.send_signal(signal.SIGKILL)
        with demo(directory, JOBS) as process:
            printed, _ = process.communicate()
    finally:
        Sandbox(layout=layout).reset()
    assert process.returncode == 0, printed[-8000:]
    for line in (
        "kill -9 of the function host",
        f"{JOBS} jobs done, each once, each on a machine of its own",
        "0 left; 0 registrations left",
        "no message waits",
    ):
        assert line in printed, printed
    left = [each for each in psutil.process_iter() if belongs(each, layout)]
    assert not left


def belongs(process: psutil.Process, layout: Layout) -> bool:
    try:
        return process.environ().get("PAVEDPATH_DEMO_FLEET") == str(layout.root)
    except (psutil.Error, OSError):
        return False


def test_nothing_of_a_wrong_number_of_jobs_is_started(tmp_path: Path) -> None:
    with demo(tmp_path, 0) as process:
        printed, _ = process.communicate()
    assert process.returncode == 2
    assert "--jobs must be at least 1" in printed
    assert not list(tmp_path.iterdir())
