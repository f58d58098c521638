"""Downloads from a vendor that redirects, breaks off, lies, is away or has nothing."""

import hashlib
import json
import socket
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.toolchain.conftest import HERE, Vendor, package, tarball
from toolchain.download import Downloader, DownloadError, UnreachableError, parse_checksums
from toolchain.manifest import Download

CONTENT = bytes(range(256)) * 4000
SUM = hashlib.sha256(CONTENT).hexdigest()


def ignore(_done: int, _total: int | None) -> None:
    pass


@pytest.fixture
def downloader(tmp_path: Path) -> Downloader:
    return Downloader(tmp_path / "parts", backoff=0.001)


def test_a_redirect_is_followed_and_progress_is_told(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/real"] = CONTENT
    vendor.redirects["/file"] = f"{vendor.address}/real"
    told: list[tuple[int, int | None]] = []
    path = downloader.fetch(f"{vendor.address}/file", SUM, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_wrong_sum_is_refused_and_nothing_stays(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = CONTENT + b"!"
    with pytest.raises(DownloadError, match=f"not {SUM}; it was thrown away"):
        downloader.fetch(f"{vendor.address}/file", SUM, ignore)
    assert list(downloader.parts.iterdir()) == []


@pytest.mark.parametrize("cuts", [[1000], [1000, 2000, 50_000]])
def test_a_cut_connection_is_resumed_where_it_broke(vendor: Vendor, downloader: Downloader, cuts: list[int]) -> None:
    vendor.files["/file"] = CONTENT
    vendor.cut["/file"] = list(cuts)
    path = downloader.fetch(f"{vendor.address}/file", SUM, ignore)
    assert path.read_bytes() == CONTENT
    offsets = [sum(cuts[: i + 1]) for i in range(len(cuts))]
    assert [asked for _, asked in vendor.asked] == ["", *(f"bytes={offset}-" for offset in offsets)]


def test_a_part_of_an_earlier_run_is_resumed(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = CONTENT
    vendor.cut["/file"] = [500_000, 0, 0, 0]
    downloader.attempts = 4
    with pytest.raises(DownloadError, match=r"the connection broke .* \(4 attempts\)"):
        downloader.fetch(f"{vendor.address}/file", SUM, ignore)
    again = Downloader(downloader.parts, backoff=0.001)
    assert again.fetch(f"{vendor.address}/file", SUM, ignore).read_bytes() == CONTENT
    assert vendor.asked[-1] == ("/file", "bytes=500000-")


def test_a_complete_part_needs_no_content(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = CONTENT
    downloader.fetch(f"{vendor.address}/file", SUM, ignore)
    assert downloader.fetch(f"{vendor.address}/file", SUM, ignore).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = CONTENT
    vendor.ranges = False
    vendor.cut["/file"] = [1000]
    assert downloader.fetch(f"{vendor.address}/file", SUM, ignore).read_bytes() == CONTENT


def test_a_part_of_something_else_is_thrown_away_once(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = b"x" * 700_000
    vendor.cut["/file"] = [500_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        downloader.fetch(f"{vendor.address}/file", SUM, ignore)
    vendor.files["/file"] = CONTENT
    vendor.cut.clear()
    assert downloader.fetch(f"{vendor.address}/file", SUM, ignore).read_bytes() == CONTENT


def test_a_busy_vendor_is_asked_again_an_absent_file_is_not(vendor: Vendor, downloader: Downloader) -> None:
    vendor.files["/file"] = CONTENT
    vendor.failing["/file"] = 2
    assert downloader.fetch(f"{vendor.address}/file", SUM, ignore).read_bytes() == CONTENT
    vendor.asked.clear()
    with pytest.raises(DownloadError, match="/gone answers 404"):
        downloader.fetch(f"{vendor.address}/gone", SUM, ignore)
    assert len(vendor.asked) == 1


def test_an_unreachable_vendor_is_asked_once(downloader: Downloader) -> None:
    asked: list[str] = []

    class Noting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            return super().handle_request(request)

    downloader.transport = Noting()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for name in ("a", "b", "c"):
            with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
                downloader.fetch(f"{address}/{name}", SUM, ignore)
    assert asked == ["/a"]
    assert list(downloader.unreachable) == ["127.0.0.1"]


def test_files_of_an_archive_and_a_file_each(vendor: Vendor, downloader: Downloader, tmp_path: Path) -> None:
    vendor.offer("/t-1.2.3-x64.tgz", tarball({"t/a": b"A", "t/b": b"B", "../evil": b"no"}))
    offer = Download(
        f"{vendor.address}/t-{{version}}-{{arch}}.tgz",
        f"{vendor.address}/t-{{version}}-{{arch}}.tgz.sha256",
        member="t/{file}",
        arch_names=(("amd64", "x64"),),
    )
    found = downloader.package(package(files=("a", "b"), download=offer), HERE, tmp_path, ignore)
    assert {name: path.read_bytes() for name, path in found.items()} == {"a": b"A", "b": b"B"}
    for name in ("a", "b"):
        vendor.offer(f"/linux/{name}", name.encode())
    each = Download(f"{vendor.address}/{{os}}/{{file}}", f"{vendor.address}/{{os}}/{{file}}.sha256")
    found = downloader.package(package(files=("a", "b"), download=each), HERE, tmp_path, ignore)
    assert {name: path.read_bytes() for name, path in found.items()} == {"a": b"a", "b": b"b"}


def test_an_archive_without_the_file(vendor: Vendor, downloader: Downloader, tmp_path: Path) -> None:
    vendor.offer("/t.tgz", tarball({"other": b"A"}))
    offer = Download(f"{vendor.address}/t.tgz", f"{vendor.address}/t.tgz.sha256", member="{file}")
    with pytest.raises(DownloadError, match="the archive has no file thing"):
        downloader.package(package(download=offer), HERE, tmp_path, ignore)


def test_a_platform_that_is_not_offered(downloader: Downloader, tmp_path: Path) -> None:
    offer = Download("http://vendor.invalid/{file}", "", platforms=("darwin-arm64",))
    with pytest.raises(DownloadError, match="offers none for linux-amd64"):
        downloader.package(package(download=offer), HERE, tmp_path, ignore)


def test_a_pinned_sum_needs_no_published_one(vendor: Vendor, downloader: Downloader, tmp_path: Path) -> None:
    vendor.files["/thing"] = CONTENT
    offer = Download(f"{vendor.address}/{{file}}", f"{vendor.address}/none", sha256=(("linux-amd64", SUM),))
    downloader.package(package(download=offer), HERE, tmp_path, ignore)
    assert [path for path, _ in vendor.asked] == ["/thing"]


def test_each_file_of_a_package_has_its_own_pinned_sum(vendor: Vendor, downloader: Downloader, tmp_path: Path) -> None:
    vendor.files |= {"/a": CONTENT, "/b": b"B"}
    sums = (("a", SUM), ("b", hashlib.sha256(b"B").hexdigest()))
    both = package(files=("a", "b"), download=Download(f"{vendor.address}/{{file}}", sha256=sums))
    found = downloader.package(both, HERE, tmp_path, ignore)
    assert {name: path.read_bytes() for name, path in found.items()} == {"a": CONTENT, "b": b"B"}
    vendor.files["/b"] = b"changed"
    with pytest.raises(DownloadError, match="thrown away"):
        downloader.package(both, HERE, tmp_path, ignore)


@pytest.mark.parametrize(
    "text",
    [
        SUM,
        f"{SUM}\n",
        f"{'0' * 64}  other\n{SUM}  thing.tgz\n",
        f"{SUM} *thing.tgz",
        f"{SUM.upper()}  ./thing.tgz",
        json.dumps({"assets": [{"name": "other", "digest": None}, {"name": "thing.tgz", "digest": f"sha256:{SUM}"}]}),
    ],
)
def test_published_sums_in_every_form(text: str) -> None:
    assert parse_checksums(text, "thing.tgz") == SUM


@pytest.mark.parametrize(
    "text", ["", "not found", f"{SUM}  other", f"{'a' * 40}  thing.tgz", '{"message": "rate limit"}']
)
def test_no_sum_no_download(text: str) -> None:
    with pytest.raises(DownloadError, match=r"publishes no SHA-256 for thing\.tgz"):
        parse_checksums(text, "thing.tgz")


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.binary(max_size=8)),
        unique_by=lambda p: p[0],
        min_size=2,
    )
)
def test_every_name_of_a_list_finds_its_own_sum(files: list[tuple[str, bytes]]) -> None:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files}
    listed = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    assert {name: parse_checksums(listed, name) for name in sums} == sums
