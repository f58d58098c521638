"""What a scanner found: trivy's JSON and its SARIF, read strictly. Pure.

A report that cannot be understood in full must not look like a clean one: everything that is not as trivy writes it
is an error.

Source: aquasecurity/trivy, pkg/types/report.go (JSON, schema version 2) and pkg/report/sarif.go (SARIF 2.1.0).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from pavedpath_delivery.kit.documents import Json, Properties, fields, objects


class Severity(StrEnum):
    """Trivy's severities, the worst first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Finding:
    """One thing that a scanner found.

    Attributes:
        id: of the vulnerability (CVE-…, GHSA-…), check, secret's rule, or licence.
        severity: how bad it is.
        package: what it is in: a package, otherwise a file.
        installed: the package's version; empty for what is no package.
        fixed: version that mends it; empty for none yet.
        fixable: whether something can be done now; only of a vulnerability without a fixed version not.
        title: in words.
        url: where to read more.
    """

    id: str
    severity: Severity
    package: str
    installed: str = ""
    fixed: str = ""
    fixable: bool = True
    title: str = ""
    url: str = ""


@dataclass(frozen=True)
class ScanReport:
    """A scanner's report.

    Attributes:
        artifact: what was scanned, as it was named to the scanner.
        names: every reference of it that the scanner knew, `artifact` among them.
        findings: all of them, the worst first.
        form: `trivy` or `sarif`.
    """

    artifact: str
    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    form: str


class MalformedError(Exception):
    """It is no report that can be judged; says why."""


def parse_report(text: str) -> ScanReport:
    """Return what a report says.

    Raises:
        MalformedError: it is empty, of another kind, or not in all parts as trivy writes it.
    """
    if not text.strip():
        raise MalformedError("it is empty: the scanner did not get to its end")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"it is no JSON, or broke off ({error})") from error
    root = fields(document)
    if "SchemaVersion" in root:
        return _trivy(root)
    if "runs" in root:
        return _sarif(root)
    raise MalformedError("it is neither trivy's JSON (`--format json`) nor SARIF (`--format sarif`)")


def _trivy(root: Properties) -> ScanReport:
    if root["SchemaVersion"] != 2:
        raise MalformedError(f"its schema version is {root['SchemaVersion']!r}; 2 is known")
    artifact = _text(root, "ArtifactName", "the report")
    results = _list(root, "Results", "the report")
    if not results:
        raise MalformedError(f"it holds no results: trivy recognised nothing in {artifact} that it could have judged")
    metadata = fields(root.get("Metadata"))
    names = [artifact, *_texts(metadata.get("RepoTags")), *_texts(metadata.get("RepoDigests"))]
    found = [finding for result in results for finding in _findings(result)]
    return ScanReport(artifact, tuple(dict.fromkeys(names)), _sorted(found), "trivy")


def _findings(result: Properties) -> Iterator[Finding]:
    target = _text(result, "Target", "a result")
    where = f"the result {target!r}"
    for each in _list(result, "Vulnerabilities", where):
        fixed = str(each.get("FixedVersion") or "")
        yield Finding(
            _text(each, "VulnerabilityID", where),
            _severity(each.get("Severity"), where),
            _text(each, "PkgName", where),
            _text(each, "InstalledVersion", where),
            fixed,
            bool(fixed),
            str(each.get("Title") or ""),
            str(each.get("PrimaryURL") or ""),
        )
    for each in _list(result, "Misconfigurations", where):
        if each.get("Status") != "PASS":
            yield _plain(each, "ID", target, where, str(each.get("PrimaryURL") or ""))
    for each in _list(result, "Secrets", where):
        yield _plain(each, "RuleID", target, where)  # never its match: that is the secret
    for each in _list(result, "Licenses", where):
        package = str(each.get("PkgName") or each.get("FilePath") or target)
        yield Finding(_text(each, "Name", where), _severity(each.get("Severity"), where), package, title="licence")


def _plain(each: Properties, key: str, target: str, where: str, url: str = "") -> Finding:
    severity = _severity(each.get("Severity"), where)
    return Finding(_text(each, key, where), severity, target, title=str(each.get("Title") or ""), url=url)


_LINE = re.compile(r"^\s*([A-Za-z ]+?): ?(.*)$", re.MULTILINE)


def _sarif(root: Properties) -> ScanReport:
    if root.get("version") != "2.1.0":
        raise MalformedError(f"it is SARIF {root.get('version')!r}; 2.1.0 is known")
    runs = _list(root, "runs", "the report")
    if not runs:
        raise MalformedError("it holds no runs: nothing was scanned")
    names: list[str] = []
    found: list[Finding] = []
    for run in runs:
        if fields(fields(run.get("tool")).get("driver")).get("name") != "Trivy":
            raise MalformedError("it is not trivy's: the severities of others are not known here")
        if run.get("results") is None:  # SARIF 2.1.0, 3.14.23: then the tool did not get to looking
            raise MalformedError("a run of it has no `results`: the scanner did not get to its end")
        said = fields(run.get("properties"))
        names += [str(said.get("imageName") or ""), *_texts(said.get("repoTags")), *_texts(said.get("repoDigests"))]
        rules = {str(rule.get("id")): rule for rule in objects(fields(fields(run["tool"])["driver"]).get("rules"))}
        found += [_from_sarif(each, rules) for each in _list(run, "results", "a run")]
    listed = tuple(dict.fromkeys(name for name in names if name))
    return ScanReport(listed[0] if listed else "", listed, _sorted(found), "sarif")


def _from_sarif(result: Properties, rules: Mapping[str, Properties]) -> Finding:
    identity = _text(result, "ruleId", "a result")
    rule = rules.get(identity)
    if rule is None:
        raise MalformedError(f"{identity} has no rule")
    message = str(fields(result.get("message")).get("text") or "")
    said = {key: value.strip() for key, value in _LINE.findall(message)}
    tags = _texts(fields(rule.get("properties")).get("tags"))
    # The rule has the severity of where it was found first; the message has that of this one. It quotes words from
    # the image, so if it names several severities, the worst counts.
    named = [_severity(value.strip(), identity) for key, value in _LINE.findall(message) if key == "Severity"]
    named = named or [Severity(tag) for tag in tags if tag in list(Severity)]
    if not named:
        raise MalformedError(f"{identity} has no severity")
    vulnerability = "Installed Version" in said
    return Finding(
        identity,
        min(named, key=list(Severity).index),
        said.get("Package") or said.get("PkgName") or said.get("Artifact") or "",
        said.get("Installed Version", ""),
        said.get("Fixed Version", ""),
        bool(said.get("Fixed Version")) or not vulnerability,
        str(fields(rule.get("shortDescription")).get("text") or ""),
        str(rule.get("helpUri") or ""),
    )


def _severity(value: Json, where: str) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        raise MalformedError(f"{where}: {value!r} is no severity of trivy's") from None


def _text(document: Properties, key: str, where: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedError(f"{where} has no `{key}`")
    return value


def _list(document: Properties, key: str, where: str) -> list[Properties]:
    value: Json = document.get(key)
    if value is None:  # Go leaves empty lists out, or writes null
        return []
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(each, Mapping) for each in items):
        raise MalformedError(f"`{key}` of {where} is no list of objects")
    return objects(items)


def _texts(value: Json) -> list[str]:
    return [each for each in cast("list[Any]", value) if isinstance(each, str)] if isinstance(value, list) else []


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    order = list(Severity)
    return tuple(sorted(findings, key=lambda each: (order.index(each.severity), each.id, each.package)))
