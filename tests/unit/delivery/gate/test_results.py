"""Results as their tools write them, and what is refused of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pavedpath_delivery.gate.results import Finding, Result, ResultError, load, parse
from pavedpath_delivery.gate.rules import Source

RECORDED = Path(__file__).parent / "recorded"


def read(document: Any) -> Result:
    return parse(json.dumps(document).encode(), "file")


def sarif(*results: dict[str, Any], **run: Any) -> dict[str, Any]:
    rules = [
        {"id": "CVE-1", "properties": {"security-severity": "9.8"}, "defaultConfiguration": {"level": "error"}},
        {"id": "CVE-2", "properties": {"security-severity": "5.5"}, "defaultConfiguration": {"level": "note"}},
        {"id": "style"},
    ]
    tool = {"driver": {"name": "scanner", "rules": rules}}
    return {"version": "2.1.0", "runs": [{"tool": tool, "results": list(results), **run}]}


@pytest.mark.parametrize("name", ["coverage.xml", "coverage.json"])
def test_both_files_of_coverage_py_say_the_same(name: str) -> None:
    found = load(RECORDED / name)
    assert found.source is Source.COVERAGE
    assert found.numbers == {"lines": 80.0, "branches": 50.0, "total": pytest.approx(500 / 7)}


def test_cobertura_with_rates_alone() -> None:
    found = parse(b'<!DOCTYPE coverage SYSTEM "coverage-04.dtd"><coverage line-rate="0.75" branch-rate="1"/>', "file")
    assert found.numbers == {"lines": 75.0, "branches": 100.0}


def test_of_nothing_there_is_no_percentage() -> None:
    assert parse(b'<coverage lines-valid="0" lines-covered="0" line-rate="1"/>', "file").numbers == {}
    assert read({"totals": {"covered_lines": 0, "num_statements": 0}}).numbers == {}


def test_junit_as_pytest_writes_it() -> None:
    found = load(RECORDED / "junit.xml")
    assert found.source is Source.JUNIT
    counts = {name: found.numbers[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 4, "failures": 1, "errors": 1, "skipped": 1}


def test_suites_in_suites_count_once_and_a_suite_may_tell_more_than_its_cases() -> None:
    nested = (
        b'<testsuites><testsuite tests="3" failures="1" time="1,000.5"><testsuite tests="2" failures="1">'
        b"<testcase/><testcase><failure/></testcase></testsuite></testsuite>"
        b'<testsuite tests="1" errors="1"/></testsuites>'
    )
    numbers = parse(nested, "file").numbers
    assert numbers == {"tests": 4, "failures": 1, "errors": 1, "skipped": 0, "seconds": 1000.5}
    # Nor does one hide a failure that it has.
    hidden = b'<testsuite tests="1" failures="0"><testcase><failure/></testcase></testsuite>'
    assert parse(hidden, "file").numbers["failures"] == 1


def test_sarif_finds_level_and_score_where_the_tool_put_them() -> None:
    found = read(
        sarif(
            {"ruleId": "CVE-1", "message": {"text": "x"}},
            {"ruleIndex": 1, "level": "warning"},
            {"rule": {"id": "style"}},
            {"ruleId": "CVE-1", "suppressions": [{"kind": "inSource"}]},
            {"ruleId": "CVE-2", "suppressions": [{"kind": "external", "status": "underReview"}]},
            {"ruleId": "CVE-1", "kind": "pass"},
        )
    )
    assert found.findings == [
        Finding("CVE-1", "error", "9.8"),
        Finding("CVE-2", "warning", "5.5"),
        Finding("style", "warning", None),
        Finding("CVE-2", "note", "5.5"),
    ]


def test_mlflow_keeps_the_last_value() -> None:
    metrics = [
        {"key": "f1", "value": 0.7, "timestamp": "9", "step": "0"},
        {"key": "f1", "value": 0.9, "timestamp": "1", "step": "10"},
        {"key": "f1", "value": 0.8, "timestamp": "5", "step": "9"},
    ]
    assert read({"run": {"data": {"metrics": metrics}}}).numbers == {"f1": 0.9}
    assert read({"metrics": metrics}).numbers == {"f1": 0.9}
    assert read({"metrics": {"f1": 0.9}}).source is Source.JSON


BILLION = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuite name="x">&a;</testsuite>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<testsuite>", "no XML"),
        (b"<html/>", "no known kind: <html>"),
        (b'{"a": 1', "neither XML nor JSON"),
        (b'{"f1": 0.1, "f1": 0.9}', "twice"),
        (b"[" * 100_000, "neither XML nor JSON"),
        (b"\xff\xfe{}", "neither XML nor JSON"),
        (BILLION, "entities"),
        (OUTSIDE, "entities"),
        (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "no XML"),
        (b'<coverage line-rate="nan"/>', "no count"),
        (b'<coverage line-rate="inf"/>', "no count"),
        (b'<coverage line-rate="1.5"/>', "more lines are covered"),
        (b'<coverage lines-valid="5" lines-covered="six"/>', "no count"),
        (b'<testsuite failures="-1"/>', "no count"),
        (b'<testsuite failures="nan"/>', "no count"),
        (b'{"version": "2.1.0", "runs": []}', "nothing was scanned"),
        (b'{"version": "2.1.0", "runs": [{"tool": {}}]}', "no results, not even none"),
        (json.dumps(sarif(invocations=[{"executionSuccessful": False}])).encode(), "did not run to its end"),
        (b'{"metrics": [{"key": "f1", "value": 1, "step": "last"}]}', "step of the metric f1"),
    ],
)
def test_what_is_malformed_is_told(content: bytes, reason: str) -> None:
    with pytest.raises(ResultError, match=reason):
        parse(content, "file")


def test_a_missing_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"none\.xml cannot be read \(No such file"):
        load(tmp_path / "none.xml")
    with pytest.raises(ResultError, match="cannot be read"):
        load(tmp_path)
