"""Results of tests and scanners, recognised by their content and read into numbers.

Sources: Cobertura's coverage-04.dtd; coverage.py, "JSON reporting"; the JUnit XML that pytest, Maven and Gradle write;
OASIS, SARIF 2.1.0; GitHub, "SARIF support" (security-severity); MLflow, REST API "Get run" and "Get metric history".
"""

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from pavedpath_delivery.gate.rules import Source
from pavedpath_delivery.kit.documents import Json, Properties, fields, objects


class ResultError(Exception):
    """A result that cannot be used; says why."""


@dataclass(frozen=True)
class Finding:
    """One finding of a scanner; `severity` is the CVSS score of its rule, as the file has it, None without one."""

    rule: str
    level: str
    severity: Json = None


@dataclass(frozen=True)
class Result:
    """What a file holds: numbers by name (coverage, junit, mlflow), findings (sarif) or its document (json).

    Numbers are as the file has them: whether one is a number is asked where a rule needs it.
    """

    name: str
    source: Source
    numbers: Mapping[str, Json] = field(default_factory=dict[str, Json])
    findings: Sequence[Finding] = ()
    document: Json = None


def load(path: Path) -> Result:
    """Return the result of a file.

    Raises:
        ResultError: it is missing, or malformed.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror})") from None
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from None


def parse(content: bytes, name: str) -> Result:
    """Return the result of a file's content.

    Raises:
        ResultError: it is malformed.
    """
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise ResultError("it is empty")
    return _xml(text, name) if text.startswith(b"<") else _json(text, name)


def _xml(content: bytes, name: str) -> Result:
    root = _tree(content)
    if root.tag == "coverage":
        return Result(name, Source.COVERAGE, _cobertura(root))
    if root.tag in ("testsuites", "testsuite"):
        return Result(name, Source.JUNIT, _junit(root))
    raise ResultError(f"it is XML of no known kind: <{root.tag}>")


def _tree(content: bytes) -> ET.Element:
    """Parse XML without entities of its own: they could read files, reach out, or grow without end."""

    def refuse(*_: Any) -> None:
        raise ResultError("it declares entities, which no result needs")

    guard = expat.ParserCreate()
    guard.EntityDeclHandler = refuse
    try:
        guard.Parse(content, True)
        return ET.fromstring(content)  # noqa: S314  what makes it unsafe was refused above
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        raise ResultError(f"it is no XML ({error})") from None


def _number(element: ET.Element, attribute: str) -> float | None:
    text = element.get(attribute)
    if text is None:
        return None
    try:
        value = float(text.replace(",", ""))  # Maven writes 1,234.5 seconds
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ResultError(f"{attribute} of <{element.tag}> is {text!r}, which is no count or duration")
    return value


def _cobertura(root: ET.Element) -> dict[str, float]:
    numbers: dict[str, float] = {}
    counts: list[tuple[float, float]] = []
    for metric, kind in (("lines", "line"), ("branches", "branch")):
        covered, valid = _number(root, f"{metric}-covered"), _number(root, f"{metric}-valid")
        share = _number(root, f"{kind}-rate")
        if covered is not None and valid is not None:
            counts.append((covered, valid))
            _percent(numbers, metric, covered, valid)
        elif share is not None:
            _percent(numbers, metric, share, 1.0)
    if len(counts) == 2:
        _percent(numbers, "total", sum(each[0] for each in counts), sum(each[1] for each in counts))
    return numbers


def _percent(numbers: dict[str, Any], metric: str, covered: Json, valid: Json) -> None:
    """Note a percentage; of nothing there is none: where no line was measured, nothing was tested."""
    if not isinstance(covered, int | float) or not isinstance(valid, int | float) or valid <= 0:
        return
    if covered > valid:
        raise ResultError(f"more {metric} are covered ({covered:g}) than there are ({valid:g})")
    numbers[metric] = 100 * covered / valid


def _junit(root: ET.Element) -> dict[str, float]:
    """Count test cases; where a suite itself tells of more, the suite is believed: some write no cases.

    A file that tells of fewer failures than it has is wrong about the failures, not about the cases.
    """
    cases = list(root.iter("testcase"))
    counted = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    suites = [root] if root.tag == "testsuite" or root.get("tests") is not None else list(root)
    numbers = {
        name: max(float(count), sum(_number(suite, name) or 0 for suite in suites)) for name, count in counted.items()
    }
    numbers["seconds"] = sum(_number(suite, "time") or 0 for suite in suites)
    return numbers


def _json(content: bytes, name: str) -> Result:
    try:
        document = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"it is neither XML nor JSON ({error})") from None
    top = fields(document)
    totals = fields(top.get("totals"))
    if "num_statements" in totals:
        return Result(name, Source.COVERAGE, _coverage(totals))
    if isinstance(top.get("runs"), list) and ("sarif" in str(top.get("$schema")) or top.get("version") == "2.1.0"):
        return Result(name, Source.SARIF, findings=list(_findings(top)))
    metrics = fields(fields(top.get("run")).get("data")).get("metrics", top.get("metrics"))
    if objects(metrics) and all("key" in each and "value" in each for each in objects(metrics)):
        return Result(name, Source.MLFLOW, _mlflow(objects(metrics)))
    return Result(name, Source.JSON, document=document)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ResultError("it names a key twice in one object")
    return found


def _coverage(totals: Properties) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    lines, branches = ("covered_lines", "num_statements"), ("covered_branches", "num_branches")
    _percent(numbers, "lines", *(totals.get(key) for key in lines))
    _percent(numbers, "branches", *(totals.get(key) for key in branches))
    covered, valid = (totals.get(lines[n], 0) for n in range(2))
    more_covered, more_valid = (totals.get(branches[n], 0) for n in range(2))
    if all(isinstance(each, int) for each in (covered, valid, more_covered, more_valid)):
        _percent(numbers, "total", covered + more_covered, valid + more_valid)
    return numbers


def _mlflow(metrics: Sequence[Properties]) -> dict[str, Any]:
    """Keep each metric's last value, by step and then by time."""
    latest: dict[str, tuple[tuple[float, float], Any]] = {}
    for each in metrics:
        key, order = str(each["key"]), (_order(each, "step"), _order(each, "timestamp"))
        if key not in latest or order >= latest[key][0]:
            latest[key] = (order, each["value"])
    return {key: value for key, (_, value) in latest.items()}


