"""What `pavedpath gate check` does: read, judge, show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.gate import results, rules
from pavedpath_delivery.gate.judge import Judgement, State, Verdict, judge
from pavedpath_delivery.kit.errors import Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

_SIGNS = {State.PASSED: "✓", State.WARNED: "!", State.FAILED: "✗", State.UNKNOWN: "?"}
_COLOURS = {State.PASSED: "green", State.WARNED: "yellow", State.FAILED: "red", State.UNKNOWN: "red"}


@dataclass(frozen=True)
class Gate:
    """A verdict as the report of the command; with `refusal` the rules themselves cannot be used."""

    verdict: Verdict = field(default_factory=lambda: Verdict(()))
    refusal: str = ""

    @property
    def code(self) -> Exit:
        """The exit code: 0 passed, 1 red, 2 red as the rules cannot be used."""
        if self.refusal:
            return Exit.USAGE
        return Exit.OK if self.verdict.passed else Exit.FAILED

    def document(self) -> Mapping[str, Any]:
        """Return the whole verdict."""
        return {
            "passed": self.code is Exit.OK,
            "refusal": self.refusal or None,
            "rules": [_row(each) for each in self.verdict.judgements],
            "problems": list(self.verdict.problems),
            "notes": list(self.verdict.notes),
        }

    def show(self, console: "Console") -> None:
        """Print it for people."""
        from rich.text import Text

        for each in self.verdict.judgements:
            value = "no value" if each.value is None else f"{each.value:.10g}"
            line = f"{_SIGNS[each.state]} {each.rule.id}: {value}, wanted {_wanted(each)}"
            console.print(Text(plain(f"{line}{f': {each.why}' if each.why else ''}"), style=_COLOURS[each.state]))
        for problem in [*([self.refusal] if self.refusal else []), *self.verdict.problems]:
            console.print(Text(plain(f"✗ {problem}"), style="red"))
        for note in self.verdict.notes:
            console.print(Text(plain(f"note: {note}")))
        console.print("The gate is open." if self.code is Exit.OK else "The gate is red.")

    def summary(self) -> str:
        """Return the verdict as a table in Markdown."""
        lines = [f"### Quality gate: {'passed' if self.code is Exit.OK else 'red'}", ""]
        if self.verdict.judgements:
            lines += ["| | Rule | Value | Wanted | Why |", "|---|---|---|---|---|"]
        for each in self.verdict.judgements:
            value = "" if each.value is None else f"{each.value:.6g}"
            cells = (_SIGNS[each.state], each.rule.id, value, _wanted(each), each.why)
            lines.append(f"| {' | '.join(map(cell, cells))} |")
        stated = [*([self.refusal] if self.refusal else []), *self.verdict.problems, *self.verdict.notes]
        lines += ["", *(f"- {cell(each)}" for each in stated)] if stated else []
        return "\n".join(lines) + "\n"

    def outputs(self) -> Mapping[str, str]:
        """Return the output `passed`: true or false."""
        return {"passed": "true" if self.code is Exit.OK else "false"}


def check(files: Sequence[Path], rules_file: Path) -> Gate:
    """Hold the results of files against a file of rules."""
    try:
        known = rules.load(rules_file)
    except rules.RulesError as error:
        return Gate(refusal=str(error))
    found: list[results.Result] = []
    problems: list[str] = []
    for path in dict.fromkeys(files):
        try:
            found.append(results.load(path))
        except results.ResultError as error:
            problems.append(str(error))
    return Gate(judge(known, found, problems))


def _wanted(each: Judgement) -> str:
    return f"{each.rule.comparison} {each.rule.threshold:g}"


def _row(each: Judgement) -> dict[str, Any]:
    return {
        "id": each.rule.id,
        "state": str(each.state),
        "value": each.value,
        "comparison": str(each.rule.comparison),
        "threshold": each.rule.threshold,
        "severity": str(each.rule.severity),
        "why": each.why,
    }
