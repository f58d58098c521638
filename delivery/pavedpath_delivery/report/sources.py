"""Where the page's data comes from. What cannot be read is told with its reason, never as nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from urllib.parse import quote, urlsplit

from pavedpath_delivery.deploy import releases as helm
from pavedpath_delivery.deploy.releases import Cluster
from pavedpath_delivery.dora import github as dora
from pavedpath_delivery.dora.core import Deployment, Record, Window, link
from pavedpath_delivery.drift import hub
from pavedpath_delivery.images.evidence import find_evidence
from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.registry import Registries
from pavedpath_delivery.kit.documents import Json, Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.report.page import Attempt, Environment, Evidence, Part, Release, Running, Unread, rank

_RUN = re.compile(r"https?://[^\s\"<>]+")


class Api(hub.Api, Protocol):
    """What is asked of GitHub; `kit.github.GitHub` is one."""

    def stream(self, path: str, key: str | None = None, **params: str) -> Iterator[Properties]:
        """Yield the items of all pages."""
        ...


@dataclass(frozen=True)
class App:
    """A Helm release to look at, and the environment that it belongs to (empty if that is not said)."""

    environment: str
    namespace: str
    name: str

    @property
    def title(self) -> str:
        """How it is called where it could not be read."""
        return f"release {self.namespace}/{self.name}{f' of {self.environment}' if self.environment else ''}"


ABSENT = "there is no such release"


def deployments_of(name: str) -> str:
    """Return how a repository's deployments are called where they could not be read. Pure."""
    return f"deployments of {name}"


def environments(name: str, documents: hub.Snapshot, order: Sequence[str]) -> Part[Environment]:
    """Return a repository's environments. Pure."""
    listed = documents.get("environments", documents["repository"])
    if isinstance(listed, hub.Unread):
        return Part(unread=(Unread(f"environments of {name}", listed.reason),))
    found = sorted(objects(listed), key=lambda each: rank(str(each["name"]), order))
    rows = (Environment(name, str(each["name"]), tuple(_protection(each, documents))) for each in found)
    return Part(tuple(rows))


def _protection(environment: Properties, documents: hub.Snapshot) -> Iterator[str]:
    policy = fields(environment.get("deployment_branch_policy"))
    patterns = documents.get(f"policies/{environment['name']}")
    if not policy:
        yield "open to all branches"
    elif policy.get("protected_branches"):
        yield "protected branches"
    elif isinstance(patterns, hub.Unread):
        yield f"branches not read: {patterns.reason}"
    else:
        yield f"branches {', '.join(str(each.get('name')) for each in objects(patterns)) or 'none'}"
    for rule in objects(environment.get("protection_rules")):
        if rule.get("type") == "required_reviewers":
            who = [fields(each.get("reviewer")) for each in objects(rule.get("reviewers"))]
            yield f"approval by {', '.join(str(each.get('login') or each.get('slug')) for each in who) or 'nobody'}"
        elif rule.get("type") == "wait_timer":
            yield f"waits {rule.get('wait_timer')} min"


def attempts(api: Api, name: str, count: int, rollback_workflow: str) -> Part[Attempt]:
    """Return a repository's latest deployments, newest first: `count` of them, and what runs in each environment.

    Only the hundred latest are looked through for that.
    """
    import httpx

    listed = hub.ask(api, f"repos/{name}/deployments", per_page="100")
    if isinstance(listed, hub.Unread):
        return Part(unread=(Unread(deployments_of(name), listed.reason),))
    found: list[Attempt] = []
    ended: list[Deployment] = []
    running: set[str] = set()
    documents = objects(listed)
    known = {str(each["environment"]) for each in documents}
    try:
        runs_path = f"repos/{name}/actions/workflows/{rollback_workflow}/runs"
        rollbacks = frozenset(str(run["id"]) for run in api.stream(runs_path, "workflow_runs"))
        for place, document in enumerate(documents):
            if place >= count and (running >= known or document["environment"] in running):
                continue
            statuses = list(api.stream(f"repos/{name}/deployments/{document['id']}/statuses"))
            end = dora.finished(document, statuses, name, rollbacks)
            ended += [end] if end else []
            found.append(_attempt(name, document, statuses, end))
            running |= {found[-1].environment} if found[-1].outcome == "success" else set()
    except httpx.HTTPError as error:
        return Part(unread=(Unread(deployments_of(name), _reason(error)),))
    kinds = {each.deployment.id: str(each.kind) for each in link(ended).judged}
    return Part(tuple(replace(each, kind=kinds.get(each.id, "")) for each in found))


