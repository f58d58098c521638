"""``pavedpath-sandbox``: the local cloud's command line. What a command needs is imported when it runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import environments

if TYPE_CHECKING:
    from .sandbox import PartStatus, Sandbox
    from .supervisor import Result

app = typer.Typer(
    help="A local cloud on loopback: AWS, GitHub, Kubernetes, an OCI registry and a chart repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="State directory [default: $PAVEDPATH_SANDBOX_DIR, else .sandbox of the project]."),
]


class Output(StrEnum):
    """How a command prints its result."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text or json.")]


EnvironmentOption = Annotated[str, typer.Option(help=f"{' or '.join(environments.NAMES)}: whose account and cluster.")]


def _say(message: str) -> None:
    typer.echo(message, err=True)


@contextmanager
def _reported() -> Generator[None]:
    """Turn the errors a user can act on into one message and exit status 1."""
    from .parts import MissingToolsError
    from .ports import NoPortError
    from .sandbox import SandboxError
    from .state import BusyError, StateError

    try:
        yield
    except (SandboxError, StateError, BusyError, MissingToolsError, NoPortError) as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _say("interrupted; the next `pavedpath-sandbox up` takes over what was started")
        raise typer.Exit(130) from None


def _open(
    directory: Path | None,
    groups: tuple[str, ...] | None = None,
    plan: str | None = None,
    clusters: tuple[str, ...] = (environments.DEFAULT,),
) -> Sandbox:
    from .layout import Layout
    from .parts import GROUPS
    from .sandbox import Sandbox

    return Sandbox(groups=groups or GROUPS, layout=Layout.find(directory), plan=plan, clusters=clusters)


