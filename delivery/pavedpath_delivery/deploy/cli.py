"""The commands `deploy`, `rollback`, `history` and `drill`. What they do is imported only when one runs."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import DryRun, Format, Output, run
from pavedpath_delivery.kit.durations import seconds
from pavedpath_delivery.kit.errors import DeliveryError, Exit, together

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.deploy.place import Place
    from pavedpath_delivery.kit.command import Report

app = typer.Typer(rich_markup_mode=None)

App = Annotated[str, typer.Argument(metavar="APP", help="Name of the Helm release.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")]
Timeout = Annotated[str, typer.Option(help="How long the workloads may take to become ready.")]
History = Annotated[int, typer.Option("--history", min=1, help="How many revisions are kept.")]
Program = Annotated[str, typer.Option("--helm", envvar="PAVEDPATH_HELM", help="Helm's program, version 3 or 4.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_HELM = "helm"


@app.command()
def deploy(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    name: App,
    environment: Annotated[str, typer.Option(help="Names the values files.")],
    chart: Annotated[str, typer.Option(help="Folder or archive of the chart, or oci://REGISTRY/NAME.")],
    namespace: Namespace,
    values_dir: Annotated[
        Path | None, typer.Option(help="Folder of ENVIRONMENT.yaml and the SOPS file ENVIRONMENT.secrets.yaml.")
    ] = None,
    image: Annotated[list[str] | None, typer.Option(metavar="NAME=IMAGE@DIGEST", help="Repeatable.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As of Helm.")] = None,
    chart_version: Annotated[str, typer.Option(help="Exact version of a chart at an address.")] = "",
    plain_http: Annotated[bool, typer.Option("--plain-http", help="The chart's address is without TLS.")] = False,
    timeout: Timeout = "5m",
    history: History = 10,
    fail_fast: Annotated[
        str, typer.Option(help="Give up when an image cannot be pulled for so long; 0 waits for the timeout.")
    ] = "0",
    require_digest: Annotated[bool, typer.Option("--require-digest", help="Refuse images without a digest.")] = False,
    create_namespace: Annotated[bool, typer.Option("--create-namespace", help="Make a missing namespace.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Deploy what would change nothing, too; take back what others changed.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for another deployment of the same release.")] = True,
    record_deployment: Annotated[
        bool, typer.Option("--record-deployment", help="Record it on GitHub; for jobs without an environment.")
    ] = False,
    helm: Program = _HELM,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Check, preview and upgrade a release; Helm itself rolls back what does not become ready."""

    def work(console: "Console") -> "Report":
        from pavedpath_delivery.deploy import flow, record
        from pavedpath_delivery.deploy.prepare import Request
        from pavedpath_delivery.deploy.reports import DeployReport
        from pavedpath_delivery.kit.github import connect

        wrong: list[str] = []

        def read(text: str, option: str) -> float:
            try:
                return seconds(text, option)
            except DeliveryError as error:
                wrong.append(str(error))
                return 0.0

        request = Request(
            name,
            namespace,
            environment,
            chart,
            values_dir,
            image or [],
            settings or [],
            chart_version,
            plain_http,
            read(timeout, "--timeout"),
            history,
            None if fail_fast == "0" else read(fail_fast, "--fail-fast"),
            create_namespace,
            require_digest,
            force,
            wait,
            wrong,
        )
        if record_deployment:
            record.where(os.environ)
        outcome = flow.deploy(request, _place(name, namespace, helm, console), os.environ, dry_run=dry_run)
        if record_deployment and outcome.state not in (flow.State.PREVIEWED, flow.State.UNCHANGED):
            lost = record.attempt(connect(os.environ), os.environ, environment, outcome)
            if lost:
                console.print(lost, markup=False)
                Actions.current().warning(lost)
        return DeployReport(name, environment, namespace, outcome)

    _run(work, output)


