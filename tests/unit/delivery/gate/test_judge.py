"""Rules and verdicts: what holds, what warns, and that nothing unknown gets through."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pavedpath_delivery.cli import app
from pavedpath_delivery.gate.judge import State, Verdict, judge
from pavedpath_delivery.gate.results import Result, parse
from pavedpath_delivery.gate.rules import SCHEMA, Rules, RulesError, load, schema
from pavedpath_delivery.gate.rules import parse as parse_rules
from pavedpath_delivery.kit.errors import Exit
from typer.testing import CliRunner

from tests.unit.delivery.gate.test_results import RECORDED, sarif

HEAD = "version: 1\nrules:\n"
COVERAGE = """\
  - {id: coverage, source: coverage, metric: lines, comparison: ">", threshold: 80, reason: untested code}
"""
TESTS = """\
  - {id: tests, source: junit, metric: failed, comparison: "==", threshold: 0, reason: broken}
"""
# The thresholds of an ML platform's training pipeline.
MODEL = """\
  - {id: accuracy, source: json, path: /evaluation/accuracy, comparison: ">", threshold: 0.85, reason: worse model}
  - {id: f1, source: mlflow, metric: f1, comparison: ">", threshold: 0.80, reason: worse model}
  - {id: criticals, source: sarif, min_security_severity: 9, comparison: "==", threshold: 0, reason: exploitable}