@app.command()
def up(
    groups: Annotated[
        list[str] | None, typer.Argument(help="aws, github, kubernetes, registry, charts, functions [default: all].")
    ] = None,
    directory: Directory = None,
    plan: Annotated[
        str | None, typer.Option(help="GitHub's plan: free, team or enterprise [default: as before, at first team].")
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(help="dev or prod, whose cluster is to run; may be repeated [default: dev, and what ran before]."),
    ] = None,
) -> None:
    """Start the sandbox, or repair it. Does nothing when all parts are healthy."""
    started = time.monotonic()
    try:
        sandbox = _open(directory, tuple(groups or ()), plan, tuple(environment or (environments.DEFAULT,)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with _reported():
        results = sandbox.up(notify=_progress, say=_say)
    changed = [result for result in results if result.outcome == "started"]
    what = f"{len(changed)} parts started" if changed else "nothing to do"
    typer.echo(f"sandbox ready in {time.monotonic() - started:.1f} s, {what} ({_near(sandbox.layout.root)})")


def _near(path: Path) -> Path:
    """A path as a person here would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _progress(result: Result) -> None:
    if result.outcome == "started":
        typer.echo(f"  {result.part:<28} ready after {result.seconds:4.1f} s")
    elif result.outcome == "failed":
        _say(f"  {result.part:<28} failed after {result.seconds:4.1f} s")


@app.command()
def down(directory: Directory = None) -> None:
    """Stop all parts. Their state stays for the next `up`."""
    with _reported():
        sandbox = _open(directory)
        sandbox.down(say=_say)
    typer.echo("stopped")


@app.command()
def reset(directory: Directory = None) -> None:
    """Stop all parts and delete their state, Pulumi's included."""
    with _reported():
        sandbox = _open(directory)
        sandbox.reset(say=_say)
    typer.echo(f"stopped, and the state in {_near(sandbox.layout.root)} is deleted")


@app.command()
def status(directory: Directory = None, output: OutputOption = Output.TEXT) -> None:
    """Show how every part is. Exit status 0 only if all are healthy."""
    with _reported():
        found = _open(directory).status()
    if output is Output.JSON:
        typer.echo(json.dumps([asdict(part) for part in found], indent=2))
    else:
        _show(found)
    if not found or any(part.state != "healthy" for part in found):
        raise typer.Exit(1)


def _show(found: list[PartStatus]) -> None:
    if not found:
        typer.echo("the sandbox was never started: `pavedpath-sandbox up` does it")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("part", min_width=max(len(part.part) for part in found))
    for column in ("state", "address", "pid", "memory", "up"):
        table.add_column(column)
    colors = {"healthy": "green", "unhealthy": "red", "stopped": "yellow"}
    for part in found:
        memory = "" if part.memory is None else f"{part.memory / 1e6:.0f} MB"
        uptime = "" if part.uptime is None else _duration(part.uptime)
        shown = f"[{colors[part.state]}]{part.state}[/]"
        table.add_row(part.part, shown, part.address, str(part.pid or ""), memory, uptime)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"{sum(part.memory or 0 for part in found) / 1e6:.0f} MB in all")
    for part in found:
        if part.note:
            console.print(f"{part.part}: {part.note}", markup=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


@app.command()
def env(
    environment: EnvironmentOption = environments.DEFAULT,
    directory: Directory = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Print the variables that point tools at the sandbox: eval "$(pavedpath-sandbox env)"."""
    from .environment import as_shell

    with _reported():
        sandbox = _open(directory)
        values = sandbox.environment(environment)
        if stopped := sandbox.stopped():
            _say(f"warning: not running: {', '.join(stopped)}; `pavedpath-sandbox up` starts them")
    text = json.dumps(values, indent=2) + "\n" if output is Output.JSON else as_shell(values)
    sys.stdout.write(text)


@app.command(name="app-key")
def app_key(
    directory: Directory = None,
    into: Annotated[
        str | None,
        typer.Option(help="Instead of printing it, fill the empty secrets of Secrets Manager whose names begin so."),
    ] = None,
    environment: EnvironmentOption = environments.DEFAULT,
) -> None:
    """Print the private key of the GitHub App pavedpath-runners, PEM; app id 800000001, installation id 800000002."""
    from .layout import Layout

    path = Layout.find(directory).app_key
    if not path.is_file():
        _say(f"error: there is no {path}: `pavedpath-sandbox up github` makes it")
        raise typer.Exit(1)
    key = path.read_text(encoding="utf-8")
    if into is None:
        sys.stdout.write(key)
        return
    from .account import clients, fill_empty_secrets

    with _reported():
        (secrets_manager,) = clients(_open(directory).environment(environment), "secretsmanager")
        for name in fill_empty_secrets(secrets_manager, into, key):
            typer.echo(f"the App's key is in {name}")


@app.command()
def logs(
    parts: Annotated[list[str] | None, typer.Argument(help="Parts [default: all].")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines from the end of each.")] = 40,
    directory: Directory = None,
) -> None:
    """Print the logs of parts."""
    from . import logs as reader
    from .layout import Layout

    try:
        for line in reader.read(Layout.find(directory).root / "logs", tuple(parts or ()), lines, follow=follow):
            typer.echo(line)
    except reader.UnknownPartError as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:  # how a user ends --follow
        raise typer.Exit(0) from None


@app.command()
def seal(
    plain: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A YAML file with plain values.")],
    out: Annotated[Path, typer.Argument(dir_okay=False, help="Where the encrypted file goes.")],
    key_description: Annotated[str, typer.Option(help="The description that the stack gives its KMS key.")],
    environment: EnvironmentOption = environments.DEFAULT,
) -> None:
    """Encrypt a YAML file with SOPS for the KMS key of that description, as every sandbox makes it."""
    from . import seal as sealing
    from .layout import Layout

    try:
        environments.check((environment,))
        sealing.seal(plain, out, key_description, Layout.find(), environment)
    except (sealing.SealError, ValueError) as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error
    typer.echo(f"{out} is sealed. A sandbox's keys are public: this protects nothing, keep real secrets elsewhere")


@app.command()
def build(
    context: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The directory that COPY takes from.")],
    tag: Annotated[list[str], typer.Option(help="Full name in a registry of a sandbox; may be repeated.")],
    file: Annotated[Path | None, typer.Option(dir_okay=False, help="[default: Dockerfile in CONTEXT]")] = None,
    platform: Annotated[str, typer.Option(help="Comma-separated OS/ARCHITECTURE.")] = "linux/amd64,linux/arm64",
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be repeated.")] = None,
    build_arg: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for ARG; may be repeated.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Put it into the registry.")] = False,
    metadata_file: Annotated[Path | None, typer.Option(help="Gets digest and names as JSON.")] = None,
) -> None:
    """Build an image of a Python program without a container engine; prints its digest."""
    from . import images
    from .dockerfile import DockerfileError
    from .registry import ImageError

    try:
        built = images.build(
            context,
            file or context / "Dockerfile",
            platforms=platform.split(","),
            labels=dict(_pair(text) for text in label or ()),
            arguments=dict(_pair(text) for text in build_arg or ()),
        )
        if push:
            images.push(built, tag)
    except (images.BuildError, DockerfileError, ImageError, OSError) as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error
    if metadata_file is not None:
        metadata_file.write_text(images.metadata(built, tag), encoding="utf-8")
    typer.echo(built.digest)


class Event(StrEnum):
    """What can start a workflow."""

    PUSH = "push"
    PULL_REQUEST = "pull_request"
    WORKFLOW_DISPATCH = "workflow_dispatch"


@app.command()
def workflows(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository of the sandbox's GitHub.")],
    event: Annotated[Event, typer.Option(help="What happens.")] = Event.PUSH,
    ref: Annotated[str, typer.Option(help="Branch or tag that it happens to.")] = "main",
    pull_request: Annotated[int, typer.Option(help="Number, for --event pull_request.")] = 0,
    workflow: Annotated[str, typer.Option(help="File of the only workflow to run [default: all it starts].")] = "",
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=VALUE, for --event workflow_dispatch; may be repeated.")
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option(help="Program of your PATH that jobs need; may be repeated.")
    ] = None,
    wheels: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Python packages that jobs install.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all that the jobs say.")] = False,
    directory: Directory = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run the workflows that an event starts, by act on this machine. Exit status 0 only if no job failed."""
    from .runner import command
    from .runner.act import NoStandInError, Said
    from .runner.run import RunnerError
    from .runner.server import ServerError

    given = dict(_pair(text) for text in inputs or ())
    if given and event is not Event.WORKFLOW_DISPATCH:
        raise typer.BadParameter("only --event workflow_dispatch has inputs")
    if (event is Event.PULL_REQUEST) != (pull_request > 0):
        raise typer.BadParameter("--event pull_request and --pull-request NUMBER go together")
    if repository.count("/") != 1:
        raise typer.BadParameter(f"{repository!r} is not OWNER/NAME")

    def hear(file: str, said: Said) -> None:
        if said.result:
            _say(f"{file}: {said.title}: {said.result}")
        elif said.step_failed or said.error:
            _say(f"  {said.step_failed or said.error}")
        elif verbose and (said.line or said.step):
            _say(f"  {said.line or '> ' + said.step}")

    asked = command.Asked(repository, event.value, ref, pull_request, given)
    try:
        with _reported():
            sandbox = _open(directory)
            results = command.run(sandbox, asked, workflow, tuple(tool or ()), wheels, hear)
    except (RunnerError, NoStandInError, ServerError) as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error
    if output is Output.JSON:
        typer.echo(json.dumps([asdict(each) for each in results], indent=2))
    else:
        ended = [f"{each.file} {'succeeded' if each.succeeded else 'failed'}" for each in results]
        typer.echo(", ".join(ended) or f"{event.value} on {ref} starts no workflow")
    if not all(each.succeeded for each in results):
        raise typer.Exit(1)


@app.command()
def machines(  # noqa: PLR0913, PLR0917  a command has as many arguments as options
    environment: EnvironmentOption = environments.DEFAULT,
    boot: Annotated[float, typer.Option(min=0, help="Seconds until a machine has booted, on average.")] = 2.0,
    job: Annotated[float, typer.Option(min=0, help="Seconds that a job takes, on average.")] = 3.0,
    never: Annotated[float, typer.Option(min=0, max=1, help="Chance that a boot fails silently.")] = 0.0,
    interrupt: Annotated[float, typer.Option(min=0, max=1, help="Chance that a spot machine is taken away.")] = 0.0,
    notice: Annotated[float, typer.Option(min=0, help="Seconds from that announcement to the end.")] = 2.0,
    fail: Annotated[float, typer.Option(min=0, max=1, help="Chance that a job fails.")] = 0.0,
    allow_forks: Annotated[bool, typer.Option("--allow-forks", help="Run the jobs of forks too.")] = False,
    seed: Annotated[int, typer.Option(help="Of the chances and times.")] = 1,
    tag: Annotated[str, typer.Option(help="Tag whose value is the runner's name.")] = "pavedpath:runner",
    fleet_tag: Annotated[str, typer.Option(help="Tag whose value is the fleet's name.")] = "pavedpath:fleet",
    parameter: Annotated[
        str, typer.Option(help="Name of the parameter with a machine's configuration.")
    ] = "/pavedpath/{fleet}/jit/{instance}",
    until_idle: Annotated[
        float | None, typer.Option(min=0, help="End when no machine has been there for so many seconds.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Gets the JSON lines [default: standard output].")
    ] = None,
    directory: Directory = None,
) -> None:
    """Play the machines that a fleet of runners launches, in the foreground: boot, take a job, run it, end."""
    from . import machines_command
    from .machines import Options

    options = Options(
        boot=boot,
        job=job,
        notice=notice,
        never=never,
        interrupt=interrupt,
        fail=fail,
        allow_forks=allow_forks,
        seed=seed,
        parameter=parameter,
    )
    out = machines_command.open_log(log, sys.stdout)
    try:
        with _reported():
            counts = machines_command.run(_open(directory), environment, options, tag, fleet_tag, out, until_idle)
    finally:
        if log is not None:
            out.close()
    _say(", ".join(f"{event}: {count}" for event, count in counts.items()) or "no machine was launched")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    return name, value


def main() -> None:
    """Run the command line."""
    app()
