import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pavedpath_delivery.images.credentials import Credentials, credentials
from pavedpath_delivery.kit.errors import DeliveryError, Exit


def entry(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(document: Any) -> dict[str, str]:
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "config.json").write_text(text)
        return {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}

    return write


def test_what_docker_login_leaves(config: Any) -> None:
    environ = config({"auths": {"ghcr.io": entry("me", "a:b"), "https://index.docker.io/v1/": entry("hub", "h")}})
    assert credentials("ghcr.io", environ) == Credentials("me", "a:b")
    assert credentials("docker.io", environ) == Credentials("hub", "h")
    assert credentials("example.com", environ) is None


def test_an_identity_token(config: Any) -> None:
    found = credentials("r.example", config({"auths": {"r.example": {**entry("", ""), "identitytoken": "it"}}}))
    assert found == Credentials(identity="it")


def test_nothing_is_anonymous(tmp_path: Path) -> None:
    assert credentials("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)}) is None
    assert credentials("ghcr.io", {"HOME": str(tmp_path)}) is None


def helper(folder: Path, script: str) -> None:
    program = folder / "docker-credential-desk"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_helper_is_asked_for_its_registry(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, 'read host; echo "{\\"Username\\": \\"me\\", \\"Secret\\": \\"of $host\\"}"')
    environ = config({"credHelpers": {"ghcr.io": "desk"}, "auths": {"ghcr.io": {}}})
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert credentials("ghcr.io", environ) == Credentials("me", "of ghcr.io")
    helper(tmp_path, 'echo "{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"t\\"}"')
    assert credentials("ghcr.io", environ) == Credentials(identity="t")


def test_a_store_that_does_not_know_the_registry(config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    environ = config({"credsStore": "desk", "auths": {"ghcr.io": entry("me", "pw")}})
    assert credentials("ghcr.io", environ) == Credentials("me", "pw")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{secret", "no JSON"),
        ({"auths": {"ghcr.io": {"auth": "secret!"}}}, "cannot be decoded"),
        ({"credsStore": "missing"}, "docker-credential-missing is not on PATH"),
    ],
)
def test_what_cannot_be_used_is_said_without_what_is_in_it(config: Any, document: Any, said: str) -> None:
    with pytest.raises(DeliveryError, match=said) as error:
        credentials("ghcr.io", config(document))
    assert error.value.code is Exit.USAGE
    assert "secret" not in str(error.value)


def test_secrets_are_not_shown() -> None:
    assert "pw" not in repr(Credentials("me", "pw", "pw"))
