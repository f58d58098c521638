"""Collects what may explain why a release does not run, without its secrets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import yaml

from pavedpath_delivery.deploy.releases import Revision, read_record
from pavedpath_delivery.deploy.secrets import Hider
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain
from pavedpath_delivery.smoke import scrub
from pavedpath_delivery.smoke.bundle import Bundle
from pavedpath_delivery.smoke.rollout import KINDS, State, belongs, selects, why

if TYPE_CHECKING:
    from rich.console import Console

_T = TypeVar("_T")
_HELM_TYPE = "helm.sh/release.v1"
_LISTED_EVENTS = 40
_LAST_LINES = 10
_LARGEST_FILE = 2 << 20
_SHORTEST_SECRET = 4


class Cluster(Protocol):
    """What is read of a cluster."""

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[Properties]:
        """Return the objects of a list."""
        ...

    def text(self, path: str, params: Mapping[str, str] | None = None) -> str | None:
        """Return a text, None where there is none."""
        ...


@dataclass(frozen=True)
class Kind:
    """Objects that are looked at: of the release alone, or all of the namespace, or of the cluster."""

    plural: str
    group: str = "/api/v1"
    whole_namespace: bool = False
    whole_cluster: bool = False

    def path(self, namespace: str) -> str:
        """Return where they are listed."""
        return (
            f"{self.group}/{self.plural}"
            if self.whole_cluster
            else f"{self.group}/namespaces/{namespace}/{self.plural}"
        )


_KINDS = (
    *(Kind(each.plural, each.group) for each in KINDS),
    Kind("replicasets", "/apis/apps/v1"),
    Kind("pods"),
    Kind("services"),
    Kind("endpointslices", "/apis/discovery.k8s.io/v1"),
    Kind("ingresses", "/apis/networking.k8s.io/v1"),
    Kind("configmaps"),
    Kind("persistentvolumeclaims"),
    Kind("horizontalpodautoscalers", "/apis/autoscaling/v2"),
    Kind("resourcequotas", whole_namespace=True),
    Kind("limitranges", whole_namespace=True),
    Kind("nodes", whole_cluster=True),
)


@dataclass
class Found:
    """What was read. `forbidden` is what this access may not, `missing` what there was nothing of."""

    objects: dict[str, list[Properties]] = field(default_factory=dict[str, list[Properties]])
    events: list[Properties] = field(default_factory=list[Properties])
    revisions: list[Revision] = field(default_factory=list[Revision])
    logs: dict[str, str] = field(default_factory=dict[str, str])
    secrets: set[str] = field(default_factory=set[str])
    secrets_read: bool = True
    forbidden: list[str] = field(default_factory=list[str])
    missing: list[str] = field(default_factory=list[str])
    silence: str = ""
    """Why the cluster did not answer, when it did not the last time."""

    def of(self, plural: str) -> list[Properties]:
        """Return the objects of a kind."""
        return self.objects.get(plural, [])

    @property
    def nothing(self) -> bool:
        """Whether neither workloads, pods nor revisions were found."""
        return not (self.revisions or self.of("pods") or any(self.of(kind.plural) for kind in KINDS))


class Reading:
    """Reads a cluster for one release; what may not be read is noted and left out."""

    def __init__(self, cluster: Cluster, app: str, namespace: str, log_lines: int) -> None:
        self._cluster, self._app, self._namespace, self._log_lines = cluster, app, namespace, log_lines
        self.found = Found()

    def read(self) -> Found:
        """Read everything."""
        for kind in _KINDS:
            listed = self._list(kind.plural, kind.path(self._namespace)) or []
            self.found.objects[kind.plural] = [
                each for each in listed if kind.whole_namespace or kind.whole_cluster or self._ours(kind.plural, each)
            ]
        self.found.events = self._list("events", f"/api/v1/namespaces/{self._namespace}/events") or []
        self._secrets()
        for pod in self.found.of("pods"):
            self._logs(pod)
        return self.found

    def _ours(self, plural: str, thing: Properties) -> bool:
        if belongs(thing, self._app):
            return True
        if plural == "pods":
            workloads = [each for kind in KINDS for each in self.found.of(kind.plural)]
            return any(selects(each, thing) for each in workloads)
        owners = {str(each.get("name")) for each in objects(fields(thing.get("metadata")).get("ownerReferences"))}
        names = {str(fields(each.get("metadata")).get("name")) for kind in self.found.objects.values() for each in kind}
        return bool(owners & names)

    def _list(self, what: str, path: str) -> list[Properties] | None:
        return self._allowed(what, lambda: self._cluster.items(path))

    def _allowed(self, what: str, read: Callable[[], _T | None]) -> _T | None:
        """Read something; what may not be read, or does not answer, is noted."""
        import httpx

        try:
            return read()
        except httpx.HTTPStatusError as error:
            if error.response.status_code in (401, 403):
                self.found.forbidden.append(what)
            else:  # of a container that has not started yet, or a node that cannot be reached
                self.found.missing.append(f"{what} (HTTP {error.response.status_code})")
        except httpx.HTTPError as error:
            self.found.silence = str(error) or type(error).__name__
            self.found.missing.append(f"{what} ({type(error).__name__})")
        return None

    def _secrets(self) -> None:
        listed = self._list("secrets", f"/api/v1/namespaces/{self._namespace}/secrets")
        self.found.secrets_read = listed is not None
        self.found.secrets = scrub.values_of(listed or ())
        records = [
            each
            for each in listed or ()
            if each.get("type") == _HELM_TYPE
            and fields(fields(each.get("metadata")).get("labels")).get("name") == self._app
        ]
        self.found.revisions = sorted(map(read_record, records), key=lambda each: each.number)
        for revision in self.found.revisions:
            self.found.secrets |= set(scrub.secrets_of_values(revision.values))

    def _logs(self, pod: Properties) -> None:
        name = str(fields(pod.get("metadata")).get("name"))
        path = f"/api/v1/namespaces/{self._namespace}/pods/{name}/log"
        status = fields(pod.get("status"))
        for kind in ("initContainerStatuses", "containerStatuses"):
            for container in objects(status.get(kind)):
                title = f"{name}.{container.get('name')}"
                params = {"container": str(container.get("name")), "tailLines": str(self._log_lines)}
                self._log(f"{title}.log", path, params)
                if container.get("restartCount"):
                    self._log(f"{title}.previous.log", path, {**params, "previous": "true"})

    def _log(self, title: str, path: str, params: Mapping[str, str]) -> None:
        known = len(self.found.forbidden) + len(self.found.missing)
        text = self._allowed(title, lambda: self._cluster.text(path, params))
        if text:
            self.found.logs[title] = text
        elif known == len(self.found.forbidden) + len(self.found.missing):
            self.found.missing.append(f"{title} (empty)")


@dataclass(frozen=True)
class Diagnosis:
    """Where the bundle is, and the beginning of what it says."""

    app: str
    namespace: str
    archive: Path
    findings: Sequence[str]
    found: Found
    bundle: Bundle

    @property
    def code(self) -> Exit:
        """It is written: what it found is no failure of this command."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the paths and what is in the bundle."""
        return {
            "app": self.app,
            "namespace": self.namespace,
            "archive": str(self.archive),
            "index": str(self.archive.with_name("index.md")),
            "findings": list(self.findings),
            "files": list(self.bundle.files),
            "forbidden": self.found.forbidden,
            "missing": self.found.missing,
            "cut": self.bundle.cut,
            "left_out": self.bundle.left_out,
        }

    def show(self, console: "Console") -> None:
        """Print the findings and where the rest is."""
        for line in self.findings or ["nothing was found to be wrong"]:
            console.print(plain(line), markup=False)
        size = self.archive.stat().st_size / 1000
        console.print(f"{self.archive}: {len(self.bundle.files) + 1} files, {size:.0f} kB", markup=False)
        if self.found.forbidden:
            console.print(f"this access may not read: {', '.join(self.found.forbidden)}", markup=False)

    def summary(self) -> str:
        """Return the findings as a list."""
        return "\n".join([f"### Diagnosis of {self.app}", "", *(f"- {cell(each)}" for each in self.findings), ""])

    def outputs(self) -> Mapping[str, str]:
        """Return where the bundle is."""
        return {"bundle": str(self.archive)}


