"""The command `pavedpath dora`. What it does is imported only when it runs: `--help` stays quick."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.dora.core import Record, Window
    from pavedpath_delivery.dora.run import Measured

_DATE = "%Y-%m-%d"


def dora(  # noqa: PLR0913, PLR0917  each is an option of the command line
    records: Annotated[
        list[Path] | None, typer.Option("--records", help="File of JSON lines. Repeatable.", dir_okay=False)
    ] = None,
    repositories: Annotated[
        list[str] | None, typer.Option("--repository", metavar="OWNER/REPO", help="On GitHub. Repeatable.")
    ] = None,
    releases: Annotated[
        list[str] | None, typer.Option("--release", metavar="NAMESPACE/NAME", help="Helm release. Repeatable.")
    ] = None,
    environment: Annotated[str, typer.Option(help="The environment that counts.")] = "prod",
    since: Annotated[
        datetime | None, typer.Option(formats=[_DATE], help="First day, UTC. Default: 90 days before --until.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=[_DATE], help="Day after the last one, UTC. Default: now.")
    ] = None,
    incident_label: Annotated[str, typer.Option(help="Issues with this label are incidents.")] = "",
    rollback_workflow: Annotated[str, typer.Option(help="File name of the workflow that rolls back.")] = "rollback.yml",
    table: Annotated[Path | None, typer.Option("--csv", help="Write the figures by week.", dir_okay=False)] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the plots as SVG.", file_okay=False)] = None,
    output: Format = Output.TEXT,
) -> None:
    """Measure deployment frequency, lead time, change failure rate and time to restore."""

    def work(_: "Console") -> "Measured":
        from pavedpath_delivery.dora.run import measure, write

        window = _window(since, until)
        found = measure(
            _all(
                records or [],
                repositories or [],
                releases or [],
                environment,
                window,
                incident_label,
                rollback_workflow,
            ),
            window,
            environment,
        )
        write(found.total, table, plots)
        return found

    run(work, output)


def _window(since: datetime | None, until: datetime | None) -> "Window":
    from pavedpath_delivery.dora.core import Window

    end = until.replace(tzinfo=UTC) if until else SystemClock().now()
    start = since.replace(tzinfo=UTC) if since else end - timedelta(days=90)
    try:
        return Window(start, end)
    except ValueError as error:
        raise DeliveryError(f"{error} Fix: choose --since before --until.", Exit.USAGE) from None


def _all(
    files: list[Path],
    repositories: list[str],
    releases: list[str],
    environment: str,
    window: "Window",
    incident_label: str,
    rollback_workflow: str,
) -> Iterator["Record"]:
    _check(files, repositories, releases)
    if files:
        from pavedpath_delivery.dora.records import read

        for path in files:
            yield from read(path)
    if repositories:
        from pavedpath_delivery.dora.github import Repository
        from pavedpath_delivery.kit.github import connect, told

        api = connect(os.environ)
        with told():
            # Lists of what is not there are empty, and nothing deployed is a figure, too.
            if unknown := [name for name in repositories if api.get(f"repos/{name}") is None]:
                raise DeliveryError(
                    f"GitHub has no {', '.join(unknown)}, or the token does not see it. Fix: check --repository and the"
                    " access of GITHUB_TOKEN.",
                    Exit.USAGE,
                )
            for name in repositories:
                yield from Repository(api, name, environment, rollback_workflow, incident_label).records(window)
    if releases:
        from pavedpath_delivery.dora.helm import history

        for each in releases:
            namespace, _, name = each.partition("/")
            yield from history(name, namespace, environment, os.environ)


def _check(files: list[Path], repositories: list[str], releases: list[str]) -> None:
    problems: list[str] = []
    if not (files or repositories or releases):
        problems.append("no records: give --records, --repository or --release")
    problems += [f"{each} is not OWNER/REPO" for each in repositories if not _is_pair(each)]
    problems += [f"{each} is not NAMESPACE/NAME" for each in releases if not _is_pair(each)]
    if problems:
        raise DeliveryError(f"Cannot measure: {'; '.join(problems)}.", Exit.USAGE)


def _is_pair(text: str) -> bool:
    return text.count("/") == 1 and all(text.split("/"))
