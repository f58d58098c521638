"""One release in one cluster, and the work on it: freeing it, following Helm, verifying what runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from pavedpath_delivery.deploy import releases
from pavedpath_delivery.deploy.helm import Helm, conflicts
from pavedpath_delivery.deploy.manifests import secrets_of
from pavedpath_delivery.deploy.releases import Cluster, Revision
from pavedpath_delivery.deploy.rollout import inspect, unready
from pavedpath_delivery.deploy.secrets import Hider
from pavedpath_delivery.kit.clock import Clock, SystemClock
from pavedpath_delivery.kit.errors import DeliveryError, Exit

_VERIFY_S = 60.0
"""How long what runs after a rollback may take to be seen as ready; Helm has waited for it before."""
_POLL_S = 2.0

Say = Callable[[str], None]


class Operation(Protocol):
    """What works on a release step by step; `Helm` makes them."""

    def wait(self, seconds: float) -> str | None:
        """Wait a while. Returns None while it is at work, then the reason why it failed; empty when it did not."""
        ...

    def stop(self) -> None:
        """Ask it to stop and to undo what it did."""
        ...

    def end(self) -> None:
        """End it at once."""
        ...


@dataclass(frozen=True)
class Place:
    """A release, and what is used to work on it.

    Args:
        app: name of the release.
        namespace: its namespace.
        helm: Helm.
        cluster: reads Helm's records, workloads and pods.
        clock: time.
        say: tells progress; gets no secrets.
    """

    app: str
    namespace: str
    helm: Helm
    cluster: Cluster
    clock: Clock
    say: Say

    @classmethod
    def open(cls, app: str, namespace: str, helm: str, environ: Mapping[str, str], say: Say) -> "Place":
        """Open the cluster of the kubeconfig.

        Raises:
            DeliveryError: there is no usable kubeconfig, or no Helm.
        """
        from pavedpath_delivery.kit.kube import KubernetesApi

        found = Helm.find(environ, helm)
        return cls(app, namespace, found, KubernetesApi.from_environment(environ), SystemClock(), say)

    def hiding(self, *revisions: Revision) -> "Place":
        """Return the same place; Helm's words are free of the secrets of these revisions there."""
        secrets = [secret for each in revisions for secret in secrets_of(each.manifest)]
        return replace(self, helm=self.helm.hiding(Hider(secrets)))

    def history(self) -> list[Revision]:
        """Return the revisions of the release, oldest first."""
        return releases.history(self.cluster, self.namespace, self.app)

    def lacking(self, revision: Revision) -> str:
        """Return what does not run of a revision as it must; empty if all does."""
        return "; ".join(map(str, unready(inspect(self.cluster, self.namespace, revision.manifest))))

    def verified(self, revision: Revision) -> str:
        """Return what still does not run of a revision after a minute; empty if all does."""
        until = self.clock.monotonic() + _VERIFY_S
        while lacking := self.lacking(revision):
            if self.clock.monotonic() >= until:
                break
            self.clock.sleep(_POLL_S)
        return lacking


def nowhere(app: str, namespace: str) -> DeliveryError:
    """Return the error of a release that does not exist. Pure."""
    why = f"There is no release {app} in the namespace {namespace}."
    return DeliveryError(f"{why} Fix: look for it with `helm list -A`.", Exit.USAGE)


class Watcher(Protocol):
    """What looks at the pods meanwhile."""

    def look(self) -> str:
        """Tell what is new; return why it is of no use to wait any longer, empty if it may be."""
        ...


def ceiling(timeout_s: float) -> float:
    """Return how long Helm may take in all: hooks, the upgrade and its rollback have a timeout each."""
    return 4 * timeout_s + 60.0


