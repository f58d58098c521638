"""The commands of `pavedpath actions`. What they do is imported only when one runs: `--help` stays quick."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.command import Format, Output, run

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.kit.command import Report

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Keep the lock file of actions fresh.")

_LOCK = Path("components/pavedpath/workflows/actions.lock.toml")


@app.callback()
def actions() -> None:
    """Keep the lock file of actions fresh."""


@app.command()
def update(
    lock: Annotated[Path, typer.Option(help="The lock file.", dir_okay=False)] = _LOCK,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing, and end with 4 if something is newer.")
    ] = False,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="OWNER/NAME", help="An action to pin, too; repeatable.")
    ] = None,
    cooldown: Annotated[int, typer.Option(min=0, help="Days that a release must be old.")] = 7,
    output: Format = Output.TEXT,
) -> None:
    """Pin each action to its newest release; a locked tag that moved is an alarm (5)."""

    def work(_console: "Console") -> "Report":
        import os
        from datetime import timedelta

        from pavedpath_delivery.actions.update import update
        from pavedpath_delivery.kit.clock import SystemClock
        from pavedpath_delivery.kit.github import connect

        days = timedelta(days=cooldown)
        return update(connect(os.environ), lock, add or [], days, SystemClock(), check=check)

    run(work, output)
