"""The verdict: each rule held against the results. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from typing import cast

from pavedpath_delivery.gate.results import Finding, Result, ResultError
from pavedpath_delivery.gate.rules import (
    HOLDS,
    CoverageRule,
    JsonRule,
    JunitRule,
    MlflowRule,
    Rule,
    Rules,
    SarifRule,
    Severity,
)
from pavedpath_delivery.kit.documents import Json


class State(StrEnum):
    """What became of a rule."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Its value cannot be had; as red as failed, whatever the rule's severity."""


@dataclass(frozen=True)
class Judgement:
    """One rule and its value; `why` is empty for one that passed."""

    rule: Rule
    value: float | None
    state: State
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """All rules, and what is wrong besides them (`problems`: red; `notes`: to know)."""

    judgements: Sequence[Judgement]
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is red."""
        red = (State.FAILED, State.UNKNOWN)
        return not self.problems and bool(self.judgements) and not any(each.state in red for each in self.judgements)


def judge(rules: Rules, results: Sequence[Result], problems: Sequence[str] = ()) -> Verdict:
    """Hold rules against results; `problems` are files that could not be read, each of them red."""
    used: set[str] = set()
    judgements = [_judge(rule, [each for each in results if _concerns(rule, each)], used) for rule in rules.rules]
    notes = [f"no rule looks at {each.name} ({each.source})" for each in results if each.name not in used]
    return Verdict(judgements, tuple(problems), notes)


def _concerns(rule: Rule, result: Result) -> bool:
    return result.source is rule.source and (not rule.file or fnmatch(result.name, rule.file))


def _judge(rule: Rule, results: Sequence[Result], used: set[str]) -> Judgement:
    used |= {each.name for each in results}
    try:
        value = measure(rule, results)
    except ResultError as error:
        return Judgement(rule, None, State.UNKNOWN, str(error))
    if HOLDS[rule.comparison](value, rule.threshold):
        return Judgement(rule, value, State.PASSED)
    return Judgement(rule, value, State.WARNED if rule.severity is Severity.WARN else State.FAILED, rule.reason)


def measure(rule: Rule, results: Sequence[Result]) -> float:
    """Return the value that decides a rule.

    Raises:
        ResultError: there is none, or it is no finite number.
    """
    if not results:
        which = f" of a file like {rule.file}" if rule.file else ""
        raise ResultError(f"there is no {rule.source} result{which}")
    match rule:
        case CoverageRule():
            return _worst(rule, [_number(each.numbers, rule.metric, each.name) for each in results])
        case JunitRule():
            return _junit(rule.metric, results)
        case SarifRule():
            return float(_count(rule, [finding for each in results for finding in each.findings]))
        case MlflowRule():
            only = _only(results)
            return _number(only.numbers, rule.metric, only.name)
        case JsonRule():
            only = _only(results)
            return _finite(_at(only.document, rule.path, only.name), f"{rule.path} of {only.name}")


def _worst(rule: Rule, values: Sequence[float]) -> float:
    """Return a value that misses the threshold, if any does: each file must meet it."""
    return next((value for value in values if not HOLDS[rule.comparison](value, rule.threshold)), values[0])


def _only(results: Sequence[Result]) -> Result:
    if len(results) > 1:
        names = ", ".join(each.name for each in results)
        raise ResultError(f"several files could be meant ({names}); say which with `file`")
    return results[0]


def _number(numbers: Json, metric: str, name: str) -> float:
    if metric not in numbers:
        raise ResultError(f"{name} has no {metric}")
    return _finite(numbers[metric], f"{metric} of {name}")


def _finite(value: Json, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ResultError(f"{what} is no number but {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise ResultError(f"{what} is too large a number") from None
    if not math.isfinite(number):
        raise ResultError(f"{what} is {number}")
    return number


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "true or false" if isinstance(value, bool) else "a list" if isinstance(value, list) else "an object"


def _junit(metric: str, results: Sequence[Result]) -> float:
    sums = {
        name: sum(_number(each.numbers, name, each.name) for each in results)
        for name in ("tests", "failures", "errors", "skipped", "seconds")
    }
    failed = sums["failures"] + sums["errors"]
    ran = sums["tests"] - sums["skipped"]
    passed = max(0.0, ran - failed)
    if metric != "tests" and not sums["tests"]:
        raise ResultError("there are no tests in it")  # nothing fails where nothing is tested
    if metric == "success_rate":
        if ran <= 0:
            raise ResultError("no test ran")
        return 100 * passed / ran
    return {**sums, "failed": failed, "passed": passed}[metric]


def _count(rule: SarifRule, findings: Sequence[Finding]) -> int:
    chosen = [
        each
        for each in findings
        if (not rule.levels or each.level in rule.levels) and (not rule.rules or each.rule in rule.rules)
    ]
    least = rule.min_security_severity
    if least is None:
        return len(chosen)
    scored = [each for each in chosen if each.severity is not None]
    if chosen and not scored:
        # A scanner that gives no scores would else find nothing critical, whatever it finds.
        raise ResultError("its findings have no security-severity")
    return sum(_score(each) >= least for each in scored)


def _score(finding: Finding) -> float:
    try:
        return _finite(float(finding.severity), f"security-severity of {finding.rule}")
    except (TypeError, ValueError):
        raise ResultError(f"security-severity of {finding.rule} is {_kind(finding.severity)}") from None


def _at(document: Json, pointer: str, name: str) -> Json:
    """Return what a JSON Pointer points at (RFC 6901)."""
    found = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        # An index has no leading zeros; str.isdecimal takes other scripts' digits, too, which str(int()) gives away.
        index = int(key) if key.isdecimal() and str(int(key)) == key else None
        if isinstance(found, Mapping) and key in found:
            found = cast(Mapping[str, Json], found)[key]
        elif isinstance(found, list) and index is not None and index < len(cast(list[Json], found)):
            found = cast(list[Json], found)[index]
        else:
            raise ResultError(f"{name} has no {pointer}")
    return found
