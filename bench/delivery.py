"""How long the command takes to say what it can, and how long the workflows of many repositories take to write."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from pavedpath.plans import Approval
from pavedpath.workflows.catalogue.python_service import ServiceDelivery, python_service
from pavedpath.workflows.rendering import plain
from pavedpath.workflows.service import Target

REPOSITORIES = 100
TARGETS = (Target(environment="dev"), Target(environment="prod", approval=Approval.BRANCH))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _best(command: list[str], repeats: int = 5) -> float:
    def once() -> None:
        subprocess.run(command, check=True, capture_output=True)

    return min(_seconds(once) for _ in range(repeats))


def help_rows() -> list[tuple[str, float, str, float]]:
    """Return what `pavedpath --help` takes, beside an interpreter that imports the library of commands alone."""
    command = [str(Path(sys.executable).parent / "pavedpath"), "--help"]
    return [
        ("pavedpath --help", _best(command), "python -c 'import typer'", _best([sys.executable, "-c", "import typer"]))
    ]


def render_rows() -> list[tuple[str, float, str, float]]:
    """Return what the checked workflows of many repositories take, beside PyYAML writing the same data."""
    made: list[ServiceDelivery] = []

    def ours() -> None:
        for number in range(REPOSITORIES):
            name = f"service-{number}"
            made.append(python_service(name, images=["api", "worker"], chart=f"charts/{name}", environments=TARGETS))

    seconds = _seconds(ours)
    documents = [plain(workflow) for each in made for workflow in each.workflows]
    dumped = _seconds(lambda: [yaml.safe_dump(document, sort_keys=False) for document in documents])
    return [
        (f"{len(documents)} workflows of {REPOSITORIES} repositories, checked", seconds, "PyYAML, unchecked", dumped)
    ]
