"""Promotion by evidence, over registries in memory: what is refused, what is copied, and what a killed run leaves."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pavedpath_delivery.images.evidence import MEDIA_TYPE, Evidence, find_evidence, manifest_of, record
from pavedpath_delivery.images.kinds import Kind
from pavedpath_delivery.images.manifests import EMPTY, Manifest, digest_of
from pavedpath_delivery.images.promote import Promoted, Wishes, promote
from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.kit.errors import DeliveryError, Exit

from tests.unit.delivery.images.fake_registry import HOST, FakeRegistry, put_image, put_index
from tests.unit.delivery.support import console
from tests.unit.delivery.virtual import VirtualClock

SOURCE = f"{HOST}/ci/api"
PROD = f"{HOST}/prod/api"
FAR = "other.example/prod/api"
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def evidence(digest: str, kind: Kind = Kind.TESTED, **changes: Any) -> Evidence:
    made = Evidence(kind, digest, digest_of(b"r"), "https://ci.example/1", "c" * 40, NOW)
    return replace(made, **changes)


def record_all(fake: FakeRegistry, digest: str, *kinds: Kind, at: str = SOURCE) -> None:
    for kind in kinds or Kind:
        record(fake.open(at), Reference.parse(f"{at}@{digest}"), evidence(digest, kind))


def ask(fake: FakeRegistry, digest: str, *targets: str, dry_run: bool = False, **wishes: Any) -> Promoted:
    asked = Wishes(Reference.parse(f"{SOURCE}@{digest}"), tuple(map(Reference.parse, targets)), **wishes)
    return promote(fake.registries(), asked, lambda _: None, dry_run=dry_run)


def refused(fake: FakeRegistry, digest: str, *targets: str, **wishes: Any) -> str:
    fake.requests.clear()
    with pytest.raises(DeliveryError) as error:
        ask(fake, digest, *targets, **wishes)
    assert error.value.code is Exit.POLICY
    assert fake.writes() == []
    return str(error.value)


@pytest.fixture(params=[True, False], ids=["referrers", "fallback"])
def fake(request: pytest.FixtureRequest) -> FakeRegistry:
    return FakeRegistry(referrers_api=request.param)


# Evidence


def test_evidence_is_recorded_once(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    reference = Reference.parse(f"{SOURCE}@{image.digest}")
    tried = record(fake.open(SOURCE), reference, evidence(image.digest), dry_run=True)
    assert (tried.made, tried.document()["recorded"], fake.writes()) == (True, False, [])
    first = record(fake.open(SOURCE), reference, evidence(image.digest))
    again = record(fake.open(SOURCE), reference, evidence(image.digest, recorded=datetime(2027, 1, 1, tzinfo=UTC)))
    assert (first.made, again.made) == (True, False)
    assert first.artifact == again.artifact
    assert record(fake.open(SOURCE), reference, evidence(image.digest, url="https://ci.example/2")).made
    found = find_evidence(fake.open(SOURCE), image.digest)
    assert found.kinds == {Kind.TESTED}
    assert len(found.valid) == 2
    assert found.valid[first.artifact] == evidence(image.digest)


def test_an_image_that_is_not_there_gets_no_evidence(fake: FakeRegistry) -> None:
    digest = digest_of(b"nothing")
    with pytest.raises(DeliveryError, match="not in the registry"):
        record(fake.open(SOURCE), Reference.parse(f"{SOURCE}@{digest}"), evidence(digest))


def attach(fake: FakeRegistry, manifest: Manifest, predicate: bytes) -> None:
    fake.at(SOURCE).blobs |= {digest_of(each): each for each in (EMPTY, predicate)}
    fake.open(SOURCE).attach(manifest, artifactType=MEDIA_TYPE)


@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ({"subject": digest_of(b"another image")}, "its predicate is about sha256:"),
        ({"kind": "guessed"}, "'guessed' is not a valid Kind"),
        ({"recorded": "yesterday"}, "Invalid isoformat"),
        ({"report": "none"}, "`report` is no digest"),
        ({"url": 1}, "no text in url"),
    ],
)
def test_what_is_no_evidence_does_not_count(fake: FakeRegistry, predicate: dict[str, Any], said: str) -> None:
    image = put_image(fake.at(SOURCE), "one")
    statement = evidence(image.digest)
    content = json.dumps({**statement.document(), **predicate}).encode()
    document = json.loads(manifest_of(statement, image.descriptor())[0].content)
    document["layers"][0] |= {"digest": digest_of(content), "size": len(content)}
    attach(fake, Manifest.make(document), content)
    found = find_evidence(fake.open(SOURCE), image.digest)
    assert found.kinds == set()
    assert said in "".join(found.invalid.values())
    assert said in refused(fake, image.digest, f"{PROD}:v1.0.0")


def test_evidence_for_another_digest_does_not_count() -> None:
    fake = FakeRegistry(referrers_api=False)  # there, who writes the list can put anything into it
    tested, other = put_image(fake.at(SOURCE), "one"), put_image(fake.at(SOURCE), "two")
    record_all(fake, tested.digest)
    stored = fake.at(SOURCE)
    stored.tags[f"sha256-{other.digest[7:]}"] = stored.tags[f"sha256-{tested.digest[7:]}"]
    said = refused(fake, other.digest, f"{PROD}:v1.0.0")
    assert f"it is about {tested.digest}" in said
    assert "not recorded as tested" in said
    assert "not recorded as scanned" in said


# Promotion


def test_an_index_is_copied_to_the_byte_with_its_evidence(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    before = dict(fake.at(SOURCE).manifests)
    done = ask(fake, image.digest, f"{FAR}:v1.0.0", f"{FAR}:latest", f"{PROD}:v1.0.0", f"{SOURCE}:v1.0.0")
    for name in (FAR, PROD, SOURCE):
        stored = fake.at(name)
        assert stored.tags["v1.0.0"] == image.digest
        copied = {key: value for key, value in stored.manifests.items() if key in before}
        listing = fake.at(SOURCE).tags.get(f"sha256-{image.digest[7:]}", "")  # each repository has its own
        assert copied.keys() >= before.keys() - {listing}
        assert all(copied[key] == before[key] for key in copied)
        assert find_evidence(fake.open(name), image.digest).kinds == set(Kind)
    assert fake.at(FAR).tags["latest"] == image.digest
    assert done.outputs() == {
        "digest": image.digest,
        "images": "\n".join(f"{name}@{image.digest}" for name in (FAR, PROD, SOURCE)),
    }
    mounts = [each for each in fake.writes() if "mount=" in each]
    assert mounts
    assert all(HOST in each for each in mounts)


def test_a_second_run_changes_nothing(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    targets = [f"{FAR}:v1.0.0", f"{FAR}:latest", f"{SOURCE}:dev"]
    ask(fake, image.digest, *targets)
    fake.requests.clear()
    done = ask(fake, image.digest, *targets)
    assert fake.writes() == []
    sink, out = console()
    done.show(sink)
    assert out.getvalue().splitlines() == [f"{FAR}: has it all", f"{SOURCE}: has it all"]


def test_a_dry_run_says_what_is_missing_and_does_nothing(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    fake.requests.clear()
    done = ask(fake, image.digest, f"{FAR}:v1.0.0", dry_run=True)
    assert fake.writes() == []
    assert done.document()["copied"] == [
        {
            "repository": FAR,
            "blobs": 7,  # two images' configurations and layers, two predicates, and their empty configuration
            "bytes": sum(map(len, fake.at(SOURCE).blobs.values())),
            "manifests": 3,
            "referrers": 2,
            "tags": ["v1.0.0"],
        }
    ]
    assert done.summary() == ""


def test_everything_that_is_wrong_is_said_at_once_before_anything_is_done(fake: FakeRegistry) -> None:
    image, other = put_image(fake.at(SOURCE), "one"), put_image(fake.at(PROD), "two")
    record_all(fake, image.digest, Kind.TESTED)
    fake.at(PROD).tags |= {"v1.0.0": other.digest, "v2.0.0": other.digest, "latest": other.digest}
    said = refused(fake, image.digest, f"{PROD}:v1.0.0", f"{PROD}:latest", f"{FAR}:latest")
    assert said.splitlines() == [
        f"{SOURCE}@{image.digest} is not promoted:",
        f"- it is not recorded as scanned. Fix: pavedpath image record {SOURCE}@{image.digest} --kind scanned, "
        "where that is done",
        f"- {PROD}:v1.0.0: it names {other.digest} already, and a fixed tag never moves. "
        "Fix: release under a new version",
        f"- {PROD}:latest: it names v2.0.0, which is newer than v1.0.0; moving tags go forwards only",
        f"- {FAR}:latest: `latest` names releases, and this is an image without a version. "
        "Fix: promote it to its vX.Y.Z in the same command",
    ]


def test_latest_goes_forwards(fake: FakeRegistry) -> None:
    images = [put_image(fake.at(SOURCE), version) for version in ("v1.9.0", "v1.10.0", "v1.9.1")]
    for image in images:
        record_all(fake, image.digest)
    ask(fake, images[0].digest, f"{PROD}:v1.9.0", f"{PROD}:latest")
    ask(fake, images[1].digest, f"{PROD}:v1.10.0", f"{PROD}:latest")
    assert fake.at(PROD).tags["latest"] == images[1].digest
    assert "v1.10.0, which is newer" in refused(fake, images[2].digest, f"{PROD}:v1.9.1", f"{PROD}:latest")
    ask(fake, images[2].digest, f"{PROD}:v1.9.1")
    # The version may be known from an earlier run.
    assert "v1.10.0, which is newer" in refused(fake, images[2].digest, f"{PROD}:latest")


def test_an_image_that_was_a_prerelease_counts_as_its_release(fake: FakeRegistry) -> None:
    first, second = (put_image(fake.at(SOURCE), seed) for seed in ("one", "two"))
    for image in (first, second):
        record_all(fake, image.digest)
    ask(fake, first.digest, f"{PROD}:v2.0.0-rc.1")
    assert "a prerelease" in refused(fake, first.digest, f"{PROD}:latest")
    ask(fake, first.digest, f"{PROD}:v1.0.0", f"{PROD}:v1.0.0-rc.1", f"{PROD}:latest")
    ask(fake, second.digest, f"{PROD}:v1.1.0", f"{PROD}:latest")
    assert fake.at(PROD).tags["latest"] == second.digest


def test_latest_leaves_an_image_without_a_version_only_when_told(fake: FakeRegistry) -> None:
    image, unknown = put_image(fake.at(SOURCE), "one"), put_image(fake.at(PROD), "by hand")
    record_all(fake, image.digest)
    fake.at(PROD).tags["latest"] = unknown.digest
    assert "--adopt" in refused(fake, image.digest, f"{PROD}:v1.0.0", f"{PROD}:latest")
    ask(fake, image.digest, f"{PROD}:v1.0.0", f"{PROD}:latest", adopt=True)
    assert fake.at(PROD).tags["latest"] == image.digest


def test_dev_goes_by_what_was_recorded_last(fake: FakeRegistry) -> None:
    old, new = put_index(fake.at(SOURCE), "old"), put_index(fake.at(SOURCE), "new")

    def run(image: Manifest, number: int, day: int) -> None:
        """Record what the workflow run of that number does on that day."""
        reference = Reference.parse(f"{SOURCE}@{image.digest}")
        for kind in Kind:
            made = evidence(image.digest, kind, report=digest_of(b"%d" % day), url=f"https://ci.example/{number}")
            record(fake.open(SOURCE), reference, replace(made, recorded=NOW + timedelta(day)))

    run(old, 1, day=1)
    run(new, 2, day=2)
    ask(fake, old.digest, f"{PROD}:dev")
    ask(fake, new.digest, f"{PROD}:dev")
    run(old, 1, day=5)  # the same run again
    assert "recorded later (2026-01-04 03:04:00 UTC)" in refused(fake, old.digest, f"{PROD}:dev")
    run(old, 3, day=6)  # the same bytes, of a commit that takes the second one back
    ask(fake, old.digest, f"{PROD}:dev")
    assert fake.at(PROD).tags["dev"] == old.digest


def test_other_tags_move_if_they_are_said_to(fake: FakeRegistry) -> None:
    old, new = put_image(fake.at(SOURCE), "old"), put_image(fake.at(SOURCE), "new")
    for image in (old, new):
        record_all(fake, image.digest)
    ask(fake, old.digest, f"{PROD}:edge")
    assert "fixed tag" in refused(fake, new.digest, f"{PROD}:edge")
    ask(fake, new.digest, f"{PROD}:edge", moving=frozenset({"edge"}))
    assert fake.at(PROD).tags["edge"] == new.digest


def test_an_image_of_docker_is_copied_too(fake: FakeRegistry) -> None:
    image = put_image(fake.at(SOURCE), "one", docker=True)
    record_all(fake, image.digest)
    ask(fake, image.digest, f"{FAR}:v1.0.0")
    assert fake.at(FAR).manifests[image.digest] == (image.content, image.media_type)


def test_a_registry_that_does_not_mount_is_copied_to() -> None:
    fake = FakeRegistry(mounts=False)
    image = put_image(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    ask(fake, image.digest, f"{PROD}:v1.0.0")
    assert fake.at(PROD).tags["v1.0.0"] == image.digest


def test_layers_that_registries_do_not_hold_stay_where_they_are(fake: FakeRegistry) -> None:
    stored = fake.at(SOURCE)
    document = json.loads(put_image(stored, "windows").content)
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    document["layers"] = [{"mediaType": kind, "digest": digest_of(b"far"), "size": 3, "urls": ["https://x.example"]}]
    image = Manifest.make(document)
    stored.manifests[image.digest] = (image.content, image.media_type)
    record_all(fake, image.digest)
    gap = ask(fake, image.digest, f"{FAR}:v1.0.0", dry_run=True).gaps[0]
    assert digest_of(b"far") not in {blob.digest for blob in gap.blobs}


class Killed(BaseException):
    """What no handler of errors sees, as a SIGKILL."""


def test_after_a_kill_at_any_write_the_next_run_finishes_and_no_tag_was_early(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    fake.requests.clear()
    ask(fake, image.digest, f"{FAR}:v1.0.0", f"{FAR}:latest")
    writes = len(fake.writes())
    wanted = fake.repositories.pop(FAR)
    assert writes > 15
    for last in range(writes):
        fake.repositories.pop(FAR, None)
        count = 0

        def kill(request: httpx.Request, last: int = last) -> httpx.Response | None:
            nonlocal count
            count += request.method not in ("GET", "HEAD")
            if count > last:
                raise Killed
            return None

        fake.faults[:] = [kill]
        with pytest.raises(Killed):
            ask(fake, image.digest, f"{FAR}:v1.0.0", f"{FAR}:latest")
        fake.faults.clear()
        if "v1.0.0" in fake.at(FAR).tags:
            assert find_evidence(fake.open(FAR), image.digest).kinds == set(Kind)
            assert fake.at(FAR).manifests.keys() >= fake.at(SOURCE).manifests.keys() - set(
                fake.at(SOURCE).tags.values()
            )
        fake.requests.clear()
        ask(fake, image.digest, f"{FAR}:v1.0.0", f"{FAR}:latest")
        assert fake.at(FAR).blobs == wanted.blobs
        assert fake.at(FAR).tags == wanted.tags
        # What was there is not sent again: an upload is two requests, and the one that was killed begins anew.
        assert len(fake.writes()) <= writes - last + 1


def test_a_busy_registry_half_way(fake: FakeRegistry) -> None:
    image = put_index(fake.at(SOURCE), "one")
    record_all(fake, image.digest)
    busy = httpx.Response(429, headers={"Retry-After": "7"})
    fake.fail("PUT", f"{FAR.partition('/')[0]}.*uploads", busy, httpx.Response(502))
    clock = VirtualClock()
    wishes = Wishes(Reference.parse(f"{SOURCE}@{image.digest}"), (Reference.parse(f"{FAR}:v1.0.0"),))
    promote(fake.registries(clock), wishes, lambda _: None)
    assert fake.at(FAR).tags["v1.0.0"] == image.digest
    assert clock.elapsed == 7 + 2


def test_an_incomplete_index_is_not_promoted(fake: FakeRegistry) -> None:
    stored = fake.at(SOURCE)
    image = put_index(stored, "one")
    record_all(fake, image.digest)
    del stored.manifests[image.children[0].digest]
    with pytest.raises(DeliveryError, match="incomplete"):
        ask(fake, image.digest, f"{FAR}:v1.0.0")
    with pytest.raises(DeliveryError, match="not in the registry"):
        ask(fake, digest_of(b"none"), f"{FAR}:v1.0.0")