def follow(operation: Operation, watcher: Watcher | None, place: Place, limit_s: float, every_s: float = 1.0) -> str:
    """Wait for Helm and return why it failed; empty if it did not. Looks at the pods every `every_s` seconds.

    An interruption is passed on: Helm then rolls back by itself, and that is waited for. A second one ends it, and
    the next run reverts what it left.
    """
    until = place.clock.monotonic() + limit_s
    stopping = False
    while True:
        try:
            reason = operation.wait(every_s)
            if reason is not None:
                return reason
            given_up = watcher.look() if watcher else ""
            if given_up and not stopping:
                stopping = True
                place.say(f"{given_up}: given up, Helm rolls back")
                operation.stop()
            if place.clock.monotonic() > until:
                operation.end()
                return f"Helm did not end within {limit_s:g} s and was ended"
        except KeyboardInterrupt:
            if stopping:
                operation.end()
                raise
            stopping = True
            place.say("interrupted: Helm rolls back; once more leaves that to the next run")
            operation.stop()


def takes_back(revisions: Sequence[Revision], *, force: bool) -> bool:
    """Whether Helm is to take fields back from whoever changed them: only where that is a conflict to it. Pure."""
    return force and (not revisions or revisions[-1].server_side)


def conflict_error(place: Place, live: Revision | None, before: str, reason: str) -> DeliveryError | None:
    """Return the error of what Helm was refused for fields that are others'; None if it failed of something else.

    Also None if the workloads are not as they were: then more went wrong than a refusal.

    Args:
        place: the release.
        live: the revision that ran before.
        before: what it lacked before.
        reason: why Helm failed.
    """
    found = conflicts(reason)
    if not found or live is None or place.lacking(live) not in ("", before):
        return None
    lines = "\n".join(f"  {each}" for each in found)
    return DeliveryError(
        f"Revision {live.number} of {place.app} runs as before. Somebody else changed what the release sets:\n{lines}\n"
        "Fix: give deploy or rollback --force, which takes it back; or take it out of the chart's values if it is "
        "theirs (an autoscaler's, say).\n"
        f"helm said: {reason}"
    )


def settle(place: Place, *, timeout_s: float, history: int, wait: bool = True, force: bool = False) -> list[Revision]:
    """Make sure that no Helm process is at the release, and return its revisions.

    Another deployment is waited for. One that was killed is reverted to what ran last; `force` takes fields back.

    Raises:
        DeliveryError: another deployment is at it and is not waited for, or the revert failed.
    """
    until = place.clock.monotonic() + ceiling(timeout_s)
    told = 0
    while True:
        revisions = place.history()
        verdict = releases.judge(revisions, place.clock.now(), timedelta(seconds=timeout_s))
        if isinstance(verdict, releases.Free):
            return revisions
        number, status = verdict.revision.number, verdict.revision.status
        if isinstance(verdict, releases.Revert):
            _revert(place, verdict, timeout_s, history, take_back=takes_back(revisions, force=force))
            continue
        busy = f"revision {number} of {place.app} is {status}: somebody may be at it until {verdict.until:%H:%M:%S} UTC"
        if not wait or place.clock.monotonic() > until:
            raise DeliveryError(f"{busy}. Fix: try again then.", Exit.LOCKED)
        if told != number:
            told = number
            place.say(f"{busy}; waiting")
        place.clock.sleep(_POLL_S)


def _revert(place: Place, verdict: releases.Revert, timeout_s: float, history: int, *, take_back: bool) -> None:
    left = f"revision {verdict.revision.number} was left {verdict.revision.status} by a process that is gone"
    if verdict.to is None:
        place.say(f"{left}: nothing ran before, it is removed")
        place.helm.uninstall(place.app, place.namespace, timeout_s=timeout_s)
        return
    place.say(f"{left}: back to revision {verdict.to}")
    operation = place.helm.rollback(
        place.app, place.namespace, verdict.to, timeout_s=timeout_s, history=history, take_back=take_back
    )
    if reason := follow(operation, None, place, ceiling(timeout_s)):
        raise DeliveryError(f"{left}, and going back to revision {verdict.to} failed: {reason}", Exit.BROKEN)
