"""Shell scripts of rendered jobs: linted, and run with programs that only note that they were called."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.core
import typer.main
from pavedpath_delivery.cli import app

_SHELLCHECK = Path(sys.executable).with_name("shellcheck")

_NOTED = ("base64", "cat", "grep", "mkdir", "mktemp", "rm", "sed", "tr")
"""Programs that do what they do, and are noted."""

_NOTING = """\
#!/bin/bash
line="$(printf ' %q' "$@")"
printf '%s\\n' "${0##*/}$line" >> "$CALLS"  # at once: programs of a pipe run side by side
"""
_PAVEDPATH = """
case "$1 $*" in
  deploy*--dry-run*) exit "${PREVIEW:-0}" ;;
  deploy*) printf 'state=%s\\nrevision=%s\\n' "${STATE:-deployed}" 7 >> "$GITHUB_OUTPUT"; exit "${DEPLOY:-0}" ;;
  smoke*) exit "${SMOKE:-0}" ;;
  diagnose*) exit "${DIAGNOSE:-0}" ;;
  rollback*) exit "${ROLLBACK:-0}" ;;
  "image image resolve"*) echo "image=${RESOLVED-r/api@sha256:1}" >> "$GITHUB_OUTPUT" ;;
  "image image tags"*) printf '%s\\n' r/api:sha-1 r/api:dev ;;
esac
"""
_PYTHON3 = """
mkdir -p "$3/bin"
printf '#!/bin/sh\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
_BUILDER = """
while [ $# -gt 0 ]; do
  [ "$1" = --metadata-file ] && echo "${METADATA-{\\"containerimage.digest\\": \\"sha256:5\\"\\}}" > "$2"
  shift
done
true
"""


def shellcheck(script: str, dialect: str = "bash") -> str:
    """Return what shellcheck says about a script; empty for nothing."""
    command = [_SHELLCHECK, "--norc", "--shell", dialect, "--format", "gcc", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr


@dataclass
class Machine:
    """A machine of jobs, on which nothing real happens."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def calls(self) -> list[str]:
        """What was called, a line each."""
        noted = self.folder / "calls"
        return noted.read_text().splitlines() if noted.exists() else []

    @property
    def last(self) -> str:
        """The last call of `pavedpath`."""
        return [each for each in self.calls if each.startswith("pavedpath ")][-1]

    @property
    def commands(self) -> list[str]:
        """Commands of `pavedpath` that were called, without what follows their first word, and `--dry-run`."""
        found = [each.split() for each in self.calls if each.startswith("pavedpath ")]
        return [words[1] + (" --dry-run" if "--dry-run" in words else "") for words in found]

    def run(
        self, script: str, *, interpreter: Sequence[str] = ("bash",), **env: str
    ) -> "subprocess.CompletedProcess[str]":
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        self.checkout.mkdir(exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        bodies = {"pavedpath": _PAVEDPATH, "python3": _PYTHON3, "buildctl-daemonless.sh": _BUILDER, "docker": _BUILDER}
        for name in (*bodies, "helm", "trivy"):
            (programs / name).write_text(_NOTING + bodies.get(name, ""))
            (programs / name).chmod(0o755)
        for name in _NOTED:
            real = shutil.which(name)
            (programs / name).write_text(f'{_NOTING}exec {real} "$@"\n')
            (programs / name).chmod(0o755)
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
            "CALLS": str(self.folder / "calls"),
            **env,
        }
        return subprocess.run(
            [*interpreter, "-c", script],
            cwd=self.checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def unknown_options(script: str) -> list[str]:
    """Return the calls of `pavedpath` in a script that the command does not take."""
    wrong: list[str] = []
    lines = script.replace("\\\n", " ").replace('"${names[@]/#/--to=}"', "--to=x").splitlines()
    for line in lines:
        if not (found := re.search(r"(?:^|[ (])pavedpath (?=\w)([^|>]*)", line)):
            continue
        words = shlex.split(found[1].removesuffix(')"'))
        command: Any = typer.main.get_command(app)
        rest = list(words)
        while isinstance(command, typer.core.TyperGroup) and rest and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        options = [each for each in command.params if each.opts[0].startswith("--")]
        given = {each.partition("=")[0] for each in rest if each.startswith("--")}
        missing = [each for each in options if each.required and not each.envvar and given.isdisjoint(each.opts)]
        if isinstance(command, typer.core.TyperGroup) or missing or not given <= {n for o in options for n in o.opts}:
            wrong.append(line.strip())
    return wrong
