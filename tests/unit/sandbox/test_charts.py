"""The chart repository over HTTP, in this process."""

import gzip
import io
import tarfile
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_sandbox.charts.server import ChartMuseum, listen, read_users
from pavedpath_sandbox.charts.store import Store, precedence

LOGIN = ("charts", "hush")


def archive(name: str = "web", version: str = "0.1.0", values: str = "", folder: str = "web") -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for file, text in (
            ("Chart.yaml", f"apiVersion: v2\nname: {name}\nversion: {version}\n"),
            ("values.yaml", values),
        ):
            member = tarfile.TarInfo(f"{folder}/{file}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.fixture
def museum(tmp_path: Path) -> Generator[httpx.Client]:
    server = listen(ChartMuseum(Store(tmp_path / "charts"), dict([LOGIN])))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", auth=LOGIN, timeout=120) as client:
            yield client
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def upload(museum: httpx.Client, content: bytes, query: str = "") -> httpx.Response:
    return museum.post(f"/api/charts{query}", content=content)


def test_what_was_uploaded_is_indexed_and_comes_back_as_it_was(museum: httpx.Client) -> None:
    content = archive()
    answer = upload(museum, content)
    assert (answer.status_code, answer.json()) == (201, {"saved": True})
    index = yaml.safe_load(museum.get("/index.yaml").text)
    (entry,) = index["entries"]["web"]
    assert index["apiVersion"] == "v1"
    assert (entry["name"], entry["version"], entry["apiVersion"]) == ("web", "0.1.0", "v2")
    download = museum.get("/" + entry["urls"][0])
    assert download.content == content
    assert museum.get("/api/charts").json()["web"][0]["digest"] == entry["digest"]
    assert museum.head("/api/charts/web/0.1.0").status_code == 200


@pytest.mark.parametrize("form", [False, True])
def test_a_version_is_replaced_by_force_alone(museum: httpx.Client, form: bool) -> None:
    first, second = archive(), archive(values="a: 1\n")

    def send(content: bytes, query: str = "") -> httpx.Response:
        if not form:
            return upload(museum, content, query)
        return museum.post(f"/api/charts{query}", files={"chart": ("any.tgz", content)})

    assert send(first).status_code == 201
    for again in (first, second):  # it compares no bytes: that is the client's to do
        refused = send(again)
        assert refused.status_code == 409
        assert "already exists" in refused.json()["error"]
    assert museum.get("/charts/web-0.1.0.tgz").content == first
    assert send(second, "?force").status_code == 201
    assert museum.get("/charts/web-0.1.0.tgz").content == second


def test_of_uploads_at_the_same_time_one_wins(museum: httpx.Client) -> None:
    contents = [archive(values=f"a: {n}\n") for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = [answer.status_code for answer in pool.map(partial(upload, museum), contents)]
    assert sorted(answers) == [201] + [409] * 7
    assert museum.get("/charts/web-0.1.0.tgz").content == contents[answers.index(201)]


def test_versions_come_newest_first_and_latest_is_no_prerelease(museum: httpx.Client) -> None:
    for version in ("0.9.0", "0.10.0", "1.0.0-rc.2", "1.0.0-rc.10"):
        assert upload(museum, archive(version=version)).status_code == 201
    found = [entry["version"] for entry in museum.get("/api/charts/web").json()]
    assert found == ["1.0.0-rc.10", "1.0.0-rc.2", "0.10.0", "0.9.0"]
    assert museum.get("/api/charts/web/latest").json()["version"] == "0.10.0"


def test_a_deleted_version_is_gone_with_its_provenance(museum: httpx.Client) -> None:
    signed = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\nversion: 0.1.0\n\n...\nfiles:\n"
    both = {"chart": ("a.tgz", archive()), "prov": ("a.prov", signed)}
    assert museum.post("/api/charts", files=both).status_code == 201
    assert museum.get("/charts/web-0.1.0.tgz.prov").content == signed
    assert museum.delete("/api/charts/web/0.1.0").json() == {"deleted": True}
    assert museum.delete("/api/charts/web/0.1.0").status_code == 404
    for path in ("/charts/web-0.1.0.tgz", "/charts/web-0.1.0.tgz.prov", "/api/charts/web", "/api/charts/web/0.1.0"):
        assert museum.get(path).status_code == 404, path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no tar", mtime=0),
        archive(name="../up"),
        archive(version="one"),
        archive(folder="a/b"),
    ],
)
def test_what_is_no_chart_is_refused(museum: httpx.Client, content: bytes) -> None:
    assert upload(museum, content).status_code == 500  # as ChartMuseum has it
    assert museum.post("/api/charts", files={"chart": ("a.tgz", content)}).status_code == 400
    assert yaml.safe_load(museum.get("/index.yaml").text)["entries"] == {}


@pytest.mark.parametrize("login", [None, ("charts", "wrong"), ("other", "hush"), ("", "")])
def test_nothing_but_health_is_open(museum: httpx.Client, login: tuple[str, str] | None) -> None:
    with httpx.Client(base_url=museum.base_url, auth=login, timeout=120) as stranger:
        for method, path in (("GET", "/index.yaml"), ("POST", "/api/charts"), ("DELETE", "/api/charts/web/0.1.0")):
            refused = stranger.request(method, path)
            assert (refused.status_code, refused.json()) == (401, {"error": "unauthorized"})
            assert refused.headers["WWW-Authenticate"].startswith("Basic")
        assert stranger.get("/health").json() == {"healthy": True}


def test_no_file_but_a_chart_is_served(museum: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("charts:hush")
    for path in ("/charts/..%2Fusers", "/charts/.hidden", "/charts/"):
        assert museum.get(path).status_code == 404, path


@pytest.mark.parametrize("text", ["", "charts\n", "charts:\n", ":x\n", "charts:hush\nnonsense\n"])
def test_a_user_file_that_cannot_be_used_is_refused_without_its_content(text: str) -> None:
    with pytest.raises(ValueError, match="USER:PASSWORD") as caught:
        read_users(text)
    assert "hush" not in str(caught.value)


identifiers = st.one_of(st.integers(0, 20).map(str), st.text("ab", min_size=1, max_size=2))


@st.composite
def versions(draw: st.DrawFn) -> str:
    core = ".".join(str(draw(st.integers(0, 12))) for _ in range(3))
    rest = draw(st.lists(identifiers, max_size=3))
    return f"{core}-{'.'.join(rest)}" if rest else core


@given(versions())
def test_a_prerelease_comes_before_its_release(version: str) -> None:
    release = version.partition("-")[0]
    assert (precedence(version) < precedence(release)) == (version != release)


def test_precedence_is_semvers() -> None:
    # The example of semver.org, §11.
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    order += ["1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1"]
    assert all(precedence(lower) < precedence(higher) for lower, higher in pairwise(order))
