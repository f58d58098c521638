"""Which charts a range of commits changed."""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from pavedpath_delivery.chart.archive import local_charts
from pavedpath_delivery.kit import programs
from pavedpath_delivery.kit.documents import fields
from pavedpath_delivery.kit.errors import DeliveryError, Exit

if TYPE_CHECKING:
    from rich.console import Console

_NOTHING = "0" * 40
"""What GitHub gives as the commit before the first push of a branch."""


def changed_charts(charts: Mapping[str, Collection[str]], files: Iterable[str]) -> list[str]:
    """Return the charts that files touch, themselves or a chart that they are made of. Pure.

    Args:
        charts: folders of charts and the folders of the charts that each takes from a path, all from one root.
        files: paths from the same root.
    """
    paths = [PurePosixPath(file) for file in files]
    touched = {chart for chart in charts if any(path.is_relative_to(chart) for path in paths)}
    grown = True
    while grown:
        more = {chart for chart, parts in charts.items() if chart not in touched and touched & set(parts)}
        touched |= more
        grown = bool(more)
    return sorted(touched)


@dataclass(frozen=True)
class Changed:
    """The charts that changed, as paths from the working directory."""

    charts: Sequence[str]
    unchanged: Sequence[str]
    code: Exit = Exit.OK

    def document(self) -> Mapping[str, Any]:
        """Return both lists."""
        return {"charts": list(self.charts), "unchanged": list(self.unchanged)}

    def show(self, console: "Console") -> None:
        """Print a line for each chart that changed."""
        for chart in self.charts:
            console.print(chart, markup=False)
        if not self.charts:
            console.print("no chart changed")

    def summary(self) -> str:
        """Return nothing: the jobs of the matrix show it."""
        return ""

    def outputs(self) -> Mapping[str, str]:
        """Return `charts` for a matrix, and `any`: GitHub refuses a matrix of nothing, so the job needs a condition."""
        return {"charts": json.dumps(self.charts), "any": "true" if self.charts else "false"}


def find_changed(since: str, directories: Sequence[Path], cwd: Path) -> Changed:
    """Compare the commit that is checked out with where it left `since`.

    Args:
        since: a branch, tag or commit. GitHub's 40 zeros, before a branch's first push, mean that all charts changed.
        directories: folders of charts, from `cwd`: each folder directly below that has a Chart.yaml.
        cwd: a folder of the repository.

    Raises:
        DeliveryError: no repository, a shallow clone, an unknown `since`, a folder that is not there, bad charts.
    """
    git = _Git(cwd)
    root = git.root()
    charts = _read_charts([cwd / each for each in directories], root)
    touched = sorted(charts) if since == _NOTHING else changed_charts(charts, git.files_since(since))
    # Charts that are parts of others alone stand outside the given folders; they are compared, and not listed.
    listed = {chart for each in directories for chart in charts if (root / chart).parent == (cwd / each).resolve()}
    here = cwd.resolve()

    def shown(names: Iterable[str]) -> list[str]:
        return [Path(os.path.relpath(root / name, here)).as_posix() for name in sorted(set(names) & listed)]

    return Changed(shown(touched), shown(listed - set(touched)))


class _Git:
    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._program = programs.find("git", "compare commits")

    def root(self) -> Path:
        done = self._call("rev-parse", "--show-toplevel")
        if done.code:
            raise DeliveryError(f"{self._cwd} is in no git repository. Fix: run this in a checkout.", Exit.USAGE)
        return Path(done.stdout.rstrip("\n")).resolve()

    def files_since(self, since: str) -> list[str]:
        if self._call("rev-parse", "--is-shallow-repository").stdout.strip() == "true":
            raise DeliveryError(
                "This clone is shallow, so commits cannot be compared and a changed chart could be missed. Fix: give"
                " actions/checkout `fetch-depth: 0`, or run `git fetch --unshallow`.",
                Exit.USAGE,
            )
        if since.startswith("-") or self._call("rev-parse", "--verify", "--quiet", f"{since}^{{commit}}").code:
            raise DeliveryError(
                f"--since {since}: there is no such commit, branch or tag here. Fix: fetch it, or name a branch as"
                " origin/BRANCH.",
                Exit.USAGE,
            )
        # Three dots: what happened on the other branch in the meantime is not a change of this one.
        done = self._call("diff", "--name-only", "--no-renames", "-z", f"{since}...HEAD")
        if done.code:
            raise DeliveryError(f"git cannot compare {since} with HEAD: {done.stderr.strip()}", Exit.USAGE)
        return [name for name in done.stdout.split("\0") if name]

    def _call(self, *arguments: str) -> programs.Done:
        return programs.call([self._program, *arguments], cwd=self._cwd)


def _read_charts(directories: Sequence[Path], root: Path) -> dict[str, set[str]]:
    """Return the charts of the folders, and those that they take from paths, with their parts."""
    if missing := [str(each) for each in directories if not each.is_dir()]:
        raise DeliveryError(f"There is no folder {', '.join(missing)}. Fix: name the folder by --dir.", Exit.USAGE)
    waiting = [file.parent.resolve() for each in directories for file in sorted(each.glob("*/Chart.yaml"))]
    charts: dict[str, set[str]] = {}
    problems: list[str] = []
    while waiting:
        folder = waiting.pop()
        if not folder.is_relative_to(root):
            problems.append(f"{folder} is outside the repository {root}, where no change can be seen")
            continue
        name = folder.relative_to(root).as_posix()
        if name in charts:
            continue
        try:
            metadata = fields(yaml.safe_load((folder / "Chart.yaml").read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            problems.append(f"{name}/Chart.yaml cannot be read: {_first_line(error)}")
            continue
        parts = local_charts(metadata, folder)
        charts[name] = {part.relative_to(root).as_posix() for part in parts if part.is_relative_to(root)}
        waiting += parts
    if problems:
        raise DeliveryError("\n".join([*sorted(problems), "Fix: mend these charts."]), Exit.USAGE)
    return charts


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
