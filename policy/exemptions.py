"""Exemptions: one resource, one rule, a reason and an end, written beside the pack and reviewed like it."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

from policy.model import Finding

FILE = Path(__file__).with_name("exemptions.toml")
LONGEST = timedelta(days=366)
_KEYS = {"rule": str, "urn": str, "reason": str, "until": date}


@dataclass(frozen=True)
class Exemption:
    """A rule does not hold for a resource until the end of a day (UTC)."""

    rule: str
    urn: str
    reason: str
    until: date


class ExemptionsError(ValueError):
    """A file of exemptions that cannot be used; names everything wrong with it."""


def parse(text: str, rules: Sequence[str], today: date) -> list[Exemption]:
    """Read exemptions; one that has ended is no mistake, it only no longer exempts.

    Raises:
        ExemptionsError: not TOML, or an entry that is not right.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExemptionsError(f"{FILE.name}: not TOML: {error}") from None
    entries = document.get("exemption", [])
    problems = [f"unknown key {key}; write [[exemption]]" for key in document if key != "exemption"]
    if not isinstance(entries, list):
        raise ExemptionsError(f"{FILE.name}: write [[exemption]], with two brackets")
    for number, entry in enumerate(cast(list[Any], entries), 1):
        problems += [f"exemption {number}: {problem}" for problem in _problems(entry, rules, today)]
    if problems:
        raise ExemptionsError("\n".join(f"{FILE.name}: {problem}" for problem in problems))
    return [Exemption(**entry) for entry in cast(list[Any], entries)]


def _problems(given: Any, rules: Sequence[str], today: date) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield "it is no table"
        return
    entry = cast(Mapping[str, Any], given)
    for key in sorted(set(entry) - set(_KEYS)):
        yield f"unknown key {key}; it has {', '.join(_KEYS)}"
    for key, kind in _KEYS.items():
        value = entry.get(key)
        if type(value) is not kind or not value:
            yield f"{key} must be a {'date such as 2030-01-31' if kind is date else 'text'}"
    if isinstance(rule := entry.get("rule"), str) and rule not in rules:
        yield f"no rule is called {rule}; the rules are {', '.join(rules)}"
    if type(until := entry.get("until")) is date and until > today + LONGEST:
        yield f"until {until} is more than a year away; choose an earlier day and renew it"


def apply(
    findings: Sequence[Finding], rule: str, exemptions: Sequence[Exemption], today: date
) -> Iterator[tuple[Finding, Exemption | None]]:
    """Yield each finding of a rule with the exemption that excuses it, if one does."""
    for finding in findings:
        own = [exemption for exemption in exemptions if (exemption.rule, exemption.urn) == (rule, finding.urn)]
        current = next((exemption for exemption in own if exemption.until >= today), None)
        if own and not current:
            ended = max(exemption.until for exemption in own)
            yield replace(finding, what=f"{finding.what} (its exemption ended on {ended})"), None
        else:
            yield finding, current
