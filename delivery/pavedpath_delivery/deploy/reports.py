"""What the commands print, put out and add to the job's summary."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.deploy import drill, flow, rollback
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.kit.documents import Properties
from pavedpath_delivery.kit.errors import Exit

if TYPE_CHECKING:
    from rich.console import Console

_DEPLOY_CODES = {
    flow.State.ROLLED_BACK: Exit.ROLLED_BACK,
    flow.State.OVERTAKEN: Exit.FAILED,
    flow.State.BROKEN: Exit.BROKEN,
}


@dataclass(frozen=True)
class DeployReport:
    """What came of `pavedpath deploy`."""

    app: str
    environment: str
    namespace: str
    outcome: flow.Outcome

    @property
    def code(self) -> Exit:
        """The exit code."""
        return _DEPLOY_CODES.get(self.outcome.state, Exit.OK)

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        done = self.outcome
        return {
            "app": self.app,
            "environment": self.environment,
            "namespace": self.namespace,
            "state": str(done.state),
            "revision": done.revision,
            "previous": done.previous,
            "images": list(done.images),
            "changes": [{"action": e.action, "object": e.name, "lines": list(e.lines)} for e in done.changes],
            "reason": done.reason,
            "problems": list(done.problems),
        }

    def headline(self) -> str:
        """Return the result in a sentence."""
        done, what = self.outcome, f"{self.app} in {self.namespace}"
        before = f"revision {done.previous} runs again, as revision {done.revision}" if done.previous else "it is gone"
        return {
            flow.State.PREVIEWED: f"{what}: objects that would change: {len(done.changes)}",
            flow.State.UNCHANGED: f"{what}: unchanged, revision {done.revision} runs",
            flow.State.DEPLOYED: f"{what}: deployed, revision {done.revision}",
            flow.State.ROLLED_BACK: f"{what}: failed and rolled back by Helm, {before}",
            flow.State.OVERTAKEN: f"{what}: failed, and revision {done.revision} of somebody else runs now",
            flow.State.BROKEN: f"{what}: broken, neither the new nor the old revision runs as it must",
        }[done.state]

    def show(self, console: "Console") -> None:
        """Print it for people."""
        done = self.outcome
        console.print(self.headline(), markup=False)
        if done.state is flow.State.PREVIEWED:
            for change in done.changes:
                console.print(f"  {change.action} {change.name}", markup=False)
                for line in change.lines:
                    console.print(f"    {line}", markup=False)
        for line in [*done.reason.splitlines(), *done.problems]:
            console.print(f"  {line}", markup=False)
        for image in done.images:
            console.print(f"  image {image}", markup=False)

    def summary(self) -> str:
        """Return Markdown for the summary of the job."""
        done = self.outcome
        lines = [f"### {self.environment}: {self.headline()}", ""]
        lines += [f"- `{image}`" for image in done.images]
        if done.reason or done.problems:
            lines += ["", "```", *done.reason.splitlines(), *done.problems, "```"]
        if done.state is flow.State.PREVIEWED and done.changes:
            shown = [line for each in done.changes for line in (f"{each.action} {each.name}", *each.lines)]
            lines += ["", "```diff", *shown, "```"]
        return "\n".join(lines)

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        done = self.outcome
        return {"state": str(done.state), "revision": str(done.revision), "previous": str(done.previous)}


@dataclass(frozen=True)
class RollbackReport:
    """What came of `pavedpath rollback`."""

    app: str
    namespace: str
    outcome: rollback.Outcome

    @property
    def code(self) -> Exit:
        """The exit code."""
        return Exit.BROKEN if self.outcome.state is rollback.State.BROKEN else Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        done = self.outcome
        return {
            "app": self.app,
            "namespace": self.namespace,
            "state": str(done.state),
            "revision": done.revision,
            "previous": done.previous,
            "target": done.target,
            "images": list(done.images),
            "reason": done.reason,
        }

    def headline(self) -> str:
        """Return the result in a sentence."""
        done, what = self.outcome, f"{self.app} in {self.namespace}"
        return {
            rollback.State.ROLLED_BACK: f"{what}: revision {done.target} runs again, as revision {done.revision}",
            rollback.State.PASSED_OVER: f"{what}: nothing to roll back, {done.reason}",
            rollback.State.PLANNED: f"{what}: would go from revision {done.previous} back to {done.target}",
            rollback.State.BROKEN: f"{what}: broken, going back to revision {done.target} failed: {done.reason}",
        }[done.state]

    def show(self, console: "Console") -> None:
        """Print it for people."""
        console.print(self.headline(), markup=False)
        for image in self.outcome.images:
            console.print(f"  image {image}", markup=False)

    def summary(self) -> str:
        """Return Markdown for the summary of the job."""
        return "\n".join([f"### {self.headline()}", "", *(f"- `{image}`" for image in self.outcome.images)])

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        done = self.outcome
        return {"state": str(done.state), "revision": str(done.revision), "target": str(done.target)}


@dataclass(frozen=True)
class HistoryReport:
    """What `pavedpath history` of a release shows: the newest first."""

    app: str
    namespace: str
    revisions: Sequence[Revision]
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        rows = [
            {
                "revision": each.number,
                "when": each.changed.isoformat(timespec="seconds"),
                "status": each.status,
                "ran": each.succeeded,
                "chart": each.chart,
                "app_version": each.app_version,
                "images": each.images,
                "description": each.description,
            }
            for each in self.revisions
        ]
        return {"app": self.app, "namespace": self.namespace, "revisions": rows}

    def show(self, console: "Console") -> None:
        """Print it for people."""
        heads = ("revision", "when", "status", "chart", "app version", "description")
        rows = [
            (
                str(each.number),
                f"{each.changed:%Y-%m-%d %H:%M:%S}",
                each.status,
                each.chart,
                each.app_version,
                each.description.partition("\n")[0],
            )
            for each in self.revisions
        ]
        lines = columns([heads, *rows])
        console.print(lines[0], markup=False)
        for line, each in zip(lines[1:], self.revisions, strict=True):
            console.print(line, markup=False)
            for image in each.images:
                console.print(f"          {_short(image)}", markup=False)

    def summary(self) -> str:
        """Return nothing: a history is looked at, not reported."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        return {"revision": str(self.revisions[0].number) if self.revisions else "0"}


