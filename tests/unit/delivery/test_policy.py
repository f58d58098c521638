"""The project's policy pack: when it is applied, and how what it finds is told."""

import json
import os

import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.stack import render
from pavedpath_delivery.stack.errors import Exit
from pavedpath_delivery.stack.events import PolicyViolation
from pavedpath_delivery.stack.run import Run
from rich.console import Group
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner, Result

from tests.unit.delivery.support import Project, printed, replay


def run(project: Project, *args: str) -> Result:
    return CliRunner().invoke(app, ["stack", *args, "--cwd", str(project.root)])


def violation(policy: str, message: str, *, level: str = "mandatory", urn: str = "") -> PolicyViolation:
    return PolicyViolation.model_validate(
        {"policyName": policy, "message": message, "enforcementLevel": level, "resourceUrn": urn}
    )


@pytest.fixture
def guarded(project: Project) -> Project:
    """A project with a pack and a stack."""
    (project.root / "policy").mkdir()
    (project.root / "policy" / "PulumiPolicy.yaml").write_text("runtime: python\n")
    project.state("dev")
    project.operation("preview", "dev", "preview-none")
    return project


def operations(project: Project) -> list[list[str]]:
    return [call for call in project.calls() if call[0] in ("up", "preview", "refresh", "destroy")]


def test_violations_are_told_rule_by_rule_with_resource_and_fix(snapshot: SnapshotAssertion) -> None:
    assert printed(render.failure(replay("policy", "check", exit_code=1)), 140) == snapshot


def test_a_violation_is_told_once_and_an_advice_never() -> None:
    broken = violation("p", "Says.\nfault\nFix: so", urn="urn:pulumi:a::b::c::d")
    advice = violation("q", "Maybe.", level="advisory")
    told = Run("dev", "up", policies=[broken, advice, broken], exit_code=1)
    assert told.violations == [broken]
    assert printed(Group(*render.violations(told.violations))).splitlines() == [
        "policy: p  Says.",
        "  c d",
        "    fault",
        "    Fix: so",
    ]


def test_a_violation_of_a_foreign_pack_about_the_whole_stack_is_told_too() -> None:
    alone = violation("cost", "Too expensive.\n")
    assert printed(Group(*render.violations([alone]))).splitlines() == ["policy: cost  Too expensive.", "  the stack"]


def test_up_checks_before_it_changes_anything_and_applies_the_pack_in_both(guarded: Project) -> None:
    guarded.operation("up", "dev", "up")
    result = run(guarded, "up", "dev")
    assert result.exit_code == Exit.OK, result.output
    pack = os.fspath(guarded.root / "policy")
    check, up = operations(guarded)
    assert (check[0], up[0]) == ("preview", "up")
    assert all(call[call.index("--policy-pack") + 1] == pack for call in (check, up))
    assert result.output.index("Checking dev") < result.output.index("Bringing up dev")


def test_a_blocked_up_changes_nothing_and_ends_with_its_own_code(guarded: Project) -> None:
    guarded.operation("preview", "dev", "policy", code=1)
    result = run(guarded, "up", "dev", "prod")
    assert result.exit_code == Exit.POLICY == 5
    assert [call[0] for call in operations(guarded)] == ["preview"]
    assert "policy: no-open-ingress" in result.output
    assert "✗ dev  nothing was changed" in result.output
    assert "not tried: prod" in result.output
    assert "preview failed" not in result.output


def test_an_update_that_is_blocked_late_says_so_too(guarded: Project) -> None:
    guarded.operation("up", "dev", "policy", code=1)
    assert run(guarded, "up", "dev").exit_code == Exit.POLICY


def test_a_blocked_preview_ends_with_the_same_code_and_no_result(guarded: Project) -> None:
    guarded.operation("preview", "dev", "policy", code=1)
    result = run(guarded, "preview", "dev", "--output", "json")
    assert result.exit_code == Exit.POLICY
    assert json.loads(result.stdout).keys() == {"error"}
    assert json.loads(result.stdout)["error"]["code"] == Exit.POLICY
    assert "policy: required-tags" in result.stderr


def test_a_preview_that_keeps_the_rules_is_as_ever(guarded: Project) -> None:
    result = run(guarded, "preview", "dev", "--output", "json")
    assert result.exit_code == Exit.OK
    assert json.loads(result.stdout)["stacks"][0]["changes"] == []


def test_a_failure_besides_violations_is_a_failure(guarded: Project) -> None:
    guarded.operation("preview", "dev", "failed", code=1)
    assert run(guarded, "up", "dev").exit_code == Exit.FAILED
    assert [call[0] for call in operations(guarded)] == ["preview"]


def test_what_the_engine_takes_no_pack_for_goes_without(guarded: Project) -> None:
    guarded.operation("refresh", "dev", "drift")
    guarded.operation("destroy", "dev", "destroy")
    run(guarded, "refresh", "dev")
    run(guarded, "down", "dev", "--yes")
    assert [call[0] for call in operations(guarded)] == ["refresh", "destroy"]
    assert not any("--policy-pack" in call for call in operations(guarded))


def test_a_folder_that_is_no_pack_is_left_alone(project: Project) -> None:
    (project.root / "policy").mkdir()
    project.state("dev")
    project.operation("up", "dev", "up")
    assert run(project, "up", "dev").exit_code == Exit.OK
    assert [call[0] for call in operations(project)] == ["up"]
