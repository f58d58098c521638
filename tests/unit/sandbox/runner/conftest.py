"""A repository of a sandbox's GitHub, and a program in act's place that says what a test wants."""

import base64
import itertools
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_sandbox.runner.events import Event
from pavedpath_sandbox.runner.run import Machine
from pavedpath_sandbox.runner.server import GitHubServer

from tests.unit.sandbox.github.conftest import sealed
from tests.unit.sandbox.github.test_process import serve, until_ready

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Repository:
    """A repository, public so that its environments may have reviewers."""

    http: httpx.Client
    name: str

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """A request below the repository, which must succeed."""
        answer = self.http.request(method, f"/repos/{self.name}{path}", json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def write(self, path: str, text: str) -> str:
        """Write a file to main; return the commit."""
        body = {"message": "Write", "content": base64.b64encode(text.encode()).decode()}
        return str(self.send("PUT", f"/contents/{path}", body)["commit"]["sha"])

    def environment(self, name: str, branches: list[str] | None = None, **rules: Any) -> None:
        """Make an environment; with `branches` only those may deploy to it."""
        if branches is not None:
            rules["deployment_branch_policy"] = {"protected_branches": False, "custom_branch_policies": True}
        self.send("PUT", f"/environments/{name}", rules)
        for each in branches or ():
            self.send("POST", f"/environments/{name}/deployment-branch-policies", {"name": each})

    def secret(self, name: str, value: str, environment: str = "") -> None:
        """Store a secret."""
        path = f"/environments/{environment}/secrets" if environment else "/actions/secrets"
        self.send("PUT", f"{path}/{name}", sealed(self.send("GET", f"{path}/public-key"), value))

    def event(self, name: str = "push", ref: str = "refs/heads/main", **more: Any) -> Event:
        """Something that happens at main's commit."""
        sha = self.send("GET", "/git/ref/heads/main")["object"]["sha"]
        return Event(name, self.name, ref, sha, "acme-admin", **more)

    def runs(self) -> list[Any]:
        """The runs, oldest first."""
        return self.send("GET", "/actions/runs")["workflow_runs"][::-1]

    def jobs(self, run: Mapping[str, Any] | None = None) -> dict[str, tuple[str, str | None]]:
        """Status and conclusion of the jobs of a run, by default the latest."""
        shown = self.send("GET", f"/actions/runs/{(run or self.runs()[-1])['id']}/jobs")["jobs"]
        return {each["name"]: (each["status"], each["conclusion"]) for each in shown}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Generator[httpx.Client]:
    with serve(tmp_path_factory.mktemp("github"), "--secondary-limit", "100000") as (_, client):
        until_ready(client)
        yield client


@pytest.fixture
def server(http: httpx.Client) -> GitHubServer:
    return GitHubServer(str(http.base_url), "secret-token")


@pytest.fixture
def repository(http: httpx.Client) -> Repository:
    name = f"app{next(_numbers)}"
    answer = http.post("/orgs/acme/repos", json={"name": name, "auto_init": True})
    assert answer.status_code == 201, answer.text
    return Repository(http, f"acme/{name}")


@dataclass(frozen=True)
class Act:
    """A program in act's place: a Python script that has `say(**document)` and the files that act is given."""

    directory: Path

    def does(self, script: str) -> None:
        """Say what it does."""
        prelude = """
            import json, os, sys, time, pathlib
            def say(**document): print(json.dumps(document), flush=True)
            def given(option): return pathlib.Path(sys.argv[sys.argv.index(option) + 1]).read_text()
            kept = pathlib.Path(__file__).parent
        """
        lines = [f"#!{sys.executable}", *(line.strip() for line in prelude.strip().splitlines()), script]
        self.path.write_text("\n".join(lines))
        self.path.chmod(0o755)

    @property
    def path(self) -> Path:
        return self.directory / "act"

    def kept(self, name: str) -> str:
        """What a script has written beside itself."""
        return (self.directory / name).read_text()


@pytest.fixture
def fake_act(tmp_path: Path) -> Act:
    (tmp_path / "act").mkdir()
    return Act(tmp_path / "act")


@pytest.fixture
def machine(tmp_path: Path, fake_act: Act) -> Machine:
    return Machine(tmp_path / "work", "/usr/local/bin:/usr/bin:/bin", {}, fake_act.path, "127.0.0.1:1")
