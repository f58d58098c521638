"""The command `pavedpath report`. What it does is imported only when it runs: `--help` stays quick."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from pavedpath_delivery.deploy.releases import Cluster
    from pavedpath_delivery.report.run import PageReport
    from pavedpath_delivery.report.sources import App

_HERE = Path()


def report(  # noqa: PLR0913, PLR0917  each is an option of the command line
    out: Annotated[Path, typer.Option(metavar="DIR|FILE.html", help="Where the page goes.")],
    repositories: Annotated[
        list[str] | None, typer.Option("--repository", metavar="OWNER/REPO", help="On GitHub. Repeatable.")
    ] = None,
    stacks: Annotated[
        list[str] | None, typer.Option("--stack", metavar="STACK", help="Whose drift is shown. Repeatable.")
    ] = None,
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", metavar="[ENVIRONMENT=]NAMESPACE/NAME", help="Helm release. Repeatable."),
    ] = None,
    clusters: Annotated[
        list[str] | None,
        typer.Option("--kubeconfig", metavar="ENVIRONMENT=FILE", help="Where an environment runs. Repeatable."),
    ] = None,
    environment: Annotated[str, typer.Option(help="The environment whose figures are measured.")] = "prod",
    order: Annotated[str, typer.Option(metavar="A,B,C", help="Environments, from the first to the last.")] = "",
    history: Annotated[int, typer.Option(help="Deployments that are listed of each repository.", min=1)] = 20,
    days: Annotated[int, typer.Option(help="Over which the figures are measured.", min=1)] = 90,
    incident_label: Annotated[str, typer.Option(help="Issues with this label are incidents.")] = "",
    rollback_workflow: Annotated[str, typer.Option(help="File name of the workflow that rolls back.")] = "rollback.yml",
    exceptions: Annotated[
        Path | None, typer.Option(help="Differences that are accepted for a while.", dir_okay=False)
    ] = None,
    cwd: Annotated[
        Path, typer.Option("--cwd", "-C", help="A folder of the project.", file_okay=False, exists=True)
    ] = _HERE,
    output: Format = Output.TEXT,
) -> None:
    """Write one static page: what is deployed where, its history, the four figures, drift, evidence."""

    def work(console: "Console") -> "PageReport":
        from pavedpath_delivery.drift.cli import sources
        from pavedpath_delivery.drift.run import exceptions as read_exceptions
        from pavedpath_delivery.images.registry import Registries
        from pavedpath_delivery.kit.github import connect
        from pavedpath_delivery.report import run as room

        clock = SystemClock()
        now = clock.now()
        asked = room.Asked(
            list(dict.fromkeys(repositories or [])),
            list(dict.fromkeys(stacks or [])),
            _apps(apps or [], repositories or [], stacks or [], clusters or []),
            environment,
            [each.strip() for each in order.split(",") if each.strip()],
            history,
            days,
            rollback_workflow,
            incident_label,
            read_exceptions(exceptions, now),
        )
        reach = room.Reach(
            lambda: connect(os.environ),
            lambda name: _cluster(name, clusters or []),
            sources(stacks or [], cwd, console).flow,
            lambda: Registries(os.environ, clock),
        )
        page = room.gather(asked, reach, now)
        return room.PageReport(page, room.write(page, out))

    run(work, output)


def _apps(texts: list[str], repositories: list[str], stacks: list[str], clusters: list[str]) -> "Sequence[App]":
    from pavedpath_delivery.report.sources import parse_app

    found = {text: parse_app(text) for text in texts}
    problems = [f"{text} is not [ENVIRONMENT=]NAMESPACE/NAME" for text, app in found.items() if app is None]
    problems += [
        f"{each} is not OWNER/REPO" for each in repositories if each.count("/") != 1 or not all(each.split("/"))
    ]
    problems += [f"{each} is not ENVIRONMENT=FILE" for each in clusters if not all(each.partition("="))]
    if not (texts or repositories or stacks):
        problems.append("nothing to report: give --repository, --app or --stack")
    if problems:
        raise DeliveryError(f"Cannot report: {'; '.join(problems)}.", Exit.USAGE)
    return [app for app in found.values() if app]


def _cluster(environment: str, given: list[str]) -> "Cluster":
    from pavedpath_delivery.kit.kube import KubernetesApi
    from pavedpath_delivery.report.sources import kubeconfigs

    file = kubeconfigs(given).get(environment)
    return KubernetesApi.from_environment({**os.environ, "KUBECONFIG": file} if file else os.environ)
