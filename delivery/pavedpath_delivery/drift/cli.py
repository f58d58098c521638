"""The command `pavedpath drift`. What it does is imported only when it runs: `--help` stays quick."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import Format, Output, run

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.drift.run import DriftReport, Sources

_HERE = Path()


def drift(  # noqa: PLR0913, PLR0917  each is an option of the command line
    stacks: Annotated[list[str] | None, typer.Argument(metavar="[STACK]...", help="Stacks of the project.")] = None,
    repositories: Annotated[
        list[str] | None, typer.Option("--repository", metavar="OWNER/REPO", help="On GitHub. Repeatable.")
    ] = None,
    releases: Annotated[
        list[str] | None, typer.Option("--release", metavar="NAMESPACE/NAME", help="Helm release. Repeatable.")
    ] = None,
    organization: Annotated[str, typer.Option(help="All its repositories must be managed by the stacks.")] = "",
    guarded: Annotated[
        list[str] | None,
        typer.Option("--guarded", metavar="ENVIRONMENT", help="Needs approval. Repeatable. Default: prod."),
    ] = None,
    approvals: Annotated[int, typer.Option(help="Approvals that a pull request needs.", min=1)] = 1,
    secret_days: Annotated[int, typer.Option(help="How old a secret may be, in days.", min=1)] = 90,
    exceptions: Annotated[
        Path | None, typer.Option(help="File of differences that are accepted for a while.", dir_okay=False)
    ] = None,
    cwd: Annotated[
        Path, typer.Option("--cwd", "-C", help="A folder of the project.", file_okay=False, exists=True)
    ] = _HERE,
    output: Format = Output.TEXT,
) -> None:
    """Show what is not as it was declared: stacks, settings on GitHub, releases. Nothing is changed.

    Only what an interrupted run left of a stack is repaired first. Exits with 4 if anything differs.
    """

    def work(console: "Console") -> "DriftReport":
        from datetime import timedelta

        from pavedpath_delivery.drift import run as room
        from pavedpath_delivery.drift.model import conclude
        from pavedpath_delivery.drift.rules import Policy

        now = SystemClock().now()
        asked = room.Asked(stacks or (), repositories or (), releases or (), organization)
        room.check(asked)
        accepted = room.exceptions(exceptions, now)
        policy = Policy(
            approvals,
            tuple(each.lower() for each in guarded or ["prod"]),
            timedelta(days=secret_days),
        )
        audits = room.look(asked, sources(stacks or [], cwd, console), policy, now)
        return room.DriftReport(conclude(audits, accepted, now.date()))

    run(work, output)


def sources(stacks: list[str], cwd: Path, console: "Console") -> "Sources":
    """Return where a command of this process looks: the project, GitHub and the cluster of its environment."""
    from pavedpath_delivery.drift.run import Sources
    from pavedpath_delivery.kit.github import connect
    from pavedpath_delivery.kit.kube import KubernetesApi
    from pavedpath_delivery.stack.engine import Engine, check_stacks, find_root
    from pavedpath_delivery.stack.flow import Flow

    def flow() -> Flow:
        root = find_root(cwd.resolve())
        check_stacks(stacks, root)
        return Flow(Engine(root), console, lambda: KubernetesApi.from_environment(os.environ))

    return Sources(flow, lambda: connect(os.environ), lambda: KubernetesApi.from_environment(os.environ))
