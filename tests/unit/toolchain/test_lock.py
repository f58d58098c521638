"""One at a time, and the next one knows for whom it waits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from toolchain import lock

HOLDER = """
import sys
from pathlib import Path
from toolchain import lock
with lock.hold(Path(sys.argv[1]), print) as held:
    import subprocess
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    held.doing("building thing 1.2.3", child.pid)
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""


def holder(path: Path) -> tuple[subprocess.Popen[str], int]:
    """A process that holds the lock until its input ends, and its child."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, int(process.stdout.readline())


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "lock")
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        assert process.stdin
        process.stdin.close()

    with lock.hold(tmp_path / "lock", hear, interval=0.05):
        pass
    process.wait()
    assert len(told) == 1
    assert told[0].startswith(f"process {process.pid} (building thing 1.2.3, for ")


def test_a_build_that_outlived_its_holder_is_stopped(tmp_path: Path) -> None:
    process, child = holder(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(child, 0)  # still there
    with lock.hold(tmp_path / "lock", print, interval=0.05):
        pass
    deadline = time.monotonic() + 120
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_build_is_known_again_after_the_clock_was_set(tmp_path: Path) -> None:
    build = subprocess.Popen(["sleep", "600"], start_new_session=True)
    path = tmp_path / "lock"
    started = psutil.Process(build.pid).create_time() - 1
    path.write_text(f'{{"pid": 1, "child": {build.pid}, "child_started": {started!r}}}')
    with lock.hold(path, print):
        assert build.wait(120) == -signal.SIGKILL


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    path = tmp_path / "lock"
    path.write_text(f'{{"pid": 1, "child": {other.pid}, "child_started": 1.0}}')
    with lock.hold(path, print):
        assert other.poll() is None
    other.kill()
    other.wait()


def test_released_even_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    try:
        with lock.hold(path, print):
            raise RuntimeError
    except RuntimeError:
        pass
    with lock.hold(path, print):
        assert f'"pid": {os.getpid()}' in path.read_text()
    assert path.read_text() == ""
