"""The commands of `pavedpath chart`. What they do is imported only when one runs: `--help` stays quick."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.command import DryRun, Format, Output, run

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.kit.command import Report

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Find changed charts, pack them and push them.")

_CHARTS = [Path("charts")]
_HERE = Path()


@app.command()
def changed(
    since: Annotated[str, typer.Option(help="Branch, tag or commit to compare HEAD with, from where HEAD left it.")],
    directories: Annotated[list[Path], typer.Option("--dir", help="Folder of charts; may be repeated.")] = _CHARTS,
    output: Format = Output.TEXT,
) -> None:
    """List the charts whose files, or whose local dependencies, changed; output `charts` is a matrix's JSON."""

    def work(_console: "Console") -> "Report":
        from pavedpath_delivery.chart.changed import find_changed

        return find_changed(since, directories, Path.cwd())

    run(work, output)


@app.command()
def package(
    chart: Annotated[Path, typer.Argument(metavar="DIR", help="The chart's folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the archive; made if missing.", file_okay=False)] = _HERE,
    output: Format = Output.TEXT,
) -> None:
    """Pack a chart; the same chart gives the same bytes."""

    def work(_console: "Console") -> "Report":
        from pavedpath_delivery.chart.package import package

        return package(chart, out)

    run(work, output)


@app.command()
def push(
    archive: Annotated[Path, typer.Argument(metavar="PACKAGE", help="What `package` wrote.")],
    to: Annotated[
        str,
        typer.Option(envvar="CHART_REGISTRY_URL", help="oci://HOST/PATH, or a ChartMuseum's https://…"),
    ],
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Allow a host other than this machine without TLS.")
    ] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Push an archive; login by CHART_REGISTRY_USER and CHART_REGISTRY_PASSWORD. A version never gets other bytes."""

    def work(_console: "Console") -> "Report":
        import os

        from pavedpath_delivery.chart import push as room
        from pavedpath_delivery.chart.archive import read

        content = read(archive)
        with room.connect(to, room.Login.find(os.environ, to), plain_http=plain_http) as repository:
            return room.push(content, to, repository, dry_run=dry_run)

    run(work, output)