def diagnose(
    cluster: Cluster, app: str, namespace: str, out: Path, now: datetime, *, limit: int, log_lines: int
) -> Diagnosis:
    """Write a bundle into a folder.

    Args:
        cluster: reads the cluster.
        app: name of the release.
        namespace: its namespace.
        out: folder for `index.md` and the archive; made if missing.
        now: time of day, for the index.
        limit: bytes of all files together.
        log_lines: lines of each log, from its end.

    Raises:
        DeliveryError: nothing of the release can be seen; says why.
    """
    found = Reading(cluster, app, namespace, log_lines).read()
    if found.nothing and found.silence:
        raise DeliveryError(f"Nothing of the release {app} could be read: {found.silence}")
    if found.nothing:
        why_not = f"this access may not read {', '.join(found.forbidden)}" if found.forbidden else "it has none of it"
        silent = f"; no answer: {', '.join(found.missing[:5])}" if found.missing else ""
        raise DeliveryError(
            f"Nothing of the release {app} was found in namespace {namespace}: {why_not}{silent}."
            " Fix: check the names and the kubeconfig.",
            Exit.USAGE,
        )
    hide = Hider(found.secrets - {app, namespace})
    bundle = Bundle(limit, _LARGEST_FILE)
    for name, text in _files(found, hide):
        bundle.add(name, text)
    findings = [scrub.scrub_text(line, hide) for line in conclusions(found)]
    index = scrub.scrub_text("\n".join(_index(app, namespace, now, found, findings)), hide)
    archive = bundle.write(out, f"diagnosis-{app}", index + "\n".join(_contents(found, bundle)))
    return Diagnosis(app, namespace, archive, findings, found, bundle)


