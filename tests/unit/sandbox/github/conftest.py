"""A GitHub in this process, in strict mode: every answer in these tests is checked against GitHub's description."""

import asyncio
import base64
import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pavedpath_sandbox.github.app import GitHub, create_app
from pavedpath_sandbox.github.routes import HANDLERS, Handler
from pavedpath_sandbox.github.settings import Plan, Settings

OWNER, MEMBER = "owner-token", "member-token"


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Sends requests to one GitHub as its owner, or as `token`, and asserts the status that is expected."""

    def __init__(self, settings: Settings, handlers: Mapping[str, Handler] = HANDLERS, prefix: str = "/api/v3") -> None:
        self._runner = asyncio.Runner()
        app = create_app(settings, handlers)
        self.github: GitHub = app.state.github
        transport = httpx.ASGITransport(app=app)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://github.test")
        self.prefix = prefix

    def send(
        self,
        method: str,
        path: str,
        json: object = None,
        *,
        token: str | None = OWNER,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A request; nothing is asserted."""
        authorization = {"authorization": f"Bearer {token}"} if token else {}
        prefix = "" if path.startswith("/_sandbox") else self.prefix
        sent = self._http.request(method, prefix + path, headers={**authorization, **(headers or {})}, json=json)
        return self._runner.run(sent)

    def send_raw(self, method: str, path: str, content: bytes) -> httpx.Response:
        """A request with any body."""
        headers = {"authorization": f"Bearer {OWNER}"}
        return self._runner.run(self._http.request(method, self.prefix + path, content=content, headers=headers))

    def call(self, method: str, path: str, json: object = None, *, status: int, token: str | None = OWNER) -> Any:
        """A request that must be answered with `status`; returns the decoded body, None without one."""
        answer = self.send(method, path, json, token=token)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path: str, *, status: int = 200, token: str | None = OWNER) -> Any:
        return self.call("GET", path, status=status, token=token)

    def post(self, path: str, json: object = None, *, status: int = 201, token: str | None = OWNER) -> Any:
        return self.call("POST", path, json, status=status, token=token)

    def put(self, path: str, json: object = None, *, status: int = 204, token: str | None = OWNER) -> Any:
        return self.call("PUT", path, json, status=status, token=token)

    def patch(self, path: str, json: object = None, *, status: int = 200, token: str | None = OWNER) -> Any:
        return self.call("PATCH", path, json, status=status, token=token)

    def delete(self, path: str, json: object = None, *, status: int = 204, token: str | None = OWNER) -> Any:
        return self.call("DELETE", path, json, status=status, token=token)

    def repository(self, name: str = "app", **settings: object) -> str:
        """Make a private repository with a first commit; returns its path."""
        self.post("/orgs/acme/repos", {"name": name, "private": True, "auto_init": True, **settings})
        return f"/repos/acme/{name}"

    def write(self, repository: str, path: str, text: str, *, status: int = 201, **more: object) -> Any:
        """Write a file."""
        body = {"message": f"Write {path}", "content": base64.b64encode(text.encode()).decode(), **more}
        return self.put(f"{repository}/contents/{path}", body, status=status)

    def deliveries(self) -> None:
        """Wait until all webhook deliveries were tried."""
        self._runner.run(self.github.deliverer.drain())

    def close(self) -> None:
        self._runner.run(self.github.deliverer.close())
        self._runner.run(self._http.aclose())
        self._runner.close()
        self.github.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, clock: Clock) -> Settings:
    tokens = {OWNER: "acme-admin", MEMBER: "dev"}
    return Settings(state=tmp_path / "github.db", tokens=tokens, plan=Plan.TEAM, clock=clock, secondary_limit=100_000)


@pytest.fixture
def github(settings: Settings) -> Generator[Client]:
    with Client(settings) as client:
        yield client


@pytest.fixture
def start() -> Callable[..., Client]:
    """Start a server with other settings: `with start(settings, …) as client`."""
    return Client


def sealed(key: Mapping[str, str], value: str) -> dict[str, str]:
    """The body with which a client stores a secret."""
    from nacl.public import PublicKey, SealedBox

    box = SealedBox(PublicKey(base64.b64decode(key["key"])))
    return {"encrypted_value": base64.b64encode(box.encrypt(value.encode())).decode(), "key_id": key["key_id"]}


@pytest.fixture
def seal() -> Callable[[Mapping[str, str], str], dict[str, str]]:
    return sealed


class App:
    """An app with a key of its own, installed in the organisation."""

    def __init__(self, github: Any) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        body = {"name": "fleet", "public_key": public.decode(), "permissions": {"administration": "write"}}
        made = github.post("/_sandbox/apps", body, status=200)
        self.id, self.tokens = made["app_id"], f"/app/installations/{made['installation_id']}/access_tokens"

    @staticmethod
    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    def token(self, github: Any, now: float) -> str:
        """A token of the installation."""
        return github.post(self.tokens, token=self.jwt(now))["token"]

    def jwt(self, now: float, **claims: object) -> str:
        body = {"iss": str(self.id), "iat": int(now) - 60, "exp": int(now) + 540} | claims
        signed = b".".join([self.part({"alg": "RS256", "typ": "JWT"}), self.part(body)])
        signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join([signed, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture
def app(github: Any) -> App:
    return App(github)
