import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pavedpath_delivery.deploy.drill import Drill, Kind
from pavedpath_delivery.deploy.reports import DrillReport
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.deploy.world import Cluster, FakeHelm, World, manifest, pod, revision

V1 = manifest("r.example/shop/api:v1")
MAP = "/api/v1/namespaces/ns/configmaps/pavedpath-drill-shop"


def node(name: str, *, ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": {"name": name, "resourceVersion": "7"}, "spec": {}, "status": {"conditions": conditions}}


def shop(*script: str, timeout_s: float = 60) -> tuple[World, FakeHelm, Drill]:
    records = [revision(1, "deployed", manifest=V1)]
    world = World(Cluster(records, [pod("a", node="n1"), pod("b", node="n2")], V1))
    for each in ("n1", "n2"):
        world.cluster.objects[f"/api/v1/nodes/{each}"] = node(each)
    helm = FakeHelm(world.cluster, world.clock, *script)
    return world, helm, Drill(world.place(helm), world.cluster.api(), timeout_s, 5.0)


def replaced(world: World, *, gone: str, after_s: float) -> Callable[[], None]:
    """Take a pod away, and give another in its place some seconds later."""

    def happen() -> None:
        world.cluster.pods[:] = [each for each in world.cluster.pods if each["metadata"]["name"] != gone]
        world.clock.at(world.clock.elapsed + after_s, lambda: world.cluster.pods.append(pod("new", node="n2")))

    return happen


def test_a_killed_pod_is_measured_until_another_takes_its_place() -> None:
    world, _, drill = shop()
    world.cluster.on_delete = lambda path: replaced(world, gone="a", after_s=5)() if path.endswith("/pods/a") else None
    done = drill.run(Kind.KILLED_POD)
    assert done.measured
    assert (done.reason, done.restored, done.before, done.after) == ("", True, 1, 1)
    assert done.measured.downtime_s == 0
    assert done.measured.degraded_s == pytest.approx(5, abs=0.5)
    assert done.measured.recovery_s == pytest.approx(5, abs=0.5)
    assert done.measured.lowest == {"shop": 1}
    assert MAP not in world.cluster.objects


def test_a_service_without_a_second_pod_is_down() -> None:
    world, _, drill = shop()
    alone = manifest("r.example/shop/api:v1", replicas=1)
    world.cluster.records[:], world.cluster.running = [revision(1, "deployed", manifest=alone)], alone
    world.cluster.pods[:] = [pod("a", node="n1")]
    world.cluster.on_delete = lambda path: replaced(world, gone="a", after_s=8)() if path.endswith("/pods/a") else None
    drill.request = lambda: bool(world.cluster.pods)
    done = drill.run(Kind.KILLED_POD)
    assert done.measured
    assert done.measured.downtime_s == pytest.approx(8, abs=0.5)
    assert 30 <= done.measured.failed_requests < done.measured.requests
    lines = "\n".join(DrillReport("shop", "ns", done).lines())
    assert "drill passed" in lines
    assert "at worst 0 ready" in lines
    assert "requests failed" in lines


def test_a_pod_that_nothing_replaces_fails_the_drill() -> None:
    world, _, drill = shop(timeout_s=20)
    world.cluster.on_delete = lambda path: world.cluster.pods.clear() if "/pods/" in path else None
    done = drill.run(Kind.KILLED_POD)
    assert not done.restored
    assert "not whole again after 20 s" in done.reason
    assert DrillReport("shop", "ns", done).code is Exit.BROKEN
    assert MAP not in world.cluster.objects


def test_a_lost_node_drives_its_pods_away_and_comes_back() -> None:
    world, _, drill = shop()
    drove: list[Any] = []

    def drive(body: Any) -> None:
        drove.append(body)
        if body["spec"]["taints"]:
            replaced(world, gone="a", after_s=3)()

    world.cluster.on_patch = drive
    done = drill.run(Kind.LOST_NODE)
    assert (done.reason, done.note) == ("", "node n1 drove its pods away")
    first, last = drove
    assert first["spec"]["taints"] == [{"key": "pavedpath/drill", "value": "shop", "effect": "NoExecute"}]
    assert first["metadata"] == {"resourceVersion": "7"}
    assert last["spec"]["taints"] == []


def test_another_taint_of_the_node_stays() -> None:
    world, _, drill = shop()
    other = {"key": "team", "value": "x", "effect": "PreferNoSchedule"}
    world.cluster.objects["/api/v1/nodes/n1"]["spec"] = {"taints": [other]}
    world.cluster.on_patch = lambda body: (
        replaced(world, gone="a", after_s=1)() if len(body["spec"]["taints"]) > 1 else None
    )
    drill.run(Kind.LOST_NODE)
    assert world.cluster.objects["/api/v1/nodes/n1"]["spec"]["taints"] == [other]


def test_without_another_node_there_is_no_drill() -> None:
    world, _, drill = shop()
    world.cluster.objects["/api/v1/nodes/n2"] = node("n2", ready=False)
    with pytest.raises(DeliveryError, match="no other node than n1"):
        drill.run(Kind.LOST_NODE)
    assert MAP not in world.cluster.objects


@pytest.mark.parametrize("kind", list(Kind))
def test_an_interrupted_drill_undoes_itself(kind: Kind) -> None:
    world, helm, drill = shop("hangs")
    patched: list[Any] = []
    world.cluster.on_patch = patched.append

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.clock.at(1, interrupt)
    if kind is Kind.BROKEN_IMAGE:
        # Helm rolls back when it is asked to, and here does not: the drill goes back itself, once.
        world.clock.at(1.5, interrupt)
    with pytest.raises(KeyboardInterrupt):
        drill.run(kind)
    assert MAP not in world.cluster.objects
    assert world.cluster.running == V1
    assert kind is not Kind.LOST_NODE or patched[-1]["spec"]["taints"] == []
    assert helm.calls == (["upgrade"] if kind is Kind.BROKEN_IMAGE else [])


def test_a_broken_image_is_rolled_back_by_helm() -> None:
    world, helm, drill = shop("fails")
    done = drill.run(Kind.BROKEN_IMAGE)
    assert (done.reason, done.before, done.after) == ("", 1, 3)
    assert helm.calls == ["upgrade"]
    (image,) = world.cluster.records[1].images
    assert image.startswith("r.example/shop/api:drill-does-not-exist-")
    assert image.endswith("-broken")
    assert DrillReport("shop", "ns", done).outputs()["passed"] == "true"


@pytest.mark.parametrize(
    ("how", "reason", "calls"),
    [
        ("ok", "its pods were not waited for", ["upgrade", "rollback 1"]),
        ("timeout", "did not roll back by itself", ["upgrade", "rollback 1"]),
    ],
)
def test_what_helm_does_not_undo_the_drill_does_and_says_so(how: str, reason: str, calls: list[str]) -> None:
    world, helm, drill = shop(how)
    done = drill.run(Kind.BROKEN_IMAGE)
    assert reason in done.reason
    assert helm.calls == calls
    assert done.restored
    assert world.cluster.running == V1
    assert DrillReport("shop", "ns", done).code is Exit.FAILED


def test_a_release_that_somebody_scaled_is_not_broken_and_the_drill_says_why() -> None:
    world, helm, drill = shop("conflicts", "conflicts")
    with pytest.raises(DeliveryError, match=r"\.spec\.replicas is now owned") as refused:
        drill.run(Kind.BROKEN_IMAGE)
    assert refused.value.code is Exit.FAILED
    assert helm.calls == ["upgrade", "rollback 1"]
    assert MAP not in world.cluster.objects


class TestLeftOver:
    @staticmethod
    def left(world: World, kind: Kind, tag: str = "drill-does-not-exist-1-broken", until: str = "") -> None:
        memory = {"kind": kind, "revision": 1, "tag": tag, "node": "n1", "until": until}
        world.cluster.objects[MAP] = {"metadata": {}, "data": {"drill": json.dumps(memory)}}

    def test_a_broken_image_that_was_left_is_taken_back(self) -> None:
        world, helm, drill = shop()
        self.left(world, Kind.BROKEN_IMAGE)
        broken = manifest("r.example/shop/api:drill-does-not-exist-1-broken")
        world.cluster.records.append(revision(2, "pending-upgrade", manifest=broken))
        assert drill.restore()
        assert helm.calls == ["rollback 1"]
        assert MAP not in world.cluster.objects
        assert drill.restore() is None

    def test_one_that_may_be_at_work_is_left_alone_until_it_cannot_be(self) -> None:
        world, helm, drill = shop("fails")
        until = world.clock.now() + timedelta(minutes=5)
        self.left(world, Kind.KILLED_POD, until=until.isoformat())
        before = dict(world.cluster.objects)
        with pytest.raises(DeliveryError, match=r"may be at work until .*--restore") as locked:
            drill.run(Kind.BROKEN_IMAGE)
        assert locked.value.code is Exit.LOCKED
        assert (helm.calls, world.cluster.objects) == ([], before)
        world.clock.sleep(301)
        assert drill.run(Kind.BROKEN_IMAGE).restored
        self.left(world, Kind.KILLED_POD, until=(world.clock.now() + timedelta(minutes=5)).isoformat())
        assert drill.restore()
        assert MAP not in world.cluster.objects

    def test_what_was_deployed_since_stays(self) -> None:
        world, helm, drill = shop()
        self.left(world, Kind.BROKEN_IMAGE)
        world.cluster.records[:] = [revision(1), revision(2, "failed"), revision(3, "deployed")]
        assert drill.restore()
        assert helm.calls == []

    def test_a_node_is_given_back_before_the_next_drill(self) -> None:
        world, _, drill = shop()
        self.left(world, Kind.LOST_NODE)
        world.cluster.objects["/api/v1/nodes/n1"]["spec"] = {"taints": [{"key": "pavedpath/drill"}]}
        world.cluster.on_delete = lambda path: replaced(world, gone="a", after_s=1)() if "/pods/" in path else None
        assert drill.run(Kind.KILLED_POD).restored
        assert world.cluster.objects["/api/v1/nodes/n1"]["spec"]["taints"] == []


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        (Kind.KILLED_POD, "delete pods"),
        (Kind.LOST_NODE, "patch nodes"),
        (Kind.BROKEN_IMAGE, "create configmaps"),
    ],
)
def test_what_the_kubeconfig_may_not_is_said_before_anything_is_broken(kind: Kind, right: str) -> None:
    world, helm, drill = shop()
    world.cluster.denied = {right}
    with pytest.raises(DeliveryError, match=f"may not {right}") as refused:
        drill.run(kind)
    assert refused.value.code is Exit.POLICY
    assert (helm.calls, len(world.cluster.objects)) == ([], 2)


def test_what_does_not_run_is_not_drilled() -> None:
    world, _, drill = shop()
    world.cluster.pods.pop()
    with pytest.raises(DeliveryError, match="1 of 2 ready"):
        drill.run(Kind.KILLED_POD)


def test_a_plan_breaks_nothing() -> None:
    world, helm, drill = shop()
    done = drill.run(Kind.KILLED_POD, dry_run=True)
    assert done.note == "would do: pod a was deleted"
    assert (helm.calls, MAP in world.cluster.objects, len(world.cluster.pods)) == ([], False, 2)
