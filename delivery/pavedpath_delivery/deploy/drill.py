"""Drills: something is broken on purpose, and what happens is measured, until everything is as it was.

A drill keeps what it needs to undo itself in a ConfigMap beside the release: whoever comes after a drill that was
killed finishes it.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pavedpath_delivery.deploy import manifests, releases
from pavedpath_delivery.deploy.helm import Inputs
from pavedpath_delivery.deploy.place import Place, ceiling, conflict_error, follow, nowhere, settle
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.deploy.timeline import Measured, Observation, measure, ready, ready_pods
from pavedpath_delivery.deploy.watch import Watch
from pavedpath_delivery.kit.documents import Properties, fields, objects
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.kube import KubernetesApi, refusal

if TYPE_CHECKING:
    import httpx

_LOOK_S = 0.25
_STEADY = 3
"""Looks in a row in which all must be whole until a drill is over."""
_TAINT = "pavedpath/drill"
_TEMPLATE = "{{ .Values.manifest }}\n"


class Kind(StrEnum):
    """What is broken."""

    BROKEN_IMAGE = "broken-image"
    KILLED_POD = "killed-pod"
    LOST_NODE = "lost-node"


@dataclass(frozen=True)
class Memory:
    """What a drill must know to undo itself, and to tell what was before."""

    kind: Kind
    revision: int
    tag: str = ""
    node: str = ""
    until: str = ""
    """Until when it may be at work, in ISO 8601; whoever comes later finishes it."""


@dataclass(frozen=True)
class Outcome:
    """What a drill showed.

    Args:
        kind: what was broken.
        before: number of the revision that ran.
        after: number of the newest revision now.
        measured: how the release fared meanwhile; None if nothing was broken.
        reason: why the drill failed; empty if it did not.
        note: what was broken, in words.
    """

    kind: Kind | None
    before: int
    after: int
    measured: Measured | None = None
    reason: str = ""
    note: str = ""
    restored: bool = True


@dataclass
class Drill:
    """One drill of one release.

    Args:
        place: the release.
        api: the cluster, to change things in it.
        timeout_s: how long it may take until everything is whole again.
        fail_fast_s: how long the broken image may not be pulled until Helm is told to go back.
        history: how many revisions are kept.
        request: makes one request to the service and returns whether it was answered; None makes none.
    """

    place: Place
    api: KubernetesApi
    timeout_s: float = 300.0
    fail_fast_s: float = 10.0
    history: int = 10
    request: Callable[[], bool] | None = None
    _looks: list[Observation] = field(default_factory=list[Observation])
    _began: float = 0.0

    def restore(self) -> Memory | None:
        """Undo what a drill that was killed left; return what it was, None if there is none.

        Raises:
            DeliveryError: it cannot be undone.
        """
        memory = self._remembered()
        if memory is None:
            return None
        return self._finish(memory)

    def _finish(self, memory: Memory) -> Memory:
        self.place.say(f"a drill ({memory.kind}) was left unfinished: it is undone")
        self._undo(memory)
        return memory

    def run(self, kind: Kind, *, dry_run: bool = False) -> Outcome:
        """Break something, wait until all is as before, and measure.

        Raises:
            DeliveryError: the release is not whole to begin with, the kubeconfig may not break this, or another drill
                is at it.
        """
        self._check_rights(kind)
        left = self._remembered()
        if left and left.until and self.place.clock.now() <= datetime.fromisoformat(left.until):
            raise DeliveryError(
                f"Another drill ({left.kind}) of {self.place.app} may be at work until {left.until}. "
                "Fix: wait for it; if it was killed, undo it with --restore.",
                Exit.LOCKED,
            )
        if left and not dry_run:
            self._finish(left)
        before = self._whole_release(dry_run=dry_run)
        self.place = self.place.hiding(before)
        pod = self._oldest_pod(before)
        node = str(fields(pod.get("spec")).get("nodeName", ""))
        # Longer than it can take: Helm may need all of its time twice, to break and to undo.
        until = self.place.clock.now() + timedelta(seconds=2 * ceiling(self.timeout_s))
        tag = f"drill-does-not-exist-{secrets.token_hex(4)}-broken"
        memory = Memory(kind, before.number, tag, node, until.isoformat(timespec="seconds"))
        note = {
            Kind.BROKEN_IMAGE: f"an upgrade to images of the tag {memory.tag}",
            Kind.KILLED_POD: f"pod {_name(pod)} was deleted",
            Kind.LOST_NODE: f"node {node} drove its pods away",
        }[kind]
        if kind is Kind.LOST_NODE:
            self._check_nodes(node)
        if dry_run:
            return Outcome(kind, before.number, before.number, note=f"would do: {note}")
        baseline = ready_pods(before.manifest, self._pods())
        self._remember(memory)
        try:
            self._began = self.place.clock.monotonic()
            self.place.say(note)
            reason = self._break(memory, before, pod)
        finally:
            self._undo(memory)
        return self._conclude(memory, before, baseline, reason, note)

    def _conclude(
        self, memory: Memory, before: Revision, baseline: Mapping[str, int], reason: str, note: str
    ) -> Outcome:
        lacking = self.place.verified(before)
        self._look(before, final=True)
        revisions = self.place.history()
        now = releases.running(revisions)
        same = now is not None and not manifests.changes(before.manifest, now.manifest) and not lacking
        return Outcome(
            memory.kind,
            before.number,
            revisions[-1].number,
            measure(baseline, self._looks),
            reason if same else f"It is not as before: {lacking or 'the manifest differs'}. {reason}".strip(),
            note,
            same,
        )

    # --- breaking

    def _break(self, memory: Memory, before: Revision, pod: Properties) -> str:
        if memory.kind is Kind.BROKEN_IMAGE:
            return self._upgrade_to_nothing(memory, before)
        if memory.kind is Kind.KILLED_POD:
            self.api.delete(f"/api/v1/namespaces/{self.place.namespace}/pods/{_name(pod)}")
        else:
            self._taint(memory.node, add=True)
        gone = _uid(pod)
        return self._watch_until_whole(before, gone)

    def _upgrade_to_nothing(self, memory: Memory, before: Revision) -> str:
        """Upgrade to images that do not exist, through Helm as a deployment does; return why that showed nothing."""
        manifest, changed = manifests.with_image(before.manifest, memory.tag)
        if not changed:
            return "The release has no Deployment whose image could be broken."
        watch = Watch(
            self.place.cluster,
            self.place.namespace,
            manifest,
            self.place.clock,
            self.place.say,
            self.fail_fast_s,
        )
        with TemporaryDirectory(prefix="pavedpath-drill-") as folder:  # the chart alone: its values go by stdin
            inputs = Inputs(_chart(Path(folder)), document=json.dumps({"manifest": manifest}))
            operation = self.place.helm.upgrade(
                self.place.app,
                inputs,
                self.place.namespace,
                timeout_s=self.timeout_s,
                history=self.history,
            )
            failed = follow(
                operation, _Both(watch, lambda: self._look(before)), self.place, ceiling(self.timeout_s), _LOOK_S
            )
        self._look(before)
        newest = self.place.history()[-1]
        if not failed:
            return "Helm deployed an image that does not exist: its pods were not waited for."
        if newest.status != releases.DEPLOYED or newest.restores is None:
            return f"Helm did not roll back by itself: {failed}"
        return ""

    def _watch_until_whole(self, before: Revision, gone: str) -> str:
        until = self.place.clock.monotonic() + self.timeout_s
        whole = 0
        while (whole := whole + 1 if self._look(before, gone=gone) else 0) < _STEADY:
            if self.place.clock.monotonic() > until:
                return f"It was not whole again after {self.timeout_s:g} s: {self.place.lacking(before)}."
            self.place.clock.sleep(_LOOK_S)
        return ""

    def _look(self, before: Revision, *, final: bool = False, gone: str = "") -> bool:
        """Take one look; return whether everything is whole."""
        import httpx

        with suppress(httpx.HTTPError):
            pods = self._pods()
            whole = not self.place.lacking(before) and all(_uid(pod) != gone for pod in pods)
            answered = self.request() if self.request and not final else None
            at = self.place.clock.monotonic() - self._began
            self._looks.append(Observation(at, ready_pods(before.manifest, pods), whole, answered))
            return whole
        return False

    # --- undoing

    def _undo(self, memory: Memory) -> None:
        if memory.kind is Kind.LOST_NODE:
            self._taint(memory.node, add=False)
        if memory.kind is Kind.BROKEN_IMAGE:
            revisions = settle(self.place, timeout_s=self.timeout_s, history=self.history)
            # Only what the drill made is undone: somebody may have deployed since.
            if revisions and memory.tag in revisions[-1].manifest:
                operation = self.place.helm.rollback(
                    self.place.app,
                    self.place.namespace,
                    memory.revision,
                    timeout_s=self.timeout_s,
                    history=self.history,
                )
                if reason := follow(operation, None, self.place, ceiling(self.timeout_s)):
                    # Refused like the drill's own upgrade before: it broke nothing, and there is nothing to undo.
                    if refused := conflict_error(self.place, releases.last_good(revisions), "", reason):
                        self.api.delete(self._path())
                        raise refused
                    raise DeliveryError(f"The drill could not be undone: {reason}", Exit.BROKEN)
        self.api.delete(self._path())

    def _taint(self, node: str, *, add: bool) -> None:
        """Put the drill's taint on a node, which drives pods away, or take it off."""
        import httpx

        path = f"/api/v1/nodes/{node}"
        for left in (2, 1, 0):
            found = fields(self.api.get(path))
            if not found:
                return
            taints = [each for each in objects(fields(found.get("spec")).get("taints")) if each.get("key") != _TAINT]
            taints += [{"key": _TAINT, "value": self.place.app, "effect": "NoExecute"}] if add else []
            # With its version: another's taint that came meanwhile must not be taken away.
            version = fields(found.get("metadata")).get("resourceVersion")
            try:
                self.api.send("PATCH", path, {"metadata": {"resourceVersion": version}, "spec": {"taints": taints}})
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 409 or not left:
                    raise _refused(error) from error
            else:
                return

    # --- remembering

    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.place.namespace}/configmaps/{_map_name(self.place.app)}"

    def _remembered(self) -> Memory | None:
        found = fields(self.api.get(self._path()))
        if not found:
            return None
        known = fields(json.loads(str(fields(found.get("data")).get("drill", "{}"))))
        kind, until = Kind(str(known["kind"])), str(known.get("until", ""))
        return Memory(kind, int(known["revision"]), str(known["tag"]), str(known["node"]), until)

    def _remember(self, memory: Memory) -> None:
        import httpx

        body = {
            "metadata": {"name": _map_name(self.place.app), "labels": {"app.kubernetes.io/managed-by": "pavedpath"}},
            "data": {"drill": json.dumps(asdict(memory))},
        }
        try:
            self.api.send("POST", self._path().rpartition("/")[0], body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 409:
                raise DeliveryError(f"Another drill of {self.place.app} is at work.", Exit.LOCKED) from None
            raise _refused(error) from error

    # --- asking

    def _check_rights(self, kind: Kind) -> None:
        """Refuse a drill that could not be done, or not undone."""
        asked = [("create", "configmaps"), ("delete", "configmaps")]
        asked += [("delete", "pods")] if kind is Kind.KILLED_POD else []
        asked += [(verb, "nodes") for verb in ("list", "get", "patch")] if kind is Kind.LOST_NODE else []
        missing = [f"{verb} {resource}" for verb, resource in asked if not self._may(verb, resource)]
        if missing:
            raise DeliveryError(
                f"The kubeconfig may not {', '.join(missing)}: a {kind} drill needs that. "
                "Fix: run it with a kubeconfig that may; a deployer's may not, on purpose.",
                Exit.POLICY,
            )

    def _may(self, verb: str, resource: str) -> bool:
        attributes = {"verb": verb, "group": "", "resource": resource}
        if resource != "nodes":
            attributes["namespace"] = self.place.namespace
        body = {"spec": {"resourceAttributes": attributes}}
        answer = self.api.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        return bool(fields(fields(answer).get("status")).get("allowed"))

    def _whole_release(self, *, dry_run: bool) -> Revision:
        revisions = self.place.history()
        if not revisions:
            raise nowhere(self.place.app, self.place.namespace)
        if not dry_run:
            revisions = settle(self.place, timeout_s=self.timeout_s, history=self.history)
        now = releases.running(revisions)
        lacking = f"revision {revisions[-1].number} is {revisions[-1].status}"
        if now and now is revisions[-1]:
            lacking = self.place.lacking(now)
        if now is None or lacking:
            raise DeliveryError(f"A drill shows nothing of what does not run: {lacking}. Fix: deploy first.")
        return now

    def _oldest_pod(self, revision: Revision) -> Properties:
        owners = manifests.workloads(revision.manifest)
        pods = [pod for pod in self._pods() if ready(pod) and any(owner.owns(pod) for owner in owners)]
        if not pods:
            raise DeliveryError("The release has no pod that is ready. Fix: deploy one that has.")
        return min(pods, key=lambda pod: (str(fields(pod.get("metadata")).get("creationTimestamp")), _name(pod)))

    def _check_nodes(self, node: str) -> None:
        others = [each for each in self.api.items("/api/v1/nodes") if _name(each) != node and _takes_pods(each)]
        if not others:
            raise DeliveryError(f"There is no other node than {node} to go to. Fix: add one.", Exit.POLICY)

    def _pods(self) -> list[Properties]:
        return self.place.cluster.items(f"/api/v1/namespaces/{self.place.namespace}/pods")


@dataclass
class _Both:
    """Tells of the pods as a deployment does, and takes the drill's looks."""

    watch: Watch
    look_too: Callable[[], object]

    def look(self) -> str:
        self.look_too()
        return self.watch.look()


def _takes_pods(node: Properties) -> bool:
    spec = fields(node.get("spec"))
    return not spec.get("unschedulable") and not objects(spec.get("taints")) and ready(node)


def _chart(folder: Path) -> str:
    """Write a chart that renders the manifest which it gets as a value; return its folder."""
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: drill\nversion: 0.0.0\ndescription: A drill\n")
    (folder / "templates" / "manifest.yaml").write_text(_TEMPLATE)
    return str(folder)


def _map_name(app: str) -> str:
    return f"pavedpath-drill-{app}"


def _name(item: Properties) -> str:
    return str(fields(item.get("metadata")).get("name", ""))


def _uid(item: Properties) -> str:
    return str(fields(item.get("metadata")).get("uid", ""))


def _refused(error: "httpx.HTTPStatusError") -> DeliveryError:
    return DeliveryError(f"The cluster refused it: {refusal(error.response)}", Exit.POLICY)
