"""Make the fixture of a release: the states that its program and its components leave behind.

    .venv/bin/python -m tests.upgrades.make 0.1.0 e11c050

It runs the release's own code at that commit in a sandbox, once. What it writes is committed, and later versions are
held to it: tests/integration/test_upgrade.py. Give a new release a `components.py` first, with its new arguments.
"""

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.lifecycle import project_file

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = Path(__file__).resolve().parent
STACKS = ("shared", "dev")
COMPONENTS = "components"
CHART = "charts/web-service"


def components_project(directory: Path, release: str, chart: Path) -> Path:
    """Lay out a project whose program is the release's `components.py`."""
    project = directory / COMPONENTS
    project.mkdir()
    (project / "Pulumi.yaml").write_text(project_file("upgrades"))
    (project / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(chart, project / "chart")
    shutil.copy(FIXTURES / release / "components.py", project / "__main__.py")
    return project


def scrub(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what depends on the machine: where in which file a resource was registered, and the sandbox's port."""
    for resource in state["deployment"]["resources"]:
        resource.pop("sourcePosition", None)
        resource.pop("stackTrace", None)
    return json.loads(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", json.dumps(state)))


def write(state: dict[str, Any], path: Path) -> None:
    """Write a scrubbed state, and refuse one that still names this machine.

    Raises:
        ValueError: a path of this machine is left in it.
    """
    text = json.dumps(scrub(state), indent=1) + "\n"
    if left := {home for home in (str(ROOT), str(Path.home()), tempfile.gettempdir()) if f"{home}/" in text}:
        raise ValueError(f"{path}: the state still names {sorted(left)}; leave that out in scrub()")
    path.write_text(text)


def _deploy(directory: Path, environment: Mapping[str, str], stack: str, fixture: Path) -> None:
    def pulumi(*arguments: str) -> str:
        command = ["pulumi", *arguments, "--stack", stack, "--non-interactive"]
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    pulumi("stack", "select", "--create")
    pulumi("up", "--yes", "--skip-preview")
    write(json.loads(pulumi("stack", "export")), fixture)


def make(release: str, commit: str) -> None:
    """Run a release in a sandbox and write the states that it leaves."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as temporary:
        checkout = Path(temporary) / "checkout"
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(checkout, filter="data")
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        project = components_project(Path(temporary), release, checkout / CHART)
        # Ahead of what is installed in .venv, which is this checkout's.
        own = {"PYTHONPATH": os.pathsep.join(str(checkout / member) for member in ("components", "runners"))}
        # A sandbox each: an account holds one identity provider for GitHub, and both make it.
        for directory, stacks in ((checkout, STACKS), (project, (COMPONENTS,))):
            with Sandbox(Path(temporary) / f".sandbox-{directory.name}") as sandbox:
                for stack in stacks:
                    environment = {**os.environ, **sandbox.environment(), **own}
                    _deploy(directory, environment, stack, FIXTURES / release / f"{stack}.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", help="version of the release, for example 0.1.0")
    parser.add_argument("commit", help="commit of the release")
    chosen = parser.parse_args()
    make(chosen.release, chosen.commit)
