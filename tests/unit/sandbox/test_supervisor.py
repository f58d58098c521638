import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from pavedpath_sandbox import ports, probe, state, supervisor
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.parts import Part
from pavedpath_sandbox.probe import Probe
from pavedpath_sandbox.state import ProcessRecord, State
from pavedpath_sandbox.supervisor import MARKER, Result, Supervisor

SERVER = "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), type('H', \
(http.server.BaseHTTPRequestHandler,), {'do_GET': lambda s: (s.send_response(int(sys.argv[2])), s.end_headers())}))\
.serve_forever()"
PROGRAMS = {"python": Path(sys.executable)}


@pytest.fixture
def layout(tmp_path: Path) -> Generator[Layout]:
    made = Layout(tmp_path, tmp_path / "bin")
    yield made
    supervisor.end(supervisor.strays(made, ()))


def serving(name: str, status: int = 200, depends: tuple[str, ...] = (), seconds: float = 120) -> Part:
    port = ports.choose([name], {})[name]
    arguments = ("-c", SERVER, str(port), str(status))
    return Part(name, "g", "python", arguments, Probe(port, "/"), "", (name,), depends, start_seconds=seconds)


def failing(name: str, code: str) -> Part:
    return Part(name, "g", "python", ("-c", code), Probe(1, "/"), "", (name,))


def bring_up(layout: Layout, remembered: State, *wanted: Part) -> dict[str, Result]:
    results = Supervisor(layout, remembered, lambda _: None).bring_up(wanted, PROGRAMS, {})
    return {result.part: result for result in results}


def running(layout: Layout, remembered: State, part: str) -> psutil.Process:
    process = supervisor.find(layout, part, remembered.processes[part])
    assert process is not None
    return process


def test_a_healthy_part_is_left_alone_and_a_killed_one_started_again(layout: Layout) -> None:
    remembered, part = State(), serving("a")
    assert bring_up(layout, remembered, part)["a"].outcome == "started"
    first = running(layout, remembered, "a")
    assert bring_up(layout, remembered, part)["a"].outcome == "unchanged"
    assert running(layout, remembered, "a") == first
    os.kill(first.pid, signal.SIGKILL)
    assert bring_up(layout, remembered, part)["a"].outcome == "started"
    assert running(layout, remembered, "a") != first
    assert state.load(layout) == remembered


def test_a_part_whose_command_changed_is_restarted(layout: Layout) -> None:
    remembered = State()
    bring_up(layout, remembered, serving("a"))
    first = running(layout, remembered, "a")
    assert bring_up(layout, remembered, serving("a"))["a"].outcome == "started"
    assert not first.is_running()


