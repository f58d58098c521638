from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pavedpath_delivery.deploy import flow
from pavedpath_delivery.deploy.flow import State, conclude, deploy
from pavedpath_delivery.deploy.helm import Inputs
from pavedpath_delivery.deploy.place import follow, settle
from pavedpath_delivery.deploy.prepare import Prepared, Request
from pavedpath_delivery.deploy.releases import Revision
from pavedpath_delivery.deploy.rollback import State as Rolled
from pavedpath_delivery.deploy.rollback import rollback
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.deploy.world import (
    START,
    Cluster,
    FakeHelm,
    Operation,
    World,
    manifest,
    pod,
    revision,
)

V1, V2 = manifest("r.example/shop/api:v1"), manifest("r.example/shop/api:v2")


def running(*script: str, records: list[Revision] | None = None) -> tuple[World, FakeHelm]:
    world = World(Cluster(records or [revision(1, "deployed", manifest=V1)], [pod("a"), pod("b")], V1))
    return world, FakeHelm(world.cluster, world.clock, *script)


def request(tmp_path: Path, **more: object) -> Request:
    (tmp_path / "dev.yaml").write_text("replicas: 2\n")
    given = Request("shop", "ns", "dev", str(tmp_path), tmp_path)
    return replace(given, **more)  # pyright: ignore[reportArgumentType]  names of its own fields


def run(world: World, helm: FakeHelm, wanted: Request, *, dry_run: bool = False) -> flow.Outcome:
    return deploy(wanted, world.place(helm), {}, dry_run=dry_run)


NEVER_RAN = revision(2, description='Upgrade "shop" failed: timeout')


@pytest.mark.parametrize(
    ("before", "after", "reason", "state"),
    [
        ([], [revision(1, "deployed")], "", State.DEPLOYED),
        ([], [], "release shop failed, and has been uninstalled due to atomic being set", State.ROLLED_BACK),
        ([], [], "namespaces ns not found", None),
        ([revision(1, "deployed")], [revision(1, "deployed")], "forbidden", None),
        (
            [revision(1, "deployed")],
            [revision(1), revision(2, "failed"), revision(3, "deployed", description="Rollback to 1")],
            "timeout",
            State.ROLLED_BACK,
        ),
        # Helm keeps as many as it is told to: what it went back to can be gone by now.
        (
            [revision(1, "deployed")],
            [revision(2, "failed"), revision(3, "deployed", description="Rollback to 1")],
            "timeout",
            State.ROLLED_BACK,
        ),
        (
            [revision(1, "deployed")],
            [revision(1), revision(2, "failed"), revision(3, "deployed", description="Upgrade complete")],
            "another operation is in progress",
            State.OVERTAKEN,
        ),
        # Helm 4 takes every superseded revision for one that ran.
        (
            [revision(1, "deployed"), NEVER_RAN],
            [revision(1), NEVER_RAN, revision(3, "failed"), revision(4, "deployed", description="Rollback to 2")],
            "timeout",
            State.BROKEN,
        ),
        ([revision(1, "deployed")], [revision(1, "deployed"), revision(2, "failed")], "timeout", State.BROKEN),
        ([revision(1, "deployed")], [revision(1, "deployed"), revision(2, "pending-upgrade")], "killed", State.BROKEN),
        (
            [revision(1, "deployed")],
            [revision(1), revision(2, "failed"), revision(3, "failed")],
            "rollback failed",
            State.BROKEN,
        ),
        ([revision(1, "failed")], [revision(1, "failed"), revision(2, "failed")], "no good one", State.BROKEN),
    ],
)
def test_the_newest_record_says_what_helm_did(
    before: list[Revision], after: list[Revision], reason: str, state: State | None
) -> None:
    assert conclude(before, after, reason) is state


