"""Differences between what stacks declared and what is there, as Pulumi's refresh sees them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pavedpath_delivery.drift.model import Audit, Finding, Severity, Unchecked, shown
from pavedpath_delivery.kit.documents import Json, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.stack.diff import ResourceChange
from pavedpath_delivery.stack.run import describe

if TYPE_CHECKING:
    from pavedpath_delivery.stack.flow import Flow

_REPOSITORY = "github:index/repository:Repository"


def audit(flow: "Flow", stack: str) -> Audit:
    """Refresh a stack without keeping what was found; an interrupted run's leftovers are repaired first."""
    try:
        run = flow.compare(stack)
    except DeliveryError as error:
        return Audit(unchecked=(Unchecked(f"stack {stack}", str(error), whole=True),))
    if run.interrupted:
        raise KeyboardInterrupt
    if not run.ok:
        said = "; ".join(error.message for error in run.errors) or run.program_output
        return Audit(unchecked=(Unchecked(f"stack {stack}", said, whole=True),))
    return Audit(tuple(finding for change in run.changes for finding in findings(stack, change)))


def findings(stack: str, change: ResourceChange) -> Iterator[Finding]:
    """Yield what a refresh found of one resource; its secrets are blinded by the engine. Pure."""
    where, why = f"stack {stack}: {describe(change.urn)}", f"declared by the stack {stack}"
    back = f"`pavedpath stack refresh {stack}`, then `pavedpath stack up {stack}`"
    fix = f"{back} puts it back; or declare what is there"
    if change.operation == "delete":
        yield Finding("stack-gone", where, "it is gone", "it is there", why, f"{back} makes it again", Severity.HIGH)
        return
    for each in change.properties:
        found, wanted = shown(each.new), shown(each.old)
        yield Finding("stack-property", f"{where} {each.path}", found, wanted, why, fix, Severity.MEDIUM)
    if not change.properties:
        wanted = "as declared"
        yield Finding("stack-property", where, f"a refresh would {change.operation} it", wanted, why, fix, Severity.LOW)


def repositories(export: Json) -> Iterator[str]:
    """Yield the names of the repositories that a stack's state manages. Pure."""
    for each in objects(fields(fields(export).get("deployment")).get("resources")):
        if each.get("type") == _REPOSITORY and not each.get("external"):
            yield str(fields(each.get("outputs")).get("name") or each.get("id"))
