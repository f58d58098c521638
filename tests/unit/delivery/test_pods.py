import threading
from typing import Any

import httpx
import pytest
from pavedpath_delivery.kit.kube import KubernetesApi
from pavedpath_delivery.stack.errors import StackCommandError
from pavedpath_delivery.stack.events import Event
from pavedpath_delivery.stack.pods import (
    PodProblem,
    PodWatcher,
    Remembered,
    pod_problem,
    pods_of_release,
    problems_in_events,
)

URN = "urn:pulumi:dev::shop::kubernetes:helm.sh/v3:Release::api"


def pod(name: str, *, ready: bool = False, labels: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready), "reason": "" if ready else "ContainersNotReady"}]
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "status": {"phase": "Pending", "conditions": conditions, **status},
    }


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    return [{"name": "app", "state": {"waiting": {"reason": reason, "message": message}}}]


def test_reasons() -> None:
    cases = [
        (
            pod("a", containerStatuses=waiting("ImagePullBackOff", "not found")),
            PodProblem("a", "ImagePullBackOff", "not found"),
        ),
        (
            pod("b", containerStatuses=[{"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]),
            PodProblem("b", "Error", "exit code 3"),
        ),
        (
            pod(
                "c",
                conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2"}],
            ),
            PodProblem("c", "Unschedulable", "0/2"),
        ),
        (pod("d", initContainerStatuses=waiting("CrashLoopBackOff")), PodProblem("d", "CrashLoopBackOff")),
        (pod("e"), PodProblem("e", "ContainersNotReady")),
        (pod("f", ready=True), None),
        (pod("g", phase="Succeeded"), None),
    ]
    assert [pod_problem(one) for one, _ in cases] == [problem for _, problem in cases]
    going = pod("h")
    going["metadata"]["deletionTimestamp"] = "2026-03-01T00:00:00Z"
    assert pod_problem(going) is None


def test_the_release_label_chooses_the_pods() -> None:
    mine = pod("a", labels={"app.kubernetes.io/instance": "api"})
    assert pods_of_release([mine, pod("b")], "api") == [mine]
    assert len(pods_of_release([pod("a"), pod("b")], "api")) == 2


def test_a_pod_that_a_rollback_removed_is_remembered_with_its_reason() -> None:
    remembered = Remembered()
    remembered.look([pod("new", containerStatuses=waiting("ContainerCreating")), pod("slow")])
    remembered.look([pod("new", containerStatuses=waiting("ErrImagePull", "no such image")), pod("slow", ready=True)])
    remembered.look([pod("new", containerStatuses=waiting("ContainerCreating"))])
    remembered.look([])
    assert [str(problem) for problem in remembered.problems()] == ["pod new: ErrImagePull: no such image"]


def test_pods_that_were_only_starting_count_if_there_are_no_others() -> None:
    remembered = Remembered()
    remembered.look([pod("a", containerStatuses=waiting("ContainerCreating"))])
    assert [problem.pod for problem in remembered.problems()] == ["a"]


def test_the_latest_warning_of_each_pod() -> None:
    def event(name: str, message: str, when: str, kind: str = "Pod", type_: str = "Warning") -> dict[str, Any]:
        about = {"kind": kind, "name": name}
        return {"type": type_, "reason": "Failed", "message": message, "lastTimestamp": when, "involvedObject": about}

    found = problems_in_events(
        [
            event("a", "new", "2"),
            event("a", "old", "1"),
            event("b", "fine", "3", type_="Normal"),
            event("c", "x", "1", "Node"),
        ]
    )
    assert found == [PodProblem("a", "Failed", "new")]


def release_event(kind: str, op: str = "create", inputs: dict[str, Any] | None = None) -> Event:
    given = {"name": "api", "namespace": "shop"} if inputs is None else inputs
    step = {"op": op, "urn": URN, "type": "kubernetes:helm.sh/v3:Release", "new": {"custom": True, "inputs": given}}
    return Event.model_validate({kind: {"metadata": step}})


class Cluster:
    """Answers the pods of a namespace, and its events."""

    def __init__(self, pods: list[dict[str, Any]], events: list[dict[str, Any]] | None = None) -> None:
        self.pods, self.events = pods, events or []
        self.asked = threading.Semaphore(0)

    def api(self) -> KubernetesApi:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/api/v1/namespaces/shop/pods":
                self.asked.release()
                return httpx.Response(200, json={"items": self.pods})
            if request.url.path == "/api/v1/namespaces/shop/events":
                return httpx.Response(200, json={"items": self.events})
            return httpx.Response(404)

        return KubernetesApi(httpx.Client(base_url="http://k", transport=httpx.MockTransport(answer)))


def test_a_failed_release_is_reported_with_the_pods_seen_while_it_went_on() -> None:
    cluster = Cluster([pod("api-7d4-x", containerStatuses=waiting("ImagePullBackOff", "image broken:1 not found"))])
    watcher = PodWatcher(cluster.api, interval_s=0.01)
    watcher(release_event("resourcePreEvent"))
    for _ in range(2):  # when it asks again, it has seen the first answer
        assert cluster.asked.acquire(timeout=120)
    cluster.pods = []  # rolled back
    watcher(release_event("resOpFailedEvent"))
    watcher.close()
    assert watcher.report() == {
        URN: [
            "release api in namespace shop: 1 pod(s) did not get ready",
            "  pod api-7d4-x: ImagePullBackOff: image broken:1 not found",
        ]
    }


def test_without_pods_the_namespaces_events_tell() -> None:
    about = {"kind": "Pod", "name": "api-7d4-x"}
    event = {"type": "Warning", "reason": "FailedMount", "message": "no volume", "involvedObject": about}
    watcher = PodWatcher(Cluster([], [event]).api, interval_s=0.01)
    watcher(release_event("resourcePreEvent"))
    watcher(release_event("resOpFailedEvent"))
    assert watcher.report()[URN][1:] == ["  pod api-7d4-x: FailedMount: no volume"]


@pytest.mark.parametrize("op", ["same", "delete", "refresh"])
def test_nothing_is_watched_without_a_deployment(op: str) -> None:
    watcher = PodWatcher(Cluster([]).api)
    watcher(release_event("resourcePreEvent", op))
    watcher(release_event("resOpFailedEvent", op))
    assert watcher.report() == {}


def test_a_release_that_succeeds_is_not_reported() -> None:
    watcher = PodWatcher(Cluster([pod("a")]).api, interval_s=0.01)
    watcher(release_event("resourcePreEvent"))
    watcher(release_event("resOutputsEvent"))
    watcher.close()
    assert watcher.report() == {}


def test_no_cluster_is_no_reason_to_fail() -> None:
    def nothing() -> KubernetesApi:
        raise StackCommandError("no kubeconfig")

    watcher = PodWatcher(nothing)
    watcher(release_event("resourcePreEvent"))
    watcher(release_event("resOpFailedEvent"))
    assert watcher.report() == {URN: ["release api in namespace shop: no pod of it was seen that did not get ready"]}