class TestDeploy:
    def test_an_upgrade(self, tmp_path: Path) -> None:
        world, helm = running("ok")
        done = run(world, helm, request(tmp_path))
        assert (done.state, done.revision, done.previous) == (State.DEPLOYED, 2, 1)
        assert done.images == ["r.example/shop/api:v2"]
        assert "update Deployment shop" in world.said

    def test_a_failure_is_rolled_back_by_helm_and_by_nobody_else(self, tmp_path: Path) -> None:
        world, helm = running("fails")
        done = run(world, helm, request(tmp_path))
        assert (done.state, done.revision, done.previous) == (State.ROLLED_BACK, 3, 1)
        assert done.images == ["r.example/shop/api:v1"]
        assert helm.calls == ["upgrade"]

    def test_a_rollback_after_which_nothing_runs_is_broken(self, tmp_path: Path) -> None:
        world, helm = running("fails")
        world.clock.at(5, world.cluster.pods.clear)
        done = run(world, helm, request(tmp_path))
        assert done.state is State.BROKEN
        assert "Helm rolled back, but deployment shop: 0 of 2 ready" in done.reason
        assert helm.calls == ["upgrade"]

    def test_a_failed_rollback_is_broken(self, tmp_path: Path) -> None:
        world, helm = running("timeout")
        done = run(world, helm, request(tmp_path))
        assert (done.state, done.revision) == (State.BROKEN, 2)
        assert helm.calls == ["upgrade"]

    def test_a_refusal_changes_nothing(self, tmp_path: Path) -> None:
        world, helm = running("refused")
        with pytest.raises(DeliveryError, match=r"Nothing was changed\. .*forbidden") as refused:
            run(world, helm, request(tmp_path))
        assert refused.value.code is Exit.FAILED

    def test_a_conflict_is_a_refusal_that_names_the_field_its_manager_and_the_fix(self, tmp_path: Path) -> None:
        world, helm = running("conflicts")
        with pytest.raises(DeliveryError) as refused:
            run(world, helm, request(tmp_path))
        assert refused.value.code is Exit.FAILED
        for part in (
            "Revision 1 of shop runs as before",
            '.spec.replicas is now owned by "kubectl"',
            "--force, which takes",
        ):
            assert part in str(refused.value)

    def test_after_a_conflict_that_left_something_else_it_is_broken(self, tmp_path: Path) -> None:
        world, helm = running("conflicts")
        world.clock.at(5, world.cluster.pods.clear)
        assert run(world, helm, request(tmp_path)).state is State.BROKEN

    @pytest.mark.parametrize(("server_side", "call"), [(True, "upgrade taking back"), (False, "upgrade")])
    def test_force_takes_back_where_helm_sees_conflicts(self, tmp_path: Path, server_side: bool, call: str) -> None:
        records = [revision(1, "deployed", manifest=V1, server_side=server_side)]
        world, helm = running("ok", records=records)
        run(world, helm, request(tmp_path, force=True))
        assert helm.calls == [call]

    def test_somebody_elses_deployment_is_no_rollback(self, tmp_path: Path) -> None:
        world, helm = running("overtaken")
        done = run(world, helm, request(tmp_path))
        assert (done.state, done.revision) == (State.OVERTAKEN, 3)

    def test_every_name_and_image_and_duration_at_once(self, tmp_path: Path) -> None:
        world, helm = running()
        wanted = request(
            tmp_path,
            app="Shop_1",
            namespace="a/b",
            environment="../prod",
            chart="/nowhere",
            images=["api"],
            settings=["replicas"],
            wrong=["--timeout soon: no duration above zero."],
        )
        with pytest.raises(DeliveryError) as refused:
            run(world, helm, wanted)
        parts = ["APP Shop_1", "--namespace a/b", "--environment ../prod", "--image api", "--set replicas"]
        for part in [*parts, "--timeout soon", "--chart /nowhere"]:
            assert part in str(refused.value)
        assert len(str(refused.value).splitlines()) == 7

    def test_nothing_to_change_makes_no_revision(self, tmp_path: Path) -> None:
        world, helm = running()
        world.cluster.records = [revision(1, "deployed", manifest=V1)]
        helm.rendered = V1
        assert run(world, helm, request(tmp_path)).state is State.UNCHANGED
        assert helm.calls == []
        assert run(world, helm, request(tmp_path, force=True)).state is State.DEPLOYED
        world.cluster.pods.clear()
        assert run(world, helm, request(tmp_path)).state is State.DEPLOYED
        assert any("nothing would change, but" in line for line in world.said)

    def test_a_preview_changes_nothing(self, tmp_path: Path) -> None:
        world, helm = running()
        done = run(world, helm, request(tmp_path), dry_run=True)
        assert (done.state, done.revision) == (State.PREVIEWED, 1)
        assert [each.name for each in done.changes] == ["Deployment shop"]
        assert helm.calls == []

    def test_an_image_that_cannot_be_pulled_stops_it(self, tmp_path: Path) -> None:
        world, helm = running("fails")
        image = "r.example/shop/api:v2"
        bad = pod("c", ready=False, image=image, reason="ImagePullBackOff")
        world.clock.at(1, lambda: world.cluster.pods.append(bad))
        world.clock.at(6, lambda: world.cluster.pods.remove(bad))
        done = run(world, helm, request(tmp_path, fail_fast_s=3.0))
        assert done.state is State.ROLLED_BACK
        assert helm.operation
        assert helm.operation.calls == ["stop"]
        assert world.clock.elapsed < 10
        assert done.problems == ["pod c: ImagePullBackOff: not found"]

    def test_every_mistake_at_once(self, tmp_path: Path) -> None:
        world, helm = running()
        wanted = replace(request(tmp_path), chart="/nowhere", environment="prod")
        (tmp_path / "prod.yaml").write_text("- a\n- list\n")
        with pytest.raises(DeliveryError) as refused:
            run(world, helm, wanted)
        assert "--chart /nowhere" in str(refused.value)
        assert "prod.yaml: it holds no mapping" in str(refused.value)
        assert refused.value.code is Exit.USAGE

    def test_a_secret_is_in_no_difference_neither_todays_nor_yesterdays(self, tmp_path: Path) -> None:
        def environment_of(value: str) -> str:
            return manifest().replace('"name": "api",', f'"name": "api", "env": [{{"name": "K", "value": "{value}"}}],')

        live = revision(1, "deployed", manifest=environment_of("yesterday-s3cret"), values={"key": "yesterday-s3cret"})
        prepared = Prepared(Inputs("chart"), {"key": "today-s3cret"}, FakeHelm(Cluster(), World().clock))
        (change,) = flow.differences(live, environment_of("today-s3cret"), prepared)
        shown = "".join(change.lines)
        assert "s3cret" not in shown
        assert shown.count("(secret)") == 2