def _files(found: Found, hide: Hider) -> list[tuple[str, str]]:
    """The bundle's files, without secrets; first what says most."""

    def document(tree: object) -> str:
        return scrub.scrub_text(yaml.safe_dump(tree, sort_keys=False, width=120), hide)

    files = [("events.yaml", document([scrub.scrub_object(each) for each in sorted_events(found.events)]))]
    files += [(f"logs/{name}", scrub.scrub_text(text, hide)) for name, text in found.logs.items()]
    for plural, listed in found.objects.items():
        if listed:
            files.append((f"{plural}.yaml", document([scrub.scrub_object(each) for each in listed])))
    for revision in found.revisions[-2:]:
        files.append((f"values.{revision.number}.yaml", document(scrub.scrub_values(revision.values))))
    return files


def sorted_events(events: Sequence[Properties]) -> list[Properties]:
    """Return events by time, the latest last. Pure."""
    return sorted(events, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))


def conclusions(found: Found) -> list[str]:
    """Return what is wrong, the most telling first. Pure."""
    lines: list[str] = []
    for kind in KINDS:
        for workload in found.of(kind.plural):
            verdict = kind.judge(workload)
            if verdict.state is not State.DONE:
                lines.append(f"{kind.name.lower()} {_name(workload)}: {verdict.reason}")
    lines += [str(problem) for pod in found.of("pods") if (problem := why(pod))]
    if found.revisions and found.revisions[-1].status != "deployed":
        newest = found.revisions[-1]
        lines.append(f"helm revision {newest.number} is {newest.status}: {newest.description}")
    return lines


def _name(thing: Properties) -> str:
    return str(fields(thing.get("metadata")).get("name"))


