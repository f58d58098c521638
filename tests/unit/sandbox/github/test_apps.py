import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def _part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


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

    def jwt(self, now: float, **claims: object) -> str:
        body = {"iss": str(self.id), "iat": int(now) - 60, "exp": int(now) + 540} | claims
        signed = b".".join([_part({"alg": "RS256", "typ": "JWT"}), _part(body)])
        signature = self.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return b".".join([signed, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture
def app(github: Any) -> App:
    return App(github)


def test_an_installation_token_lasts_an_hour(github: Any, app: App, clock: Any) -> None:
    path = github.repository()
    issued = github.post(app.tokens, token=app.jwt(clock.now))
    github.put(f"{path}/topics", {"names": ["a"]}, status=200, token=issued["token"])
    assert github.get("/user", token=issued["token"])["login"] == "fleet[bot]"
    clock.now += 3601
    github.get(path, status=401, token=issued["token"])


def test_a_token_for_fewer_repositories(github: Any, app: App, clock: Any) -> None:
    path, other = github.repository(), github.repository("other")
    body = {"repositories": ["app"], "permissions": {"administration": "read"}}
    issued = github.post(app.tokens, body, token=app.jwt(clock.now))
    assert issued["repository_selection"] == "selected"
    github.get(path, token=issued["token"])
    github.get(other, status=404, token=issued["token"])
    github.post(app.tokens, {"repositories": ["none"]}, status=422, token=app.jwt(clock.now))
    github.post(app.tokens, {"permissions": {"contents": "write"}}, status=422, token=app.jwt(clock.now))


def test_only_the_app_itself_gets_tokens(github: Any, app: App, clock: Any) -> None:
    now = clock.now
    for claims in ({"exp": int(now) - 1}, {"exp": int(now) + 3600}, {"iss": "1"}, {"iat": "soon"}):
        github.post(app.tokens, status=401, token=app.jwt(now, **claims))
    head, body, signature = app.jwt(now).split(".")
    unsigned = _part({"alg": "none"}).decode()
    for forged in (f"{unsigned}.{body}.", f"{head}.{body}.{signature[:-8]}AAAAAAAA", f"{head}.{body[:-2]}.{signature}"):
        github.post(app.tokens, status=401, token=forged)
    github.post(app.tokens, status=401)
    github.get("/user", status=401, token=app.jwt(now))
