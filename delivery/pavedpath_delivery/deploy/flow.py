"""Deploying a release: checks, preview, upgrade, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from pavedpath_delivery.deploy import manifests, releases, values
from pavedpath_delivery.deploy.helm import HelmError
from pavedpath_delivery.deploy.place import Place, ceiling, conflict_error, follow, settle, takes_back
from pavedpath_delivery.deploy.prepare import Prepared, Request, prepare
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.deploy.secrets import Hider, texts
from pavedpath_delivery.deploy.watch import Watch


class State(StrEnum):
    """What came of a deployment."""

    PREVIEWED = "previewed"
    UNCHANGED = "unchanged"
    DEPLOYED = "deployed"
    ROLLED_BACK = "rolled-back"
    OVERTAKEN = "overtaken"
    """It failed, and somebody else has deployed meanwhile."""
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    """What came of a deployment.

    Args:
        state: in a word.
        revision: number of the revision that is the newest now, 0 for none.
        previous: number of the one that ran before, 0 for none.
        reason: why it failed.
        images: images of what runs now, or of what would.
        changes: what the deployment changed, or would.
        problems: what was wrong with the pods.
    """

    state: State
    revision: int = 0
    previous: int = 0
    reason: str = ""
    images: Sequence[str] = ()
    changes: Sequence[manifests.Change] = ()
    problems: Sequence[str] = ()


def conclude(before: Sequence[Revision], after: Sequence[Revision], reason: str) -> State | None:
    """Return what Helm's own atomic upgrade led to; None if it was refused before anything was changed. Pure.

    Never a cause to roll back once more: the newest record says whether Helm did.

    Args:
        before: the revisions when it began.
        after: the revisions when it had ended.
        reason: why Helm failed; empty if it did not.
    """
    if not reason:
        return State.DEPLOYED
    newest, last = (each[-1] if each else None for each in (after, before))
    if newest is None:
        # Helm takes a first revision that failed away again, with its record.
        return State.ROLLED_BACK if "uninstalled" in reason else None
    if last and (newest.number, newest.status) == (last.number, last.status):
        return None
    if newest.status != releases.DEPLOYED:
        return State.BROKEN
    if newest.restores is None:
        return State.OVERTAKEN
    # Helm 4 can go back to a revision that never ran: see `Revision.succeeded`.
    restored = next((each for each in [*before, *after] if each.number == newest.restores), None)
    return State.ROLLED_BACK if restored and restored.succeeded else State.BROKEN


def deploy(request: Request, place: Place, environ: Mapping[str, str], *, dry_run: bool) -> Outcome:
    """Deploy, or only show what would change.

    Args:
        request: what is deployed.
        place: where.
        environ: the job's variables, whose credentials open the SOPS file.
        dry_run: stop at the preview.

    Raises:
        DeliveryError: something cannot be used, was refused, or another deployment is at it.
    """
    with TemporaryDirectory(prefix="pavedpath-chart-") as folder:  # for a chart from an address; no values in it
        prepared = prepare(request, place.helm, environ, Path(folder))
        place = replace(place, helm=prepared.helm)
        return _preview(request, prepared, place) if dry_run else _deploy(request, prepared, place)


def _preview(request: Request, prepared: Prepared, place: Place) -> Outcome:
    revisions = place.history()
    if isinstance(releases.judge(revisions, place.clock.now(), timedelta(seconds=request.timeout_s)), releases.Free):
        manifest = place.helm.preview(request.app, prepared.inputs, request.namespace)
    else:
        place.say(f"revision {revisions[-1].number} is {revisions[-1].status}: rendered without the cluster")
        manifest = place.helm.render(request.app, prepared.inputs, request.namespace, hooks=False)
    live = releases.running(revisions)
    number = live.number if live else 0
    found = differences(live, manifest, prepared)
    return Outcome(State.PREVIEWED, number, number, images=manifests.images(manifest), changes=found)


def differences(live: Revision | None, manifest: str, prepared: Prepared) -> list[manifests.Change]:
    """Return what a manifest changes of what runs, without secrets: neither today's nor those that ran. Pure."""
    before = live.manifest if live else ""
    old = texts(list(values.same_places(live.values, prepared.secret))) if live else ()
    secrets = [*texts(prepared.secret), *old, *manifests.secrets_of(before), *manifests.secrets_of(manifest)]
    hide = Hider(secrets)
    return [
        manifests.Change(each.action, each.name, tuple(hide(line) for line in each.lines))
        for each in manifests.changes(before, manifest)
    ]


def _deploy(request: Request, prepared: Prepared, place: Place) -> Outcome:
    before = settle(place, timeout_s=request.timeout_s, history=request.history, wait=request.wait, force=request.force)
    manifest = place.helm.preview(request.app, prepared.inputs, request.namespace)
    live = releases.running(before)
    changes, images = differences(live, manifest, prepared), manifests.images(manifest)
    if live and live is before[-1] and not (changes or request.force) and _same_chart(place, prepared, live):
        lacking = place.lacking(live)
        if not lacking:
            return Outcome(State.UNCHANGED, live.number, live.number, images=images)
        place.say(f"nothing would change, but {lacking}: deployed again")
    for change in changes:
        place.say(f"{change.action} {change.name}")
    was = releases.last_good(before)
    lacked = place.lacking(was) if was else ""
    watch = Watch(place.cluster, place.namespace, manifest, place.clock, place.say, request.fail_fast_s)
    operation = place.helm.upgrade(
        request.app,
        prepared.inputs,
        request.namespace,
        timeout_s=request.timeout_s,
        history=request.history,
        create_namespace=request.create_namespace,
        take_back=takes_back(before, force=request.force),
    )
    reason = follow(operation, watch, place, ceiling(request.timeout_s))
    after = place.history()
    ended = conclude(before, after, reason)
    if ended is None:
        missing = f'namespaces "{request.namespace}" not found' in reason
        fix = ". Fix: create it, or give --create-namespace." if missing else ""
        raise HelmError(f"Nothing was changed. helm refused the release {request.app}: {reason}{fix}")
    if ended is State.BROKEN and (refused := conflict_error(place, was, lacked, reason)):
        raise refused
    if ended is State.BROKEN and after and after[-1].status == releases.DEPLOYED:
        reason += f"\nHelm went back to revision {after[-1].restores}, which never ran. Fix: pavedpath rollback."
    done = Outcome(
        ended, after[-1].number if after else 0, live.number if live else 0, reason, images, changes, watch.problems()
    )
    return _verify(done, place, releases.running(after)) if ended is State.ROLLED_BACK else done


def _verify(done: Outcome, place: Place, now: Revision | None) -> Outcome:
    if now is None:
        return replace(done, images=())
    lacking = place.verified(now)
    if lacking:
        return replace(done, state=State.BROKEN, reason=f"{done.reason}\nHelm rolled back, but {lacking}")
    return replace(done, images=now.images)


def _same_chart(place: Place, prepared: Prepared, live: Revision) -> bool:
    chart = place.helm.chart(prepared.inputs.chart)
    named = (f"{chart.get('name')}-{chart.get('version')}", str(chart.get("appVersion", "")))
    return named == (live.chart, live.app_version)
