"""The command `pavedpath`."""

import typer

from pavedpath_delivery.stack.cli import app as stack
from pavedpath_delivery.state.cli import app as state

app = typer.Typer(
    name="pavedpath",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich alone takes longer to import than everything else here
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(stack, name="stack")
app.add_typer(state, name="state")


@app.callback()
def pavedpath() -> None:
    """Deliver what the stacks describe."""


def main() -> None:
    """Run the command."""
    app()
