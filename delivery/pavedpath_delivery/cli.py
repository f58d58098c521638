"""The command `pavedpath`."""

import typer

from pavedpath_delivery.actions.cli import app as actions
from pavedpath_delivery.chart.cli import app as chart
from pavedpath_delivery.deploy.cli import app as deploy
from pavedpath_delivery.dora.cli import dora
from pavedpath_delivery.drift.cli import drift
from pavedpath_delivery.gate.cli import app as gate
from pavedpath_delivery.images.cli import app as image
from pavedpath_delivery.notify.cli import notify
from pavedpath_delivery.release.cli import release
from pavedpath_delivery.report.cli import report
from pavedpath_delivery.rotate.cli import app as rotate
from pavedpath_delivery.scan.cli import app as scan
from pavedpath_delivery.smoke.cli import diagnose, health, smoke
from pavedpath_delivery.stack.cli import app as stack
from pavedpath_delivery.state.cli import app as state

app = typer.Typer(
    name="pavedpath",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich alone takes longer to import than everything else here
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(actions, name="actions")
app.add_typer(chart, name="chart")
app.add_typer(image, name="image")
app.add_typer(scan, name="scan")
app.add_typer(deploy)
app.add_typer(stack, name="stack")
app.add_typer(state, name="state")
app.command()(dora)
app.command()(drift)
app.add_typer(rotate, name="rotate")
app.command()(notify)
app.command()(release)
app.command()(report)
app.add_typer(gate, name="gate")

app.command()(diagnose)
app.command()(health)
app.command()(smoke)


@app.callback()
def pavedpath() -> None:
    """Deliver what the stacks describe."""


def main() -> None:
    """Run the command."""
    app()
