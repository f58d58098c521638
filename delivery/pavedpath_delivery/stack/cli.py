"""The commands of `pavedpath stack`. What they do is imported only when one runs: `--help` stays quick."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import Format, Output, write_failure
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.stack.errors import Exit, StackCommandError

if TYPE_CHECKING:
    from pavedpath_delivery.stack.flow import Flow

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Bring stacks up and down, show what would change, repair them."
)


Stacks = Annotated[list[str], typer.Argument(metavar="STACK...", help="Stacks, in the order to work on them.")]
Cwd = Annotated[Path, typer.Option("--cwd", "-C", help="A folder of the project.", file_okay=False, exists=True)]
Next = Annotated[list[str] | None, typer.Option("--next", help="A command to propose below the summary; repeatable.")]
Whole = Annotated[
    str | None, typer.Option("--whole", help="The command that the summary names for what it leaves out.")
]
_HERE = Path()


def _run(stacks: list[str], cwd: Path, command: "Callable[[Flow], Exit]", output: Output = Output.TEXT) -> None:
    from rich.console import Console

    from pavedpath_delivery.kit.kube import KubernetesApi
    from pavedpath_delivery.stack.engine import Engine, check_stacks, find_root
    from pavedpath_delivery.stack.flow import Flow

    console = Console(stderr=output is Output.JSON, highlight=False, width=_width())
    try:
        root = find_root(cwd.resolve())
        check_stacks(stacks, root)
        code = command(Flow(Engine(root), console, lambda: KubernetesApi.from_environment(os.environ)))
        if code not in (Exit.OK, Exit.CHANGES):
            write_failure(output, code, f"It did not work for all of {', '.join(stacks)}; stderr has the reason.")
    except DeliveryError as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        Actions.current().error(str(error))
        code = error.code
        write_failure(output, code, str(error))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        write_failure(output, code, "interrupted")
    raise typer.Exit(int(code))


def _width() -> int | None:
    """A terminal's own width; elsewhere lines are long, so that what is read by programs is not cut."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else 400


def _summary_of(stacks: list[str]) -> str:
    return f"pavedpath stack summary --all {' '.join(stacks)}"


def _proposals(stacks: list[str], given: list[str] | None) -> list[str]:
    names = " ".join(stacks)
    return given or [
        f"pavedpath stack preview {names}",
        f"pavedpath stack refresh {names} --preview-only",
        f"pavedpath stack down {' '.join(reversed(stacks))}",
    ]


@app.command()
def up(stacks: Stacks, cwd: Cwd = _HERE, next_commands: Next = None, whole: Whole = None) -> None:
    """Create or update stacks; repairs what an interrupted run left, then shows what exists."""
    _run(stacks, cwd, lambda flow: flow.up(stacks, _proposals(stacks, next_commands), whole or _summary_of(stacks)))


@app.command()
def preview(
    stacks: Stacks,
    cwd: Cwd = _HERE,
    expect_no_changes: Annotated[bool, typer.Option(help="Exit with 4 if anything would change.")] = False,
    output: Format = Output.TEXT,
) -> None:
    """Show exactly which resources, and which of their properties, `up` would change.

    It changes no resource, but repairs first what an interrupted run left: the state, its lock, Helm's records.
    """
    as_json = output is Output.JSON
    _run(stacks, cwd, lambda flow: flow.preview(stacks, expect_no_changes=expect_no_changes, as_json=as_json), output)


@app.command()
def down(
    stacks: Stacks,
    cwd: Cwd = _HERE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Destroy stacks and remove them from the backend."""

    def confirm(question: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise StackCommandError(f"{question} Say so with --yes: there is no terminal to ask at.", Exit.USAGE)
        return typer.confirm(question)

    _run(stacks, cwd, lambda flow: flow.down(stacks, confirm))


@app.command()
def refresh(
    stacks: Stacks,
    cwd: Cwd = _HERE,
    preview_only: Annotated[
        bool, typer.Option(help="Only show the drift, keep the state (but repair it first).")
    ] = False,
    output: Format = Output.TEXT,
) -> None:
    """Show how reality differs from the state, and take it into the state; `up` then restores what was declared.

    What an interrupted run left is repaired first, also with --preview-only.
    """
    as_json = output is Output.JSON
    _run(stacks, cwd, lambda flow: flow.refresh(stacks, preview_only=preview_only, as_json=as_json), output)


@app.command()
def summary(
    stacks: Stacks,
    cwd: Cwd = _HERE,
    everything: Annotated[bool, typer.Option("--all", help="Everything, longer than a screen.")] = False,
    next_commands: Next = None,
    whole: Whole = None,
) -> None:
    """Show what exists, by layer, on one screen."""
    proposed = _proposals(stacks, next_commands)
    _run(
        stacks,
        cwd,
        lambda flow: flow.summary(stacks, proposed, whole or _summary_of(stacks), everything=everything),
    )


@app.command()
def repair(
    stacks: Stacks,
    cwd: Cwd = _HERE,
    exists: Annotated[list[str] | None, typer.Option(help="URN=ID of a resource that exists.")] = None,
    absent: Annotated[list[str] | None, typer.Option(help="URN of a resource that does not exist.")] = None,
) -> None:
    """Free the lock of a dead process and settle the operations that it left.

    Every other command but `summary` does this first.
    """

    def work(flow: "Flow") -> Exit:
        from pavedpath_delivery.stack.repair.run import Overrides

        pairs = [item.partition("=") for item in exists or []]
        wrong = [item for item in exists or [] if not item.startswith("urn:") or "=" not in item]
        wrong += [item for item in absent or [] if not item.startswith("urn:")]
        if wrong:
            raise StackCommandError(f"not a URN, or without =ID: {', '.join(wrong)}", Exit.USAGE)
        return flow.repair(stacks, Overrides({urn: found for urn, _, found in pairs}, frozenset(absent or [])))

    _run(stacks, cwd, work)