@dataclass(frozen=True)
class DeploymentsReport:
    """What `pavedpath history --repository` shows: the newest first."""

    repository: str
    deployments: Sequence[Properties]
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        return {"repository": self.repository, "deployments": [dict(each) for each in self.deployments]}

    def show(self, console: "Console") -> None:
        """Print it for people."""
        heads = ("environment", "when", "state", "commit", "ref", "by")
        rows = [
            tuple(str(each[head])[: 12 if head == "commit" else None] for head in heads) for each in self.deployments
        ]
        for line in columns([heads, *rows]):
            console.print(line, markup=False)

    def summary(self) -> str:
        """Return nothing: a history is looked at, not reported."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        return {}


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns are aligned; the last one may be of any width. Pure."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(image: str) -> str:
    """Return an image with as much of its digest as people compare."""
    name, at, digest = image.partition("@sha256:")
    return f"{name}@sha256:{digest[:12]}…" if at else name


@dataclass(frozen=True)
class DrillReport:
    """What came of `pavedpath drill`."""

    app: str
    namespace: str
    outcome: drill.Outcome

    @property
    def code(self) -> Exit:
        """The exit code."""
        if not self.outcome.restored:
            return Exit.BROKEN
        return Exit.FAILED if self.outcome.reason else Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        done = self.outcome
        return {
            "app": self.app,
            "namespace": self.namespace,
            "kind": str(done.kind) if done.kind else None,
            "note": done.note,
            "revision_before": done.before,
            "revision_after": done.after,
            "as_before": done.restored,
            "reason": done.reason,
            "measured": asdict(done.measured) if done.measured else None,
        }

    def lines(self) -> list[str]:
        """Return the result for people."""
        done, measured = self.outcome, self.outcome.measured
        what = f"{self.app} in {self.namespace}"
        if measured is None:
            return [f"{what}: {done.note or done.reason}"]
        verdict = "passed, everything is as before" if not done.reason else f"failed: {done.reason}"
        recovery = "never" if measured.recovery_s is None else f"{measured.recovery_s:.1f} s"
        lines = [
            f"{what}: {done.kind} drill {verdict}",
            f"  {done.note}; revision {done.before} before, {done.after} after",
            f"  downtime {measured.downtime_s:.1f} s, degraded {measured.degraded_s:.1f} s, recovered after {recovery}",
        ]
        lines += [f"  service {name}: at worst {count} ready" for name, count in measured.lowest.items()]
        if measured.requests:
            lines.append(f"  {measured.failed_requests} of {measured.requests} requests failed")
        return lines

    def show(self, console: "Console") -> None:
        """Print it for people."""
        for line in self.lines():
            console.print(line, markup=False)

    def summary(self) -> str:
        """Return Markdown for the summary of the job."""
        head, *rest = self.lines()
        return "\n".join([f"### {head}", "", *(f"- {line.strip()}" for line in rest)])

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        measured = self.outcome.measured
        return {
            "passed": str(not self.outcome.reason).lower(),
            "downtime": f"{measured.downtime_s:.1f}" if measured else "",
            "recovery": f"{measured.recovery_s:.1f}" if measured and measured.recovery_s is not None else "",
        }
