"""The commands of `pavedpath rotate`. What they do is imported only when one runs: `--help` stays quick."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.clock import SystemClock
from pavedpath_delivery.kit.command import DryRun, Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.rotate.run import Plan, Resealed, Staged

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Give an environment's secrets new values.")

Generate = Annotated[
    str, typer.Option(metavar="KIND:N", help="Make the value: random:N bytes (base64), hex:N bytes, letters:N.")
]
FromEnv = Annotated[str, typer.Option("--from-env", metavar="VARIABLE", help="Take the value from this variable.")]
_MADE = "random:32"


@app.command()
def plan(
    places: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|FOLDER]...", help="SOPS files. Default: etc/helm_values.")
    ] = None,
    aws_secrets: Annotated[
        list[str] | None, typer.Option("--aws-secret", metavar="SECRET_ID", help="In Secrets Manager. Repeatable.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="How old which secret may get.", dir_okay=False)] = None,
    max_age: Annotated[int, typer.Option(min=1, max=3650, help="Days, without --policy.")] = 90,
    check: Annotated[bool, typer.Option("--check", help="Fail where a secret is due.")] = False,
    output: Format = Output.TEXT,
) -> None:
    """Show the age of every secret and which are due. Opens none of them."""

    def work(_: "Console") -> "Plan":
        from pavedpath_delivery.rotate import policy as rules
        from pavedpath_delivery.rotate import run as room

        limits = rules.load(policy) if policy else rules.Policy(version=1, max_age_days=max_age)
        wanted = places or ([] if aws_secrets else [Path("etc/helm_values")])
        found = [secret for path in room.files(wanted) for secret in room.in_file(path)]
        if aws_secrets:
            from botocore.exceptions import BotoCoreError, ClientError

            from pavedpath_delivery.stack.aws import client

            for name in aws_secrets:
                try:
                    found.append(room.in_aws(client("secretsmanager"), name))
                except (ClientError, BotoCoreError) as error:
                    raise room.in_plain_words(error, name) from None
        return room.Plan(rules.plan(found, limits, SystemClock().now()), check)

    run(work, output)


@app.command()
def sops(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The SOPS file.", dir_okay=False)],
    keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="NAME", help="For example secrets.SESSION_KEY. Repeatable.")
    ] = None,
    generate: Generate = "",
    variable: FromEnv = "",
    data_key: Annotated[bool, typer.Option("--data-key", help="Seal the file with a new data key, too.")] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Give secrets of a SOPS file new values, and nothing else."""

    def work(_: "Console") -> "Resealed":
        from pavedpath_delivery.rotate import sealed, values
        from pavedpath_delivery.rotate.reseal import Rotated, Sops, rotate
        from pavedpath_delivery.rotate.run import Resealed

        _check(keys or [], generate, variable, data_key)
        paths = sealed.read(file).find(keys or [])
        if variable:
            chosen = {paths[0]: values.from_environment(variable, os.environ)}
        else:
            chosen = {path: values.generate(generate or _MADE) for path in paths}
        if dry_run:
            return Resealed(Rotated(file, [sealed.dotted(path) for path in paths], data_key), dry_run=True)
        environ = {name: value for name, value in os.environ.items() if name != variable}
        return Resealed(rotate(Sops.find(environ), file, chosen, SystemClock(), data_key=data_key))

    run(work, output)


def _check(keys: list[str], generate: str, variable: str, data_key: bool) -> None:
    problems: list[str] = []
    if not keys and not data_key:
        problems.append("nothing to change: give --key or --data-key")
    if generate and variable:
        problems.append("--generate and --from-env exclude each other")
    if variable and len(keys) != 1:
        problems.append("--from-env is the value of one --key")
    if problems:
        raise DeliveryError(f"{'; '.join(problems)}.", Exit.USAGE)


@app.command()
def aws(  # noqa: PLR0913, PLR0917  each is an option of the command line
    secret: Annotated[str, typer.Argument(metavar="SECRET_ID", help="Name or ARN in Secrets Manager.")],
    generate: Generate = "",
    variable: FromEnv = "",
    field: Annotated[str, typer.Option(help="Field of a JSON secret. Default: the whole text.")] = "",
    command: Annotated[
        str, typer.Option("--test-command", help="Succeeds with the new text, which is in PAVEDPATH_SECRET.")
    ] = "",
    url: Annotated[str, typer.Option("--test-url", help="Answers 2xx to the new value as a bearer token.")] = "",
    budget: Annotated[float, typer.Option(min=0, help="Seconds until the new value must work.")] = 30.0,
    untested: Annotated[bool, typer.Option("--untested", help="Make it current without a test.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Only take back what is not current yet.")] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Give a secret in AWS Secrets Manager a new value once it works; finishes what a run before began."""

    def work(_: "Console") -> "Staged":
        from botocore.exceptions import BotoCoreError, ClientError

        from pavedpath_delivery.rotate import values
        from pavedpath_delivery.rotate.run import Staged, in_plain_words
        from pavedpath_delivery.rotate.staged import Rotation
        from pavedpath_delivery.rotate.trial import Trial
        from pavedpath_delivery.stack.aws import client

        if generate and variable:
            raise DeliveryError("--generate and --from-env exclude each other.", Exit.USAGE)
        if not (command or url or untested or withdraw):
            raise DeliveryError(
                "A value that was never tried would take the place of one that works. Fix: --test-command, --test-url,"
                " or --untested.",
                Exit.USAGE,
            )
        trial = Trial(command, url, field, os.environ, SystemClock(), budget)
        trial.check()

        def new_value() -> str:
            return values.from_environment(variable, os.environ) if variable else values.generate(generate or _MADE)

        try:
            rotation = Rotation(client("secretsmanager"), secret, trial.accepts, field)
            outcome = rotation.withdraw(dry_run=dry_run) if withdraw else rotation.run(new_value, dry_run=dry_run)
        except (ClientError, BotoCoreError) as error:
            raise in_plain_words(error, secret) from None
        return Staged(secret, outcome)

    run(work, output)
