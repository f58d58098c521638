"""Reports as trivy writes them: the fields and the wording of its own golden files, cut to what is judged."""

import json
from typing import Any

DIGEST = f"sha256:{'ab' * 32}"
IMAGE = f"ghcr.io/acme/orders/api@{DIGEST}"


def vulnerability(identity: str, package: str, severity: str, fixed: str = "1.1.1d-r0") -> dict[str, Any]:
    return {
        "VulnerabilityID": identity,
        "PkgID": f"{package}@1.1.1c-r0",
        "PkgName": package,
        "PkgIdentifier": {"PURL": f"pkg:apk/alpine/{package}@1.1.1c-r0?arch=x86_64&distro=3.10.2"},
        "InstalledVersion": "1.1.1c-r0",
        **({"FixedVersion": fixed, "Status": "fixed"} if fixed else {"Status": "affected"}),
        "SeveritySource": "nvd",
        "PrimaryURL": f"https://avd.aquasec.com/nvd/{identity.lower()}",
        "Title": "openssl: information disclosure in fork()",
        "Severity": severity,
    }


def trivy(*vulnerabilities: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "SchemaVersion": 2,
        "CreatedAt": "2026-01-01T12:20:30.000000005Z",
        "ArtifactName": IMAGE,
        "ArtifactType": "container_image",
        "Metadata": {
            "OS": {"Family": "alpine", "Name": "3.10.2", "EOSL": True},
            "ImageID": "sha256:961769676411f082461f9ef46626dd7a2d1e2b2a38e6a44364bcbecf51e66dd4",
            "RepoTags": ["ghcr.io/acme/orders/api:sha-0123456789ab"],
            "RepoDigests": [IMAGE],
            "ImageConfig": {"architecture": "amd64", "os": "linux"},
        },
        "Results": [
            {
                "Target": f"{IMAGE} (alpine 3.10.2)",
                "Class": "os-pkgs",
                "Type": "alpine",
                **({"Vulnerabilities": list(vulnerabilities)} if vulnerabilities else {}),
            }
        ],
        **changes,
    }


OTHER_CLASSES: list[dict[str, Any]] = [
    {
        "Target": "Dockerfile",
        "Class": "config",
        "Type": "dockerfile",
        "MisconfSummary": {"Successes": 20, "Failures": 1},
        "Misconfigurations": [
            {
                "Type": "Dockerfile Security Check",
                "ID": "DS002",
                "Title": "Image user should not be 'root'",
                "Severity": "HIGH",
                "PrimaryURL": "https://avd.aquasec.com/misconfig/ds002",
                "Status": "FAIL",
            },
            {"ID": "DS001", "Title": "':latest' tag used", "Severity": "HIGH", "Status": "PASS"},
        ],
    },
    {
        "Target": "/app/.env",
        "Class": "secret",
        "Secrets": [
            {
                "RuleID": "github-pat",
                "Category": "GitHub",
                "Severity": "CRITICAL",
                "Title": "GitHub Personal Access Token",
                "StartLine": 1,
                "EndLine": 1,
                "Match": "TOKEN=hunter2hunter2",
            }
        ],
    },
    {
        "Target": "Python",
        "Class": "license",
        "Licenses": [
            {"Severity": "HIGH", "Category": "restricted", "PkgName": "chardet", "Name": "LGPL-2.1", "Confidence": 1}
        ],
    },
]


def sarif(*vulnerabilities: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """The same vulnerabilities as trivy's SARIF; a rule has the severity of where it was found first."""
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    for each in vulnerabilities:
        identity, link = each["VulnerabilityID"], f"[{each['VulnerabilityID']}]({each['PrimaryURL']})"
        rules.setdefault(
            identity,
            {
                "id": identity,
                "name": "OsPackageVulnerability",
                "shortDescription": {"text": each["Title"]},
                "helpUri": each["PrimaryURL"],
                "properties": {"security-severity": "5.3", "tags": ["vulnerability", "security", each["Severity"]]},
            },
        )
        text = (
            f"Package: {each['PkgName']}\nInstalled Version: {each['InstalledVersion']}\nVulnerability {identity}\n"
            f"Severity: {each['Severity']}\nFixed Version: {each.get('FixedVersion', '')}\nLink: {link}"
        )
        index = list(rules).index(identity)
        results.append({"ruleId": identity, "ruleIndex": index, "level": "error", "message": {"text": text}})
    named = {"imageName": IMAGE, "repoDigests": [IMAGE], "repoTags": [], "imageID": "sha256:9617"}
    driver = {"fullName": "Trivy Vulnerability Scanner", "name": "Trivy", "rules": list(rules.values())}
    run = {"tool": {"driver": driver}, "results": results, "properties": {**named, **properties}}
    return {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0-rtm.5.json", "runs": [run]}


def text(document: Any) -> str:
    return json.dumps(document, indent=2)
