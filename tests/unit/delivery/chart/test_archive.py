import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.chart.archive import identity, local_charts, normalise, read
from pavedpath_delivery.kit.errors import DeliveryError

CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\n"
file_names = st.from_regex(r"(templates/)?[a-z]{1,6}\.(yaml|tpl)", fullmatch=True)
contents = st.dictionaries(file_names, st.binary(max_size=50), max_size=5)


def pack(files: dict[str, bytes], seed: int = 0) -> bytes:
    """An archive as another checkout and another Helm would have it: order, times, modes and owners differ."""
    chance = random.Random(seed)  # noqa: S311  what differs is arbitrary, and the same for a seed
    names = list(files)
    chance.shuffle(names)
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=chance.randrange(1 << 31), filename="x") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            member = tarfile.TarInfo(f"web/{name}")
            member.size, member.mtime = len(files[name]), chance.randrange(1 << 31)
            member.mode, member.uid = chance.choice([0o600, 0o644, 0o755]), chance.randrange(1000)
            archive.addfile(member, io.BytesIO(files[name]))
    return out.getvalue()


def unpack(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return {m.name.removeprefix("web/"): (archive.extractfile(m) or io.BytesIO()).read() for m in archive}


@given(contents, st.integers(), st.integers())
def test_the_same_files_are_the_same_bytes(files: dict[str, bytes], one: int, other: int) -> None:
    files = {**files, "Chart.yaml": CHART.encode()}
    made = normalise(pack(files, one))
    assert made == normalise(pack(files, other))
    assert made == normalise(made)
    assert unpack(made) == files
    assert next(iter(unpack(made))) == "Chart.yaml"


@given(contents, contents)
def test_other_files_are_other_bytes(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (normalise(pack(one)) == normalise(pack(other))) == (one == other)


def test_a_part_that_was_packed_just_now_is_made_the_same_too_and_a_fetched_one_stays() -> None:
    def whole(seed: int) -> bytes:
        part = pack({"Chart.yaml": b"name: lib"}, seed)
        fetched = pack({"Chart.yaml": b"name: far"}, 7)
        files = {"Chart.yaml": CHART.encode(), "charts/lib-1.0.0.tgz": part, "charts/far-1.0.0.tgz": fetched}
        return normalise(pack(files, seed), frozenset({"lib-1.0.0.tgz"}))

    assert whole(1) == whole(2)
    assert unpack(whole(1))["charts/far-1.0.0.tgz"] == pack({"Chart.yaml": b"name: far"}, 7)


def test_which_parts_are_packed_from_folders() -> None:
    dependencies = [
        {"name": "lib", "version": "1.0.0", "repository": "file://../lib"},
        {"name": "far", "version": "2.0.0", "repository": "oci://example.com/charts"},
        {"name": "bare", "version": "3.0.0"},
    ]
    assert local_charts({"dependencies": dependencies}, Path("/charts/web")) == [Path("/charts/lib")]
    assert local_charts({}, Path("/charts/web")) == []


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "renamed.tgz"
    path.write_bytes(normalise(pack({"Chart.yaml": CHART.encode(), "charts/sub/Chart.yaml": b"name: sub"})))
    found = read(path)
    assert (found.name, found.version, found.file) == ("web", "0.1.0", "web-0.1.0.tgz")
    assert found.digest.startswith("sha256:")


@pytest.mark.parametrize(
    "content",
    [b"", b"x", gzip.compress(b"x", mtime=0), pack({"values.yaml": b""}), pack({"Chart.yaml": b"["})],
    ids=["empty", "no-gzip", "no-tar", "no-chart-file", "no-yaml"],
)
def test_what_is_no_chart_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "web.tgz"
    path.write_bytes(content)
    with pytest.raises(DeliveryError, match=r"web\.tgz is no chart archive"):
        read(path)
    with pytest.raises(DeliveryError, match="no chart archive"):
        read(tmp_path / "gone.tgz")


@pytest.mark.parametrize("version", ["1.2.3", "v1.2.3", "1.2.3-rc.1", "1.2.3+build.7", "1.2.3-a+b"])
def test_versions_that_helm_takes(version: str) -> None:
    assert identity({"name": "web", "version": version}, "x") == ("web", version)


@pytest.mark.parametrize("version", ["", "1.2", "1.2.3.4", "01.2.3", "1.2.3+", "1.2.3+a+b", "latest", "1.2.3/../x"])
def test_versions_that_cannot_be_pushed_are_named_with_a_bad_name(version: str) -> None:
    with pytest.raises(DeliveryError, match=r"name 'Web/x'.*and its version"):
        identity({"name": "Web/x", "version": version}, "here")
