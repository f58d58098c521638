import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.sandbox.conftest import Aws


def blocks(task: Path, number: signal.Signals) -> bool:
    (mask,) = [line.split()[1] for line in (task / "status").read_text().splitlines() if line.startswith("SigBlk")]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the masks of threads from /proc")
def test_only_the_main_thread_takes_the_signal_to_end() -> None:
    command = [sys.executable, "-m", "pavedpath_sandbox.aws"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        client = Aws(None, port).client("sqs")  # pyright: ignore[reportArgumentType]  # its application is elsewhere
        client.create_queue(QueueName="q")
        takes: dict[str, bool] = {}
        for each in Path(f"/proc/{process.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that answered may end meanwhile
                takes[each.name] = not blocks(each, signal.SIGTERM)
        process.terminate()
        assert process.wait(120) == 0
    assert [name for name, taken in takes.items() if taken] == [str(process.pid)]
    assert len(takes) > 1
