from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.deploy import releases
from pavedpath_delivery.deploy.releases import Busy, Free, Revert, Revision, judge, target
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.deploy.world import START, Cluster, as_secret, manifest, revision

TIMEOUT = timedelta(minutes=5)
LATER = START + timedelta(hours=1)


def rolled(number: int, to: int, status: str = "deployed") -> Revision:
    restored = manifest(f"r.example/shop/api:v{to}")
    return revision(number, status, description=f"Rollback to {to}", manifest=restored)


def test_a_record_is_read_as_helm_wrote_it() -> None:
    written = revision(3, "deployed", description="Upgrade complete", values={"a": "s3cret"})
    read = releases.read_record(as_secret(written))
    assert (read.number, read.status, read.chart, read.app_version) == (3, "deployed", "shop-1.0.0", "1")
    assert read.changed - START == timedelta(microseconds=123456)
    assert read.images == ["r.example/shop/api:v3"]
    assert read.values == {"a": "s3cret"}
    assert "s3cret" not in repr(read)


def test_a_description_that_quotes_a_secret_is_hidden() -> None:
    written = revision(1, "failed", description="invalid: hunter2-long", manifest=manifest(secret="hunter2-long"))
    assert releases.read_record(as_secret(written)).description == "invalid: (secret)"


def test_history_is_in_order() -> None:
    cluster = Cluster([revision(10, "deployed"), revision(9), revision(2)])
    assert [each.number for each in releases.history(cluster, "ns", "shop")] == [2, 9, 10]


def test_of_two_that_are_deployed_the_newest_is() -> None:
    cluster = Cluster([revision(1, "deployed"), revision(2, "failed"), revision(3, "deployed")])
    assert [each.status for each in releases.history(cluster, "ns", "shop")] == ["superseded", "failed", "deployed"]


@pytest.mark.parametrize(
    ("status", "description", "ran"),
    [
        ("deployed", "Upgrade complete", True),
        ("superseded", "Install complete", True),
        ("superseded", "Rollback to 3", True),
        ("superseded", "Upgrade of the failed billing", True),
        ("superseded", 'Upgrade "shop" failed: context deadline exceeded', False),
        ("superseded", 'Release "shop" failed: resource not ready', False),
        ("superseded", 'Rollback "shop" failed: conflict occurred while applying object', False),
        ("superseded", "Preparing upgrade", False),
        ("failed", "Upgrade complete", False),
        ("pending-upgrade", "Preparing upgrade", False),
    ],
)
def test_whether_it_ran_is_in_status_and_description(status: str, description: str, ran: bool) -> None:
    assert revision(1, status, description=description).succeeded is ran


def never_ran(number: int) -> Revision:
    """What a failed rollback leaves of an upgrade that failed."""
    return revision(number, description='Upgrade "shop" failed: resource not ready')


class TestJudge:
    def test_nothing_is_free(self) -> None:
        assert judge([], LATER, TIMEOUT) == Free()
        assert judge([revision(1, "deployed")], START, TIMEOUT) == Free()
        assert judge([revision(1, "failed")], START, TIMEOUT) == Free()

    def test_a_young_one_is_busy_and_an_old_one_reverted(self) -> None:
        revisions = [revision(1), revision(2, "deployed"), revision(3, "pending-upgrade")]
        assert judge(revisions, START + TIMEOUT, TIMEOUT) == Busy(revisions[-1], START + TIMEOUT)
        assert judge(revisions, LATER, TIMEOUT) == Revert(revisions[-1], 2)

    def test_a_first_one_is_removed(self) -> None:
        revisions = [revision(1, "pending-install")]
        assert judge(revisions, LATER, TIMEOUT) == Revert(revisions[0], None)

    def test_a_rollback_is_finished_where_it_went(self) -> None:
        revisions = [revision(1), revision(2), revision(3, "deployed"), rolled(4, 1, "pending-rollback")]
        assert judge(revisions, LATER, TIMEOUT) == Revert(revisions[-1], 1)

    def test_a_rollback_to_what_is_gone_goes_to_what_ran(self) -> None:
        revisions = [revision(3, "deployed"), rolled(4, 1, "pending-rollback")]
        assert judge(revisions, LATER, TIMEOUT) == Revert(revisions[-1], 3)


