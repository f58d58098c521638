"""The sandbox's GitHub as a process, strict, with an app that is installed in its organisation."""

import json
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pavedpath_runners.adapters.clock import SystemClock
from pavedpath_runners.adapters.github import AppTransport, GithubForge
from pavedpath_runners.configuration import Fleet, Level
from urllib3 import PoolManager


@dataclass
class Sandbox:
    """The server, with its owner's hands."""

    client: httpx.Client
    app: Mapping[str, Any]
    key: str

    def post(self, path: str, body: object = None) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def run(self, *jobs: str, repository: str = "orders") -> tuple[int, list[Mapping[str, Any]]]:
        """Start a run; its id and its jobs."""
        body = {
            "repository": repository,
            "jobs": [{"name": job, "labels": ["self-hosted", "linux", "arm64"]} for job in jobs],
        }
        run = self.post("/_sandbox/runs", body)["id"]
        return run, self.client.get(f"/repos/acme/{repository}/actions/runs/{run}/jobs").json()["jobs"]

    def job(self, identity: int, **change: object) -> None:
        self.post(f"/_sandbox/jobs/{identity}", change)

    def forge(self, fleet: Fleet, scope: str = "") -> GithubForge:
        level = Level.REPOSITORY if scope else Level.ORGANIZATION
        clock = SystemClock()
        ids = self.app["app_id"], self.app["installation_id"]
        root = f"{self.client.base_url}/api/v3/"
        transport = AppTransport(PoolManager(), root, *ids, lambda: self.key, clock)
        return GithubForge(transport, replace(fleet, level=level), clock)


@contextmanager
def serve(folder: Path) -> Generator[Sandbox]:
    """Start a server whose state is in `folder`, with two repositories and an app."""
    (folder / "tokens").write_text("owner-token\n")
    command = [sys.executable, "-m", "pavedpath_sandbox.github", "--port", "0", "--strict", "--secondary-limit", "9999"]
    command += ["--state", str(folder / "github.db"), "--token-file", str(folder / "tokens")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout
    root = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    headers = {"authorization": "Bearer owner-token"}
    try:
        with httpx.Client(base_url=root, headers=headers, trust_env=False, timeout=120) as client:
            ready(client)
            yield made(client)
    finally:
        process.terminate()
        process.wait(120)
        process.stdout.close()


def ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            client.get("/_sandbox/health")
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the server does not answer")


def made(client: httpx.Client) -> Sandbox:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    sandbox = Sandbox(client, {}, private)
    for name in ("orders", "storefront"):
        sandbox.post("/orgs/acme/repos", {"name": name, "private": True, "auto_init": True})
    permissions = {"administration": "write", "actions": "write", "organization_self_hosted_runners": "write"}
    body = {"name": "fleet", "public_key": public, "permissions": permissions}
    return replace(sandbox, app=sandbox.post("/_sandbox/apps", body))
