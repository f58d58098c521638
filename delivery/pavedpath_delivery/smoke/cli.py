"""The commands `pavedpath smoke`, `health` and `diagnose`. What they do is imported only when they run."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import Format, Output, run

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.smoke.diagnose import Diagnosis
    from pavedpath_delivery.smoke.health import HealthReport
    from pavedpath_delivery.smoke.report import SmokeReport

App = Annotated[str, typer.Argument(metavar="APP", help="Name of the Helm release.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")]


def smoke(
    base_url: Annotated[str, typer.Argument(metavar="BASE_URL", help="https://HOST[/PATH], or HOST[:PORT].")],
    spec: Annotated[Path | None, typer.Option(help="What is asked. Default: /healthz, /ready, /metrics.")] = None,
    host: Annotated[str, typer.Option(help="The host to ask for, where BASE_URL is an ingress.")] = "",
    budget: Annotated[str, typer.Option(help="Time for all endpoints together.")] = "60s",
    output: Format = Output.TEXT,
) -> None:
    """Ask a service's endpoints, and fail if one does not answer as it must."""

    def work(_: "Console") -> "SmokeReport":
        from pavedpath_delivery.kit.durations import seconds
        from pavedpath_delivery.kit.errors import together
        from pavedpath_delivery.smoke.http import Client, target
        from pavedpath_delivery.smoke.probe import smoke as ask_all
        from pavedpath_delivery.smoke.report import SmokeReport
        from pavedpath_delivery.smoke.spec import headers, load

        def usable() -> None:
            together(*(partial(headers, endpoint, os.environ) for endpoint in load(spec).all))

        # All that is wrong, a variable that is missing, too, is told before anything is asked.
        together(lambda: target(base_url, host), usable, lambda: seconds(budget, "--budget"))
        place, wanted, clock = target(base_url, host), load(spec), SystemClock()
        limit, started = seconds(budget, "--budget"), clock.monotonic()
        outcomes = ask_all(wanted.all, Client(place, os.environ), clock, limit)
        return SmokeReport(place.host, outcomes, clock.monotonic() - started)

    run(work, output)


def health(
    app: App,
    namespace: Namespace,
    budget: Annotated[str, typer.Option(help="How long is waited for the workloads.")] = "5m",
    output: Format = Output.TEXT,
) -> None:
    """Wait until all workloads of a release run, and say which pod keeps them from it."""

    def work(console: "Console") -> "HealthReport":
        from pavedpath_delivery.deploy import names
        from pavedpath_delivery.kit.durations import seconds
        from pavedpath_delivery.kit.errors import together
        from pavedpath_delivery.kit.kube import KubernetesApi
        from pavedpath_delivery.smoke.health import wait

        def say(line: str) -> None:
            console.print(line, markup=False)

        together(lambda: names.check(app, namespace), lambda: seconds(budget, "--budget"))
        limit = seconds(budget, "--budget")
        return wait(KubernetesApi.from_environment(os.environ), app, namespace, SystemClock(), limit, say)

    run(work, output)


def diagnose(
    app: App,
    namespace: Namespace,
    out: Annotated[Path, typer.Option(help="Folder for index.md and the archive.", file_okay=False)],
    limit: Annotated[int, typer.Option(min=1, help="Megabytes of all files together.")] = 20,
    log_lines: Annotated[int, typer.Option(min=1, help="Lines of each log, from its end.")] = 2000,
    output: Format = Output.TEXT,
) -> None:
    """Collect events, states, logs and history of a release in one bundle without secrets."""

    def work(_: "Console") -> "Diagnosis":
        from pavedpath_delivery.deploy import names
        from pavedpath_delivery.kit.kube import KubernetesApi
        from pavedpath_delivery.smoke.diagnose import diagnose as collect

        names.check(app, namespace)
        api, now = KubernetesApi.from_environment(os.environ), SystemClock().now()
        return collect(api, app, namespace, out, now, limit=limit * 1_000_000, log_lines=log_lines)

    run(work, output)