def test_a_part_that_hangs_is_replaced(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_SETTLE_SECONDS", 0.3)
    monkeypatch.setattr(supervisor, "_TERM_SECONDS", 0.5)
    remembered, part = State(), serving("a")
    bring_up(layout, remembered, part)
    first = running(layout, remembered, "a")
    first.suspend()
    assert bring_up(layout, remembered, part)["a"].outcome == "started"
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE


def test_a_pid_that_belongs_to_another_process_now_is_not_ours(layout: Layout) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        try:
            created = psutil.Process(other.pid).create_time()
            assert supervisor.find(layout, "a", ProcessRecord(other.pid, created - 100, "")) is None
            assert bring_up(layout, State((), {}, {"a": ProcessRecord(other.pid, created - 100, "")}), serving("a"))
            assert other.poll() is None  # it was not ended for ours
        finally:
            other.kill()


def test_a_changed_clock_does_not_disown_a_part(layout: Layout) -> None:
    remembered, part = State(), serving("a")
    bring_up(layout, remembered, part)
    record = remembered.processes["a"]
    shifted = ProcessRecord(record.pid, record.created - 3600, record.digest)
    assert supervisor.find(layout, "a", shifted) is not None
    assert supervisor.find(layout, "b", shifted) is None


def test_a_dead_or_zombie_process_is_gone(layout: Layout) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = ProcessRecord(child.pid, psutil.Process(child.pid).create_time(), "")
    assert supervisor.find(layout, "a", record) is not None
    child.kill()
    deadline = time.monotonic() + 120
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert supervisor.find(layout, "a", record) is None
    child.wait()
    assert supervisor.find(layout, "a", record) is None
    assert supervisor.find(layout, "a", None) is None


def test_what_an_interrupted_up_left_behind_is_found(layout: Layout, tmp_path: Path) -> None:
    remembered = State()
    bring_up(layout, remembered, serving("a"))
    process = running(layout, remembered, "a")
    assert [each.pid for each in supervisor.strays(layout, ())] == [process.pid]
    assert supervisor.strays(layout, (process.pid,)) == []
    assert supervisor.strays(Layout(tmp_path / "elsewhere", tmp_path), ()) == []
    assert process.environ()[MARKER] == f"{layout.root}:a"


def test_a_part_that_dies_shows_its_name_and_log_and_fails_alone(layout: Layout) -> None:
    remembered = State()
    dying = failing("dying", "import sys; print('cannot open the door', file=sys.stderr); sys.exit(7)")
    found = bring_up(layout, remembered, dying, serving("child", depends=("dying",)), serving("other"))
    assert found["other"].outcome == "started"
    assert found["dying"].outcome == found["child"].outcome == "failed"
    assert "dying ended with status 7" in found["dying"].problem
    assert "cannot open the door" in found["dying"].problem
    assert found["child"].problem == "child was not started, it needs dying"


def test_a_part_that_never_becomes_ready_says_what_it_answers(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def once_it_answers(asked: Probe) -> str | None:
        """Ask until the process listens: how long that takes is this machine's business."""
        deadline = time.monotonic() + 120
        while not (problem := probe.ask(asked, 60) or "").startswith("HTTP") and time.monotonic() < deadline:
            time.sleep(0.01)
        return problem

    monkeypatch.setattr(supervisor, "probe", SimpleNamespace(ask=once_it_answers))
    result = bring_up(layout, State(), serving("a", status=503, seconds=0.2))["a"]
    assert "not ready after 0 s (HTTP 503" in result.problem


def test_logs_are_private_and_the_previous_one_is_kept(layout: Layout) -> None:
    code = "import os, sys; sys.exit('run %d' % len(os.listdir('logs')))"
    for _ in range(2):
        bring_up(layout, State(), failing("a", code))
    assert layout.log_file("a").read_text() == "run 2\n"
    assert (layout.root / "logs" / "a.previous.log").read_text() == "run 1\n"
    assert layout.log_file("a").stat().st_mode & 0o077 == 0


def test_parts_do_not_see_the_users_variables(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://real.example")
    result = bring_up(layout, State(), failing("a", "import os, sys; sys.exit(' '.join(sorted(os.environ)))"))["a"]
    assert "AWS_ENDPOINT_URL" not in result.problem
    assert MARKER in result.problem


def test_a_part_that_is_just_dying_is_replaced(layout: Layout) -> None:
    remembered, part = State(), serving("a")
    for _ in range(5):
        bring_up(layout, remembered, part)
        os.kill(running(layout, remembered, "a").pid, signal.SIGKILL)
        assert bring_up(layout, remembered, part)["a"].problem == ""


def test_what_a_part_started_is_no_stray_until_the_part_is_gone(layout: Layout) -> None:
    child = "import time; print(flush=True); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    environment = {**os.environ, MARKER: supervisor.marker(layout, "part")}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as part:
        assert part.stdout is not None
        part.stdout.readline()
        assert supervisor.strays(layout, (part.pid,)) == []
        assert len(supervisor.strays(layout, ())) == 2
        part.kill()
        part.wait()
        (orphan,) = supervisor.strays(layout, (part.pid,))
        supervisor.end([orphan])
        assert supervisor.strays(layout, ()) == []
