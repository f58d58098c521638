"""Registries in memory behind httpx's MockTransport: what the specification says, and faults on demand."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from pavedpath_delivery.images.manifests import DOCKER_IMAGE, IMAGE, INDEX, Manifest, digest_of
from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.images.registry import Registries, Repository

from tests.unit.delivery.virtual import VirtualClock

HOST = "registry.example"
Fault = Callable[[httpx.Request], httpx.Response | None]


@dataclass
class Stored:
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict[str, tuple[bytes, str]])
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class FakeRegistry:
    """All hosts of a test; a repository is `host/path`.

    `referrers_api`: whether `/referrers/` is there. `mounts`: whether blobs can be mounted. `page`: tags a page.
    """

    referrers_api: bool = True
    mounts: bool = True
    page: int = 1000
    repositories: dict[str, Stored] = field(default_factory=dict[str, Stored])
    faults: list[Fault] = field(default_factory=list[Fault])
    requests: list[str] = field(default_factory=list[str])

    def open(
        self, name: str, clock: VirtualClock | None = None, environ: Mapping[str, str] | None = None
    ) -> Repository:
        return self.registries(clock, environ).open(Reference.parse(name).name)

    def registries(self, clock: VirtualClock | None = None, environ: Mapping[str, str] | None = None) -> Registries:
        nobody = {"DOCKER_CONFIG": "/nonexistent"}
        return Registries(environ or nobody, clock or VirtualClock(), httpx.MockTransport(self.answer))

    def at(self, name: str) -> Stored:
        return self.repositories.setdefault(name, Stored())

    def writes(self) -> list[str]:
        return [each for each in self.requests if not each.startswith(("GET", "HEAD"))]

    def fail(self, method: str, path: str, *answers: httpx.Response | Exception) -> None:
        """Answer the next requests that match with these."""
        left = list(answers)

        def fault(request: httpx.Request) -> httpx.Response | None:
            if not left or request.method != method or not re.search(path, str(request.url)):
                return None
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.faults.append(fault)

    def answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(f"{request.method} {request.url.host}{request.url.raw_path.decode()}")
        for fault in self.faults:
            if (answer := fault(request)) is not None:
                return answer
        found = re.fullmatch(r"/v2/(.+?)/(manifests|blobs/uploads|blobs|tags|referrers)/(.*)", request.url.path)
        assert found, request.url
        stored = self.at(f"{request.url.host}/{found[1]}")
        serve = {
            "manifests": self._manifest,
            "blobs": self._blob,
            "blobs/uploads": self._upload,
            "tags": self._tags,
            "referrers": self._referrers,
        }[found[2]]
        return serve(request, stored, found[3])

    def _manifest(self, request: httpx.Request, stored: Stored, reference: str) -> httpx.Response:
        if request.method == "PUT":
            digest = digest_of(request.content)
            document = json.loads(request.content)
            missing = [each["digest"] for each in document.get("layers", []) if each["digest"] not in stored.blobs]
            missing += [
                each["digest"] for each in document.get("manifests", []) if each["digest"] not in stored.manifests
            ]
            if missing:
                return httpx.Response(400, json={"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": missing[0]}]})
            stored.manifests[digest] = (request.content, request.headers["Content-Type"])
            if ":" not in reference:
                stored.tags[reference] = digest
            subject = {"OCI-Subject": "yes"} if self.referrers_api and "subject" in document else {}
            return httpx.Response(201, headers={"Docker-Content-Digest": digest, **subject})
        digest = stored.tags.get(reference, reference)
        if digest not in stored.manifests:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        content, kind = stored.manifests[digest]
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest}
        return httpx.Response(200, content=content if request.method == "GET" else b"", headers=headers)

    def _blob(self, request: httpx.Request, stored: Stored, digest: str) -> httpx.Response:
        if digest not in stored.blobs:
            return httpx.Response(404)
        return httpx.Response(200, content=stored.blobs[digest] if request.method == "GET" else b"")

    def _upload(self, request: httpx.Request, stored: Stored, session: str) -> httpx.Response:
        parameters = request.url.params
        if request.method == "POST":
            source = self.repositories.get(f"{request.url.host}/{parameters.get('from')}", Stored())
            if self.mounts and (content := source.blobs.get(parameters.get("mount", ""))) is not None:
                stored.blobs[parameters["mount"]] = content
                return httpx.Response(201)
            return httpx.Response(202, headers={"Location": f"{request.url.path}session?state=1"})
        assert (request.method, session, parameters["state"]) == ("PUT", "session", "1")
        assert request.headers["Content-Length"] == str(len(request.content))
        digest = parameters["digest"]
        if digest_of(request.content, digest) != digest:
            return httpx.Response(400, json={"errors": [{"code": "DIGEST_INVALID", "message": "no"}]})
        stored.blobs[digest] = request.content
        return httpx.Response(201)

    def _tags(self, request: httpx.Request, stored: Stored, _: str) -> httpx.Response:
        names = sorted(stored.tags)
        after = request.url.params.get("last", "")
        page = [name for name in names if name > after][: self.page]
        more = page and page[-1] != names[-1]
        headers = {"Link": f'<{request.url.path}?last={page[-1]}>; rel="next"'} if more else {}
        return httpx.Response(200, json={"tags": page or None}, headers=headers)

    def _referrers(self, _: httpx.Request, stored: Stored, digest: str) -> httpx.Response:
        if not self.referrers_api:
            return httpx.Response(404, text="404 page not found")
        listed: list[dict[str, Any]] = []
        for name, (content, kind) in stored.manifests.items():
            document = json.loads(content)
            if document.get("subject", {}).get("digest") == digest:
                kept = {key: document[key] for key in ("artifactType", "annotations") if key in document}
                listed.append({"mediaType": kind, "digest": name, "size": len(content), **kept})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        return httpx.Response(200, content=json.dumps(index), headers={"Content-Type": INDEX})


def put_image(stored: Stored, seed: str, *, docker: bool = False) -> Manifest:
    """Store an image of one layer."""
    kind = DOCKER_IMAGE if docker else IMAGE
    config = json.dumps({"seed": seed}).encode()
    layer = hashlib.sha256(seed.encode()).digest() * 100
    config_type = (
        "application/vnd.docker.container.image.v1+json" if docker else "application/vnd.oci.image.config.v1+json"
    )
    layer_type = "application/vnd.oci.image.layer.v1.tar"
    described = [{"digest": digest_of(each), "size": len(each)} for each in (config, layer)]
    document = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": config_type, **described[0]},
        "layers": [{"mediaType": layer_type, **described[1]}],
    }
    stored.blobs |= {digest_of(each): each for each in (config, layer)}
    # Spaces that no program of ours writes: what is copied must be these bytes.
    content = json.dumps(document, indent=3).encode()
    stored.manifests[digest_of(content)] = (content, kind)
    return Manifest(content, kind, digest_of(content))


def put_index(stored: Stored, seed: str) -> Manifest:
    """Store an image for two platforms."""
    children = [
        put_image(stored, f"{seed}-{architecture}").descriptor(platform={"os": "linux", "architecture": architecture})
        for architecture in ("amd64", "arm64")
    ]
    content = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, indent=3).encode()
    stored.manifests[digest_of(content)] = (content, INDEX)
    return Manifest(content, INDEX, digest_of(content))
