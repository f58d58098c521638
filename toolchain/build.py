"""Builds from pinned Go modules, in a copy of the recipe, one at a time; the next recipe's modules come meanwhile."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from toolchain.manifest import RECIPES, Build, Package, ToolchainError

PLENTY = 7 << 30
"""Bytes of memory from which the compiler may collect its garbage seldom; below it the largest package would swap."""

Progress = Callable[[int, int], None]
"""Called with the packages compiled so far, and the packages in the program (those in Go's own cache are skipped)."""


class BuildError(Exception):
    """A build that failed; the text has the end of what the tool said."""


def go_environment() -> dict[str, str]:
    """The environment of every `go` here: reproducible flags, and a seldom collected heap where memory allows it.

    GOGC=800 takes a quarter off the wall time on two cores and costs up to 3.5 GB at the peak.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = {"GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0", "GOWORK": "off"}
    return dict(os.environ) | own | ({"GOGC": "800"} if memory >= PLENTY else {})


def check_go(wanted: str, environment: dict[str, str]) -> None:
    """Whether there is a Go that can build the recipes.

    Go 1.21 and later fetch a newer toolchain as a module themselves, unless GOTOOLCHAIN=local forbids it.

    Raises:
        ToolchainError: there is no Go, or it is too old and must not switch.
    """
    go = shutil.which("go", path=environment.get("PATH"))
    advice = f"install Go {wanted} or later (https://go.dev/dl/, or your system's package)"
    if go is None:
        raise ToolchainError(f"no `go` on PATH: {advice}")
    command = [go, "env", "GOVERSION", "GOTOOLCHAIN"]
    told = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    found = re.match(r"go(\d+)\.(\d+)", told.stdout)
    if not found:
        raise ToolchainError(f"{go} does not say its version ({(told.stderr or told.stdout).strip()[:200]}): {advice}")
    have, want = (int(found[1]), int(found[2])), tuple(int(part) for part in wanted.split(".")[:2])
    fixed = told.stdout.split()[-1] == "local" or have < (1, 21)
    if have < want and fixed:
        raise ToolchainError(f"{go} is {found.group()}, and may not switch to a newer one: {advice}")


@dataclass(frozen=True)
class Staged:
    """A copy of a recipe that is ready to be compiled: its modules are here, its sources are prepared."""

    directory: Path
    packages: int


def stage(build: Build, directory: Path, environment: dict[str, str], recipes: Path = RECIPES) -> Staged:
    """Copy a recipe, run its prepare.py if it has one, and fetch the modules that the program imports.

    Raises:
        BuildError: a module cannot be had, or does not have the pinned content.
    """
    shutil.copytree(recipes / build.recipe, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for name in build.include:
        shutil.copy(recipes / name, directory)
    if (directory / "prepare.py").exists():
        _run([sys.executable, "prepare.py"], directory, environment)
    if not build.package:
        for _, source in build.copy:
            _run(["go", "mod", "download", source.partition(":")[0]], directory, environment)
        return Staged(directory, 0)
    listed = _run(["go", "list", "-deps", build.package], directory, environment)
    return Staged(directory, len(listed.splitlines()))


def compile_staged(
    package: Package,
    build: Build,
    staged: Staged,
    environment: dict[str, str],
    progress: Progress,
    started: Callable[[int], None],
) -> dict[str, Path]:
    """Compile a staged recipe; returns name -> path of each file of the package that the build makes.

    `started` is told the process group, so that whoever comes after a kill -9 can stop what is left of it.

    Raises:
        BuildError: the compiler failed; KeyboardInterrupt stops the whole process group first.
    """
    copied = {name: _copy(source, staged.directory, environment) for name, source in build.copy}
    if not build.package:
        return copied
    output = staged.directory / "output"
    flags = f"-s -w {build.ldflags.format(version=package.version)}".strip()
    command = ["go", "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(output), build.package]
    process = subprocess.Popen(
        command,
        cwd=staged.directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr  # noqa: S101 - it was asked for above
    try:
        started(process.pid)
        last = _follow(process.stderr, lambda compiled: progress(compiled, staged.packages))
        code = process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code:
        raise BuildError(f"{shlex.join(command[:2])} {build.package} ended with {code}:\n" + "\n".join(last))
    return dict.fromkeys(build.makes or package.files, output) | copied


def _follow(output: IO[str], progress: Callable[[int], None]) -> list[str]:
    """Count the packages that the compiler names, and tell progress every second: linking takes many without a word."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_pump, args=(output, lines), daemon=True).start()
    last: list[str] = []
    compiled = 0
    while True:
        progress(compiled)
        try:
            line = lines.get(timeout=1)
        except Empty:
            continue
        if line is None:
            return last
        last = [*last[-30:], line.rstrip()]
        compiled += " " not in line.strip()


def _pump(stream: IO[str], lines: "SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _copy(source: str, directory: Path, environment: dict[str, str]) -> Path:
    module, _, path = source.partition(":")
    root = _run(["go", "list", "-m", "-f", "{{.Dir}}", module], directory, environment).strip()
    target = directory / f"copy-{Path(path).name}"
    shutil.copyfile(Path(root) / path, target)
    return target


def _run(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, check=False, cwd=directory, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
        raise BuildError(f"{shlex.join(command)} in {directory.name} ended with {done.returncode}:\n{said}")
    return done.stdout