class TestPending:
    PENDING = revision(2, "pending-upgrade", manifest=V2)

    def test_another_deployment_is_waited_for(self) -> None:
        world, helm = running()
        world.cluster.records.append(self.PENDING)

        def finish() -> None:
            world.cluster.records[-1] = revision(2, "deployed", manifest=V2)

        world.clock.at(30, finish)
        assert settle(world.place(helm), timeout_s=300, history=10)[-1].status == "deployed"
        assert helm.calls == []
        assert world.said == [
            "revision 2 of shop is pending-upgrade: somebody may be at it until 00:05:00 UTC; waiting"
        ]

    def test_one_that_was_killed_is_reverted_after_its_time(self, tmp_path: Path) -> None:
        world, helm = running("ok")
        world.cluster.records.append(self.PENDING)
        done = run(world, helm, request(tmp_path))
        assert helm.calls == ["rollback 1", "upgrade"]
        assert (done.state, done.revision) == (State.DEPLOYED, 4)
        assert world.clock.elapsed > 300

    def test_a_first_one_that_was_killed_is_removed(self) -> None:
        world, helm = running(records=[revision(1, "pending-install", changed=START - timedelta(hours=1))])
        assert settle(world.place(helm), timeout_s=300, history=10) == []
        assert helm.calls == ["uninstall"]

    def test_without_waiting_it_is_locked(self) -> None:
        world, helm = running()
        world.cluster.records.append(self.PENDING)
        with pytest.raises(DeliveryError, match="try again then") as locked:
            settle(world.place(helm), timeout_s=300, history=10, wait=False)
        assert locked.value.code is Exit.LOCKED


