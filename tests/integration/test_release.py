"""Releases and the lock of actions for real: the sandbox's GitHub, and images in a registry."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def sandbox(toolchain: Path) -> Iterator[Sandbox]:
    with Sandbox(groups=("github", "registry")) as made:
        yield made


@pytest.fixture(scope="module")
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    variables = sandbox.environment()
    headers = {"Authorization": f"Bearer {variables['GITHUB_TOKEN']}"}
    with httpx.Client(
        base_url=f"{variables['GITHUB_BASE_URL']}api/v3/", headers=headers, trust_env=False, timeout=120
    ) as client:
        yield client


@dataclass
class Repository:
    """A repository of the sandbox's GitHub and what the command sees."""

    api: httpx.Client
    sandbox: Sandbox
    name: str

    def call(self, method: str, path: str, **body: Any) -> Any:
        response = self.api.request(method, f"repos/acme/{self.name}/{path}".rstrip("/"), json=body or None)
        assert response.is_success, response.text
        return response.json()

    def commit(self, message: str, branch: str = "main") -> str:
        """Commit a file of its own; returns the hash."""
        content = base64.b64encode(message.encode()).decode()
        file = hashlib.sha256(message.encode()).hexdigest()[:12]
        made = self.call("PUT", f"contents/{file}", message=message, content=content, branch=branch)
        return str(made["commit"]["sha"])

    def pavedpath(self, *arguments: str, expect: int = 0, **more: str) -> Done:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
        environ |= {**self.sandbox.environment(), "GITHUB_REPOSITORY": f"acme/{self.name}", "RELEASE_TOKEN": "", **more}
        program = str(ROOT / ".venv/bin/pavedpath")
        done = subprocess.run(
            [program, *arguments], env=environ, capture_output=True, text=True, check=False, timeout=400
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def release(self, *arguments: str, expect: int = 0, **more: str) -> Done:
        return self.pavedpath("release", *arguments, "--commit", "main", expect=expect, **more)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.release(*arguments, "--output", "json").stdout)


@pytest.fixture
def repository(api: httpx.Client, sandbox: Sandbox, request: pytest.FixtureRequest) -> Repository:
    name = request.node.name.replace("_", "-")[:60]
    assert api.post("orgs/acme/repos", json={"name": name, "auto_init": True, "private": True}).status_code == 201
    return Repository(api, sandbox, name)


def registry(sandbox: Sandbox) -> str:
    return next(each.address for each in sandbox.status() if each.part == "registry")


def push_image(sandbox: Sandbox, path: str, tag: str) -> None:
    config = b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}'
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    kind = "application/vnd.oci.image.manifest.v1+json"
    image: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)},
        "layers": [],
    }
    with httpx.Client(base_url=f"{registry(sandbox)}/v2/{path}/", trust_env=False, timeout=120) as client:
        place = client.post("blobs/uploads/").headers["Location"]
        assert client.put(place, params={**httpx.URL(place).params, "digest": digest}, content=config).is_success
        done = client.put(f"manifests/{tag}", content=json.dumps(image), headers={"Content-Type": kind})
        assert done.status_code == 201, done.text


def test_releases_one_after_the_other(repository: Repository) -> None:
    repository.commit("feat(api): take orders")
    preview = repository.release("v0.1.0", "--dry-run").stdout
    assert "would make the tag and the release" in preview
    assert "- **api:** take orders" in preview
    assert repository.call("GET", "tags") == []
    first = repository.json("v0.1.0")
    assert first["made"] == ["the tag", "the release"]
    ref = repository.call("GET", "git/ref/tags/v0.1.0")["object"]
    assert ref["type"] == "tag"
    tag = repository.call("GET", f"git/tags/{ref['sha']}")
    assert tag["object"]["sha"] == first["commit"]
    assert tag["message"].startswith("Release v0.1.0\n\n## Features")
    assert repository.json("v0.1.0")["made"] == []

    repository.commit("fix: count once\n\nCalled by @someone")
    second = repository.json("v0.1.1")
    assert second["since"] == "v0.1.0"
    assert "take orders" not in second["notes"]
    latest = repository.call("GET", "releases/latest")
    assert (latest["tag_name"], latest["body"]) == ("v0.1.1", second["notes"])
    assert latest["html_url"] == second["url"]


