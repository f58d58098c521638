"""The verdict on a scanner's report. Pure, but for reading the files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavedpath_delivery.images.references import Reference
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.kit.markdown import cell
from pavedpath_delivery.kit.plain import plain
from pavedpath_delivery.scan import exceptions
from pavedpath_delivery.scan.exceptions import DEFAULT_DAYS, Waiver
from pavedpath_delivery.scan.report import Finding, MalformedError, ScanReport, Severity, parse_report

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_SEVERITIES = (Severity.HIGH, Severity.CRITICAL)
_ROWS = 50
"""Findings in the summary: a job's has room for 1 MiB."""


@dataclass(frozen=True)
class Rules:
    """What stops a delivery.

    Attributes:
        severities: of the findings that do.
        waivers: exceptions, expired ones among them.
        today: in UTC; an exception holds through its last day.
        ignore_unfixed: whether vulnerabilities that no version mends yet are let through.
    """

    severities: Collection[Severity]
    waivers: Sequence[Waiver]
    today: date
    ignore_unfixed: bool = False


@dataclass(frozen=True)
class Verdict:
    """The answer of `pavedpath scan gate`.

    Attributes:
        artifact: what was scanned.
        severities: that counted.
        blocking: findings that stop the delivery.
        excepted: findings that do not, each with its exception.
        unfixed: findings that were let through, for there is no version that mends them.
        others: how many findings were of other severities.
        expired: exceptions that would cover a blocking finding, had they not expired.
        unused: exceptions that cover nothing that counts.
    """

    artifact: str
    severities: tuple[Severity, ...]
    blocking: tuple[Finding, ...]
    excepted: tuple[tuple[Finding, Waiver], ...]
    unfixed: tuple[Finding, ...]
    others: int
    expired: tuple[Waiver, ...]
    unused: tuple[Waiver, ...]

    @property
    def code(self) -> Exit:
        """Red with anything that blocks."""
        return Exit.FAILED if self.blocking else Exit.OK

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        counts = [
            f"{len(each)} {what}"
            for each, what in ((self.excepted, "excepted"), (self.unfixed, "without a fix"))
            if each
        ]
        aside = f" ({', '.join(counts)})" if counts else ""
        listed = ", ".join(self.severities)
        findings = "1 finding" if len(self.blocking) == 1 else f"{len(self.blocking)} findings"
        return f"{findings} of {listed} in {self.artifact or 'the report'}{aside}"

    @property
    def remarks(self) -> list[str]:
        """What is to be said about exceptions."""
        return [
            *(f"exception expired on {each.expires}: {each} ({each.reason})" for each in self.expired),
            *(f"exception is not used: {each}; take it out once no image needs it" for each in self.unused),
        ]

    def document(self) -> Mapping[str, Any]:
        """Return the whole verdict."""
        return {
            "artifact": self.artifact,
            "green": self.code is Exit.OK,
            "severities": list(self.severities),
            "blocking": [_finding(each) for each in self.blocking],
            "excepted": [
                {**_finding(each), "reason": waiver.reason, "expires": waiver.expires.isoformat()}
                for each, waiver in self.excepted
            ],
            "unfixed": [_finding(each) for each in self.unfixed],
            "others": self.others,
            "expired": [str(each) for each in self.expired],
            "unused": [str(each) for each in self.unused],
        }

    def show(self, console: "Console") -> None:
        """Print a line for each finding that blocks, and the verdict."""
        for each in self.blocking:
            fixed = f", fixed in {each.fixed}" if each.fixed else "" if each.fixable else ", not fixed yet"
            line = f"{each.severity}  {each.id}  {each.package} {each.installed}{fixed}"
            console.print(plain(line), markup=False)
        for remark in self.remarks:
            console.print(plain(remark), markup=False)
        console.print(plain(f"{'red' if self.blocking else 'green'}: {self.headline}"), markup=False)

    def summary(self) -> str:
        """Return the verdict as Markdown."""
        lines = [f"### Scan: {'red' if self.blocking else 'green'}", "", cell(self.headline), ""]
        rows = [(each, "blocks") for each in self.blocking]
        rows += [(each, f"excepted until {waiver.expires}: {waiver.reason}") for each, waiver in self.excepted]
        rows += [(each, "no fix yet") for each in self.unfixed]
        if rows:
            lines += ["| severity | finding | package | installed | fixed in | |", "|---|---|---|---|---|---|"]
            lines += [_row(each, why) for each, why in rows[:_ROWS]]
        if len(rows) > _ROWS:
            lines.append(f"\nand {len(rows) - _ROWS} more in the report")
        return "\n".join([*lines, "", *(f"- {cell(remark)}" for remark in self.remarks)]).rstrip() + "\n"

    def outputs(self) -> Mapping[str, str]:
        """Return the counts `blocking` and `excepted`."""
        return {"blocking": str(len(self.blocking)), "excepted": str(len(self.excepted))}


