"""Moves a stack from one backend to another, so that there are never two that live.

`pulumi stack migrate` copies and re-encrypts; this guards it: nobody works on the source, a backup is made first, the
copy is compared, and only then the source is taken away. Killed anywhere, the next run goes on.
Source: Pulumi, "State and backends" (migrating between backends); `cmd/pulumi/stack/stack_migrate.go` of pulumi.
"""

import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pavedpath_delivery.kit.documents import Json
from pavedpath_delivery.stack.engine import Engine, StackNotFoundError
from pavedpath_delivery.stack.errors import Exit, StackCommandError
from pavedpath_delivery.stack.lock import judge, locked_error, process_started, read_locks
from pavedpath_delivery.stack.s3 import S3Place, explained
from pavedpath_delivery.state.backup import Backup, back_up
from pavedpath_delivery.state.bootstrap import stacks_of
from pavedpath_delivery.state.checkpoint import facts, identical
from pavedpath_delivery.state.project import ProjectFiles, check_alias, default_alias, provider_url


@dataclass(frozen=True)
class Moved:
    """What a move did; `backup` is None if the stack had been moved already."""

    stack: str
    source: str
    target: str
    backup: Backup | None


def move(engine: Engine, stack: str, source_url: str, folder: Path, say: Callable[[str], None], provider: str) -> Moved:
    """Move a stack into the project's backend.

    Args:
        engine: the CLI in the project, whose backend is the target.
        stack: the stack.
        source_url: the backend that has it now.
        folder: where the backup goes.
        say: prints a line.
        provider: the stack's new secrets provider.

    Raises:
        StackCommandError: it is being worked on, interrupted, in both backends with different contents, or in neither.
    """
    target_url = engine.backend_url()
    if source_url == target_url:
        raise StackCommandError(f"{stack}: it is in {target_url} already, where --from says.", Exit.USAGE)
    source = replace(engine, environ={**engine.environ, "PULUMI_BACKEND_URL": source_url})
    there = stack in stacks_of(engine)
    try:
        export = source.export(stack)
    except StackNotFoundError:
        if not there:
            raise
        return Moved(stack, source_url, target_url, None)
    _check_quiet(source, stack, source_url, export)
    backup = back_up(source, stack, folder)
    say(f"{stack}: backup {backup.path}")
    config = engine.config_file(stack)
    kept = backup.path.with_suffix(f".{config.name}")
    if there:
        _check_copy(engine, stack, export, source_url, target_url)
        say(f"{stack}: {target_url} has it already, the same: a move was interrupted, and goes on")
    else:
        _check_config(config)
        if config.exists():
            shutil.copy(config, kept)
        try:
            engine.call("stack", "migrate", source_url, stack, "--secrets-provider", provider, "--yes", stack=stack)
        except StackCommandError as error:
            was = kept if kept.exists() else "there was none"
            raise StackCommandError(f"{error}\n{config.name} as it was: {was}", error.code) from error
        _check_copy(engine, stack, export, source_url, target_url)
    if not identical(source.export(stack), export):
        raise StackCommandError(
            f"{stack}: somebody changed it in {source_url} while it was copied. Nothing was taken away there.\n"
            f"Fix: pulumi stack rm --force --preserve-config -s {stack} (in {target_url}), then move it again."
        )
    source.call("stack", "rm", stack, "--force", "--yes", "--preserve-config", stack=stack)
    put_away(config, kept)
    return Moved(stack, source_url, target_url, backup)


def provider_for(engine: Engine, stack: str) -> str:
    """Return the secrets provider that a stack gets in the project's backend: the key that `bootstrap` made.

    Raises:
        StackCommandError: there is no such key.
    """
    project, url = ProjectFiles.read(engine.root), engine.backend_url()
    place = S3Place.parse(url)
    if place is None:
        return "default" if url.startswith("https://") else "passphrase"
    named = project.provider(stack)
    if "://" in named:
        return named
    alias = check_alias(default_alias(project.name))
    with explained(f"{stack}: the key {alias} cannot be looked up"):
        kms = place.clients()("kms")
        try:
            arn = str(kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"])
        except kms.exceptions.NotFoundException as error:
            raise StackCommandError(
                f"{stack}: there is no key {alias}. Fix: pavedpath state bootstrap; or --secrets-provider."
            ) from error
    partition, _, region, account = arn.split(":")[1:5]
    return provider_url(f"arn:{partition}:kms:{region}:{account}:{alias}", region, place.profile, project.name, stack)


def _check_quiet(source: Engine, stack: str, url: str, export: Json) -> None:
    """Refuse a stack that somebody works on, or whose last operation was interrupted."""
    locks = read_locks(url, source.project(), stack, source.root)
    if locks:
        raise locked_error(stack, [(lock, judge(lock, socket.gethostname(), process_started)) for lock in locks])
    if count := facts(export).pending:
        raise StackCommandError(
            f"{stack}: {count} operation(s) are pending in {url}.\n"
            f"Fix: PULUMI_BACKEND_URL='{url}' pavedpath stack repair {stack}, then move it."
        )


def _check_copy(engine: Engine, stack: str, export: Json, source_url: str, target_url: str) -> None:
    if not identical(engine.export(stack), export):
        raise StackCommandError(
            f"{stack}: {target_url} has it with another content than {source_url}. Nothing was taken away.\n"
            "Fix: decide which of the two lives (pulumi stack export -s …), remove the other with\n"
            f"  pulumi stack rm --force --preserve-config -s {stack}  (it deletes no resource)"
        )


def _check_config(config: Path) -> None:
    if found := _leftovers(config):
        raise StackCommandError(
            f"{found[0].name} is left from a migration that was cut off; {config.name} may be half rewritten.\n"
            f"Fix: mv {found[0].name} {config.name} (or delete it, if {config.name} is whole), then move again."
        )


def put_away(config: Path, kept: Path) -> None:
    """Leave the source's stack file at `kept`, once, and no copy of it beside the new one: it opens old secrets.

    Args:
        config: the stack's file, beside which `pulumi stack migrate` leaves copies of what it was.
        kept: the copy beside the backup; not there yet if another run began the migration.
    """
    for path in _leftovers(config):
        if not kept.exists():
            shutil.move(path, kept)
        elif path.read_bytes() == kept.read_bytes():
            path.unlink()
        else:
            shutil.move(path, kept.with_name(kept.name.removesuffix(config.name) + path.name))


def _leftovers(config: Path) -> list[Path]:
    """Return the copies that `pulumi stack migrate` leaves beside a stack's file."""
    return sorted(config.parent.glob(f"{config.name}.bak.*"))