class TestFollow:
    def test_an_interruption_is_passed_on_and_waited_for(self) -> None:
        world, helm = running()
        operation = Operation(world.clock, 100, lambda: "context canceled", interrupts=1)
        assert follow(operation, None, world.place(helm), 1000) == "context canceled"
        assert operation.calls == ["stop"]

    def test_a_second_one_ends_it(self) -> None:
        world, helm = running()
        operation = Operation(world.clock, 100, lambda: "", interrupts=2)
        with pytest.raises(KeyboardInterrupt):
            follow(operation, None, world.place(helm), 1000)
        assert operation.calls == ["stop", "end"]

    def test_one_that_never_ends_is_ended(self) -> None:
        world, helm = running()
        operation = Operation(world.clock, 10_000, lambda: "")
        assert "did not end within 60 s" in follow(operation, None, world.place(helm), 60)
        assert operation.calls == ["end"]


class TestRollback:
    RECORDS = (revision(1, manifest=V1), revision(2, "deployed", manifest=V2))

    def test_it_goes_back_and_verifies(self) -> None:
        world, helm = running(records=list(self.RECORDS))
        done = rollback(world.place(helm))
        assert (done.state, done.target, done.revision) == (Rolled.ROLLED_BACK, 1, 3)
        assert done.images == ["r.example/shop/api:v1"]

    def test_what_does_not_run_afterwards_is_broken(self) -> None:
        world, helm = running(records=list(self.RECORDS))
        world.cluster.pods.clear()
        done = rollback(world.place(helm))
        assert done.state is Rolled.BROKEN
        assert "0 of 2 ready" in done.reason

    @pytest.mark.parametrize("newest", ["deployed", "failed"])
    def test_it_undoes_only_what_runs(self, newest: str) -> None:
        world, helm = running(records=[*self.RECORDS, revision(3, newest)])
        if newest == "deployed":
            world.cluster.records[1] = revision(2)
        done = rollback(world.place(helm), if_deployed=2)
        assert done.state is Rolled.PASSED_OVER
        assert "3" in done.reason
        assert helm.calls == []

    def test_twice_is_once(self) -> None:
        world, helm = running(records=list(self.RECORDS))
        assert rollback(world.place(helm), if_deployed=2).state is Rolled.ROLLED_BACK
        assert rollback(world.place(helm), if_deployed=2).state is Rolled.PASSED_OVER
        assert helm.calls == ["rollback 1"]

    def test_a_no_changes_nothing(self) -> None:
        world, helm = running(records=list(self.RECORDS))
        asked: list[str] = []
        done = rollback(world.place(helm), confirm=lambda question: bool(asked.append(question)))
        assert (done.state, helm.calls) == (Rolled.PLANNED, [])
        assert asked == ["shop in ns: back from revision 2 to revision 1 (r.example/shop/api:v1)?"]

    def test_a_conflict_names_the_field_and_force_takes_it_back(self) -> None:
        records = [replace(each, server_side=True) for each in self.RECORDS]
        world, helm = running("conflicts", records=records)
        world.cluster.running = V2
        with pytest.raises(DeliveryError, match=r"\.spec\.replicas is now owned by") as refused:
            rollback(world.place(helm))
        assert refused.value.code is Exit.FAILED
        assert rollback(world.place(helm), force=True).state is Rolled.ROLLED_BACK
        assert helm.calls == ["rollback 1", "rollback 1 taking back"]

    def test_no_release(self) -> None:
        world, helm = running()
        world.cluster.records.clear()
        with pytest.raises(DeliveryError, match="no release shop"):
            rollback(world.place(helm))
