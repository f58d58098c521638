"""What `pavedpath report` gathers, and how it becomes a page and a document."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.deploy.releases import Cluster
from pavedpath_delivery.dora.core import Window
from pavedpath_delivery.dora.run import Measured, measure
from pavedpath_delivery.drift import hub, stacks
from pavedpath_delivery.drift import releases as drifting_releases
from pavedpath_delivery.drift import run as drifting
from pavedpath_delivery.drift.model import Accepted, Audit, Drift, Unchecked, conclude
from pavedpath_delivery.drift.rules import Policy
from pavedpath_delivery.drift.rules import audit as audit_settings
from pavedpath_delivery.images.registry import Registries
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.plain import plain as one_line
from pavedpath_delivery.report import sources
from pavedpath_delivery.report.page import (
    Attempt,
    Environment,
    Evidence,
    Part,
    Release,
    Running,
    Unread,
    current,
    joined,
    part_document,
    plain,
)

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.stack.flow import Flow


@dataclass(frozen=True)
class Asked:
    """What the page is about.

    Attributes:
        environment: the one whose four figures are measured.
        order: of the environments; the usual one without it.
        history: deployments that are listed of each repository.
        days: over which the figures are measured.
    """

    repositories: Sequence[str] = ()
    stacks: Sequence[str] = ()
    apps: Sequence[sources.App] = ()
    environment: str = "prod"
    order: Sequence[str] = ()
    history: int = 20
    days: int = 90
    rollback_workflow: str = "rollback.yml"
    incident_label: str = ""
    exceptions: tuple[Accepted, ...] = ()


@dataclass(frozen=True)
class Reach:
    """Where to look, opened when it is needed; `cluster` is given the environment."""

    github: Callable[[], sources.Api]
    cluster: Callable[[str], Cluster]
    flow: "Callable[[], Flow]"
    registries: Callable[[], Registries]


@dataclass(frozen=True)
class Page:
    """Everything that stands on the page. A part that was not asked for is None."""

    generated: datetime
    environments: Part[Environment] | None
    running: Part[Running] | None
    history: Part[Attempt] | None
    measured: Measured | None
    measured_unread: tuple[Unread, ...]
    drift: Drift
    evidence: Part[Evidence] | None
    repositories: tuple[str, ...] = ()
    stacks: tuple[str, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """Return the page as a JSON document: ISO 8601 times, durations in seconds; a part not asked for is null."""
        parts = {
            "environments": self.environments,
            "running": self.running,
            "history": self.history,
            "evidence": self.evidence,
        }
        dora = None
        if self.measured:
            dora = {**self.measured.document(), "unread": [plain(vars(each)) for each in self.measured_unread]}
        return {
            "generated": self.generated.isoformat(),
            **{name: part_document(part) if part else None for name, part in parts.items()},
            "dora": dora,
            "drift": drifting.document(self.drift),
        }


def gather(asked: Asked, reach: Reach, now: datetime) -> Page:
    """Read everything that was asked for; what cannot be read is told on the page."""
    api = reach.github() if asked.repositories else None
    snapshots = {name: hub.snapshot(api, name) for name in asked.repositories} if api else {}
    clusters = _Clusters(reach.cluster)
    audits = list(_drift(asked, reach, snapshots, clusters, now))
    history = _history(api, asked) if api else Part[Attempt]()
    released = _released(asked, clusters)
    expected = _expected(asked, snapshots, history, released)
    rows = joined(_currents(history), released.rows, asked.order, expected)
    rows = list(sources.behind(api, rows)) if api else rows
    window = Window(now - timedelta(days=asked.days), now)
    measured, unread = _measured(api, asked, window, history) if api else (None, ())
    images = [image for each in released.rows for image in each.images]
    return Page(
        generated=now,
        environments=_environments(asked, snapshots) if api else None,
        running=Part(tuple(rows), (*history.unread, *released.unread)) if api or asked.apps else None,
        history=replace(history, rows=_newest(history, asked.history)) if api else None,
        measured=measured,
        measured_unread=unread,
        drift=conclude(audits, asked.exceptions, now.date()),
        evidence=_evidence(reach, images) if asked.apps else None,
        repositories=tuple(asked.repositories),
        stacks=tuple(asked.stacks),
    )


class _Clusters:
    """The clusters by environment, each opened once; one that cannot be opened says why each time."""

    def __init__(self, open_: Callable[[str], Cluster]) -> None:
        self._open = open_
        self._found: dict[str, Cluster | DeliveryError] = {}

    def get(self, environment: str) -> Cluster | DeliveryError:
        if environment not in self._found:
            try:
                self._found[environment] = self._open(environment)
            except DeliveryError as error:
                self._found[environment] = error
        return self._found[environment]


def _drift(
    asked: Asked, reach: Reach, snapshots: Mapping[str, hub.Snapshot], clusters: _Clusters, now: datetime
) -> Iterator[Audit]:
    if asked.stacks:
        flow = reach.flow()
        yield from (stacks.audit(flow, each) for each in asked.stacks)
    policy = Policy(guarded=(asked.environment.lower(),))
    for name, documents in snapshots.items():
        yield audit_settings(name, documents, policy, now)
    for app in asked.apps:
        cluster = clusters.get(app.environment)
        if isinstance(cluster, DeliveryError):
            yield Audit(unchecked=(Unchecked(f"release {app.namespace}/{app.name}", str(cluster), whole=True),))
        else:
            yield drifting_releases.audit(cluster, app.namespace, app.name)


def _history(api: sources.Api, asked: Asked) -> Part[Attempt]:
    parts = [sources.attempts(api, name, asked.history, asked.rollback_workflow) for name in asked.repositories]
    found: Part[Attempt] = sources.merged(parts)
    return replace(found, rows=tuple(sorted(found.rows, key=lambda each: (each.when, each.id), reverse=True)))


def _newest(history: Part[Attempt], count: int) -> tuple[Attempt, ...]:
    names = dict.fromkeys(each.repository for each in history.rows)
    kept = {id(row) for name in names for row in [each for each in history.rows if each.repository == name][:count]}
    return tuple(each for each in history.rows if id(each) in kept)


def _currents(history: Part[Attempt]) -> list[Attempt]:
    names = dict.fromkeys(each.repository for each in history.rows)
    by_name = ([each for each in history.rows if each.repository == name] for name in names)
    return [row for rows in by_name for row in current(rows).values()]


def _released(asked: Asked, clusters: _Clusters) -> Part[Release]:
    parts: list[Part[Release]] = []
    for app in asked.apps:
        cluster = clusters.get(app.environment)
        if isinstance(cluster, DeliveryError):
            parts.append(Part(unread=(Unread(app.title, str(cluster)),)))
        else:
            parts.append(sources.release(cluster, app))
    return sources.merged(parts)


def _expected(
    asked: Asked, snapshots: Mapping[str, hub.Snapshot], history: Part[Attempt], released: Part[Release]
) -> Mapping[tuple[str, str], bool]:
    """Return where something may run, and whether all was read that would say so."""
    silent = {each.source for each in history.unread}
    found = {
        (environment.name, name.rpartition("/")[2]): sources.deployments_of(name) not in silent
        for name, documents in snapshots.items()
        for environment in sources.environments(name, documents, asked.order).rows
    }
    unread = {each.source for each in released.unread if each.reason != sources.ABSENT}
    for app in asked.apps:
        key = (app.environment, app.name)
        found[key] = found.get(key, True) and app.title not in unread
    return found


def _environments(asked: Asked, snapshots: Mapping[str, hub.Snapshot]) -> Part[Environment]:
    return sources.merged(sources.environments(name, each, asked.order) for name, each in snapshots.items())


def _measured(
    api: sources.Api, asked: Asked, window: Window, history: Part[Attempt]
) -> tuple[Measured | None, tuple[Unread, ...]]:
    # Pages of a list that may not be seen look like no pages; the history has asked properly before.
    unread = {each.source.rpartition(" ")[2] for each in history.unread}
    readable = [name for name in asked.repositories if name not in unread]
    found = sources.records(api, readable, asked.environment, window, asked.rollback_workflow, asked.incident_label)
    told = (*history.unread, *found.unread)
    # Without a single repository that was read, zero deployments would be made up.
    known = len(found.unread) < len(readable)
    return (measure(found.rows, window, asked.environment) if known else None), told


def _evidence(reach: Reach, images: Sequence[str]) -> Part[Evidence]:
    with reach.registries() as registries:
        return sources.evidence(registries, images)


@dataclass(frozen=True)
class PageReport:
    """The page that was written; the report of the command."""

    page: Page
    path: Path

    @property
    def code(self) -> Exit:
        """The exit code: a report is no verdict."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return what stands on the page."""
        return {"file": str(self.path), **self.page.document()}

    def show(self, console: "Console") -> None:
        """Say where it is, and how much of it could not be read."""
        for source in self.unread:
            console.print(one_line(f"not read: {source}"), markup=False)
        console.print(f"written: {self.path}", markup=False)

    @property
    def unread(self) -> list[str]:
        """What could not be read, each once."""
        page = self.page
        parts = (page.environments, page.running, page.history, page.evidence)
        found = [each for part in parts if part for each in part.unread] + list(page.measured_unread)
        return list(dict.fromkeys(f"{each.source}: {' '.join(each.reason.split())}" for each in found))

    def summary(self) -> str:
        """Return nothing: a summary of a job cannot link to a file."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return where the page is."""
        return {"file": str(self.path)}


def write(page: Page, out: Path) -> Path:
    """Write the page to a file, or as index.html into a folder; it is there whole or not at all. Returns its path.

    Raises:
        DeliveryError: it cannot be written.
    """
    from pavedpath_delivery.report.render import render

    path = out if out.suffix == ".html" else out / "index.html"
    text = render(page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")  # a killed run's is written over
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise DeliveryError(f"{path} cannot be written ({error.strerror}).", Exit.USAGE) from None
    return path
