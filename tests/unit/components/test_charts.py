"""Charts: what is pinned is what is used, and nothing else ever lies in the cache."""

import base64
import contextlib
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pavedpath.charts import Chart, ChartError, ChartLogin, directory_digest, main

ROOT = Path(__file__).resolve().parents[3]
USER = ChartLogin("AWS", "the-password")
TOKEN = "short-lived"


def archive(name: str = "shop", version: str = "1.2.3", **files: str) -> bytes:
    buffer = io.BytesIO()
    content = {"Chart.yaml": f"name: {name}\nversion: {version}\n", "values.yaml": "replicas: 2\n", **files}
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in content.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(buffer.getvalue(), mtime=0)


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Server:
    """Serves `files`; asks for `login` (basic), or for a token that the login gets."""

    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    login: str = ""
    with_token: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    address: str = ""

    @property
    def registry(self) -> str:
        return self.address.replace("http://", "oci://")

    def publish(self, content: bytes, version: str = "1.2.3") -> str:
        """Offer a chart in both ways, and return the digest of its manifest."""
        layer = {"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": sha256(content)}
        manifest = json.dumps({"schemaVersion": 2, "layers": [layer]}).encode()
        entry = f"{{version: {version}, digest: {sha256(content)[7:]}, urls: [files/shop.tgz]}}"
        self.files |= {
            "/charts/index.yaml": f"entries:\n  shop: [{entry}]\n".encode(),
            "/charts/files/shop.tgz": content,
            f"/v2/charts/shop/manifests/{sha256(manifest)}": manifest,
            f"/v2/charts/shop/manifests/{version}": manifest,
            f"/v2/charts/shop/blobs/{sha256(content)}": content,
        }
        return sha256(manifest)


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    basic = "Basic " + base64.b64encode(server.login.encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            server.asked.append((self.path, given))
            wanted = f"Bearer {TOKEN}" if server.with_token else basic
            if self.path.startswith("/token"):
                self.answer(200 if given == basic else 401, json.dumps({"token": TOKEN}).encode())
            elif server.login and given != wanted:
                self.answer(401, b"")
            else:
                found = server.files.get(self.path)
                self.answer(404 if found is None else 200, found or b"")

        do_HEAD = do_GET  # noqa: N815  # the base class looks for this name

        def answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            if status == 401:
                realm = f'Bearer realm="{server.address}/token",service="it",scope="repository:charts/shop:pull"'
                self.send_header("WWW-Authenticate", realm if server.with_token else "Basic")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            pass

    return Handler


@contextlib.contextmanager
def serving(login: str = "", *, with_token: bool = False) -> Generator[Server]:
    server = Server(login=login, with_token=with_token)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(server))
    server.address = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    http.shutdown()
    http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


