"""The demo of the fleet, with fewer jobs and more that goes wrong with them: it checks itself, job by job."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pavedpath_sandbox.layout import DIRECTORY_VARIABLE, Layout
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
JOBS = 24


def demo(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "demo.fleet", "--verbose", *arguments],
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


def belongs(process: psutil.Process, layout: Layout) -> bool:
    try:
        return str(layout.root) in " ".join([*process.cmdline(), *process.environ().values()])
    except (psutil.Error, OSError):
        return False


def left(layout: Layout) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if each.pid != os.getpid() and belongs(each, layout)]


def test_every_job_is_done_once_after_a_demo_that_was_killed(toolchain: Path, tmp_path: Path) -> None:
    directory = tmp_path / "sandbox"
    layout = Layout.find(directory / "fleet")
    try:
        with demo(directory) as killed:
            wait_for(killed, "sandbox ready")
            killed.send_signal(signal.SIGKILL)
        assert left(layout), "nothing is left that the next one must end"
        # Of about 20 spot machines none is taken away in one of 300 runs, so none need be. One that never comes up
        # would cost minutes.
        with demo(directory, "--jobs", str(JOBS), "--never", "0", "--interrupt", "0.25") as process:
            printed, _ = process.communicate()
        after = left(layout)
    finally:
        Sandbox(layout=layout).reset()
    assert process.returncode == 0, printed[-8000:]
    for line in (
        "kill -9 of the function host",
        rf"{JOBS} jobs done, each once, each on a machine of its own",
        r"\d+ run again after an interruption; besides, 1 jobs? of forks refused, [12] cancelled",
        r"queue time: p50 \d+ s, p95 \d+ s, max \d+ s",
        r"instances: (\d+) launched \(\d+ on-demand, \d+ spot\), \1 terminated, 0 left; 0 registrations left",
        r"webhooks: \d+ sent, [1-9]\d* lost, [1-9]\d* duplicated, [1-9]\d* redelivered",
        "no message waits",
    ):
        assert re.search(line, printed), printed
    assert not after


def test_nothing_of_what_is_wrongly_asked_for_is_started(tmp_path: Path) -> None:
    for arguments, told in (
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--never", "2", "--interrupt", "-1"], "--never and --interrupt must be from 0 to 1"),
    ):
        with demo(tmp_path, *arguments) as process:
            printed, _ = process.communicate()
        assert process.returncode == 2
        assert told in printed
    assert not list(tmp_path.iterdir())
