"""The commands as they are called: arguments, exit codes and what is printed."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pavedpath_delivery.cli import app
from typer.testing import CliRunner

SECRET = "s3cret-t0ken"


class Service(http.server.BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        type(self).seen.append((self.headers["Host"], self.headers["Authorization"]))
        body = b"http_requests_total 1\n" if self.path == "/metrics" else b"ok"
        self.send_response(200 if self.path != "/broken" else 500)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        pass


@pytest.fixture
def service() -> Iterator[int]:
    Service.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_good_service(service: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.setenv("TOKEN", SECRET)
    spec = {"endpoints": [{"path": "/x", "request": {"headers": {"Authorization": "Bearer ${TOKEN}"}}}]}
    (tmp_path / "smoke.json").write_text(json.dumps(spec))
    arguments = ["smoke", f"shop.localhost:{service}", "--spec", str(tmp_path / "smoke.json")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "4 endpoints are good" in done.stdout
    assert (tmp_path / "output").read_text() == "ok=true\n"
    written = done.output + (tmp_path / "summary").read_text()
    assert "### Smoke test of shop.localhost" in written
    assert SECRET not in written
    assert Service.seen[-1] == (f"shop.localhost:{service}", f"Bearer {SECRET}")


def test_a_bad_service_is_red_and_a_host_is_asked_for(service: int, tmp_path: Path) -> None:
    (tmp_path / "smoke.yaml").write_text("standard: false\nendpoints: [{path: /broken, retries: 1, backoff_s: 0}]")
    base = f"http://127.0.0.1:{service}"
    arguments = ["smoke", base, "--spec", str(tmp_path / "smoke.yaml"), "--host", "shop.example", "--output", "json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["target"] == "shop.example"
    assert document["endpoints"][0]["attempts"] == 2
    assert Service.seen == [("shop.example", None)] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["smoke", "ftp://x"],
        ["smoke", "127.0.0.1:1", "--budget", "soon"],
        ["smoke", "127.0.0.1:1", "--spec", "/none"],
        ["health", "shop", "--namespace", "ns", "--budget", "0s"],
        ["health", "shop"],
        ["diagnose", "shop", "--namespace", "ns"],
    ],
)
def test_what_cannot_be_used(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_variable_that_is_missing_is_told_before_anything_is_asked(service: int, tmp_path: Path) -> None:
    spec = {"endpoints": [{"path": "/x", "request": {"headers": {"A": "${NOT_SET_ANYWHERE}"}}}]}
    (tmp_path / "smoke.json").write_text(json.dumps(spec))
    done = CliRunner().invoke(app, ["smoke", f"127.0.0.1:{service}", "--spec", str(tmp_path / "smoke.json")])
    assert done.exit_code == 2
    assert "not set: NOT_SET_ANYWHERE" in done.stderr
    assert Service.seen == []
