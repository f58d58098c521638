"""Records from GitHub: deployments with their statuses, the commits between them, and issues as incidents.

Source: GitHub, REST API, "Deployments", "Deployment statuses", "Compare two commits", "Workflow runs", "Issues".
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pavedpath_delivery.dora.core import Change, Deployment, Incident, Outcome, Record, Window
from pavedpath_delivery.kit.documents import Json, Properties, fields

_OUTCOMES = {"success": Outcome.SUCCESS, "failure": Outcome.FAILURE, "error": Outcome.FAILURE}
_RUN = re.compile(r"/actions/runs/(\d+)")
_EARLIER_SUCCESSES = 10
"""As many as Helm keeps revisions by default: what a rollback within the window can go back to."""


class Api(Protocol):
    """What is asked of GitHub; `kit.github.GitHub` is one."""

    def get(self, path: str, **params: str) -> Json | None:
        """Return the document at a path, None where there is none."""
        ...

    def stream(self, path: str, key: str | None = None, **params: str) -> Iterator[Properties]:
        """Yield the items of all pages."""
        ...


@dataclass(frozen=True)
class Repository:
    """A repository whose deployments are measured.

    Args:
        api: GitHub.
        name: OWNER/REPOSITORY.
        environment: the environment that counts.
        rollback_workflow: file name of the workflow that rolls back: a deployment that one of its runs made is a
            rollback, whatever commit GitHub wrote into it (the one of the workflow, not the one that runs then).
        incident_label: label of the issues that are incidents; empty for none.
    """

    api: Api
    name: str
    environment: str
    rollback_workflow: str = "rollback.yml"
    incident_label: str = ""

    def records(self, window: Window) -> list[Record]:
        """Return what is needed to measure a window: its records, and the successes before it that explain them."""
        rollbacks = self._rollback_runs()
        found = sorted(self._finished(window, rollbacks), key=lambda each: (each.finished, int(each.id)))
        return [*self._with_changes(found, window), *self._incidents()]

    def _rollback_runs(self) -> frozenset[str]:
        path = f"repos/{self.name}/actions/workflows/{self.rollback_workflow}/runs"
        return frozenset(str(run["id"]) for run in self.api.stream(path, "workflow_runs"))

    def _finished(self, window: Window, rollbacks: frozenset[str]) -> Iterator[Deployment]:
        earlier = 0
        path = f"repos/{self.name}/deployments"
        for document in self.api.stream(path, environment=self.environment):  # newest first
            statuses = list(self.api.stream(f"{path}/{document['id']}/statuses"))
            deployment = finished(document, statuses, self.name, rollbacks)
            if deployment is None:
                continue
            yield deployment
            earlier += deployment.finished < window.since and deployment.outcome is Outcome.SUCCESS
            if earlier >= _EARLIER_SUCCESSES:
                return

    def _with_changes(self, deployments: Iterable[Deployment], window: Window) -> Iterator[Deployment]:
        base = ""
        for each in deployments:
            if each.outcome is Outcome.FAILURE:
                yield each
                continue
            known = replace(each, changes=self._changes(base, each.commit)) if each.finished in window else each
            base = each.commit
            yield known

    def _changes(self, base: str, head: str) -> tuple[Change, ...] | None:
        if base == head:
            return ()
        if base:
            path = f"repos/{self.name}/compare/{base}...{head}"
            between = tuple(map(_change, self.api.stream(path, "commits")))
            # A list of what is not there is empty: a commit that a forced push has removed cannot be compared.
            return between if between or self.api.get(path, per_page="1") is not None else None
        # Nothing ran before: all of the history would come; the deployment's own commit speaks for it.
        document = self.api.get(f"repos/{self.name}/commits/{head}")
        return (_change(fields(document)),) if document else None

    def _incidents(self) -> Iterator[Incident]:
        if not self.incident_label:
            return
        for issue in self.api.stream(f"repos/{self.name}/issues", state="all", labels=self.incident_label):
            if "pull_request" not in issue:
                closed = issue.get("closed_at")
                yield Incident(
                    f"issue-{issue['number']}",
                    self.name,
                    self.environment,
                    _time(issue["created_at"]),
                    _time(closed) if closed else None,
                )


def finished(
    document: Properties, statuses: Sequence[Properties], application: str, rollback_runs: frozenset[str]
) -> Deployment | None:
    """Return a deployment as a record, None for one that has not ended. Pure.

    The last status that is an end decides: one that succeeded and was then called a failure failed. It ended when its
    outcome was told first. `inactive`, which GitHub sets by itself when another one follows, is no end.
    """
    ends = sorted(
        (_time(each["created_at"]), int(each["id"]), _OUTCOMES[each["state"]])
        for each in statuses
        if each.get("state") in _OUTCOMES
    )
    if not ends:
        return None
    outcome = ends[-1][2]
    moment = next(at for at, _, told in ends if told is outcome)
    runs = {run for each in statuses for run in _RUN.findall(f"{each.get('log_url')} {each.get('target_url')}")}
    return Deployment(
        id=str(document["id"]),
        application=application,
        environment=str(document["environment"]),
        commit=str(document["sha"]),
        finished=moment,
        outcome=outcome,
        rollback=document.get("task") == "rollback" or not runs.isdisjoint(rollback_runs),
    )


def _change(commit: Properties) -> Change:
    return Change(str(commit["sha"]), _time(fields(fields(commit["commit"])["committer"])["date"]))


def _time(text: Json) -> datetime:
    return datetime.fromisoformat(str(text))