def judge(report: ScanReport, rules: Rules) -> Verdict:
    """Return the verdict on a report. Pure."""
    counted = [each for each in report.findings if each.severity in rules.severities]
    unfixed = [each for each in counted if rules.ignore_unfixed and not each.fixable]
    holding = [each for each in rules.waivers if each.expires >= rules.today]
    blocking: list[Finding] = []
    excepted: list[tuple[Finding, Waiver]] = []
    for finding in (each for each in counted if each not in unfixed):
        waiver = next((each for each in holding if each.covers(finding)), None)
        if waiver:
            excepted.append((finding, waiver))
        else:
            blocking.append(finding)
    expired = [each for each in rules.waivers if each not in holding and any(each.covers(one) for one in blocking)]
    touched = [finding for finding, _ in excepted] + blocking
    return Verdict(
        report.artifact,
        tuple(each for each in Severity if each in rules.severities),
        tuple(blocking),
        tuple(excepted),
        tuple(unfixed),
        len(report.findings) - len(counted),
        tuple(expired),
        tuple(each for each in rules.waivers if not any(each.covers(one) for one in touched)),
    )


def is_of(report: ScanReport, image: Reference) -> bool:
    """Whether a report is about an image: by digest if that is given, otherwise by a name that the scanner knew."""
    for name in report.names:
        try:
            known = Reference.parse(name)
        except ValueError:  # the path of an archive
            continue
        if image.digest:
            if known.digest == image.digest:
                return True
        elif known.name == image.name and (known.tag or "latest") == (image.tag or "latest") and not known.digest:
            return True
    return False


@dataclass(frozen=True)
class Asked:
    """What is to be judged, and by what.

    Attributes:
        report: its file.
        image: what it must be about; empty for not checked.
        severities: that stop a delivery.
        exceptions: their file; None for none.
        days: how far ahead exceptions may expire.
        ignore_unfixed: see `Rules`.
    """

    report: Path
    image: str = ""
    severities: Collection[Severity] = DEFAULT_SEVERITIES
    exceptions: Path | None = None
    days: int = DEFAULT_DAYS
    ignore_unfixed: bool = False


def gate(asked: Asked, today: date) -> Verdict:
    """Judge a report's file; `today` is in UTC.

    Raises:
        DeliveryError: the report cannot be judged, or is about another image (Exit.FAILED: never green); the
            exceptions or the image's name cannot be used (Exit.USAGE).
    """
    path = asked.report
    waivers: Sequence[Waiver] = ()
    if asked.exceptions:
        waivers = exceptions.load(asked.exceptions, today, asked.days)
    try:
        wanted = Reference.parse(asked.image) if asked.image else None
    except ValueError as error:
        raise DeliveryError(f"--image {error}", Exit.USAGE) from error
    try:
        report = parse_report(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryError(
            f"{path} cannot be read: {error}\nFix: scan first, and let the scan fail the job."
        ) from error
    except MalformedError as error:
        raise DeliveryError(f"{path} is no report that can be judged: {plain(str(error))}.\nFix: scan anew.") from error
    if wanted and not is_of(report, wanted):
        known = ", ".join(report.names) or "an image that it does not name"
        raise DeliveryError(f"{path} is about {plain(known)}, not about {wanted}.\nFix: scan {wanted}.")
    return judge(report, Rules(asked.severities, waivers, today, asked.ignore_unfixed))


def _finding(each: Finding) -> dict[str, str]:
    return {
        "id": each.id,
        "severity": each.severity.value,
        "package": each.package,
        "installed": each.installed,
        "fixed": each.fixed,
        "title": each.title,
        "url": each.url,
    }


def _row(each: Finding, why: str) -> str:
    link = f"[{cell(each.id)}]({each.url})" if each.url.startswith("https://") else cell(each.id)
    cells = [each.severity.value, link, *map(cell, (each.package, each.installed, each.fixed, why))]
    return f"| {' | '.join(cells)} |"