class TestTarget:
    @pytest.mark.parametrize(
        ("revisions", "number"),
        [
            ([revision(1), revision(2, "deployed")], 1),
            ([revision(1), revision(2, "failed"), revision(3, "deployed")], 1),
            # What Helm itself rolled back is not gone back to, and nor is what runs under another number.
            ([revision(1), revision(2), revision(3, "failed"), rolled(4, 2)], 1),
            ([revision(1), revision(2), revision(3), rolled(4, 2, "superseded"), revision(5, "deployed")], 4),
            # The newest failed and was not rolled back: back to what ran.
            ([revision(1), revision(2, "deployed"), revision(3, "failed")], 2),
            # Helm's own rollback failed, too: the last one that ran, not the one before it.
            ([revision(1), revision(4, "superseded"), revision(5, "failed"), rolled(6, 4, "failed")], 4),
            # What failed and was marked superseded by a rollback that failed, too, is never gone back to.
            ([revision(1), never_ran(2), revision(3, "failed")], 1),
            ([revision(1), revision(2), never_ran(3), revision(4, "deployed")], 2),
            ([revision(1, "deployed"), never_ran(2), revision(3, "failed"), never_ran(4), revision(5, "failed")], 1),
            # The same content once more is no change.
            ([revision(1), revision(2), revision(3, "deployed", manifest=revision(2).manifest)], 1),
        ],
    )
    def test_the_one_that_ran_before(self, revisions: list[Revision], number: int) -> None:
        assert target(revisions, None).number == number

    @pytest.mark.parametrize(
        "revisions",
        [
            [],
            [revision(1, "deployed")],
            [revision(1), revision(2), rolled(3, 1)],
            [revision(1, "failed"), revision(2, "deployed")],
            [never_ran(1), revision(2, "deployed")],
        ],
    )
    def test_nothing_to_go_back_to(self, revisions: list[Revision]) -> None:
        with pytest.raises(DeliveryError, match="no earlier revision") as refused:
            target(revisions, None)
        assert refused.value.code is Exit.USAGE

    def test_one_that_is_named(self) -> None:
        revisions = [revision(1, "failed"), revision(2), revision(3, "deployed")]
        assert target(revisions, 2).number == 2
        assert target(revisions, 1, force=True).number == 1
        with pytest.raises(DeliveryError, match="never ran") as refused:
            target([revision(1), never_ran(2), revision(3, "deployed")], 2)
        assert refused.value.code is Exit.POLICY
        assert target([never_ran(1), revision(2, "deployed")], 1, force=True).number == 1
        for number, code, words in ((1, Exit.POLICY, "never ran"), (3, Exit.USAGE, "runs"), (9, Exit.USAGE, "2, 3")):
            with pytest.raises(DeliveryError, match=words) as refused:
                target(revisions, number)
            assert refused.value.code is code

    @given(st.lists(st.sampled_from(["superseded", "failed"]), max_size=8), st.sampled_from(["deployed", "failed"]))
    def test_never_to_what_never_ran_nor_to_what_runs(self, statuses: list[str], newest: str) -> None:
        revisions = [revision(number, status) for number, status in enumerate([*statuses, newest], 1)]
        try:
            found = target(revisions, None)
        except DeliveryError:
            ran = [each for each in revisions[:-1] if each.succeeded]
            assert not ran
        else:
            assert found.succeeded
            assert found is not revisions[-1]


@given(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"]), st.integers(0, 999_999_999))
def test_times_of_go_are_read_to_the_microsecond(text: str, nanoseconds: int) -> None:
    with_fraction = f"{text[:19]}.{nanoseconds:09}".rstrip("0").rstrip(".") + text[19:]
    assert releases.read_time(with_fraction) - START == timedelta(microseconds=nanoseconds // 1000)
