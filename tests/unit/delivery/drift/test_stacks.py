"""Stacks through a stand-in of the engine that plays what the real one was recorded to say."""

from datetime import date

from pavedpath_delivery.drift import stacks
from pavedpath_delivery.drift.model import conclude
from pavedpath_delivery.drift.run import DriftReport
from pavedpath_delivery.kit.errors import Exit

from tests.unit.delivery.support import Project


def test_what_a_refresh_finds_becomes_findings_and_the_state_stays(project: Project) -> None:
    project.state("dev")
    project.operation("refresh", "dev", "drift")
    found = stacks.audit(project.flow(), "dev")
    assert found.findings
    assert found.unchecked == ()
    assert all(each.where.startswith("stack dev: ") and each.fix for each in found.findings)
    refresh = next(call for call in project.calls() if call[0] == "refresh")
    assert "--preview-only" in refresh
    assert "--yes" not in refresh


def test_a_stack_without_differences_has_none(project: Project) -> None:
    project.state("dev")
    project.operation("refresh", "dev", "noop")
    assert stacks.audit(project.flow(), "dev").findings == ()


def test_a_refresh_that_fails_and_a_stack_that_is_not_there_are_not_fine(project: Project) -> None:
    project.state("dev")
    project.operation("refresh", "dev", code=1, err="error: no credentials for the account\n")
    audits = [stacks.audit(project.flow(), each) for each in ("dev", "prod")]
    assert [each.where for audit in audits for each in audit.unchecked] == ["stack dev", "stack prod"]
    assert "no credentials" in audits[0].unchecked[0].reason
    assert DriftReport(conclude(audits, (), date(2026, 4, 6))).code is Exit.FAILED