def _attempt(name: str, document: Properties, statuses: Sequence[Properties], end: Deployment | None) -> Attempt:
    newest = max(statuses, key=lambda each: (str(each.get("created_at")), int(each.get("id", 0))), default=fields(None))
    urls = (str(each.get(key) or "") for each in statuses for key in ("log_url", "target_url"))
    return Attempt(
        id=str(document["id"]),
        repository=name,
        environment=str(document["environment"]),
        when=end.finished if end else datetime.fromisoformat(str(document["created_at"])),
        commit=str(document["sha"]),
        ref=str(document.get("ref", "")),
        by=str(fields(document.get("creator")).get("login", "")),
        outcome=str(end.outcome) if end else str(newest.get("state", "pending")),
        # What a deployer wrote there is shown as a link only if it can be nothing else.
        url=next((each for each in urls if _RUN.fullmatch(each) and urlsplit(each).hostname), ""),
    )


def behind(api: Api, rows: Iterable[Running]) -> Iterator[Running]:
    """Yield the rows, in order of applications and environments, with how far each is behind the one before it."""
    before: Running | None = None
    for each in rows:
        same = before is not None and before.application == each.application
        if before and same and before.deployment and each.deployment:
            count = _between(api, each.deployment, before.deployment)
            yield replace(each, before=before.environment, behind=count)
        else:
            yield each
        before = each if each.deployment or not same else before


def _between(api: Api, here: Attempt, there: Attempt) -> int | None:
    if here.commit == there.commit:
        return 0
    if "rollback" in (
        here.kind,
        there.kind,
    ):  # GitHub notes the commit of the workflow that rolled back, not of what runs then
        return None
    span = f"{quote(here.commit, safe='')}...{quote(there.commit, safe='')}"
    found = hub.ask(api, f"repos/{here.repository}/compare/{span}")
    return None if isinstance(found, hub.Unread) else int(fields(found).get("ahead_by", 0))


def release(cluster: Cluster, app: App) -> Part[Release]:
    """Return what runs of an application, by Helm's own record."""
    import httpx

    place = app.title
    try:
        revisions = helm.history(cluster, app.namespace, app.name)
    except (httpx.HTTPError, DeliveryError) as error:
        return Part(unread=(Unread(place, _reason(error)),))
    found = helm.last_good(revisions) or (revisions[-1] if revisions else None)
    if found is None:
        return Part(unread=(Unread(place, ABSENT),))
    return Part(
        (
            Release(
                app.environment,
                app.namespace,
                app.name,
                found.chart,
                found.app_version,
                found.number,
                found.status,
                found.changed,
                tuple(found.images),
            ),
        )
    )


def evidence(registries: Registries, images: Iterable[str]) -> Part[Evidence]:
    """Return what is recorded about images; those without a digest have no evidence."""
    rows: list[Evidence] = []
    unread: list[Unread] = []
    for image in dict.fromkeys(images):
        try:
            reference = Reference.parse(image)
            if not reference.digest:
                unread.append(Unread(image, "it is deployed without a digest, which evidence is bound to"))
                continue
            found = find_evidence(registries.open(reference.name), reference.digest)
        except (ValueError, DeliveryError) as error:
            unread.append(Unread(image, str(error)))
            continue
        valid = sorted(found.valid.values(), key=lambda each: (each.kind.value, each.recorded))
        stated = {each.kind.value: f"{each.recorded:%Y-%m-%d %H:%M} UTC" for each in valid}
        rows.append(Evidence(image, tuple(sorted(stated.items())), len(found.invalid)))
    return Part(tuple(rows), tuple(unread))


def records(
    api: Api, names: Iterable[str], environment: str, window: Window, rollback_workflow: str, incident_label: str
) -> Part[Record]:
    """Return what the four figures are made of."""
    import httpx

    found: list[Record] = []
    unread: list[Unread] = []
    for name in names:
        try:
            repository = dora.Repository(api, name, environment, rollback_workflow, incident_label)
            found += repository.records(window)
        except httpx.HTTPError as error:
            unread.append(Unread(deployments_of(name), _reason(error)))
    return Part(tuple(found), tuple(unread))


def _reason(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code}: {error.response.reason_phrase}"
    return str(error) or type(error).__name__


def merged(parts: Iterable[Part[Json]]) -> Part[Json]:
    """Return several parts as one."""
    seen = list(parts)
    return Part(tuple(row for each in seen for row in each.rows), tuple(u for each in seen for u in each.unread))


def parse_app(text: str) -> App | None:
    """Return what `[ENVIRONMENT=]NAMESPACE/NAME` names; None if it is something else."""
    found = re.fullmatch(r"(?:([^=/]+)=)?([^=/]+)/([^=/]+)", text)
    return App(found[1] or "", found[2], found[3]) if found else None


def kubeconfigs(texts: Sequence[str]) -> Mapping[str, str]:
    """Return the files that `ENVIRONMENT=FILE` names, by environment."""
    return {environment: path for environment, _, path in (each.partition("=") for each in texts)}