def test_what_is_not_merged_or_not_newer_is_refused(repository: Repository) -> None:
    repository.commit("feat: one")
    repository.release("v1.0.0")
    head = repository.call("GET", "git/ref/heads/main")["object"]["sha"]
    repository.call("POST", "git/refs", ref="refs/heads/side", sha=head)
    stray = repository.commit("feat: not reviewed", branch="side")
    refused = repository.pavedpath("release", "v1.1.0", "--commit", stray, expect=5).stderr
    assert "is not on main" in refused
    older = repository.pavedpath("release", "v0.9.0", "--commit", stray, expect=5).stderr
    assert "is not on main" in older
    assert "does not come after v1.0.0" in older
    repository.commit("feat: two")
    assert "never moves" in " ".join(repository.release("v1.0.0", expect=5).stderr.split())
    assert [each["name"] for each in repository.call("GET", "tags")] == ["v1.0.0"]


def test_an_interrupted_release_is_finished(repository: Repository) -> None:
    sha = repository.commit("feat: one")
    tag = repository.call("POST", "git/tags", tag="v1.0.0", message="Release", object=sha, type="commit")
    repository.call("POST", "git/refs", ref="refs/tags/v1.0.0", sha=tag["sha"])
    assert repository.json("v1.0.0")["made"] == ["the release"]
    assert repository.call("GET", "releases/tags/v1.0.0")["tag_name"] == "v1.0.0"


def test_images_must_be_there_for_the_commit(repository: Repository, sandbox: Sandbox) -> None:
    sha = repository.commit("feat: one")
    host = registry(sandbox).removeprefix("http://")
    names = [f"{host}/{repository.name}/{each}" for each in ("api", "worker")]
    options = [part for name in names for part in ("--image", name)]
    push_image(sandbox, f"{repository.name}/api", f"sha-{sha[:12]}")
    refused = repository.release("v1.0.0", *options, expect=5).stderr
    assert f"{names[1]}:sha-{sha[:12]}" in refused
    assert f"{names[0]}:" not in refused
    push_image(sandbox, f"{repository.name}/worker", f"sha-{sha[:12]}")
    assert "made the tag and the release" in repository.release("v1.0.0", *options).stdout


def test_the_token_that_starts_workflows(repository: Repository, sandbox: Sandbox, tmp_path: Path) -> None:
    repository.commit("feat: one")
    assert "start no workflow" in repository.release("v1.0.0", "--dry-run", expect=0, GITHUB_ACTIONS="true").stderr
    assert "start no workflow" not in repository.release("v1.0.0", "--dry-run").stderr  # a person's own token
    repository.release("v1.0.0", "--triggers-workflows", expect=2)
    token = sandbox.environment()["GITHUB_TOKEN"]
    outputs = tmp_path / "outputs"
    wrong = {
        "GITHUB_TOKEN": "not-a-token",
        "RELEASE_TOKEN": token,
        "GITHUB_OUTPUT": str(outputs),
        "GITHUB_ACTIONS": "true",
    }
    done = repository.release("v1.0.0", "--triggers-workflows", expect=0, **wrong)
    assert "start no workflow" not in done.stderr
    assert token not in done.stdout + done.stderr
    assert "version=v1.0.0\n" in outputs.read_text()


def test_the_lock_of_actions_follows_releases_and_sees_a_moved_tag(repository: Repository, tmp_path: Path) -> None:
    action = f"acme/{repository.name}"
    repository.commit("feat: one")
    repository.release("v1.0.0")
    first = repository.call("GET", "commits/main")["sha"]
    lock = tmp_path / "lock.toml"
    lock.write_text("# Ours.\n")
    update = ("actions", "update", "--lock", str(lock))
    repository.pavedpath(*update, "--add", action, expect=1)  # too young
    repository.pavedpath(*update, "--add", action, "--cooldown", "0")
    assert lock.read_text().startswith(f'# Ours.\n\n["{action}"]\nversion = "v1.0.0"\ncommit = "{first}"\ndate = ')
    repository.pavedpath(*update, "--check", "--cooldown", "0")

    second = repository.commit("feat: two")
    repository.release("v1.1.0")
    assert "is too young" in repository.pavedpath(*update, "--check").stdout
    assert "v1.1.0" in repository.pavedpath(*update, "--check", "--cooldown", "0", expect=4).stdout
    assert first in lock.read_text()
    repository.pavedpath(*update, "--cooldown", "0")
    assert f'version = "v1.1.0"\ncommit = "{second}"' in lock.read_text()

    third = repository.commit("feat: something slipped in")
    repository.call("PATCH", "git/refs/tags/v1.1.0", sha=third, force=True)
    before = lock.read_text()
    moved = repository.pavedpath(*update, "--cooldown", "0", expect=5).stderr
    assert f"{action}: v1.1.0 was {second} and is {third} now" in moved
    assert lock.read_text() == before
