"""Programs that end with their children, and write whatever they like."""

import sys
import time
from pathlib import Path

import psutil
import pytest
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.errors import DeliveryError, Exit

SH = "/bin/sh"


def test_what_it_wrote_and_read() -> None:
    done = programs.call([SH, "-c", "cat; echo no >&2; exit 3"], stdin="gr\u00fc\u00dfe")
    assert (done.code, done.stdout, done.stderr) == (3, "gr\u00fc\u00dfe", "no\n")


def test_bytes_that_are_no_text_are_no_failure() -> None:
    done = programs.call([SH, "-c", r"printf 'charts/\377/a'"])
    assert done.stdout == "charts/\ufffd/a"


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(programs.ProgramTimeoutError, match=r"sh took longer than 0\.2 s"):
        programs.call([SH, "-c", "sleep 600"], timeout=0.2)


def test_a_child_that_does_not_listen_ends_too(tmp_path: Path) -> None:
    child = "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(os.getpid(), flush=True); "
    script = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child + 'time.sleep(600)'!r}],"
    script += f" stdout=open({str(tmp_path / 'child')!r}, 'w'), stderr=subprocess.DEVNULL); time.sleep(600)"
    running = programs.Running([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    number = int((tmp_path / "child").read_text())
    running.end()
    deadline = time.monotonic() + 120
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child goes on"
        time.sleep(0.05)


def test_one_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeliveryError, match="helm is not on PATH; it is needed to pack charts") as caught:
        programs.find("helm", "pack charts")
    assert caught.value.code is Exit.USAGE
