"""How a command ends: its exit code, and what stands on stdout when a program reads it."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import typer
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import Output, Report, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from rich.console import Console
from typer.testing import CliRunner


class Done:
    """A report that is red."""

    code = Exit.FAILED

    def document(self) -> Mapping[str, object]:
        return {"ok": False}

    def show(self, console: Console) -> None:
        console.print("red")

    def summary(self) -> str:
        return "red"

    def outputs(self) -> Mapping[str, str]:
        return {"ok": "false"}


def ended(work: Callable[[Console], Report], output: Output, environ: Mapping[str, str] | None = None) -> int:
    with pytest.raises(typer.Exit) as raised:
        run(work, output, Actions(environ or {}, sys.stderr))
    return raised.value.exit_code


def refused(_: Console) -> Report:
    raise DeliveryError("two\nlines", Exit.POLICY)


def stopped(_: Console) -> Report:
    raise KeyboardInterrupt


def test_a_failure_is_json_where_json_was_asked_for_and_a_sentence_for_people(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert ended(refused, Output.JSON) == Exit.POLICY
    written = capfd.readouterr()
    assert json.loads(written.out) == {"error": {"code": 5, "message": "two\nlines"}}
    assert written.err == "two\nlines\n"
    assert ended(refused, Output.TEXT) == Exit.POLICY
    assert capfd.readouterr() == ("", "two\nlines\n")


def test_a_file_out_of_reach_is_told_and_a_bug_is_not_hidden(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def writes(_: Console) -> Report:
        (tmp_path / "none" / "file").write_text("")
        return Done()

    def breaks(_: Console) -> Report:
        raise ConnectionResetError

    assert ended(writes, Output.TEXT) == Exit.FAILED
    assert capfd.readouterr().err.startswith(f"{tmp_path}/none/file: No such file or directory. Fix:")
    with pytest.raises(ConnectionResetError):
        run(breaks, Output.TEXT, Actions({}, sys.stderr))


def test_an_interruption_is_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(stopped, Output.JSON) == Exit.INTERRUPTED
    assert json.loads(capfd.readouterr().out)["error"]["code"] == 130


def test_a_job_that_cannot_be_told_does_not_take_the_result_away(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nowhere = tmp_path / "gone" / "output"
    assert ended(lambda _: Done(), Output.JSON, {"GITHUB_OUTPUT": str(nowhere)}) == Exit.FAILED
    written = capfd.readouterr()
    assert json.loads(written.out) == {"ok": False}
    assert f"GITHUB_OUTPUT names {nowhere}, which cannot be written (No such file or directory)" in written.err


@pytest.mark.parametrize("command", [["stack", "preview", "dev"], ["state", "backup", "dev", "--to", "backups"]])
def test_the_commands_of_stacks_fail_in_the_same_form(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, "--cwd", str(tmp_path), "--output", "json"])
    assert done.exit_code == Exit.USAGE
    error = json.loads(done.stdout)["error"]
    assert error["code"] == 2
    assert error["message"] == done.stderr.strip()
    assert "No Pulumi.yaml" in error["message"]
    done = CliRunner().invoke(app, [*command, "--cwd", str(tmp_path)], env={"GITHUB_ACTIONS": "true"})
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == f"::error::{error['message']}"
