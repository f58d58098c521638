"""Waits until the workloads of a release run, and says which pod keeps them from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pavedpath_delivery.kit.clock import Clock
from pavedpath_delivery.kit.documents import Properties, fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain
from pavedpath_delivery.smoke.rollout import KINDS, Kind, State, Verdict, belongs, first_problem, selects

if TYPE_CHECKING:
    from rich.console import Console

_POLL_S = 1.0


class Reader(Protocol):
    """What is read of a cluster."""

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Properties]:
        """Return the objects of a list."""
        ...


@dataclass(frozen=True)
class Workload:
    """A workload of the release as it was seen last; `problem` is that of its first failing pod."""

    kind: str
    name: str
    verdict: Verdict
    problem: str = ""

    @property
    def title(self) -> str:
        """How it is called in a report."""
        return f"{self.kind.lower()} {self.name}"


@dataclass(frozen=True)
class HealthReport:
    """What came of the wait. `forbidden` are kinds that this access may not list."""

    app: str
    namespace: str
    workloads: Sequence[Workload]
    seconds: float
    forbidden: Sequence[str] = field(default_factory=list[str])

    @property
    def code(self) -> Exit:
        """Red unless all workloads are done."""
        return Exit.OK if all(each.verdict.state is State.DONE for each in self.workloads) else Exit.FAILED

    def document(self) -> Mapping[str, Any]:
        """Return all workloads."""
        return {
            "app": self.app,
            "namespace": self.namespace,
            "ok": self.code is Exit.OK,
            "seconds": round(self.seconds, 1),
            "workloads": [
                {
                    "kind": each.kind,
                    "name": each.name,
                    "state": str(each.verdict.state),
                    "reason": each.verdict.reason,
                    "pod": each.problem,
                }
                for each in self.workloads
            ],
            "forbidden": list(self.forbidden),
        }

    def show(self, console: "Console") -> None:
        """Print a line for each workload."""
        signs = {State.DONE: "✓", State.WAITING: "…", State.FAILED: "✗"}
        for each in self.workloads:
            said = f": {each.verdict.reason}" if each.verdict.reason else ""
            console.print(plain(f"{signs[each.verdict.state]} {each.title}{said}"), markup=False)
            if each.problem:
                console.print(plain(f"    {each.problem}"), markup=False)
        if self.forbidden:
            console.print(f"not looked at, this access may not: {', '.join(self.forbidden)}", markup=False)
        verdict = "runs" if self.code is Exit.OK else "does not run"
        console.print(f"{self.app} in {self.namespace} {verdict}, {self.seconds:.1f} s", markup=False)

    def summary(self) -> str:
        """Return a table."""
        rows = [
            f"| {each.title} | {each.verdict.state} | {cell(each.verdict.reason)} | {cell(each.problem)} |"
            for each in self.workloads
        ]
        return "\n".join([f"### Rollout of {self.app}", "", "| workload | | | pod |", "|---|---|---|---|", *rows, ""])

    def outputs(self) -> Mapping[str, str]:
        """Return whether all runs."""
        return {"ok": "true" if self.code is Exit.OK else "false"}


def look(reader: Reader, app: str, namespace: str) -> tuple[list[Workload], list[str]]:
    """Return the workloads of a release, and the kinds that may not be listed."""
    found: list[tuple[Kind, Properties]] = []
    forbidden: list[str] = []
    for kind in KINDS:
        listed = _allowed(reader, f"{kind.group}/namespaces/{namespace}/{kind.plural}")
        if listed is None:
            forbidden.append(kind.plural)
        found += [(kind, each) for each in listed or () if belongs(each, app)]
    judged = [(kind, each, kind.judge(each)) for kind, each in found]
    pods: list[Properties] = []
    if any(verdict.state is not State.DONE for _, _, verdict in judged):
        listed = _allowed(reader, f"/api/v1/namespaces/{namespace}/pods")
        if listed is None:
            forbidden.append("pods")
        pods = listed or []
    return [_workload(kind, each, verdict, pods) for kind, each, verdict in judged], forbidden


def _workload(kind: Kind, found: Properties, verdict: Verdict, pods: Sequence[Properties]) -> Workload:
    problem = None
    if verdict.state is not State.DONE:
        problem = first_problem(pod for pod in pods if selects(found, pod))
    name = str(fields(found.get("metadata")).get("name"))
    return Workload(kind.name, name, verdict, str(problem) if problem else "")


def _allowed(reader: Reader, path: str) -> list[Properties] | None:
    import httpx

    try:
        return reader.items(path)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            return None
        raise


def wait(
    reader: Reader, app: str, namespace: str, clock: Clock, budget_s: float, say: Callable[[str], None]
) -> HealthReport:
    """Look until all workloads are done, one has failed for good, or `budget_s` seconds are over.

    Raises:
        DeliveryError: the release has no workloads that can be seen, or the cluster did not answer at all.
    """
    import httpx

    started = clock.monotonic()
    told: dict[str, str] = {}
    last: tuple[list[Workload], list[str]] | None = None
    lost = ""
    while True:
        try:
            last, lost = look(reader, app, namespace), ""
        except httpx.HTTPError as error:  # one answer that is missing is not a rollout that failed
            status = isinstance(error, httpx.HTTPStatusError) and error.response.status_code
            why = f"HTTP {status}" if status else str(error) or type(error).__name__
            lost = f"the cluster does not answer: {why}"
        for each in last[0] if last else ():
            line = each.problem or each.verdict.reason or "done"
            if told.get(each.title) != line:
                told[each.title] = line
                say(plain(f"{each.title}: {line}"))
        states = {each.verdict.state for each in last[0]} if last else set[State]()
        over = clock.monotonic() - started >= budget_s
        if over or State.FAILED in states or (not lost and states == {State.DONE}) or (last and not last[0]):
            break
        clock.sleep(_POLL_S)
    if last is None:
        raise DeliveryError(f"Nothing of {app} was seen in {budget_s:g} s: {lost}")
    workloads, forbidden = last
    if not workloads:
        hidden = f"; this access may not list {', '.join(forbidden)}" if forbidden else ""
        raise DeliveryError(
            f"Namespace {namespace} has no workload of the release {app}{hidden}."
            " Fix: check the names, and the kubeconfig's permissions.",
            Exit.USAGE,
        )
    return HealthReport(app, namespace, workloads, clock.monotonic() - started, forbidden)