@app.command()
def rollback(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    name: App,
    namespace: Namespace,
    to_revision: Annotated[int | None, typer.Option(help="By default the one that ran before.", min=1)] = None,
    if_deployed: Annotated[
        int | None, typer.Option(metavar="REVISION", help="Only if this one is what runs; 0 for none was.", min=0)
    ] = None,
    timeout: Timeout = "5m",
    history: History = 10,
    force: Annotated[
        bool, typer.Option("--force", help="Also to a revision that never ran; take back what others changed.")
    ] = False,
    yes: Yes = False,
    helm: Program = _HELM,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Go back to the revision that ran before, wait for it, and verify that it runs."""

    def confirm(question: str) -> bool:
        if yes or if_deployed is not None:
            return True
        if not sys.stdin.isatty():
            raise DeliveryError(f"{question} Say so with --yes: there is no terminal to ask at.", Exit.USAGE)
        return typer.confirm(question, err=True)

    def work(console: "Console") -> "Report":
        from pavedpath_delivery.deploy import names
        from pavedpath_delivery.deploy.reports import RollbackReport
        from pavedpath_delivery.deploy.rollback import rollback

        together(lambda: names.check(name, namespace), lambda: seconds(timeout, "--timeout"))
        outcome = rollback(
            _place(name, namespace, helm, console),
            to=to_revision,
            if_deployed=if_deployed,
            timeout_s=seconds(timeout, "--timeout"),
            history=history,
            force=force,
            dry_run=dry_run,
            confirm=confirm,
        )
        return RollbackReport(name, namespace, outcome)

    _run(work, output)


@app.command()
def history(
    name: Annotated[str, typer.Argument(metavar="[APP]", help="Name of the Helm release.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "",
    repository: Annotated[
        str, typer.Option(metavar="OWNER/REPO", help="Instead: the deployments of a repository's environments.")
    ] = "",
    output: Format = Output.TEXT,
) -> None:
    """Show the revisions of a release, or the deployments of a repository's environments; the newest first."""

    def work(_console: "Console") -> "Report":
        from pavedpath_delivery.deploy import names, record, releases
        from pavedpath_delivery.deploy.place import nowhere
        from pavedpath_delivery.deploy.reports import DeploymentsReport, HistoryReport
        from pavedpath_delivery.kit.github import connect
        from pavedpath_delivery.kit.kube import KubernetesApi

        if repository and not (name or namespace):
            return DeploymentsReport(repository, record.deployments(connect(os.environ), repository))
        if repository or not (name and namespace):
            raise DeliveryError("Give either APP and --namespace, or --repository OWNER/REPO.", Exit.USAGE)
        names.check(name, namespace)
        revisions = releases.history(KubernetesApi.from_environment(os.environ), namespace, name)
        if not revisions:
            raise nowhere(name, namespace)
        return HistoryReport(name, namespace, revisions[::-1])

    _run(work, output)


@app.command()
def drill(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    name: App,
    namespace: Namespace,
    kind: Annotated[str, typer.Option(help="broken-image, killed-pod or lost-node.")] = "",
    restore: Annotated[bool, typer.Option("--restore", help="Only undo a drill that was killed.")] = False,
    probe: Annotated[str, typer.Option(metavar="URL", help="Request this all the time, and count the failures.")] = "",
    timeout: Timeout = "5m",
    fail_fast: Annotated[
        str, typer.Option(help="How long the broken image is waited for before Helm is told to go back.")
    ] = "10s",
    history: History = 10,
    helm: Program = _HELM,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Break something on purpose, watch how the release recovers, and leave everything as it was."""

    def work(console: "Console") -> "Report":
        from pavedpath_delivery.deploy import names
        from pavedpath_delivery.deploy.drill import Drill, Kind, Outcome
        from pavedpath_delivery.deploy.probe import requester
        from pavedpath_delivery.deploy.reports import DrillReport
        from pavedpath_delivery.kit.kube import KubernetesApi

        def one_kind() -> None:
            if restore == bool(kind) or (kind and kind not in list(Kind)):
                raise DeliveryError(f"Give --kind {', '.join(Kind)}, or --restore alone.", Exit.USAGE)

        together(
            lambda: names.check(name, namespace),
            one_kind,
            lambda: seconds(timeout, "--timeout"),
            lambda: seconds(fail_fast, "--fail-fast"),
        )
        place = _place(name, namespace, helm, console)
        made = Drill(
            place,
            KubernetesApi.from_environment(os.environ),
            seconds(timeout, "--timeout"),
            seconds(fail_fast, "--fail-fast"),
            history,
            requester(probe) if probe else None,
        )
        if not restore:
            return DrillReport(name, namespace, made.run(Kind(kind), dry_run=dry_run))
        memory = made.restore()
        note = f"the {memory.kind} drill was undone" if memory else "no drill was left unfinished"
        number = memory.revision if memory else 0
        return DrillReport(name, namespace, Outcome(memory.kind if memory else None, number, number, note=note))

    _run(work, output)


def _run(work: "Callable[[Console], Report]", output: Output) -> NoReturn:
    """Run a command; what the cluster or GitHub does not answer, or refuses, is told in a sentence."""

    def explained(console: "Console") -> "Report":
        import httpx

        from pavedpath_delivery.kit.kube import refusal

        try:
            return work(console)
        except httpx.HTTPStatusError as error:
            asked = f"{error.request.method} {error.request.url.path}"
            raise DeliveryError(f"{asked} was refused: {refusal(error.response)}") from error
        except httpx.HTTPError as error:
            raise DeliveryError(f"{error.request.url.host} does not answer: {error}") from error

    run(explained, output)


def _place(name: str, namespace: str, helm: str, console: "Console") -> "Place":
    from pavedpath_delivery.deploy.place import Place

    def stopped(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # A cancelled job gets SIGINT, then SIGTERM: both leave things in order.
    signal.signal(signal.SIGTERM, stopped)
    return Place.open(name, namespace, helm, os.environ, lambda line: console.print(line, markup=False))
