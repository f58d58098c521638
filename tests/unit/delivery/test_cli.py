"""The commands as a person runs them, against the stand-in."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any

import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.stack.errors import Exit
from typer.testing import CliRunner, Result

from tests.unit.delivery.support import Project, export, pending, urn

VPC = "aws:ec2/vpc:Vpc"


def run(project: Project, *args: str) -> Result:
    return CliRunner().invoke(app, ["stack", *args, "--cwd", str(project.root)])


def dead_lock(project: Project, stack: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    now = datetime.now(tz=UTC).isoformat()
    project.lock(stack, pid=child.pid, username="ann", hostname=gethostname(), timestamp=now)


def test_help_is_quick_for_nothing_heavy_is_imported() -> None:
    heavy = ["pydantic", "boto3", "httpx", "rich", "psutil", "yaml"]
    code = f"import sys; import pavedpath_delivery.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_up_creates_each_stack_in_order_and_shows_what_exists(project: Project) -> None:
    project.state("dev")
    for stack in ("shared", "dev"):
        project.operation("up", stack, "up")
    result = run(project, "up", "shared", "dev", "--next", "make preview")
    assert result.exit_code == Exit.OK, result.output
    assert project.verbs() == ["stack export", "stack init", "up", "stack export", "up"]
    assert project.stacks() == ["dev", "shared"]
    for said in (
        "shared: created aws:ecr:Repository app",
        "✓ dev  3 created",
        "token       [secret]",
        "  make preview",
    ):
        assert said in result.output
    assert len(result.output.split("✓ shared")[1].splitlines()) <= 24


def test_up_without_a_change_says_so(project: Project) -> None:
    project.state("dev")
    project.operation("up", "dev", "noop")
    assert "dev  nothing changed (3 resources)" in run(project, "up", "dev").output


def test_up_proposes_its_own_commands_if_none_are_given(project: Project) -> None:
    project.operation("up", "dev", "up")
    assert "pavedpath stack refresh dev --preview-only" in run(project, "up", "dev").output


def test_the_stacks_after_one_that_failed_are_not_tried(project: Project) -> None:
    project.operation("up", "shared", "failed", code=1)
    result = run(project, "up", "shared", "dev", "prod")
    assert result.exit_code == Exit.FAILED
    assert "✗ shared" in result.output
    assert "not tried: dev, prod" in result.output
    assert "aws:iam:RolePolicyAttachment broken" in result.output
    assert [call for call in project.calls() if "dev" in call] == []


def test_a_settings_error_is_told_verbatim(project: Project) -> None:
    project.operation("up", "dev", "settings", code=1)
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.FAILED
    assert "dev: 2 settings are wrong\n  network.cidr: '10.0/8' is not a network" in result.output
    assert "non-zero exit code" not in result.output


def test_the_lock_of_a_dead_process_is_removed(project: Project) -> None:
    project.state("dev")
    project.operation("up", "dev", "noop")
    dead_lock(project, "dev")
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.OK
    assert "removed the lock of process" in result.output
    assert project.verbs() == ["stack export", "up"]
    assert [*(project.scenario / "backend").rglob("*.json")] == []


@pytest.mark.parametrize("command", ["up", "preview", "repair", "refresh"])
def test_the_lock_of_a_live_process_is_respected(project: Project, command: str) -> None:
    project.state("dev")
    later = (datetime.now(tz=UTC) + timedelta(seconds=1)).isoformat()
    project.lock("dev", pid=os.getpid(), username="ann", hostname=gethostname(), timestamp=later)
    result = run(project, command, "dev")
    assert result.exit_code == Exit.LOCKED
    assert f"ann@{gethostname()}, process {os.getpid()}" in result.stderr
    assert project.calls() == []


def test_a_lock_taken_in_between_is_told_by_the_engine(project: Project) -> None:
    refused = (
        "error: the stack is currently locked by 1 lock(s).\n  file:///l.json: created by ann@elsewhere (pid 5) "
        "at 2026-03-01T12:00:00Z\n"
    )
    project.operation("up", "dev", code=255, err=refused)
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.LOCKED
    assert "ann@elsewhere, process 5" in result.stderr


def test_preview_lists_exactly_what_changes(project: Project) -> None:
    project.state("dev")
    project.operation("preview", "dev", "preview")
    result = run(project, "preview", "dev", "--expect-no-changes")
    assert result.exit_code == Exit.CHANGES
    assert "~ retentionInDays: 30 → 14" in result.output
    project.operation("preview", "dev", "preview-none")
    result = run(project, "preview", "dev", "--expect-no-changes")
    assert result.exit_code == Exit.OK
    assert "dev  no changes" in result.output


def test_preview_as_json_prints_nothing_else_on_stdout(project: Project) -> None:
    project.state("dev")
    project.operation("preview", "dev", "preview")
    result = run(project, "preview", "dev", "--output", "json")
    document: dict[str, Any] = json.loads(result.stdout)
    assert [len(stack["changes"]) for stack in document["stacks"]] == [2]


@pytest.mark.parametrize("command", ["preview", "refresh"])
def test_a_failure_of_the_engine_is_json_too(project: Project, command: str) -> None:
    project.state("dev")
    project.operation(command, "dev", "failed", code=1)
    result = run(project, command, "dev", "--output", "json")
    assert result.exit_code == Exit.FAILED
    assert json.loads(result.stdout)["error"]["code"] == 1
    assert "broken" in result.stderr


def test_preview_of_a_new_stack_leaves_none_behind(project: Project) -> None:
    project.operation("preview", "prod", "up")
    result = run(project, "preview", "prod")
    assert "3 resources would change" in result.output
    assert project.stacks() == []


UNKNOWN = 'error: Preview failed: unknown stack "organization/shop/shared"\n'


def test_preview_of_a_stack_that_reads_a_new_one_says_that_it_cannot_be_told(project: Project) -> None:
    project.state("prod")
    project.operation("preview", "shared", "up")
    project.operation("preview", "dev", code=255, err=UNKNOWN)
    project.operation("preview", "prod", "preview-none")
    result = run(project, "preview", "shared", "dev", "prod")
    assert result.exit_code == Exit.OK, result.output
    assert "dev: not previewed, since shared does not exist yet: pavedpath stack up shared" in result.output
    assert "prod  no changes" in result.output
    assert project.stacks() == ["prod"]
    result = run(project, "preview", "shared", "dev", "--output", "json")
    assert json.loads(result.stdout)["stacks"][1] == {
        "stack": "dev",
        "not_previewed": "shared does not exist yet: pavedpath stack up shared",
    }


def test_preview_fails_if_it_was_not_asked_for_the_stack_that_is_missing_or_if_that_exists(project: Project) -> None:
    project.operation("preview", "dev", code=255, err=UNKNOWN)
    assert run(project, "preview", "dev").exit_code == Exit.FAILED
    project.state("shared")
    project.operation("preview", "shared", "preview-none")
    assert run(project, "preview", "shared", "dev").exit_code == Exit.FAILED


def test_down_destroys_in_order_and_leaves_nothing(project: Project) -> None:
    for stack in ("dev", "shared"):
        project.state(stack)
        project.operation("destroy", stack, "destroy")
    result = run(project, "down", "dev", "gone", "shared", "--yes")
    assert result.exit_code == Exit.OK, result.output
    assert "gone: already gone" in result.output
    assert project.stacks() == []
    assert [call[0:3] for call in project.calls() if call[0] == "destroy" or call[1] == "rm"] == [
        ["destroy", "--yes", "--skip-preview"],
        ["stack", "rm", "dev"],
        ["destroy", "--yes", "--skip-preview"],
        ["stack", "rm", "shared"],
    ]
    removed = next(call for call in project.calls() if call[:2] == ["stack", "rm"])
    assert "--preserve-config" in removed


def test_down_destroys_nothing_if_anything_is_protected(project: Project) -> None:
    project.state("dev")
    project.state("shared", export([{"urn": urn(VPC, "main", "shared"), "type": VPC, "custom": True, "protect": True}]))
    result = run(project, "down", "dev", "shared", "--yes")
    assert result.exit_code == Exit.FAILED
    assert f"pulumi state unprotect --yes --stack shared '{urn(VPC, 'main', 'shared')}'" in result.stderr
    assert "destroy" not in project.verbs()


def test_down_without_a_terminal_wants_yes(project: Project) -> None:
    project.state("dev")
    result = run(project, "down", "dev")
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr


def test_a_stack_that_cannot_be_destroyed_stays(project: Project) -> None:
    project.state("dev")
    project.operation("destroy", "dev", "failed", code=1)
    assert run(project, "down", "dev", "--yes").exit_code == Exit.FAILED
    assert project.stacks() == ["dev"]


def test_drift_is_shown_and_only_shown(project: Project) -> None:
    project.state("dev")
    project.operation("refresh", "dev", "drift")
    result = run(project, "refresh", "dev", "--preview-only")
    assert result.exit_code == Exit.OK
    assert "- aws:ecr:Repository app  is gone" in result.output
    assert "~ retentionInDays: 14 → 7" in result.output
    refresh = next(call for call in project.calls() if call[0] == "refresh")
    assert "--preview-only" in refresh
    assert "--yes" not in refresh


def test_summary(project: Project) -> None:
    (project.scenario / "outputs.dev.json").write_text(json.dumps({"network": {"vpc": "vpc-1"}, "key": "[secret]"}))
    result = run(project, "summary", "dev")
    assert result.output.splitlines()[:3] == ["dev", "  network  vpc  vpc-1", "  outputs  key  [secret]"]
    assert not any("--show-secrets" in call for call in project.calls())


def test_interrupted_operations_that_only_a_person_can_judge_are_all_named(project: Project) -> None:
    operations = [pending("acme:index:Thing", name, {}) for name in ("one", "two")]
    project.state("dev", export(operations=operations))
    project.operation("up", "dev", "noop")
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.FAILED
    for name in ("one", "two"):
        assert f"--exists '{urn('acme:index:Thing', name)}=ID'" in result.stderr
    assert "up" not in project.verbs()
    assert project.exported("dev")["deployment"]["pending_operations"] == operations

    answers = ["--exists", f"{urn('acme:index:Thing', 'one')}=id=1", "--absent", urn("acme:index:Thing", "two")]
    project.operation("refresh", "dev", "noop")
    result = run(project, "repair", "dev", *answers)
    assert result.exit_code == Exit.OK, result.output
    deployment = project.exported("dev")["deployment"]
    assert deployment["pending_operations"] == []
    assert [(r["urn"], r["id"]) for r in deployment["resources"]] == [(urn("acme:index:Thing", "one"), "id=1")]
    refresh = next(call for call in project.calls() if call[0] == "refresh")
    assert refresh[refresh.index("--target") + 1] == urn("acme:index:Thing", "one")


def test_what_a_killed_repair_did_not_read_is_read_by_the_next(project: Project) -> None:
    project.state("dev", export([{"urn": urn(VPC, "main"), "type": VPC, "custom": True, "id": "vpc-1", "outputs": {}}]))
    project.operation("refresh", "dev", "noop")
    project.operation("up", "dev", "noop")
    assert run(project, "up", "dev").exit_code == Exit.OK
    assert project.verbs() == ["stack export", "refresh", "stack export", "up"]


def test_a_backend_that_hides_its_locks_is_repaired_on_demand_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.pulumi.com")
    project.state("dev", export(operations=[pending(VPC, "main", {}, "updating")]))
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.LOCKED
    assert "pavedpath stack repair dev" in result.stderr
    assert run(project, "repair", "dev").exit_code == Exit.OK
    assert project.exported("dev")["deployment"]["pending_operations"] == []


def test_bad_answers_to_repair_are_refused(project: Project) -> None:
    result = run(project, "repair", "dev", "--exists", "vpc-1", "--absent", "nonsense")
    assert result.exit_code == Exit.USAGE
    assert "vpc-1, nonsense" in result.stderr


def test_no_engine(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project.root))
    result = run(project, "up", "dev")
    assert result.exit_code == Exit.USAGE
    assert "make toolchain" in result.stderr


def test_ctrl_c_ends_with_130_and_the_stack_is_told(project: Project) -> None:
    project.operation("up", "dev", "up", code=1, hang="once")
    command = [sys.executable, "-c", "from pavedpath_delivery.cli import main; main()", "stack", "up", "dev"]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("created" in line for line in process.stdout)  # it follows the engine, which waits to be told
        process.send_signal(2)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == Exit.INTERRUPTED
    assert "dev: interrupted; the next run goes on from here" in out
