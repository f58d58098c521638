from typing import Any

import pytest
from pavedpath_delivery.deploy.manifests import documents, workloads
from pavedpath_delivery.deploy.rollout import inspect, rollout, unpullable, unready
from pavedpath_delivery.deploy.watch import Watch
from pavedpath_delivery.kit.documents import fields

from tests.unit.delivery.deploy.world import Cluster, manifest, pod
from tests.unit.delivery.virtual import VirtualClock

(SHOP,) = workloads(manifest())
DONE = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 4}
IMAGE = "r.example/shop/api:v1"


def found(status: dict[str, Any], image: str = IMAGE) -> dict[str, Any]:
    return {**documents(manifest(image))[0], "metadata": {"generation": 4}, "status": status}


@pytest.mark.parametrize(
    ("status", "lacks"),
    [
        (DONE, ""),
        ({**DONE, "observedGeneration": 3}, "not seen"),
        ({**DONE, "updatedReplicas": 1}, "1 of 2 pods are of the new version"),
        ({**DONE, "availableReplicas": 1}, "1 of 2 new pods are available"),
    ],
)
def test_a_rollout_is_done_when_all_pods_are_new_and_ready(status: dict[str, Any], lacks: str) -> None:
    seen = rollout(SHOP, found(status)).lacks
    assert lacks in seen
    assert bool(seen) == bool(lacks)


def test_another_image_is_another_revision() -> None:
    assert "r.example/other:1" in rollout(SHOP, found(DONE, "r.example/other:1")).lacks


def test_what_is_not_there_is_not_ready() -> None:
    other = manifest().replace('"name": "shop"', '"name": "gone"')
    assert [each.lacks for each in unready(inspect(Cluster(), "ns", other))] == ["it is not there"]


def test_an_image_that_cannot_be_pulled() -> None:
    for reason in ("ImagePullBackOff", "ErrImagePull", "InvalidImageName"):
        assert unpullable(pod("a", ready=False, image=IMAGE, reason=reason), [IMAGE]) == [IMAGE]
    assert unpullable(pod("a", ready=False, image=IMAGE, reason="CrashLoopBackOff"), [IMAGE]) == []
    assert unpullable(pod("a", ready=False, image="old", reason="ErrImagePull"), [IMAGE]) == []


def test_a_problem_is_told_once_and_waiting_is_given_up_in_time() -> None:
    clock, said = VirtualClock(), list[str]()
    cluster = Cluster(pods=[pod("a"), pod("b", ready=False, image=IMAGE, reason="ImagePullBackOff")])
    watch = Watch(cluster, "ns", manifest(), clock, said.append, 10)
    for _ in range(10):
        assert watch.look() == ""
        clock.sleep(1)
    assert "could not be pulled for 10 s" in watch.look()
    assert said == ["deployment shop: 1 of 2 ready, 1 of 2 new pods are available", said[1]]
    assert said[1] == "deployment shop: ImagePullBackOff: not found"
    assert watch.problems() == ["pod b: ImagePullBackOff: not found"]
    cluster.pods[1] = pod("b")
    assert watch.look() == ""
    assert said[-1] == "deployment shop: 2 of 2 ready"


def test_an_image_that_came_after_all_counts_anew() -> None:
    clock = VirtualClock()
    bad = pod("b", ready=False, image=IMAGE, reason="ErrImagePull")
    cluster = Cluster(pods=[bad])
    watch = Watch(cluster, "ns", manifest(), clock, lambda _: None, 5)
    watch.look()
    clock.sleep(4)
    cluster.pods[0] = pod("b")
    watch.look()
    cluster.pods[0] = bad
    clock.sleep(4)
    assert watch.look() == ""
    assert fields(bad)


def test_without_fail_fast_it_waits() -> None:
    clock = VirtualClock()
    cluster = Cluster(pods=[pod("b", ready=False, image=IMAGE, reason="ErrImagePull")])
    watch = Watch(cluster, "ns", manifest(), clock, lambda _: None)
    watch.look()
    clock.sleep(1000)
    assert watch.look() == ""
