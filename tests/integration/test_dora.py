"""The four figures of a repository on the sandbox's GitHub, from deployments that were really made there."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

REPOSITORY = "repos/acme/shop"


class Hub:
    """The repository acme/shop."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        base = environ["GITHUB_BASE_URL"].rstrip("/")
        root = base if base.endswith("/api/v3") else f"{base}/api/v3"
        token = environ["GITHUB_TOKEN"]
        self.client = httpx.Client(base_url=f"{root}/", headers={"Authorization": f"Bearer {token}"}, timeout=120)

    def send(self, method: str, path: str, **body: Any) -> Any:
        answer = self.client.request(method, path, json=body or None)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def commit(self, hours_ago: float) -> str:
        """Put a commit of that age on main."""
        head = self.send("GET", f"{REPOSITORY}/git/ref/heads/main")["object"]["sha"]
        tree = self.send("GET", f"{REPOSITORY}/git/commits/{head}")["tree"]["sha"]
        date = (datetime.now(UTC) - timedelta(hours=hours_ago)).isoformat(timespec="seconds").replace("+00:00", "Z")
        who = {"name": "Ann", "email": "ann@example.test", "date": date}
        made = self.send(
            *("POST", f"{REPOSITORY}/git/commits"),
            message="change",
            tree=tree,
            parents=[head],
            committer=who,
            author=who,
        )["sha"]
        self.send("PATCH", f"{REPOSITORY}/git/refs/heads/main", sha=made)
        return str(made)

    def deploy(self, sha: str, *states: str, task: str = "deploy") -> None:
        made = self.send(
            *("POST", f"{REPOSITORY}/deployments"),
            ref=sha,
            environment="prod",
            auto_merge=False,
            required_contexts=[],
            task=task,
        )
        for state in states:
            self.send("POST", f"{REPOSITORY}/deployments/{made['id']}/statuses", state=state)

    def dora(self, *more: str) -> Any:
        command = [str(ROOT / ".venv/bin/pavedpath"), "dora", "--repository", "acme/shop", "--output", "json", *more]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def hub(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Sandbox(tmp_path_factory.mktemp("dora") / "sandbox", groups=("github",)) as sandbox:
        made = Hub({**os.environ, **sandbox.environment()})
        made.send("POST", "orgs/acme/repos", name="shop", auto_init=True)
        yield made


def test_deployments_on_github_have_their_figures(hub: Hub) -> None:
    first = hub.commit(50)
    hub.deploy(first, "in_progress", "success")
    broken = hub.commit(20)
    hub.deploy(broken, "in_progress", "failure")
    fixed = hub.commit(10)
    hub.deploy(fixed, "in_progress", "success")
    hub.deploy(fixed, "success")  # the same again
    bad = hub.commit(2)
    hub.deploy(bad, "success")
    hub.deploy(bad, "success", task="rollback")  # by a workflow that names its own commit
    hub.deploy(hub.commit(1), "queued")
    found = hub.dora()
    assert (found["deployments"], found["successes"], found["failures"]) == (4, 3, 2)
    assert (found["redeployments"], found["rollbacks"]) == (1, 1)
    # Of the first deployment its own commit; then the broken one, the fix and the bad one.
    assert found["lead_time"]["count"] == 4
    assert found["lead_time"]["median"] == pytest.approx(15 * 3600, abs=600)
    assert found["restore"]["count"] == 2
    assert found["open"] == 0
    assert hub.dora("--environment", "dev")["deployments"] == 0
