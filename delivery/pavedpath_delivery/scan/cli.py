"""The commands of `pavedpath scan`. What they do is imported only when one runs: `--help` stays quick."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.command import Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from pavedpath_delivery.scan.report import Severity

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Judge what scanners found.")


@app.command()
def gate(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="Trivy's JSON or SARIF.")],
    severity: Annotated[str, typer.Option(help="Severities that stop a delivery.")] = "HIGH,CRITICAL",
    exceptions: Annotated[Path | None, typer.Option(help="A file of exceptions that expire.")] = None,
    image: Annotated[str, typer.Option(help="The image that the report must be about.")] = "",
    ignore_unfixed: Annotated[
        bool, typer.Option("--ignore-unfixed", help="Let vulnerabilities through that no version mends yet.")
    ] = False,
    max_days: Annotated[int, typer.Option(min=1, help="How far ahead an exception may expire.")] = 90,
    output: Format = Output.TEXT,
) -> None:
    """Say whether a scanner's report lets an image through: 0 for yes, 1 for no."""
    from pavedpath_delivery.kit.clock import SystemClock
    from pavedpath_delivery.scan import gate as room

    def work(_: object) -> room.Verdict:
        asked = room.Asked(report, image, _severities(severity), exceptions, max_days, ignore_unfixed)
        return room.gate(asked, SystemClock().now().date())

    run(work, output)


def _severities(text: str) -> "frozenset[Severity]":
    from pavedpath_delivery.scan.report import Severity

    asked = {part.strip().upper() for part in text.split(",") if part.strip()}
    if unknown := sorted(asked - set(Severity)):
        raise DeliveryError(
            f"--severity {', '.join(unknown)}: no such severity. There are {', '.join(Severity)}.", Exit.USAGE
        )
    if not asked:
        raise DeliveryError("--severity is empty: nothing would ever be red.", Exit.USAGE)
    return frozenset(map(Severity, asked))
