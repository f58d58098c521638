"""The command `pavedpath notify`. What it does is imported only when it runs: `--help` stays quick."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import DryRun, Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit
from pavedpath_delivery.notify.messages import Channel, Event, Notice

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.notify.ledger import Ledger
    from pavedpath_delivery.notify.run import Told


def notify(  # noqa: PLR0913, PLR0917  each is an option of the command line
    channel: Annotated[Channel, typer.Option()],
    event: Annotated[Event, typer.Option()],
    application: Annotated[str, typer.Option("--app", help="The application.")],
    environment: Annotated[str, typer.Option(help="Where it is deployed.")],
    version: Annotated[str, typer.Option(help="What is deployed.")],
    url: Annotated[str, typer.Option(help="Page with more. Default: the run that this is a step of.")] = "",
    text: Annotated[str, typer.Option(help="More words, plain text.")] = "",
    state: Annotated[Path | None, typer.Option(help="File that remembers what was told.", dir_okay=False)] = None,
    window: Annotated[int, typer.Option(min=1, help="Minutes in which the same is told once.")] = 60,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Warn where it fails: the job's own result stands.")
    ] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Tell a channel what became of a deployment; its address is in NOTIFY_URL, a webhook's secret in NOTIFY_SECRET."""

    def work(_: "Console") -> "Told":
        from pavedpath_delivery.notify.run import Outcome, Plan, Told, problems
        from pavedpath_delivery.notify.run import notify as tell
        from pavedpath_delivery.notify.send import HttpPost, Sender

        clock = SystemClock()
        page = url or Actions.current().run_url
        notice = Notice(event, application, environment, version, clock.now(), page, text)
        if found := problems(notice):
            raise DeliveryError(f"This cannot be told: {'; '.join(found)}.", Exit.USAGE)
        plan = Plan(channel, notice, os.environ, timedelta(minutes=window))
        if dry_run:
            return Told(Outcome.DRY, notice, message=plan.message())
        try:
            return tell(plan, lambda address: Sender(HttpPost(address), clock), _ledger(state, plan.window))
        except (DeliveryError, OSError) as error:
            # An OSError is the file's alone: what goes wrong on the way to the receiver is a DeliveryError.
            why = f"{state} cannot be used ({error.strerror})." if isinstance(error, OSError) else str(error)
            if not best_effort:
                raise DeliveryError(why, Exit.USAGE if isinstance(error, OSError) else error.code) from None
            Actions.current().warning(why, "Nobody was notified")
            return Told(Outcome.FAILED, notice, why=why)

    run(work, output)


def _ledger(state: Path | None, window: timedelta) -> "Ledger | None":
    from pavedpath_delivery.notify.ledger import Ledger

    if state is None:
        return None
    state.parent.mkdir(parents=True, exist_ok=True)
    return Ledger(state, window)
