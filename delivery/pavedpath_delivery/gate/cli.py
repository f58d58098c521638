"""The commands of `pavedpath gate`. What they do is imported only when one runs: `--help` stays quick."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.command import Format, Output, run

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.gate.run import Gate

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Hold results of tests and scans against rules.")


@app.command()
def check(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Coverage (XML, JSON), JUnit XML, SARIF, MLflow or other JSON."),
    ],
    rules: Annotated[Path, typer.Option(help="File of rules.")],
    output: Format = Output.TEXT,
) -> None:
    """Say whether all rules hold; a value that is missing or no number is red."""

    def work(_: "Console") -> "Gate":
        from pavedpath_delivery.gate.run import check as hold

        return hold(results, rules)

    run(work, output)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a file of rules."""
    from pavedpath_delivery.gate.rules import SCHEMA

    sys.stdout.write(SCHEMA.read_text(encoding="utf-8"))
