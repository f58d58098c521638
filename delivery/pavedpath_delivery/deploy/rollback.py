"""Going back to a revision that ran, once, and verifying that it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pavedpath_delivery.deploy import releases
from pavedpath_delivery.deploy.place import Place, ceiling, conflict_error, follow, nowhere, settle, takes_back
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.deploy.watch import Watch


class State(StrEnum):
    """What came of a rollback."""

    ROLLED_BACK = "rolled-back"
    PASSED_OVER = "passed-over"
    """What was to be undone does not run any more: there is nothing to do."""
    PLANNED = "planned"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    """What came of a rollback.

    Args:
        state: in a word.
        revision: number of the newest revision now.
        previous: number of the newest before.
        target: number of the revision whose content runs now, or would.
        reason: why it failed, or why there was nothing to do.
        images: images of the target.
    """

    state: State
    revision: int
    previous: int
    target: int = 0
    reason: str = ""
    images: Sequence[str] = ()


def passed_over(revisions: Sequence[Revision], if_deployed: int) -> str:
    """Return why the revision `if_deployed` is not to be undone; empty if it is what runs. Pure."""
    now = releases.running(revisions)
    if now is None or now is not revisions[-1]:
        newest = f"{revisions[-1].number} ({revisions[-1].status})" if revisions else "none"
        return f"revision {if_deployed} does not run: the newest is {newest}"
    if now.number != if_deployed:
        return f"revision {if_deployed} does not run any more: {now.number} does ({now.description})"
    return ""


def rollback(
    place: Place,
    *,
    to: int | None = None,
    if_deployed: int | None = None,
    timeout_s: float = 300.0,
    history: int = 10,
    force: bool = False,
    dry_run: bool = False,
    confirm: Callable[[str], bool] = lambda _: True,
) -> Outcome:
    """Go back.

    Args:
        place: the release.
        to: the revision to go back to; None for the one that ran before.
        if_deployed: go back only if this one is what runs: somebody may have been faster, Helm itself for one.
        timeout_s: how long its workloads may take to become ready.
        history: how many revisions are kept.
        force: also to a revision that never ran, and taking back what others changed.
        dry_run: only say where it would go.
        confirm: asked before anything is changed.

    Raises:
        DeliveryError: there is no release or nothing to go back to, another process is at it, or fields are others'.
    """
    revisions = place.history()
    if not revisions:
        raise nowhere(place.app, place.namespace)
    place = place.hiding(*revisions)
    if not dry_run:
        revisions = settle(place, timeout_s=timeout_s, history=history, force=force)
    newest = revisions[-1].number if revisions else 0
    if if_deployed is not None and (why := passed_over(revisions, if_deployed)):
        return Outcome(State.PASSED_OVER, newest, newest, reason=why)
    goal = releases.target(revisions, to, force=force)
    planned = Outcome(State.PLANNED, newest, newest, goal.number, images=goal.images)
    images = ", ".join(goal.images) or goal.chart
    question = f"{place.app} in {place.namespace}: back from revision {newest} to revision {goal.number} ({images})?"
    if dry_run or not confirm(question):
        return planned
    watch = Watch(place.cluster, place.namespace, goal.manifest, place.clock, place.say)
    live = releases.last_good(revisions)
    before = place.lacking(live) if live else ""
    operation = place.helm.rollback(
        place.app,
        place.namespace,
        goal.number,
        timeout_s=timeout_s,
        history=history,
        take_back=takes_back(revisions, force=force),
    )
    reason = follow(operation, watch, place, ceiling(timeout_s))
    if reason and (refused := conflict_error(place, live, before, reason)):
        raise refused
    reason = reason or place.verified(goal)
    state = State.BROKEN if reason else State.ROLLED_BACK
    after = place.history()
    return replace(planned, state=state, revision=after[-1].number if after else newest, reason=reason)
