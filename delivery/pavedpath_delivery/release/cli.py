"""The command `pavedpath release`. What it does is imported only when it runs: `--help` stays quick."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.kit.command import DryRun, Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit, together

if TYPE_CHECKING:
    from rich.console import Console

    from pavedpath_delivery.images.versions import Version
    from pavedpath_delivery.kit.command import Report

_TOKEN = "RELEASE_TOKEN"  # noqa: S105  the variable's name


def release(  # noqa: PLR0913, PLR0917  # an option is an argument to Typer
    version: Annotated[str, typer.Argument(metavar="VERSION", help="vX.Y.Z or vX.Y.Z-PRERELEASE.")],
    commit: Annotated[
        str, typer.Option(envvar="GITHUB_SHA", help="What to release. Default: the job's commit, or HEAD here.")
    ] = "",
    repository: Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME.")] = "",
    image: Annotated[
        list[str] | None, typer.Option("--image", metavar="NAME", help="Must have the commit's tag; repeatable.")
    ] = None,
    hotfix: Annotated[bool, typer.Option("--hotfix", help="Release in an older line than the newest.")] = False,
    branch: Annotated[str, typer.Option(help="Branch that has the commit. Default: the default branch.")] = "",
    triggers_workflows: Annotated[
        bool, typer.Option("--triggers-workflows", help=f"Insist on a token whose tags start workflows: {_TOKEN}.")
    ] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Make an annotated tag and a GitHub release, with the changes since the last one as notes."""

    def work(progress: "Console") -> "Report":
        from pavedpath_delivery.images.registry import Registries
        from pavedpath_delivery.kit.clock import SystemClock
        from pavedpath_delivery.kit.github import connect
        from pavedpath_delivery.release.hub import Hub
        from pavedpath_delivery.release.images import RegistryIndex, check_names
        from pavedpath_delivery.release.publish import Wish, publish

        together(
            lambda: _parsed(version),
            lambda: _check_repository(repository),
            lambda: check_names(image or []),
            lambda: _with_token(os.environ, insist=triggers_workflows),
        )

        def say(line: str) -> None:
            progress.print(line, markup=False)

        environ = _with_token(os.environ, insist=triggers_workflows)
        if environ.get("GITHUB_ACTIONS") == "true" and not environ.get(_TOKEN):
            say(f"Tags that GITHUB_TOKEN makes start no workflow; {_TOKEN}, of an app or a person, makes some that do.")
        wish = Wish(_parsed(version), commit or _head(), image or [], hotfix, branch)
        with Registries(os.environ, SystemClock()) as registries:
            hub = Hub(connect(environ), repository)
            return publish(hub, RegistryIndex(registries), wish, say, dry_run=dry_run)

    run(work, output)


def _parsed(version: str) -> "Version":
    from pavedpath_delivery.images.versions import Version

    found = Version.parse(version)
    if found is None:
        raise DeliveryError(f"{version}: a version is vX.Y.Z or vX.Y.Z-PRERELEASE, as v1.4.0-rc.1.", Exit.USAGE)
    return found


def _check_repository(repository: str) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise DeliveryError(f"--repository {repository or 'is missing'}: OWNER/NAME is wanted.", Exit.USAGE)


def _with_token(environ: Mapping[str, str], *, insist: bool) -> Mapping[str, str]:
    """Return the variables with RELEASE_TOKEN as the token, if it is there.

    Raises:
        DeliveryError: the tag must start workflows, and that token is not there or is the job's own.
    """
    token = environ.get(_TOKEN, "")
    if insist and (not token or token == environ.get("GITHUB_TOKEN")):
        raise DeliveryError(
            f"--triggers-workflows: GitHub starts no workflow for what GITHUB_TOKEN does. Fix: give {_TOKEN} a token of"
            " an app (actions/create-github-app-token) or of a person.",
            Exit.USAGE,
        )
    return {**environ, "GITHUB_TOKEN": token} if token else environ


def _head() -> str:
    from pavedpath_delivery.kit import programs

    done = programs.call([programs.find("git", "find the commit to release"), "rev-parse", "HEAD"])
    if done.code:
        raise DeliveryError("This is no git repository. Fix: name the commit by --commit.", Exit.USAGE)
    return done.stdout.strip()
