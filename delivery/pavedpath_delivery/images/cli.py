"""The commands of `pavedpath image`. What they do is imported only when one runs: `--help` stays quick."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pavedpath_delivery.images.kinds import Kind
from pavedpath_delivery.kit.actions import Actions
from pavedpath_delivery.kit.command import DryRun, Format, Output, run
from pavedpath_delivery.kit.errors import DeliveryError, Exit, together

if TYPE_CHECKING:
    from pavedpath_delivery.images.references import Reference

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tag images, record what was done to them, and promote them by digest.",
)

_HERE = Path()
_Digest = Annotated[str, typer.Argument(metavar="IMAGE@DIGEST", help="The image as the push named it.")]


@app.command()
def tags(  # noqa: PLR0913, PLR0917  # the command's options
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names without a tag.")],
    ref: Annotated[str, typer.Option(help="github.ref")],
    commit: Annotated[str, typer.Option(help="github.sha")],
    head_ref: Annotated[str, typer.Option(help="github.head_ref: the branch of a pull request.")] = "",
    default_branch: Annotated[str, typer.Option(help="The branch whose pushes are deployed to dev.")] = "main",
    released: Annotated[
        list[str] | None, typer.Option(help="A tag of the repository; repeatable. Default: those of the checkout.")
    ] = None,
    push_branches: Annotated[
        bool, typer.Option("--push-branches", help="Push images of pull requests, too; never a fork's.")
    ] = False,
    repository: Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="OWNER/NAME.")] = "",
    head_repository: Annotated[str, typer.Option(help="OWNER/NAME of the pull request's branch.")] = "",
    cwd: Annotated[Path, typer.Option(help="A folder of the checkout.", file_okay=False, exists=True)] = _HERE,
    output: Format = Output.TEXT,
) -> None:
    """Say which tags a push gives its images, and whether they are pushed at all."""
    from pavedpath_delivery.images.tags import Push, tag_images

    pushed = Push(ref, commit, head_ref, default_branch, push_branches, repository, head_repository)
    run(lambda _: tag_images(images, pushed, released or None, cwd), output)


@app.command()
def record(
    image: _Digest,
    kind: Annotated[Kind, typer.Option(help="What was done, and went well.")],
    report: Annotated[
        Path | None, typer.Option(help="What came of it; its digest is recorded.", dir_okay=False, exists=True)
    ] = None,
    url: Annotated[str, typer.Option(help="The run. Default: this job's.")] = "",
    commit: Annotated[
        str, typer.Option(envvar="GITHUB_SHA", help="What the image was built from. Default: this job's.")
    ] = "",
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Attach evidence to an image in its registry."""
    from pavedpath_delivery.images import evidence as room
    from pavedpath_delivery.images.manifests import digest_of
    from pavedpath_delivery.images.registry import Registries
    from pavedpath_delivery.kit.clock import SystemClock

    def work(_: object) -> room.Recorded:
        reference = _by_digest(image)
        clock = SystemClock()
        digest = digest_of(_content(report)) if report else ""
        statement = room.Evidence(kind, reference.digest, digest, url or Actions.current().run_url, commit, clock.now())
        with Registries(os.environ, clock) as registries:
            return room.record(registries.open(reference.name), reference, statement, dry_run=dry_run)

    run(work, output)


@app.command()
def promote(
    image: _Digest,
    to: Annotated[list[str], typer.Option("--to", metavar="IMAGE:TAG", help="A new name; repeatable.")],
    moving: Annotated[
        list[str] | None, typer.Option("--moving", metavar="TAG", help="A tag that moves, as latest and dev do.")
    ] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Let latest leave an image that has no version tag.")] = False,
    dry_run: DryRun = False,
    output: Format = Output.TEXT,
) -> None:
    """Give an image that was tested and scanned more names, in its or another registry, to the byte."""
    from rich.console import Console

    from pavedpath_delivery.images import promote as room
    from pavedpath_delivery.images.registry import Registries
    from pavedpath_delivery.kit.clock import SystemClock

    def work(progress: Console) -> room.Promoted:
        together(lambda: _by_digest(image), lambda: _targets(to))
        wishes = room.Wishes(_by_digest(image), _targets(to), frozenset(moving or ()), adopt)
        with Registries(os.environ, SystemClock()) as registries:
            return room.promote(registries, wishes, lambda line: progress.print(line, markup=False), dry_run=dry_run)

    run(work, output)


@app.command()
def resolve(
    image: Annotated[str, typer.Argument(metavar="IMAGE:TAG", help="The image by its tag.")],
    if_there: Annotated[bool, typer.Option("--if-there", help="A missing one is no failure: empty outputs.")] = False,
    output: Format = Output.TEXT,
) -> None:
    """Say which digest a tag names: what a job hands on instead of the tag."""
    from pavedpath_delivery.images import resolve as room
    from pavedpath_delivery.images.references import Reference
    from pavedpath_delivery.images.registry import Registries
    from pavedpath_delivery.kit.clock import SystemClock

    def work(_: object) -> room.Resolved:
        try:
            reference = Reference.parse(image)
        except ValueError as error:
            raise DeliveryError(str(error), Exit.USAGE) from error
        if not (reference.tag or reference.digest):
            raise DeliveryError(f"{image}: a tag is wanted. Fix: pass IMAGE:TAG.", Exit.USAGE)
        with Registries(os.environ, SystemClock()) as registries:
            return room.resolve(registries.open(reference.name), reference, if_there=if_there)

    run(work, output)


def _content(report: Path) -> bytes:
    try:
        content = report.read_bytes()
    except OSError as error:
        raise DeliveryError(f"--report {report} cannot be read ({error.strerror}).", Exit.USAGE) from None
    if not content.strip():
        raise DeliveryError(
            f"--report {report} is empty: what was to write it did not get to its end, and an empty file is evidence"
            " of nothing.\nFix: run the test or the scan again, and let it fail the job.",
            Exit.USAGE,
        )
    return content


def _by_digest(text: str) -> "Reference":
    from pavedpath_delivery.images.references import Reference

    try:
        reference = Reference.parse(text)
    except ValueError as error:
        raise DeliveryError(str(error), Exit.USAGE) from error
    if not reference.digest:
        raise DeliveryError(
            f"{text}: a digest is wanted (NAME@sha256:…): a tag may name another image by now.\n"
            "Fix: pass the digest that the push gave (docker/build-push-action: outputs.digest).",
            Exit.USAGE,
        )
    return reference


def _targets(texts: list[str]) -> "tuple[Reference, ...]":
    from pavedpath_delivery.images.references import Reference

    found: dict[str, Reference] = {}
    problems: list[str] = []
    for text in texts:
        try:
            reference = Reference.parse(text)
        except ValueError as error:
            problems.append(f"--to {error}")
            continue
        if not reference.tag or reference.digest:
            problems.append(f"--to {text}: a name with a tag and without a digest is wanted")
        found[str(reference)] = reference
    if problems:
        raise DeliveryError("\n".join(problems), Exit.USAGE)
    return tuple(found.values())
