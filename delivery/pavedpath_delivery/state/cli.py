"""The commands of `pavedpath state`. What they do is imported only when one runs: `--help` stays quick."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import DryRun, Format, Output, write_failure
from pavedpath_delivery.kit.errors import DeliveryError
from pavedpath_delivery.stack.cli import Cwd, Stacks
from pavedpath_delivery.stack.errors import Exit, StackCommandError

if TYPE_CHECKING:
    from pavedpath_delivery.stack.engine import Engine
    from pavedpath_delivery.state.backup import Backup, Restored
    from pavedpath_delivery.state.checkpoint import Difference

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make the place of a team's state; back stacks up, restore and move them.",
)

Stack = Annotated[str, typer.Argument(metavar="STACK")]
_HERE = Path()
_LISTED = 20  # properties and resources that a person reads; JSON has all


class _Talk:
    """Where lines go: stdout, or stderr where stdout carries JSON; a spinner shows what is under way."""

    def __init__(self, output: Output) -> None:
        from rich.console import Console

        self.as_json = output is Output.JSON
        self._console = Console(stderr=self.as_json, highlight=False)

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def during(self, what: str) -> Any:
        return self._console.status(what)

    def give(self, document: Any) -> None:
        if self.as_json:
            print(json.dumps(document, indent=2))  # noqa: T201  stdout carries the data, everything else goes to stderr


def _run(cwd: Path, output: Output, stacks: list[str], work: "Callable[[Engine, _Talk], Exit]") -> None:
    from pavedpath_delivery.stack.engine import Engine, check_stacks, find_root

    talk = _Talk(output)
    try:
        root = find_root(cwd.resolve())
        check_stacks(stacks, root)
        code = work(Engine(root), talk)
    except DeliveryError as error:
        print(error, file=sys.stderr)  # noqa: T201  as it stands: rich would wrap commands that are to be copied
        Actions.current().error(str(error))
        code = error.code
        write_failure(output, code, str(error))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
        write_failure(output, code, "interrupted")
    raise typer.Exit(int(code))


@app.command()
def bootstrap(
    stacks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STACK...]", help="Stacks to create with the key as their secrets provider."),
    ] = None,
    cwd: Cwd = _HERE,
    alias: Annotated[str, typer.Option(help="The key's alias. Default: alias/pulumi-PROJECT.")] = "",
    owner: Annotated[str, typer.Option(help="The tag `owner`. Default: what the stacks' files say.")] = "",
    version_days: Annotated[int, typer.Option(min=1, help="Days that superseded states are kept.")] = 90,
    log_days: Annotated[int, typer.Option(min=1, help="Days that access logs are kept.")] = 365,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Make or correct what the project's backend needs before the first `up`; run it as often as you like."""

    def work(engine: "Engine", talk: _Talk) -> Exit:
        from pavedpath_delivery.state import bootstrap as room
        from pavedpath_delivery.state.converge import Done

        def report(done: Done) -> None:
            settings = f": {', '.join(done.settings)}" if done.settings else ""
            talk.say(
                f"{'would be ' if dry_run and done.outcome != 'kept' else ''}{done.outcome}"
                f"  {done.kind} {done.name}{settings}"
            )

        wishes = room.Wishes(alias, owner, version_days, log_days)
        with talk.during("asking AWS"):
            done = room.bootstrap(engine, wishes, stacks or [], report, dry_run=dry_run)
        talk.give(room.as_json(done, dry_run=dry_run))
        if not talk.as_json and done.next:
            talk.say("Next:" if done.things else done.backend)
            for step in done.next:
                talk.say(f"  {step}")
        return Exit.OK

    _run(cwd, output, stacks or [], work)


@app.command()
def backup(
    stacks: Stacks,
    to: Annotated[Path, typer.Option("--to", help="The folder for the files; made if missing.", file_okay=False)],
    cwd: Cwd = _HERE,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", hidden=True)] = False,
    output: Format = Output.TEXT,
) -> None:
    """Write each stack's state to a file of its own, with a checksum; secrets stay encrypted."""

    def work(engine: "Engine", talk: _Talk) -> Exit:
        from pavedpath_delivery.state.backup import back_up

        if show_secrets:
            raise StackCommandError(
                "--show-secrets: a backup never holds secrets in plain text. The key that encrypts them opens a"
                " restored state, too.",
                Exit.USAGE,
            )
        made: list[Any] = []
        for stack in stacks:
            with talk.during(f"exporting {stack}"):
                done = back_up(engine, stack, to)
            made.append(_backup_json(done))
            talk.say(f"{stack}: {done.resources} resources, {done.path}")
            if done.pending:
                talk.say(
                    f"warning: {stack}: {done.pending} operation(s) are pending in it: an update is under way, or was"
                    f" interrupted. Fix: pavedpath stack repair {stack}, then back it up again."
                )
        talk.give({"backups": made})
        return Exit.OK

    _run(cwd, output, stacks, work)