def _order(metric: Properties, name: str) -> float:
    try:
        return float(metric.get(name) or 0)  # protobuf's JSON writes 64-bit integers as text
    except (TypeError, ValueError):
        raise ResultError(f"{name} of the metric {metric['key']} is {metric[name]!r}, which is no number") from None


def _findings(document: Properties) -> Iterator[Finding]:
    """Yield what failed and is not suppressed.

    A run that says of itself that it did not succeed found too little: its counts are not to be trusted.
    """
    runs = objects(document["runs"])
    if not runs:
        raise ResultError("it has no runs: nothing was scanned")
    for run in runs:
        tool = fields(run.get("tool"))
        driver = fields(tool.get("driver"))
        if any(each.get("executionSuccessful") is False for each in objects(run.get("invocations"))):
            raise ResultError(f"{driver.get('name', 'the scanner')} says that it did not run to its end")
        if not isinstance(run.get("results"), list):
            raise ResultError(f"a run of {driver.get('name', 'the scanner')} has no results, not even none")
        components = [driver, *objects(tool.get("extensions"))]
        described = {str(rule.get("id")): rule for each in components for rule in objects(each.get("rules"))}
        for each in objects(run.get("results")):
            if each.get("kind", "fail") == "fail" and not _suppressed(each):
                yield _finding(each, described, objects(driver.get("rules")))


def _finding(result: Properties, described: Mapping[str, Properties], listed: Sequence[Properties]) -> Finding:
    place = result.get("ruleIndex")
    inside = listed[place] if isinstance(place, int) and 0 <= place < len(listed) else fields(None)
    rule = str(result.get("ruleId") or fields(result.get("rule")).get("id") or inside.get("id", ""))
    known = described.get(rule, inside)
    level = result.get("level") or fields(known.get("defaultConfiguration")).get("level") or "warning"
    return Finding(rule, str(level), fields(known.get("properties")).get("security-severity"))


def _suppressed(result: Properties) -> bool:
    """Whether each suppression of a finding is accepted, as one without a status is (SARIF 2.1.0, 3.27.23)."""
    suppressions = objects(result.get("suppressions"))
    return bool(suppressions) and all(each.get("status", "accepted") == "accepted" for each in suppressions)