class TestDirectory:
    def test_its_digest_is_of_paths_and_contents_in_order(self, tmp_path: Path) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b/c").write_text("yes")
        (tmp_path / "é").write_text("")
        assert directory_digest(tmp_path) == sha256("3 b/c 3 yes2 é 0 ".encode())

    @given(st.dictionaries(st.text("ab/", min_size=1), st.binary(max_size=4), max_size=4))
    def test_moving_a_byte_between_files_changes_it(
        self, tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
    ) -> None:
        names = {name.replace("/", "-") or "x": content for name, content in files.items()}
        first, second = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
        for name, content in names.items():
            (first / name).write_bytes(content)
            (second / f"{name}a").write_bytes(content)
        assert (directory_digest(first) == directory_digest(second)) == (not names)

    def test_the_chart_of_this_project_is_read(self) -> None:
        chart = Chart.read(ROOT / "charts/web-service")
        assert (chart.name, chart.version) == ("web-service", "0.1.0")
        assert chart.default_values["replicas"] == 2
        assert chart.values_schema["required"] == ["image"]
        assert Chart.read(ROOT / "charts/web-service", chart.digest) == chart
        assert main([str(ROOT / "charts/web-service")]) == chart.digest

    def test_a_changed_template_is_refused_with_both_digests_and_the_fix(self, tmp_path: Path) -> None:
        (tmp_path / "Chart.yaml").write_text("name: a\nversion: 1.0.0\n")
        pinned = Chart.read(tmp_path).digest
        (tmp_path / "new.yaml").write_text("x")
        with pytest.raises(ChartError) as caught:
            Chart.read(tmp_path, pinned)
        assert pinned in str(caught.value)
        assert f"pin {directory_digest(tmp_path)}" in str(caught.value)

    def test_what_is_no_chart_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ChartError, match=r"has no Chart\.yaml\. Fix"):
            Chart.read(tmp_path)
        with pytest.raises(ChartError, match="cannot be read"):
            Chart.read(tmp_path / "nowhere")
        with pytest.raises(ChartError, match="is no digest"):
            Chart.read(tmp_path, "sha256:abc")

    def test_a_relative_path_cannot_be_taken_for_a_name_in_a_repository(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(ROOT)
        assert Chart.read("charts/web-service").arguments()["chart"] == "./charts/web-service"
        assert Chart.read(ROOT / "charts/web-service").arguments()["chart"] == str(ROOT / "charts/web-service")

    @given(st.binary(max_size=200))
    def test_rubbish_is_no_archive(self, tmp_path_factory: pytest.TempPathFactory, rubbish: bytes) -> None:
        path = tmp_path_factory.mktemp("it") / "a.tgz"
        path.write_bytes(rubbish)
        with pytest.raises(ChartError):
            Chart.read(path)

    @given(st.binary(max_size=60))
    def test_a_chart_of_rubbish_is_an_error_or_a_chart(
        self, tmp_path_factory: pytest.TempPathFactory, rubbish: bytes
    ) -> None:
        path = tmp_path_factory.mktemp("it")
        for name in ("Chart.yaml", "values.yaml", "values.schema.json"):
            (path / name).write_bytes(rubbish)
        with contextlib.suppress(ChartError):
            assert Chart.read(path).digest.startswith("sha256:")


class TestRepository:
    def test_a_pinned_chart_is_kept_and_needs_the_network_once(self, server: Server, tmp_path: Path) -> None:
        content = archive(**{"values.schema.json": '{"type": "object"}'})
        server.publish(content)
        chart = Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", sha256(content), cache=tmp_path)
        assert chart.path.read_bytes() == content
        assert chart.values_schema == {"type": "object"}
        assert chart.default_values == {"replicas": 2}
        server.files.clear()
        assert Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", sha256(content), cache=tmp_path) == chart
        assert [path for path, _ in server.asked] == ["/charts/index.yaml", "/charts/files/shop.tgz"]
        assert [path.name for path in tmp_path.iterdir()] == [sha256(content).replace(":", "-")]

    def test_another_digest_in_the_index_is_refused(self, server: Server, tmp_path: Path) -> None:
        server.publish(archive())
        with pytest.raises(ChartError, match=rf"(?s)expected sha256:0+.*found +{sha256(archive())}.*Fix: "):
            Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", "sha256:" + "0" * 64, cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_an_archive_that_is_not_what_the_index_says_is_refused(self, server: Server, tmp_path: Path) -> None:
        server.publish(archive())
        server.files["/charts/files/shop.tgz"] = other = archive(NOTES="changed")
        with pytest.raises(ChartError, match=rf"(?s)expected {sha256(archive())}.*found +{sha256(other)}"):
            Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", sha256(archive()), cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_damaged_cache_is_filled_again(self, server: Server, tmp_path: Path) -> None:
        server.publish(archive())
        pinned = sha256(archive())
        chart = Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", pinned, cache=tmp_path)
        chart.path.write_bytes(b"tampered with")
        again = Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", pinned, cache=tmp_path)
        assert again.path.read_bytes() == archive()

    def test_a_version_that_is_not_there_names_those_that_are(self, server: Server, tmp_path: Path) -> None:
        server.publish(archive())
        with pytest.raises(ChartError, match=r"the repository has 1\.2\.3"):
            Chart.fetch(f"{server.address}/charts", "shop", "9.9.9", sha256(b""), cache=tmp_path)

    def test_an_archive_of_another_chart_is_refused(self, server: Server, tmp_path: Path) -> None:
        server.publish(other := archive(version="1.2.4"))
        with pytest.raises(ChartError, match=r"its archive holds shop 1\.2\.4"):
            Chart.fetch(f"{server.address}/charts", "shop", "1.2.3", sha256(other), cache=tmp_path)

    def test_a_password_goes_to_the_repository_and_to_no_other_host(self, tmp_path: Path) -> None:
        with serving("AWS:the-password") as private, serving() as elsewhere:
            private.publish(archive())
            elsewhere.publish(archive())
            index = private.files["/charts/index.yaml"].decode()
            far = index.replace("files/", f"{elsewhere.address}/charts/files/")
            private.files["/charts/index.yaml"] = far.encode()
            with pytest.raises(ChartError, match="401, no access") as caught:
                Chart.fetch(f"{private.address}/charts", "shop", "1.2.3", sha256(archive()), cache=tmp_path)
            assert USER.password not in str(caught.value)
            Chart.fetch(f"{private.address}/charts", "shop", "1.2.3", sha256(archive()), cache=tmp_path, login=USER)
            assert elsewhere.asked == [("/charts/files/shop.tgz", "")]
        assert USER.password not in repr(USER)

    @given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=10))
    def test_rubbish_is_refused_before_anything_is_asked(self, repository: str, name: str, version: str) -> None:
        with pytest.raises(ChartError):
            Chart.fetch(repository, name, version, "sha256:" + "0" * 64, cache=Path("/nowhere"))

    @pytest.mark.parametrize(
        "address", ["http://example.com/charts", "https://user:word@example.com", "file:///etc", "oci://", "charts"]
    )
    def test_an_address_that_is_not_safe_is_refused_and_not_shown(self, address: str) -> None:
        with pytest.raises(ChartError, match="cannot be asked") as caught:
            Chart.fetch(address, "shop", "1.2.3", "sha256:" + "0" * 64)
        assert "word" not in str(caught.value)