"""
RULES = HEAD + COVERAGE + MODEL + TESTS


def rule(**changes: Any) -> Rules:
    base = {"id": "f1", "source": "json", "path": "/f1", "comparison": ">", "threshold": 0.8, "reason": "worse"}
    return parse_rules(yaml.safe_dump({"version": 1, "rules": [{**base, **changes}]}))


def read(document: Any, name: str = "metrics.json") -> Result:
    return parse(document if isinstance(document, bytes) else json.dumps(document).encode(), name)


def good() -> dict[str, Result]:
    return {
        "coverage": read(b'<coverage lines-valid="1000" lines-covered="801"/>', "coverage.xml"),
        "accuracy": read({"evaluation": {"accuracy": 0.86}}),
        "f1": read({"run": {"data": {"metrics": [{"key": "f1", "value": 0.81}]}}}, "run.json"),
        "criticals": read(sarif({"ruleId": "CVE-2"}), "trivy.sarif"),
        "tests": read(b"<testsuite><testcase/></testsuite>", "junit.xml"),
    }


def states(verdict: Verdict) -> Mapping[str, State]:
    return {each.rule.id: each.state for each in verdict.judgements}


def test_what_is_good_enough_passes() -> None:
    verdict = judge(parse_rules(RULES), list(good().values()))
    assert verdict.passed
    assert set(states(verdict).values()) == {State.PASSED}
    assert verdict.notes == []


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("coverage", read((RECORDED / "coverage.xml").read_bytes())),  # just 80 %
        ("accuracy", read({"evaluation": {"accuracy": 0.85}})),
        ("f1", read({"metrics": [{"key": "f1", "value": 0.8}]})),
        ("criticals", read(sarif({"ruleId": "CVE-1"}))),
        ("tests", read(b"<testsuite><testcase><error/></testcase></testsuite>")),
    ],
)
def test_each_threshold_itself_is_not_enough(name: str, result: Result) -> None:
    verdict = judge(parse_rules(RULES), [result if key == name else each for key, each in good().items()])
    assert not verdict.passed
    assert [key for key, state in states(verdict).items() if state is State.FAILED] == [name]


@pytest.mark.parametrize("name", ["coverage", "accuracy", "f1", "criticals", "tests"])
def test_a_result_that_is_not_there_is_red(name: str) -> None:
    verdict = judge(parse_rules(RULES), [each for key, each in good().items() if key != name])
    assert not verdict.passed
    assert states(verdict)[name] is State.UNKNOWN


@pytest.mark.parametrize("severity", ["block", "warn"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"f2": 1}', "no /f1"),
        ('{"f1": NaN}', "is nan"),
        ('{"f1": Infinity}', "is inf"),
        ('{"f1": -Infinity}', "is -inf"),
        ('{"f1": 1e999}', "is inf"),
        ('{"f1": "0.9"}', "the text '0.9'"),
        ('{"f1": true}', "true or false"),
        ('{"f1": null}', "null"),
        ('{"f1": [0.9]}', "a list"),
        ('{"f1": {"v": 0.9}}', "an object"),
        ('{"f1": 1' + "0" * 400 + "}", "too large"),
        ("[0.9]", "no /f1"),
        ("0.9", "no /f1"),
    ],
)
def test_what_is_no_finite_number_is_red_even_where_a_miss_would_warn(text: str, why: str, severity: str) -> None:
    verdict = judge(rule(severity=severity), [read(text.encode())])
    (only,) = verdict.judgements
    assert only.state is State.UNKNOWN
    assert why in only.why
    assert not verdict.passed


@given(st.floats(), st.sampled_from([">", ">=", "<", "<=", "==", "!="]))
def test_a_gate_opens_only_for_a_number_that_compares(value: float, comparison: str) -> None:
    verdict = judge(rule(comparison=comparison), [read({"f1": value})])
    holds = {
        ">": value > 0.8, ">=": value >= 0.8, "<": value < 0.8, "<=": value <= 0.8, "==": value == 0.8,
        "!=": value != 0.8,
    }[comparison]  # fmt: skip
    assert verdict.passed is (holds and math.isfinite(value))


def test_a_warning_does_not_block_and_says_why() -> None:
    verdict = judge(rule(severity="warn"), [read({"f1": 0.1})])
    assert verdict.passed
    assert [(each.state, each.why) for each in verdict.judgements] == [(State.WARNED, "worse")]


def test_a_pointer_reaches_into_lists_and_odd_names() -> None:
    document = {"a/b": [{"~x": 0.9}], "": {"": 0.9}}
    for path in ("/a~1b/0/~0x", "//"):
        assert judge(rule(path=path), [read(document)]).passed
    for path in ("/a~1b/00/~0x", "/a~1b/1/~0x", "/a~1b/-1", "/a~1b/\u0660/~0x"):
        assert not judge(rule(path=path), [read(document)]).passed


def test_several_files_of_one_kind() -> None:
    low = read(b'<coverage line-rate="0.1"/>', "a.xml")
    high = read(b'<coverage line-rate="0.9"/>', "b.xml")
    lines = parse_rules(HEAD + COVERAGE)
    assert not judge(lines, [low, high]).passed
    assert not judge(lines, [high, low]).passed
    either = judge(rule(), [read({"f1": 0.9}, "a.json"), read({"f1": 0.9}, "b.json")])
    assert "several files" in either.judgements[0].why
    assert judge(rule(file="b*"), [read({"f1": 0.1}, "a.json"), read({"f1": 0.9}, "b.json")]).passed
    assert "like c*" in judge(rule(file="c*"), [read({"f1": 0.9})]).judgements[0].why


def test_no_test_that_ran_is_no_success() -> None:
    def why(content: bytes, metric: str) -> list[str]:
        return [
            each.why for each in judge(parse_rules(HEAD + TESTS.replace("failed", metric)), [read(content)]).judgements
        ]

    skipped = b"<testsuite><testcase><skipped/></testcase></testsuite>"
    assert why(skipped, "success_rate") == ["no test ran"]
    assert why(b"<testsuites/>", "failed") == ["there are no tests in it"]
    assert why(b"<testsuites/>", "tests") == [""]


def test_findings_are_counted_by_level_rule_and_score() -> None:
    found = read(sarif({"ruleId": "CVE-1"}, {"ruleId": "CVE-2"}, {"ruleId": "style", "level": "error"}))

    def count(**filters: Any) -> float | None:
        base = {"id": "s", "source": "sarif", "comparison": "==", "threshold": 0, "reason": "r", **filters}
        return judge(parse_rules(yaml.safe_dump({"version": 1, "rules": [base]})), [found]).judgements[0].value

    assert count() == 3
    assert count(levels=["error"]) == 2
    assert count(levels=["error"], rules=["style"]) == 1
    assert count(min_security_severity=5.5) == 2
    assert count(min_security_severity=9) == 1
    assert count(min_security_severity=9, rules=["style"]) is None
    odd = sarif({"ruleId": "CVE-1"})
    odd["runs"][0]["tool"]["driver"]["rules"][0]["properties"]["security-severity"] = "high"
    one = {"id": "s", "source": "sarif", "min_security_severity": 9, "comparison": "==", "threshold": 0, "reason": "r"}
    assert not judge(parse_rules(yaml.safe_dump({"version": 1, "rules": [one]})), [read(odd)]).passed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("{}", "empty"),
        ("# nothing", "empty"),
        ("version: 1", "rules: it is missing"),
        ("version: 1\nrules: []", "^rules: it must not be empty$"),
        ("version: 2\nrules: []", "version is 2"),
        ("version: '1'\nrules: []", "version is '1'"),
        ("version: true\nrules: []", "version is True"),
        ("rules: []", "version is None"),
        ("- 1", "version is None"),
        ("a: [", r"no YAML \(line"),
        (RULES.replace("id: f1", "id: tests"), "twice: tests"),
        (RULES.replace("threshold: 80", "threshold: '80'"), r"rules.0.threshold"),
        (RULES.replace("threshold: 80", "threshold: .nan"), r"rules.0.threshold"),
        (RULES.replace("threshold: 80", "threshold: true"), r"rules.0.threshold"),
        (RULES.replace('">", threshold: 80', '"about", threshold: 80'), r"rules.0.comparison"),
        (RULES.replace("metric: lines", "metric: files"), r"rules.0.metric"),
        (RULES.replace("path: /evaluation/accuracy", "path: accuracy"), r"rules.1.path"),
        (
            RULES.replace("source: junit", "source: trx"),
            r"^rules.4: source must be one of coverage, junit, sarif, mlflow, json$",
        ),
        (RULES.replace("reason: broken", "reasons: broken"), "rules.4.reason: .*rules.4.reasons"),
    ],
)
def test_rules_that_cannot_be_used_are_told(text: str, reason: str) -> None:
    with pytest.raises(RulesError, match=reason):
        parse_rules(text)


def test_a_file_of_rules_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "rules.yaml").write_bytes(b"\xff")
    with pytest.raises(RulesError, match="UTF-8"):
        load(tmp_path / "rules.yaml")


def test_the_committed_schema_is_that_of_the_rules() -> None:
    assert SCHEMA.read_text() == schema(), "run: python -m pavedpath_delivery.gate.rules"
    assert CliRunner().invoke(app, ["gate", "schema"]).stdout == schema()


def check(folder: Path, *files: str, text: str = RULES) -> Any:
    (folder / "rules.yaml").write_text(text)
    return CliRunner().invoke(
        app, ["gate", "check", *[str(folder / name) for name in files], "--rules", str(folder / "rules.yaml")]
    )


def test_the_command_tells_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    one = HEAD + COVERAGE
    (tmp_path / "good.xml").write_text('<coverage lines-valid="10" lines-covered="9"/>')
    assert check(tmp_path, "good.xml", text=one).exit_code == Exit.OK
    assert (tmp_path / "outputs").read_text() == "passed=true\n"
    assert "| ✓ | coverage | 90 | > 80 |  |" in (tmp_path / "summary").read_text()
    red = check(tmp_path, "good.xml", "broken.json", text=one)
    assert red.exit_code == Exit.FAILED
    assert "broken.json cannot be read" in red.output
    refused = check(tmp_path, "good.xml", text="version: 9\nrules: []")
    assert refused.exit_code == Exit.USAGE
    assert "version is 9" in refused.output
    assert (tmp_path / "outputs").read_text() == "passed=true\npassed=false\npassed=false\n"


def test_a_result_that_nobody_looks_at_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.xml").write_text('<coverage lines-valid="10" lines-covered="9"/>')
    (tmp_path / "other.json").write_text("{}")
    done = check(tmp_path, "good.xml", "other.json", text=HEAD + COVERAGE)
    assert done.exit_code == Exit.OK
    assert "other.json (json)" in done.output
