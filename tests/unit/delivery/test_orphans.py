import os
import socket
import subprocess
import sys

import psutil
from pavedpath_delivery.stack.repair.orphans import Process, end_orphans, is_listening, orphans

PLUGIN = ("/x/pulumi-resource-aws", "127.0.0.1:4000")


def test_only_plugins_whose_engine_is_gone() -> None:
    processes = [
        Process(1, PLUGIN),
        Process(2, ("/x/pulumi-resource-aws", "127.0.0.1:5000")),
        Process(3, ("python", "-u", "/x/pulumi-language-python-exec", "--engine", "127.0.0.1:4000", "--pwd", "/")),
        Process(4, ("curl", "127.0.0.1:4000")),
        Process(5, ("/x/pulumi-resource-aws",)),
        Process(6, ("less", "pulumi-resource-aws.log")),
    ]
    assert [process.pid for process in orphans(processes, lambda port: port == 5000)] == [1, 3]


def test_an_orphan_of_this_backend_is_ended_and_one_with_an_engine_is_not() -> None:
    backend = f"file:///no/such/backend/{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as engine:
        port = engine.getsockname()[1]
        assert is_listening(port)
        command = [sys.executable, "-c", "import time; time.sleep(600)", "pulumi-resource-fake", f"127.0.0.1:{port}"]
        child = subprocess.Popen(command, env={**os.environ, "PULUMI_BACKEND_URL": backend})
        assert end_orphans(backend) == []
    assert end_orphans(f"{backend}/other") == []
    assert child.poll() is None
    assert [process.pid for process in end_orphans(backend)] == [child.pid]
    assert not psutil.pid_exists(child.pid)
    child.wait()