class TestRegistry:
    @pytest.mark.parametrize(
        ("login", "with_token"), [("", False), ("AWS:the-password", False), ("AWS:the-password", True)]
    )
    def test_a_chart_comes_by_its_manifests_digest(self, tmp_path: Path, login: str, with_token: bool) -> None:
        with serving(login, with_token=with_token) as server:
            pinned = server.publish(archive())
            user = USER if login else None
            chart = Chart.fetch(f"{server.registry}/charts", "shop", "1.2.3", pinned, cache=tmp_path, login=user)
            assert chart.path.read_bytes() == archive()
            assert f"/v2/charts/shop/manifests/{pinned}" in [path for path, _ in server.asked]
            assert not [path for path, _ in server.asked if path.endswith("/1.2.3")]
        assert Chart.fetch(f"{server.registry}/charts", "shop", "1.2.3", pinned, cache=tmp_path) == chart

    def test_a_moved_manifest_and_a_changed_archive_are_refused(self, server: Server, tmp_path: Path) -> None:
        pinned = server.publish(archive())
        blob = f"/v2/charts/shop/blobs/{sha256(archive())}"
        server.files[blob] = b"changed"
        with pytest.raises(ChartError, match=rf"(?s)expected {sha256(archive())}.*found +{sha256(b'changed')}"):
            Chart.fetch(f"{server.registry}/charts", "shop", "1.2.3", pinned, cache=tmp_path)
        server.files[f"/v2/charts/shop/manifests/{pinned}"] = b"{}"
        with pytest.raises(ChartError, match=rf"(?s)expected {pinned}"):
            Chart.fetch(f"{server.registry}/charts", "shop", "1.2.3", pinned, cache=tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_an_image_is_no_chart(self, server: Server, tmp_path: Path) -> None:
        manifest = b'{"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:0"}]}'
        server.files[f"/v2/charts/shop/manifests/{sha256(manifest)}"] = manifest
        with pytest.raises(ChartError, match="this is no Helm chart"):
            Chart.fetch(f"{server.registry}/charts", "shop", "1.2.3", sha256(manifest), cache=tmp_path)

    def test_the_digest_to_pin_can_be_asked_for(self, server: Server) -> None:
        pinned = server.publish(archive())
        assert main([f"{server.registry}/charts", "shop", "1.2.3"]) == pinned
        assert main([f"{server.address}/charts", "shop", "1.2.3"]) == sha256(archive())
        with pytest.raises(ChartError, match="usage: "):
            main([])

    def test_a_registry_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            ChartError, match=r"oci://127\.0\.0\.1:1/charts/shop 1\.2\.3: cannot be fetched \(ConnectError"
        ):
            Chart.fetch("oci://127.0.0.1:1/charts", "shop", "1.2.3", "sha256:" + "0" * 64, cache=tmp_path)
