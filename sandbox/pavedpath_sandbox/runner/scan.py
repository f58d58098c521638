"""What `aquasecurity/trivy-action` does, without trivy's database: an image's Python packages against a few advisories.

The report has the shape of trivy's JSON (schema version 2), so that what reads it is the real thing.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pavedpath_sandbox.documents import objects
from pavedpath_sandbox.registry import ImageError, Reference, Registry, parse

from .build import loaded

ADVISORIES = Path(__file__).parent / "advisories.json"
_METADATA = re.compile(r"(?:^|/)(?P<name>[\w.]+)-(?P<version>[\w.!+]+)\.dist-info/METADATA$")


def packages(registry: Registry, reference: Reference) -> tuple[str, dict[str, str]]:
    """Return the digest of an image's manifest and the versions of the Python packages in its layers."""
    digest, manifest = registry.manifest(reference)
    found: dict[str, str] = {}
    for layer in objects(manifest.get("layers")):
        content = b"".join(registry.blob(reference.repository, str(layer["digest"])))
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive.getnames():
                if match := _METADATA.search(member):
                    found[match["name"].lower().replace("_", "-")] = match["version"]
    return digest, found


def vulnerabilities(found: Mapping[str, str], advisories: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what advisories say of packages, as trivy words it."""
    return [
        {
            "VulnerabilityID": advisory["id"],
            "PkgName": advisory["package"],
            "InstalledVersion": found[advisory["package"]],
            "FixedVersion": advisory["fixed"],
            "Severity": advisory["severity"],
            "Title": advisory["title"],
        }
        for advisory in advisories
        if found.get(advisory["package"]) in cast("Sequence[str]", advisory["affected"])
    ]


def report(
    image: str, digest: str, found: Mapping[str, str], advisories: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the report of an image."""
    repository = image.partition("@")[0]
    return {
        "SchemaVersion": 2,
        "ArtifactName": image,
        "ArtifactType": "container_image",
        "Metadata": {"RepoDigests": [f"{repository}@{digest}"]},
        "Results": [
            {
                "Target": "Python",
                "Class": "lang-pkgs",
                "Type": "python-pkg",
                "Vulnerabilities": vulnerabilities(found, advisories),
            }
        ],
    }


def main() -> int:
    """Scan the image that IMAGE names and write the report to REPORT; return the exit status."""
    image = os.environ["IMAGE"]
    if os.environ["FORMAT"] != "json":
        sys.stderr.write(f"this stand-in writes JSON, not {os.environ['FORMAT']}\n")
        return 1
    reference = parse(image) or parse(loaded(os.environ["SANDBOX_REGISTRY"], image))
    if reference is None:
        sys.stderr.write(f"{image!r} names no image of a registry\n")
        return 1
    try:
        digest, found = packages(Registry(reference.host), reference)
    except ImageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    written = report(image, reference.digest or digest, found, json.loads(ADVISORIES.read_text()))
    Path(os.environ["REPORT"]).write_text(json.dumps(written, indent=2))
    sys.stdout.write(f"{len(found)} packages, {len(written['Results'][0]['Vulnerabilities'])} known vulnerabilities\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
