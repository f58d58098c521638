"""What `pavedpath dora` does with its records: measure, and show for people, machines and pages."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.dora.core import Bands, Figures, Record, Window, bands, figures, link
from pavedpath_delivery.dora.plots import plots
from pavedpath_delivery.dora.wording import duration, rate
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain

if TYPE_CHECKING:
    from rich.console import Console

_COLUMNS = (
    *("week", "deployments", "successes", "failures", "change_failure_rate"),
    *("lead_time_median_seconds", "restore_median_seconds"),
)


@dataclass(frozen=True)
class Measured:
    """The figures of everything together and of each application; the report of the command."""

    environment: str
    total: Figures
    applications: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    others: tuple[str, ...] = ()
    """Environments that the records are of where none is of this one: its name may be misspelled."""

    @property
    def code(self) -> Exit:
        """The exit code: figures are no verdict."""
        return Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return the whole result."""
        return {
            "environment": self.environment,
            **figures_document(self.total),
            "others": list(self.others),
            "applications": {name: figures_document(found) for name, found in self.applications.items()},
        }

    def show(self, console: "Console") -> None:
        """Print it for people."""
        for line in lines(self.total, self.environment):
            console.print(line, markup=False)
        if self.others:
            console.print(f"  {plain(self._elsewhere)}", markup=False)

    def summary(self) -> str:
        """Return the figures as a table in Markdown."""
        text = markdown(self.total, self.environment, self.applications)
        return f"{text}\n{cell(self._elsewhere)}\n" if self.others else text

    @property
    def _elsewhere(self) -> str:
        return f"No record is of {self.environment}; there are records of {', '.join(self.others)}."

    def outputs(self) -> Mapping[str, str]:
        """Return the four figures as plain numbers: deployments a day, seconds, share, seconds; empty for none."""
        found = self.total
        values = {
            "deployment-frequency": found.per_day,
            "lead-time": found.lead_time.median,
            "change-failure-rate": found.change_failure_rate,
            "time-to-restore": found.restore.median,
        }
        return {name: "" if value is None else f"{value:.6g}" for name, value in values.items()}


def measure(records: Iterable[Record], window: Window, environment: str) -> Measured:
    """Measure one environment's records, together and by application.

    Raises:
        DeliveryError: the records contradict themselves.
    """
    others: set[str] = set()

    def of_environment() -> Iterator[Record]:
        for each in records:
            if each.environment == environment:
                yield each
            else:
                others.add(each.environment)

    try:
        history = link(of_environment())
    except ValueError as error:
        raise DeliveryError(f"The records cannot be measured: {error}.", Exit.USAGE) from None
    names = history.applications
    each = {name: figures(history.of(name), window) for name in names} if len(names) > 1 else {}
    return Measured(environment, figures(history, window), each, () if names else tuple(sorted(others)))


def figures_document(found: Figures) -> dict[str, Any]:
    """Return figures as a JSON document: durations in seconds, times in ISO 8601, rates 0 to 1."""
    document = asdict(found)
    del document["window"]
    document["weeks"] = [{**week, "begins": week["begins"].isoformat()} for week in document["weeks"]]
    period = {"since": found.window.since.isoformat(), "until": found.window.until.isoformat()}
    return {**period, **document, "bands": asdict(bands(found))}


def rows(found: Figures) -> list[tuple[str, str, str, str]]:
    """Return the four figures for people: name, value, what it was made of, level (empty for none)."""
    level: Bands = bands(found)
    late = f" (90 % within {duration(found.lead_time.p90)})" if found.lead_time.count else ""
    return [
        (
            "Deployment frequency",
            f"{found.per_day:.2f} a day",
            f"{found.successes} successful of {found.deployments} deployments in {found.window.days:.0f} days",
            str(level.deployment_frequency or ""),
        ),
        (
            "Lead time for changes",
            duration(found.lead_time.median),
            f"median of {found.lead_time.count} commits{late}",
            str(level.lead_time or ""),
        ),
        (
            "Change failure rate",
            rate(found.change_failure_rate),
            f"{found.failures} of {found.deployments} deployments",
            str(level.change_failure_rate or ""),
        ),
        (
            "Time to restore",
            duration(found.restore.median),
            f"median of {found.restore.count} outages" + (f", {found.open} not over yet" if found.open else ""),
            str(level.restore or ""),
        ),
    ]


def _notes(found: Figures) -> list[str]:
    notes = [f"{found.redeployments} redeployments and {found.rollbacks} rollbacks are no changes."]
    if found.unknown_changes:
        notes.append(f"{found.unknown_changes} deployments are without known commits and not in the lead time.")
    if found.skewed_changes:
        notes.append(f"{found.skewed_changes} commits are dated after their deployment and not in the lead time.")
    return notes


def lines(found: Figures, environment: str) -> list[str]:
    """Return the figures for a terminal."""
    period = f"{found.window.since:%Y-%m-%d} to {found.window.until:%Y-%m-%d}"
    table = [f"  {name:<22} {value:>12}  {made_of}{_level(level)}" for name, value, made_of, level in rows(found)]
    return [f"{environment}, {period}", *table, *(f"  {note}" for note in _notes(found))]


def _level(level: str) -> str:
    return f"  [{level}]" if level else ""


def markdown(found: Figures, environment: str, applications: Mapping[str, Figures]) -> str:
    """Return the figures as Markdown for the summary of a job."""
    period = f"{found.window.since:%Y-%m-%d} to {found.window.until:%Y-%m-%d}"
    text = [f"### Delivery of {environment}, {period}", "", "| Figure | Value | Of | Level |", "|---|---|---|---|"]
    text += [f"| {' | '.join(row)} |" for row in rows(found)]
    text += ["", *_notes(found)]
    if applications:
        text += ["", "| Application | Deployments a day | Lead time | Failure rate | Time to restore |"]
        text.append("|---|---|---|---|---|")
        text += [
            f"| {cell(name)} | {each.per_day:.2f} | {duration(each.lead_time.median)} |"
            f" {rate(each.change_failure_rate)} | {duration(each.restore.median)} |"
            for name, each in applications.items()
        ]
    return "\n".join(text) + "\n"


def weeks_csv(found: Figures) -> str:
    """Return the figures by week as CSV; durations in seconds, an empty field for no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for week in found.weeks:
        share = week.failures / week.deployments if week.deployments else None
        numbers = (week.deployments, week.successes, week.failures)
        writer.writerow(
            [f"{week.begins:%Y-%m-%d}", *numbers, *map(_number, (share, week.lead_time.median, week.restore.median))]
        )
    return text.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def write(found: Figures, table: Path | None, folder: Path | None) -> None:
    """Write the weeks as CSV and the plots as `<figure>.svg`; folders are made.

    Raises:
        DeliveryError: a file cannot be written.
    """
    files = {table: weeks_csv(found)} if table else {}
    if folder:
        files |= {folder / f"{name}.svg": text for name, text in plots(found).items()}
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DeliveryError(f"{path} cannot be written ({error.strerror}).", Exit.USAGE) from None
