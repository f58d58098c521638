"""What the scanner's stand-in finds in an image, and the shape of its report."""

import io
import json
import tarfile
from collections.abc import Mapping

import httpx
import pytest
from pavedpath_delivery.scan.report import parse_report
from pavedpath_sandbox.registry import LAYER, MANIFEST, Registry, digest_of, encode, parse
from pavedpath_sandbox.runner.build import lines, loaded
from pavedpath_sandbox.runner.scan import ADVISORIES, packages, report, vulnerabilities


def layer(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def registry(content: bytes) -> Registry:
    manifest = encode({"mediaType": MANIFEST, "layers": [{"mediaType": LAYER, "digest": digest_of(content)}]})

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=manifest if "/manifests/" in request.url.path else content)

    return Registry("h:1", httpx.Client(transport=httpx.MockTransport(answer), base_url="http://h:1"))


def test_the_packages_of_an_image() -> None:
    content = layer(
        "usr/local/lib/site-packages/Flask_Cors-4.0.1.dist-info/METADATA",
        "opt/more/requests-2.5.0.dist-info/METADATA",
        "opt/more/requests-2.5.0.dist-info/RECORD",
        "app/not-1.0/METADATA",
    )
    image = parse("h:1/app:1")
    assert image is not None
    _, found = packages(registry(content), image)
    assert found == {"flask-cors": "4.0.1", "requests": "2.5.0"}


@pytest.mark.parametrize(("version", "count"), [("2.5.0", 1), ("2.6.0", 0), (None, 0)])
def test_what_the_advisories_say(version: str | None, count: int) -> None:
    found: Mapping[str, str] = {"requests": version} if version else {}
    assert len(vulnerabilities(found, json.loads(ADVISORIES.read_text()))) == count


def test_the_report_is_one_that_the_gate_reads() -> None:
    written = report("h:1/app:1", "sha256:" + "a" * 64, {"requests": "2.5.0"}, json.loads(ADVISORIES.read_text()))
    [finding] = parse_report(json.dumps(written)).findings
    assert (finding.severity, finding.package) == ("HIGH", "requests")


def test_how_inputs_are_taken_apart() -> None:
    assert lines("a, b\n\n c\n") == ["a", "b", "c"]
    assert loaded("127.0.0.1:5000", "api:1") == "127.0.0.1:5000/loaded/api:1"
