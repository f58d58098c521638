"""The program as a user has it: a copy of the checkout, a sandbox of its own, the real engine."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml
from pavedpath_sandbox.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
# Lines of the sandbox's logs: AWS's are text, GitHub's an object of JSON each, or what has no level.
TROUBLE = re.compile(
    r" (WARNING|ERROR|CRITICAL) | (409|5\d\d) [A-Z]|\"status\": (409|5)|\"event\": \"(crash|violation|unserved)\""
)
PROGRAM = [
    "stacks",
    "policy",
    "charts",
    "etc",
    "Pulumi.yaml",
    "Pulumi.shared.yaml",
    "Pulumi.dev.yaml",
    "Pulumi.prod.yaml",
]


@pytest.fixture(scope="session")
def toolchain() -> Path:
    """The directory of the pinned programs; without it a test fails where CI asks for it, and is skipped elsewhere."""
    directory = ROOT / ".toolchain" / "bin"
    if not (directory / "pulumi").exists():
        missing = f"no toolchain in {directory}. Fix: make toolchain"
        if os.environ.get("CI") or os.environ.get("PAVEDPATH_REQUIRE_TOOLCHAIN"):
            pytest.fail(missing)
        pytest.skip(missing)
    return directory


@dataclass(frozen=True)
class World:
    """A copy of the project beside a running sandbox."""

    directory: Path
    sandbox: Sandbox
    named: str = "dev"
    """Environment whose account and cluster the variables point to."""

    @property
    def variables(self) -> Mapping[str, str]:
        return self.sandbox.environment(self.named)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self.variables, "COLUMNS": "100"}

    def seen_from(self, environment: str) -> "World":
        """Return the same world with another environment's account and cluster."""
        return World(self.directory, self.sandbox, environment)

    def popen(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.directory,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **options,
        )

    def run(self, *command: str, expect: int = 0) -> str:
        """Run a command of the project and return what it printed; another exit status fails the test."""
        with self.popen(*command) as process:
            printed, _ = process.communicate(timeout=400)
        assert process.returncode == expect, (
            f"{command} ended with {process.returncode}:\n{printed}\n{trouble(self.directory / '.sandbox/logs')}"
        )
        return printed

    def stack(self, *arguments: str, expect: int = 0) -> str:
        return self.run(str(ROOT / ".venv/bin/pavedpath"), "stack", *arguments, expect=expect)

    def json(self, *command: str) -> Any:
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False, timeout=400
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def preview(self, *stacks: str) -> dict[str, Any]:
        """Return what a preview would change, by stack."""
        found = self.json(str(ROOT / ".venv/bin/pavedpath"), "stack", "preview", *stacks, "--output", "json")
        return {each["stack"]: each["changes"] for each in found["stacks"]}

    def export(self, stack: str) -> str:
        return self.run("pulumi", "stack", "export", "--stack", stack)

    def edit(self, path: str, **values: Any) -> None:
        """Merge values into a YAML file of the copy."""
        target = self.directory / path
        document = yaml.safe_load(target.read_text())
        for key, value in values.items():
            document[key] = {**document[key], **value} if isinstance(value, dict) else value
        target.write_text(yaml.safe_dump(document, sort_keys=False))

    def without_runners(self, environment: str) -> None:
        """Take the runner fleet out of an environment's settings, where it has nothing to do with what is tested: the
        provider waits some minutes for the end of a queue."""
        target = self.directory / f"Pulumi.{environment}.yaml"
        document = yaml.safe_load(target.read_text())
        kept = {key: value for key, value in document["config"].items() if not key.startswith("pavedpath:runner")}
        target.write_text(yaml.safe_dump({**document, "config": kept}, sort_keys=False))

    def aws(self, service: str) -> Any:
        environment = self.variables
        return boto3.client(  # pyright: ignore[reportUnknownMemberType, reportCallIssue, reportUnknownVariableType]  # the service is named at run time
            service,  # pyright: ignore[reportArgumentType]  # the service is named at run time
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def github(self) -> httpx.Client:
        environment = self.sandbox.environment()
        return httpx.Client(
            base_url=environment["GITHUB_BASE_URL"],
            headers={"Authorization": f"Bearer {environment['GITHUB_TOKEN']}"},
            timeout=120,
        )

    def kubernetes(self, kubeconfig: str | None = None) -> httpx.Client:
        """Return a client of the cluster, by default as its administrator."""
        text = kubeconfig or Path(self.variables["KUBECONFIG"].split(os.pathsep)[0]).read_text()
        return kubernetes_client(text, self.directory)


def trouble(logs: Path, last: int = 30) -> str:
    """What AWS and GitHub of a sandbox complained of last: it is deleted before anyone could look."""
    found: list[str] = []
    for name in ("aws.log", "github.log"):
        lines = (logs / name).read_text(errors="replace").splitlines() if (logs / name).exists() else []
        found += [f"{name}: {line[:500]}" for line in [each for each in lines if TROUBLE.search(each)][-last:]]
    return "\n".join(found) or "the sandbox's logs show no trouble"


def kubernetes_client(kubeconfig: str, scratch: Path) -> httpx.Client:
    """Return a client that is who a kubeconfig says, by token or by client certificate."""
    import base64
    import ssl

    config = yaml.safe_load(kubeconfig)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]

    def material(holder: dict[str, str], name: str) -> str:
        return holder.get(f"{name}-data", "") or base64.b64encode(Path(holder[name]).read_bytes()).decode()

    authority = base64.b64decode(material(cluster, "certificate-authority")).decode()
    context = ssl.create_default_context(cadata=authority)
    headers: dict[str, str] = {}
    if "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    else:
        pair = scratch / "client.pem"
        pair.write_bytes(
            base64.b64decode(material(user, "client-certificate")) + base64.b64decode(material(user, "client-key"))
        )
        context.load_cert_chain(pair)
    return httpx.Client(base_url=cluster["server"], verify=context, headers=headers, timeout=120)


def make_world(directory: Path, clusters: tuple[str, ...] = ("dev",)) -> World:
    directory.mkdir(parents=True, exist_ok=True)
    for name in PROGRAM:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    (directory / ".venv").symlink_to(ROOT / ".venv")
    return World(directory, Sandbox(directory / ".sandbox", clusters=clusters))


@pytest.fixture(scope="module")
def world(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of this module's own, with nothing in it."""
    made = make_world(tmp_path_factory.mktemp("world") / "project")
    with made.sandbox:
        yield made