def _index(app: str, namespace: str, now: datetime, found: Found, findings: Sequence[str]) -> list[str]:
    lines = [f"# {app} in {namespace}", "", f"Collected {now:%Y-%m-%d %H:%M:%S} UTC.", "", "## What is wrong", ""]
    lines += [f"- {cell(each)}" for each in findings] or ["Nothing was found."]
    lines += ["", "## Revisions", "", "| revision | when | status | chart | |", "|---|---|---|---|---|"]
    for each in found.revisions:
        when, said = f"{each.changed:%Y-%m-%d %H:%M:%S}", cell(each.description)
        lines.append(f"| {each.number} | {when} | {each.status} | {each.chart} | {said} |")
    lines += ["", "## Workloads", "", "| workload | state | |", "|---|---|---|"]
    for kind in KINDS:
        for workload in found.of(kind.plural):
            verdict = kind.judge(workload)
            lines.append(f"| {kind.name.lower()} {_name(workload)} | {verdict.state} | {cell(verdict.reason)} |")
    lines += ["", "## Pods", "", "| pod | phase | node | restarts | images | |", "|---|---|---|---|---|---|"]
    lines += [_pod_row(pod) for pod in found.of("pods")]
    return [*lines, "", *_last_words(found), *_events(found), ""]


def _last_words(found: Found) -> list[str]:
    """The end of each log of a pod that has a problem; of a container that was restarted, of its run before."""
    lines: list[str] = []
    for pod in found.of("pods"):
        for container in objects(fields(pod.get("status")).get("containerStatuses")) if why(pod) else ():
            title = f"{_name(pod)}.{container.get('name')}"
            log = found.logs.get(f"{title}.previous.log") or found.logs.get(f"{title}.log")
            if log:
                # Indented, so that nothing in the log ends it.
                lines += [
                    f"## Last lines of {title}",
                    "",
                    *(f"    {line}" for line in log.splitlines()[-_LAST_LINES:]),
                    "",
                ]
    return lines


def _pod_row(pod: Properties) -> str:
    status, spec = fields(pod.get("status")), fields(pod.get("spec"))
    containers = objects(status.get("containerStatuses"))
    restarts = sum(int(each.get("restartCount") or 0) for each in containers)
    images = " ".join(str(each.get("image")) for each in objects(spec.get("containers")))
    node = spec.get("nodeName") or "none"
    return f"| {_name(pod)} | {status.get('phase')} | {node} | {restarts} | {images} | {cell(str(why(pod) or ''))} |"


def _events(found: Found) -> list[str]:
    warnings = [each for each in sorted_events(found.events) if each.get("type") == "Warning"]
    rows: list[str] = []
    for each in warnings[-_LISTED_EVENTS:]:
        about = fields(each.get("involvedObject"))
        when = each.get("lastTimestamp") or each.get("eventTime") or ""
        said = cell(str(each.get("message", "")))
        rows.append(f"| {when} | {about.get('kind')} {about.get('name')} | {each.get('reason')} | {said} |")
    earlier = len(warnings) - _LISTED_EVENTS
    more = [f"{earlier} earlier ones are in events.yaml.", ""] if earlier > 0 else []
    head = ["| when | object | reason | message |", "|---|---|---|---|"]
    return ["## Warnings of the namespace", "", *more, *head, *rows]


def _contents(found: Found, bundle: Bundle) -> list[str]:
    lines = ["", "## Files", "", *(f"- {name}" for name in bundle.files), ""]
    notes = (
        ("This access may not read", found.forbidden),
        ("Not there", found.missing),
        ("Only the end of", bundle.cut),
        ("No room for", bundle.left_out),
    )
    lines += [f"{title}: {', '.join(names)}." for title, names in notes if names]
    known = (
        "Values of the namespace's Secrets are hidden everywhere, whatever holds them"
        if found.secrets_read
        else "The namespace's Secrets could not be read: what is secret was found by its name and form alone"
    )
    short = f"values of fewer than {_SHORTEST_SECRET} characters are not looked for"
    return [*lines, "", f"Secret objects are left out. {known}; {short}.", ""]