@app.command()
def restore(
    stack: Stack,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.", dir_okay=False)],
    cwd: Cwd = _HERE,
    force: Annotated[bool, typer.Option("--force", help="Also over a newer or unreadable state.")] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Put a backup in the place of a stack's state, after a check; creates the stack if the backend has none."""

    def work(engine: "Engine", talk: _Talk) -> Exit:
        from pavedpath_delivery.state.backup import restore as put_back

        with talk.during(f"restoring {stack}"):
            done = put_back(engine, stack, file, talk.say, force=force, dry_run=dry_run)
        for line in _difference_lines(done.differences):
            talk.say(line)
        if done.changed:
            talk.say(f"{stack}: restored from {file}, read back and the same")
            talk.say(f"Next: pulumi preview --refresh -s {stack}, which shows where reality has gone on since")
        elif done.same:
            talk.say(f"{stack}: the backend has just this state; nothing to do")
        else:
            for line in _outlook(done):
                talk.say(line)
        talk.give(
            {
                "stack": stack,
                "file": str(file),
                "dry_run": dry_run,
                "created": done.created,
                "restored": done.changed,
                "differences": [
                    {"urn": each.urn, "change": each.change, "properties": list(each.properties)}
                    for each in done.differences
                ],
                "refused": list(done.refusals),
                "before": str(done.safety.path) if done.safety else None,
            }
        )
        return Exit.OK

    _run(cwd, output, [stack], work)


@app.command()
def move(
    stack: Stack,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The backend that has the stack now.")],
    backup_to: Annotated[Path, typer.Option("--backup", help="The folder for the backup.", file_okay=False)],
    cwd: Cwd = _HERE,
    secrets_provider: Annotated[
        str, typer.Option(help="The stack's new secrets provider. Default: the key that `bootstrap` made.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Format = Output.TEXT,
) -> None:
    """Move a stack from another backend into the project's: backup, copy, comparison; then the source goes."""

    def work(engine: "Engine", talk: _Talk) -> Exit:
        from pavedpath_delivery.state.move import move as move_stack
        from pavedpath_delivery.state.move import provider_for

        question = f"Move {stack} from {source} to {engine.backend_url()}, and remove it there?"
        if not yes and not sys.stdin.isatty():
            raise StackCommandError(f"{question} Say so with --yes: there is no terminal to ask at.", Exit.USAGE)
        if not yes and not typer.confirm(question, err=True):
            talk.say("Nothing was moved.")
            talk.give({"stack": stack, "from": source, "to": None, "backup": None})
            return Exit.OK
        with talk.during(f"moving {stack}"):
            provider = secrets_provider or provider_for(engine, stack)
            done = move_stack(engine, stack, source, backup_to, talk.say, provider)
        talk.say(f"{stack}: is in {done.target}" + ("" if done.backup else " already"))
        talk.say(f"Next: commit Pulumi.{stack}.yaml; pulumi preview -s {stack} shows no changes")
        talk.give(
            {
                "stack": stack,
                "from": done.source,
                "to": done.target,
                "backup": _backup_json(done.backup) if done.backup else None,
            }
        )
        return Exit.OK

    _run(cwd, output, [stack], work)


def _backup_json(done: "Backup") -> dict[str, Any]:
    return {
        "stack": done.stack,
        "file": str(done.path),
        "sha256": done.sha256,
        "resources": done.resources,
        "pending_operations": done.pending,
        "written": done.written.isoformat() if done.written else None,
    }


def _outlook(done: "Restored") -> list[str]:
    """Say what a restore would do that was only tried."""
    alike = [] if done.differences or done.created else [f"{done.stack}: no resource differs; a secret's value may"]
    if done.refusals:
        return [*alike, f"{done.stack}: would be refused without --force:", *done.refusals]
    return [*alike, f"{done.stack}: would be {'created and ' if done.created else ''}restored from {done.path}"]


def _difference_lines(found: "Sequence[Difference]") -> list[str]:
    signs = {"added": "+", "removed": "-", "changed": "~"}
    lines = [
        f"  {signs[each.change]} {each.urn.partition('::')[2]}"
        + (f"  {', '.join(each.properties)}" if each.properties else "")
        for each in found[:_LISTED]
    ]
    return [*lines, f"  and {len(found) - _LISTED} more"] if len(found) > _LISTED else lines
