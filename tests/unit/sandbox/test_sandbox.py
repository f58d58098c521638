"""The sandbox as an object and as a command, with the AWS part only: it needs no built programs."""

import dataclasses
import json
import os
import signal
import socket
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest
from pavedpath_sandbox import state
from pavedpath_sandbox.cli import app
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.ports import becomes_free
from pavedpath_sandbox.sandbox import Sandbox, SandboxError
from typer.testing import CliRunner

runner = CliRunner()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Generator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox") / "state", groups=("aws",)) as sandbox:
        yield sandbox
    assert not sandbox.layout.root.exists()


def run(sandbox: Sandbox, *arguments: str) -> tuple[int, str, str]:
    result = runner.invoke(app, [arguments[0], "--dir", str(sandbox.layout.root), *arguments[1:]])
    return result.exit_code, result.stdout, result.stderr


def test_up_status_env_and_logs(up: Sandbox) -> None:
    code, out, _ = run(up, "up", "aws")
    assert code == 0
    assert "nothing to do" in out
    code, out, _ = run(up, "status", "--output", "json")
    assert code == 0
    (part,) = json.loads(out)
    assert (part["part"], part["state"]) == ("aws", "healthy")
    assert part["memory"] > 1e6
    assert run(up, "status")[1].splitlines()[0].split() == ["part", "state", "address", "pid", "memory", "up"]
    code, out, err = run(up, "env", "--output", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["AWS_ENDPOINT_URL"] == part["address"]
    code, out, _ = run(up, "env")
    assert f"export AWS_ENDPOINT_URL={part['address']}\n" in out
    code, out, _ = run(up, "logs", "-n", "5", "aws")
    assert "ready; 0 requests replayed" in out
    code, _, err = run(up, "logs", "nothing")
    assert code == 2
    assert "there are aws" in err


def test_a_killed_part_is_seen_and_repaired_on_its_port(up: Sandbox) -> None:
    (before,) = up.status()
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    psutil.Process(before.pid).wait(120)
    code, out, _ = run(up, "status")
    assert code == 1
    assert "stopped" in out
    code, out, err = run(up, "env")
    assert code == 0
    assert "not running: aws" in err
    assert "export AWS_ENDPOINT_URL" in out
    assert run(up, "up", "aws")[0] == 0
    (after,) = up.status()
    assert after.address == before.address
    assert after.state == "healthy"


def test_a_port_taken_meanwhile_is_replaced_and_said(up: Sandbox) -> None:
    up.down()
    remembered = state.load(up.layout)
    assert remembered is not None
    taken = remembered.ports["aws"]
    assert becomes_free(taken, 120)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        code, _, err = run(up, "up", "aws")
        assert code == 0
        assert f"port {taken} is taken by" in err
        assert f"pid {os.getpid()}" in err
        assert str(taken) not in up.status()[0].address


def test_a_damaged_state_file_is_moved_aside_and_nothing_is_lost(up: Sandbox) -> None:
    (before,) = up.status()
    up.layout.state_file.write_text("{rubbish")
    code, _, err = run(up, "status")
    assert code == 1
    assert "it is not JSON" in err
    code, _, err = run(up, "up", "aws")
    assert code == 0
    assert "ending 1 processes" in err
    (after,) = up.status()
    assert after.state == "healthy"
    assert after.pid != before.pid
    assert [path.read_text() for path in up.layout.root.glob("state.json.damaged-*")] == ["{rubbish"]


def test_what_did_not_come_back_is_said_in_the_status(up: Sandbox) -> None:
    up.down()
    journal = up.layout.root / "aws" / "journal.jsonl"
    kept = journal.read_bytes()
    journal.write_bytes(kept + b"not an entry\n")
    up.up()
    number = kept.count(b"\n") + 1
    code, out, _ = run(up, "status")
    assert code == 0
    assert f"aws: 1 requests did not come back as they were: line {number} of the journal cannot be read" in out


def test_two_run_side_by_side(up: Sandbox, tmp_path: Path) -> None:
    with Sandbox(tmp_path / "two", groups=("aws",)) as second:
        assert second.environment()["AWS_ENDPOINT_URL"] != up.environment()["AWS_ENDPOINT_URL"]
    assert up.status()[0].state == "healthy"


def test_one_that_was_never_started(tmp_path: Path) -> None:
    never = Sandbox(tmp_path / "never", groups=("aws",))
    code, out, err = run(never, "env")
    assert (code, out) == (1, "")
    assert "pavedpath-sandbox up" in err
    code, out, _ = run(never, "status")
    assert code == 1
    assert "never started" in out
    assert run(never, "down")[0] == run(never, "reset")[0] == 0
    assert not never.layout.root.exists()


def test_reset_leaves_what_is_not_the_sandboxs(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with Sandbox(tmp_path, groups=()):
        assert (tmp_path / "pulumi-passphrase").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_part_and_missing_programs_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no such part of a sandbox: aw; there are aws, github"):
        Sandbox(tmp_path, groups=("aw",))
    assert runner.invoke(app, ["up", "aw", "--dir", str(tmp_path)]).exit_code == 2
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PAVEDPATH_TOOLCHAIN_BIN", str(tmp_path / "none"))
    bare = Sandbox(groups=("kubernetes",), layout=Layout.find(tmp_path / "s"))
    code, _, err = run(bare, "up", "kubernetes")
    assert code == 1
    assert "etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok" in err


def test_an_unknown_environment_is_said(up: Sandbox, tmp_path: Path) -> None:
    expected = "no such environment of a sandbox: live; there are dev, prod"
    with pytest.raises(ValueError, match=expected):
        Sandbox(tmp_path, clusters=("live",))
    assert expected in run(up, "env", "--environment", "live")[2]
    result = runner.invoke(app, ["up", "--environment", "live", "--dir", str(tmp_path / "none")])
    assert result.exit_code == 2
    (tmp_path / "plain").write_text("a: b\n")
    sealing = [
        "seal",
        str(tmp_path / "plain"),
        str(tmp_path / "out"),
        "--key-description",
        "k",
        "--environment",
        "live",
    ]
    result = runner.invoke(app, sealing)
    assert (result.exit_code, result.stderr) == (1, f"error: {expected}\n")
    assert not (tmp_path / "out").exists()


def test_variables_of_a_cluster_that_never_ran_are_refused(up: Sandbox) -> None:
    assert "export AWS_ACCESS_KEY_ID=210987654321\n" in run(up, "env", "--environment", "prod")[1]
    remembered = state.load(up.layout)
    assert remembered is not None
    state.save(up.layout, dataclasses.replace(remembered, groups=("aws", "kubernetes")))
    try:
        code, out, err = run(up, "env", "--environment", "prod")
    finally:
        state.save(up.layout, remembered)
    assert (code, out) == (1, "")
    assert "`pavedpath-sandbox up --environment prod`" in err


def test_a_failed_up_names_the_part(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "s", groups=("aws",))
    (tmp_path / "s" / "aws").mkdir(parents=True)
    (tmp_path / "s" / "aws" / "journal.jsonl").mkdir()
    with pytest.raises(SandboxError, match="aws ended with status 1 while starting"):
        sandbox.up()
    sandbox.reset()
