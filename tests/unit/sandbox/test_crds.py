"""What happens to a cluster's definitions, without a cluster; with one, in tests/integration."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pavedpath_sandbox.kubernetes import crds
from pavedpath_sandbox.kubernetes.nodes import Api, ClusterError

API = Api(1, Path("/nowhere"), "token")
NAME = "monitoring.example.com_rules.yaml"
DEFINITION: Mapping[str, object] = {
    "spec": {
        "group": "monitoring.example.com",
        "names": {"plural": "rules"},
        "versions": [{"name": "v1beta1", "storage": False}, {"name": "v1", "storage": True}],
    }
}


class Server:
    """Answers as the API server does; `serving` are its answers for the list of objects, the last one for ever."""

    def __init__(self, *serving: int, applied: str = "", refuses: int = 0) -> None:
        self.serving, self.applied, self.refuses = list(serving), applied, refuses
        self.asked: list[str] = []

    def __call__(
        self, _api: Api, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, Mapping[str, object]]:
        self.asked.append(f"{method} {path.partition('?')[0].rpartition('/')[2]}")
        if "limit=1" in path:
            assert path == "/apis/monitoring.example.com/v1/rules?limit=1"
            return (self.serving.pop(0) if len(self.serving) > 1 else self.serving[0]), {}
        if method == "GET":
            return 200, {"metadata": {"annotations": {"pavedpath-sandbox/sha256": self.applied}}}
        return (self.refuses, {"message": "no such field"}) if self.refuses else (200, DEFINITION)


def ensure(directory: Path, server: Server, monkeypatch: pytest.MonkeyPatch, timeout: float = 120.0) -> list[str]:
    monkeypatch.setattr(crds, "_request", server)
    crds.ensure(API, directory, timeout)
    return server.asked


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_text("kind: CustomResourceDefinition")
    return tmp_path


def test_a_definition_is_applied_and_waited_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = "rules.monitoring.example.com"
    asked = ensure(directory, Server(404, 429, 200), monkeypatch)
    assert asked == [f"GET {rules}", f"PATCH {rules}", *["GET rules"] * 3, f"PATCH {rules}"]


def test_one_that_is_there_is_asked_for_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256((directory / NAME).read_bytes()).hexdigest()
    assert len(ensure(directory, Server(200, applied=digest), monkeypatch)) == 1


def test_what_is_refused_or_never_served_is_named(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match=r"rules\.monitoring\.example\.com was refused: no such field"):
        ensure(directory, Server(200, refuses=422), monkeypatch)
    with pytest.raises(ClusterError, match=r"does not serve rules\.monitoring\.example\.com"):
        ensure(directory, Server(404), monkeypatch, timeout=0.1)


def test_without_a_directory_there_is_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ensure(tmp_path / "none", Server(200), monkeypatch) == []


def test_a_file_of_another_form_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules.yaml").touch()
    with pytest.raises(ClusterError, match="is named <group>_<plural>"):
        ensure(tmp_path, Server(200), monkeypatch)
