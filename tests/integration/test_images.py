"""`pavedpath image` against a real registry: evidence, promotion, and a promotion that is killed half way."""

import hashlib
import json
import os
import signal
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

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLATFORMS = ("amd64", "arm64")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Registry:
    """The registry as a test sees it: by plain requests, not by the client that is tested."""

    address: str
    home: Path

    @property
    def host(self) -> str:
        return self.address.removeprefix("http://")

    @property
    def other_host(self) -> str:
        """The same registry under another name: for a client, another one, from which nothing can be mounted."""
        return self.host.replace("127.0.0.1", "localhost")

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.address}/v2/{path}", trust_env=False, timeout=120, **options)

    def push_blob(self, repository: str, content: bytes) -> dict[str, Any]:
        place = self.ask("POST", f"{repository}/blobs/uploads/").headers["Location"]
        target = httpx.URL(place).copy_merge_params({"digest": digest_of(content)})
        assert httpx.put(target, content=content, trust_env=False, timeout=120).status_code == 201
        return {"digest": digest_of(content), "size": len(content)}

    def push_manifest(self, repository: str, document: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps(document, indent=3).encode()
        headers = {"Content-Type": document["mediaType"]}
        put = self.ask("PUT", f"{repository}/manifests/{digest_of(content)}", content=content, headers=headers)
        assert put.status_code == 201, put.text
        return {"mediaType": document["mediaType"], "digest": digest_of(content), "size": len(content)}

    def push(self, repository: str, seed: str, layers: int = 2, size: int = 1000) -> str:
        """Push an image for two platforms and return its digest."""
        children: list[dict[str, Any]] = []
        for architecture in PLATFORMS:
            config = json.dumps({"architecture": architecture, "os": "linux", "seed": seed}).encode()
            contents = [f"{seed} {architecture} {number} ".encode() * size for number in range(layers)]
            described = [{"mediaType": LAYER, **self.push_blob(repository, each)} for each in contents]
            document = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, **self.push_blob(repository, config)},
                "layers": described,
            }
            platform = {"platform": {"architecture": architecture, "os": "linux"}}
            children.append({**self.push_manifest(repository, document), **platform})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
        return str(self.push_manifest(repository, index)["digest"])

    def content(self, repository: str, reference: str) -> bytes | None:
        accept = {"Accept": f"{INDEX}, {MANIFEST}"}
        response = self.ask("GET", f"{repository}/manifests/{reference}", headers=accept)
        return response.content if response.status_code == 200 else None

    def names(self, repository: str, tag: str) -> str:
        content = self.content(repository, tag)
        return digest_of(content) if content is not None else ""

    def blobs(self, repository: str, digest: str) -> list[str]:
        """Every blob of an index that was pushed."""
        index = json.loads(self.content(repository, digest) or b"{}")
        found: list[str] = []
        for child in index["manifests"]:
            manifest = json.loads(self.content(repository, child["digest"]) or b"{}")
            found += [each["digest"] for each in (manifest["config"], *manifest["layers"])]
        return found

    def has(self, repository: str, blob: str) -> bool:
        return self.ask("HEAD", f"{repository}/blobs/{blob}").status_code == 200

    @property
    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
        return {**plain, "DOCKER_CONFIG": str(self.home), "GITHUB_SHA": COMMIT}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [str(ROOT / ".venv/bin/pavedpath"), "image", *arguments]
        return subprocess.Popen(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.home
        )

    def image(self, *arguments: str, expect: int = 0) -> str:
        """Run a command and return what it printed; another exit status fails the test."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=400)
        assert process.returncode == expect, f"{arguments} ended with {process.returncode}:\n{out}{err}"
        return out + err

    def record(self, repository: str, digest: str, *kinds: str) -> None:
        for kind in kinds or ("tested", "scanned"):
            self.image("record", f"{self.host}/{repository}@{digest}", "--kind", kind)


@pytest.fixture(scope="module")
def registry(toolchain: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    with Sandbox(folder / ".sandbox", groups=("registry",)) as sandbox:
        address = next(part.address for part in sandbox.status() if part.part == "registry")
        yield Registry(address, folder)


def test_an_image_is_promoted_to_the_byte_once_it_was_tested_and_scanned(registry: Registry) -> None:
    source, target = "ci/orders", "prod/orders"
    digest = registry.push(source, "one")
    image = f"{registry.host}/{source}@{digest}"
    wishes = ("--to", f"{registry.host}/{target}:v1.0.0", "--to", f"{registry.other_host}/{target}-copy:v1.0.0")

    said = registry.image("promote", image, *wishes, expect=5)
    assert "not recorded as tested" in said
    assert "not recorded as scanned" in said
    assert "would be recorded" in registry.image("record", image, "--kind", "tested", "--dry-run")
    registry.record(source, digest, "tested")
    assert "not recorded as tested" not in registry.image("promote", image, *wishes, expect=5)
    assert registry.names(target, "v1.0.0") == ""
    registry.record(source, digest, "scanned")

    dry = registry.image("promote", image, *wishes, "--dry-run")
    assert "would copy 9 blobs" in dry
    assert registry.names(target, "v1.0.0") == ""
    told = registry.image("promote", image, *wishes)
    assert told.count("mounted sha256:") == 9
    assert told.count(": copied sha256:") == 9
    for repository in (target, f"{target}-copy"):
        assert registry.content(repository, "v1.0.0") == registry.content(source, digest)
        assert all(registry.has(repository, blob) for blob in registry.blobs(source, digest))
        # The evidence came along: from here, the image can be promoted on.
        again = f"{registry.host}/{repository}@{digest}"
        registry.image("promote", again, "--to", f"{registry.host}/{repository}-on:v1.0.0")

    told = registry.image("promote", image, *wishes)
    assert told.count("has it all") == 2
    assert "copied" not in told
    assert "mounted" not in told


def test_evidence_can_be_read_by_anyone(registry: Registry, tmp_path: Path) -> None:
    digest = registry.push("ci/evidence", "one")
    (tmp_path / "report.json").write_text("{}")
    image = f"{registry.host}/ci/evidence@{digest}"
    arguments = (
        "record",
        image,
        "--kind",
        "tested",
        "--report",
        str(tmp_path / "report.json"),
        "--url",
        "https://x.example/1",
    )
    artifact = json.loads(registry.image(*arguments, "--output", "json"))["artifact"]
    assert "recorded before" in registry.image(*arguments)
    # The registry has no API for referrers, so the specification's tag lists them.
    listed = json.loads(registry.content("ci/evidence", digest.replace(":", "-")) or b"{}")["manifests"]
    assert [(each["digest"], each["artifactType"]) for each in listed] == [
        (artifact, "application/vnd.pavedpath.evidence.v1+json")
    ]
    manifest = json.loads(registry.content("ci/evidence", artifact) or b"{}")
    assert manifest["subject"]["digest"] == digest
    predicate = registry.ask("GET", f"ci/evidence/blobs/{manifest['layers'][0]['digest']}").json()
    assert predicate.pop("recorded").endswith("+00:00")
    assert predicate == {
        "kind": "tested",
        "subject": digest,
        "report": digest_of(b"{}"),
        "url": "https://x.example/1",
        "commit": COMMIT,
    }


def test_latest_goes_forwards_and_a_fixed_tag_stays(registry: Registry) -> None:
    repository = "ci/shop"
    digests = {version: registry.push(repository, version) for version in ("v1.9.0", "v1.10.0", "v1.9.1")}
    name = f"{registry.host}/{repository}"

    def promote(version: str, *tags: str, expect: int = 0) -> str:
        to = [part for tag in tags for part in ("--to", f"{name}:{tag}")]
        return registry.image("promote", f"{name}@{digests[version]}", *to, expect=expect)

    for digest in digests.values():
        registry.record(repository, digest)
    promote("v1.9.0", "v1.9.0", "latest")
    promote("v1.10.0", "v1.10.0", "latest")
    assert registry.names(repository, "latest") == digests["v1.10.0"]
    assert registry.image("resolve", f"{name}:latest").strip() == f"{name}@{digests['v1.10.0']}"
    assert "is not there" in registry.image("resolve", f"{name}:v9.9.9", "--if-there")
    registry.image("resolve", f"{name}:v9.9.9", expect=1)
    assert "it names v1.10.0, which is newer than v1.9.1" in promote("v1.9.1", "v1.9.1", "latest", expect=5)
    assert registry.names(repository, "v1.9.1") == ""  # refused as a whole
    promote("v1.9.1", "v1.9.1")
    assert "a fixed tag never moves" in promote("v1.10.0", "v1.9.1", expect=5)
    assert registry.names(repository, "v1.9.1") == digests["v1.9.1"]
    assert registry.names(repository, "latest") == digests["v1.10.0"]


def test_after_a_kill_between_two_blobs_the_next_run_finishes(registry: Registry) -> None:
    source, target = "ci/large", "prod/large"
    digest = registry.push(source, "large", layers=5, size=300_000)
    registry.record(source, digest)
    blobs = registry.blobs(source, digest)
    arguments = (f"{registry.host}/{source}@{digest}", "--to", f"{registry.other_host}/{target}:v1.0.0")

    process = registry.start("promote", *arguments)
    assert process.stderr
    first = process.stderr.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "copied sha256:" in first
    there = [blob for blob in blobs if registry.has(target, blob)]
    assert 0 < len(there) < len(blobs)
    assert registry.names(target, "v1.0.0") == ""
    assert registry.content(target, digest) is None

    told = registry.image("promote", *arguments)
    copied = [line.split()[2] for line in told.splitlines() if "copied sha256:" in line]
    assert not set(copied) & set(there)
    assert set(copied) >= set(blobs) - set(there)
    assert registry.content(target, "v1.0.0") == registry.content(source, digest)
    assert all(registry.has(target, blob) for blob in blobs)


def test_what_is_wrong_is_said_with_its_fix(registry: Registry) -> None:
    digest = digest_of(b"nothing")
    name = f"{registry.host}/ci/none"
    assert "Fix: push it first" in registry.image("record", f"{name}@{digest}", "--kind", "tested", expect=1)
    assert "is not in the registry" in registry.image("promote", f"{name}@{digest}", "--to", f"{name}:v1", expect=1)
    said = registry.image("promote", f"{name}:v1", "--to", name, expect=2)
    assert "a digest is wanted" in said
    said = registry.image("promote", f"{name}@{digest}", "--to", name, "--to", "a b:c", expect=2)
    assert "a name with a tag" in said
    assert "'a b:c'" in said
