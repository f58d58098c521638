import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.smoke.http import Client, Target, target
from pavedpath_delivery.smoke.spec import Endpoint
from pavedpath_sandbox.kubernetes.pki import Pki


@pytest.mark.parametrize(
    ("base", "host", "found"),
    [
        ("https://shop.example", "", Target("https://shop.example", "shop.example", False)),
        ("shop.example/base/", "", Target("https://shop.example/base", "shop.example", False)),
        ("127.0.0.1:8080", "", Target("http://127.0.0.1:8080", "127.0.0.1:8080", True)),
        ("127.0.0.1:8080", "shop.example", Target("http://127.0.0.1:8080", "shop.example", True)),
        ("http://shop.localhost:81", "", Target("http://127.0.0.1:81", "shop.localhost:81", True)),
        ("localhost", "", Target("http://127.0.0.1", "localhost", True)),
        ("http://[::1]:80", "", Target("http://[::1]:80", "[::1]:80", True)),
        ("https://localhost.example", "", Target("https://localhost.example", "localhost.example", False)),
    ],
)
def test_where_a_base_url_leads(base: str, host: str, found: Target) -> None:
    assert target(base, host) == found


@pytest.mark.parametrize("base", ["", "ftp://x", "https://u:secret@x", "https://x?a=b", "https://x:port", "https://"])
def test_what_is_no_base_url(base: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        target(base)
    assert "secret@" not in str(caught.value)


def client(handler: httpx.MockTransport, place: str = "http://shop.localhost:81") -> Client:
    return Client(target(place), {"TOKEN": "t0ken"}, handler)


def test_the_host_that_is_asked_for_is_sent_to_where_it_is_connected() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="ok")

    endpoint = {"path": "/a?b=c", "request": {"headers": {"X-Token": "${TOKEN}"}, "json": {"n": 1}}, "method": "POST"}
    got = client(httpx.MockTransport(answer))(Endpoint.model_validate(endpoint), 5)
    assert (got.status, got.body) == (200, b"ok")
    (request,) = seen
    assert str(request.url) == "http://127.0.0.1:81/a?b=c"
    assert request.headers["Host"] == "shop.localhost:81"
    assert request.headers["X-Token"] == "t0ken"
    assert request.extensions["sni_hostname"] == "shop.localhost"
    assert request.content == b'{"n":1}'


@pytest.mark.parametrize(
    ("policy", "location", "status"),
    [
        ("none", "/there", 302),
        ("same-host", "/there", 200),
        ("same-host", "http://shop.localhost:81/there", 200),
        ("same-host", "http://evil.example/there", 302),
        ("same-host", "https://shop.localhost/there", 302),
        ("same-host", "/again", 0),
    ],
)
def test_redirections(policy: str, location: str, status: int) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.path == "/there":
            return httpx.Response(200)
        return httpx.Response(302, headers={"Location": location})

    got = client(httpx.MockTransport(answer))(Endpoint.model_validate({"path": "/", "redirects": policy}), 5)
    assert got.status == status
    assert set(asked) == {"127.0.0.1"}
    assert bool(got.problem) == (status == 0)


def test_a_body_that_trickles_or_never_ends_is_given_up() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x"

    got = client(httpx.MockTransport(lambda _: httpx.Response(200, content=trickle())))(Endpoint(path="/"), 0.2)
    assert got.problem == "no answer within 0.2 s"
    huge = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 3_000_000))
    assert len(client(huge)(Endpoint(path="/"), 120).body) == 1 << 20


def test_no_connection_is_an_answer() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert client(httpx.MockTransport(refuse))(Endpoint(path="/"), 1).problem == "no connection"


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.ensure()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.certificate, pki.key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        got = Client(target(f"https://127.0.0.1:{server.server_port}"), {})(Endpoint(path="/"), 120)
        server.shutdown()
    assert got.problem.startswith("its certificate is not valid: ")
