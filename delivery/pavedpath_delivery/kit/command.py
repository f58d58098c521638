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
    report: Report | None = None
    try:
        report = _made(command, progress)
        if output is Output.JSON:
            write_json(report.document())
        else:
            report.show(Console())
        job.set_outputs(report.outputs())
        job.add_summary(report.summary())
        code = report.code
    except DeliveryError as error:
        progress.print(str(error), markup=False)
        job.error(str(error))
        code = error.code
        if report is None:
            write_failure(output, code, str(error))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        if report is None:
            write_failure(output, code, "interrupted")
    raise typer.Exit(int(code))


def _made(command: Callable[["Console"], Report], progress: "Console") -> Report:
    """Do the work. A file that nobody foresaw to be out of reach (a full disk, a folder of another user) is no bug."""
    try:
        return command(progress)
    except OSError as error:
        if error.filename is None:
            raise
        raise DeliveryError(f"{error.filename}: {error.strerror}. Fix: see to the file, then run it again.") from error


def write_json(document: Mapping[str, Any]) -> None:
    """Print a document alone on stdout."""
    # Within JSON `##[` can stand in a text alone, and reads the same there when it is escaped.
    sys.stdout.write(json.dumps(document, indent=2).replace("##[", r"#\u0023[") + "\n")


def write_failure(output: Output, code: Exit, message: str) -> None:
    """Print why there is no result where a program reads stdout; people find it on stderr."""
    if output is Output.JSON:
        write_json({"error": {"code": int(code), "message": message}})
