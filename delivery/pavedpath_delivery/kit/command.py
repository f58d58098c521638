"""How a command runs and shows what came of it: for people, as JSON, and to GitHub Actions."""

import json
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol

import typer

from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console


class Output(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


Format = Annotated[Output, typer.Option("--output", help="`json` prints the result alone on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


class Report(Protocol):
    """What came of a command."""

    @property
    def code(self) -> Exit:
        """The exit code."""
        ...

    def document(self) -> Mapping[str, Any]:
        """Return the whole result as what `--output json` prints; no secrets."""
        ...

    def show(self, console: "Console") -> None:
        """Print it for people."""
        ...

    def summary(self) -> str:
        """Return Markdown for the summary of the job; empty for none."""
        ...

    def outputs(self) -> Mapping[str, str]:
        """Return the outputs of the step."""
        ...


def run(command: Callable[["Console"], Report], output: Output, actions: Actions | None = None) -> NoReturn:
    """Run a command and end the process with its exit code.

    Args:
        command: does the work; the console it gets is for progress, and never stdout.
        output: how the result is printed.
        actions: the job; by default that of this process.
    """
    from pavedpath_delivery.kit.console import Console

    job = actions or Actions.current()
    progress = Console(stderr=True)
    try:
        report = command(progress)
        if output is Output.JSON:
            # Within JSON `##[` can stand in a text alone, and reads the same there when it is escaped.
            sys.stdout.write(json.dumps(report.document(), indent=2).replace("##[", r"#\u0023[") + "\n")
        else:
            report.show(Console())
        job.set_outputs(report.outputs())
        job.add_summary(report.summary())
        code = report.code
    except DeliveryError as error:
        progress.print(str(error), markup=False)
        job.error(str(error))
        code = error.code
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    raise typer.Exit(int(code))
