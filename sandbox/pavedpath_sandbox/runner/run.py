"""Runs what an event starts: the repository's own workflows, job by job, and tells the sandbox's GitHub how they end.

What GitHub's own service does, and act does not, is done here: which workflows an event starts, which environment's
secrets and variables a ref may have, the identity token of a job, runs and check runs that rulesets can require.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import act
from .act import Files, Said
from .events import Event, read, starts
from .server import GitHubServer

STAND_INS = Path(__file__).parent / "stand_ins"


class RunnerError(Exception):
    """The workflows of an event could not be run; the message says why."""


@dataclass(frozen=True)
class JobResult:
    """How a job ended."""

    job: str
    title: str
    result: str
    """success, failure or skipped."""


@dataclass(frozen=True)
class WorkflowResult:
    """How a workflow ended."""

    file: str
    name: str
    jobs: Sequence[JobResult]
    summary: str = ""
    stand_ins: Sequence[str] = ()

    @property
    def succeeded(self) -> bool:
        """Whether no job failed."""
        return all(each.result != "failure" for each in self.jobs)


@dataclass(frozen=True)
class Machine:
    """Where jobs run: this machine, with an own home and own tools.

    Attributes:
        directory: what runs leave: checkouts, homes, artifacts.
        path: PATH of the jobs.
        environment: environment variables that every job has, such as AWS_ENDPOINT_URL.
        registry: address (HOST:PORT) of the sandbox's registry.
        variables: variables (`vars`) that win over the repository's, by environment, below "" those of all jobs: what a
            resolver of names would do elsewhere, such as the addresses of the sandbox's registry and ingress.
        act: the program.
    """

    directory: Path
    path: str
    environment: Mapping[str, str]
    act: Path
    registry: str
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])


@dataclass
class Runner:
    """Runs the workflows of one repository after another."""

    machine: Machine
    server: GitHubServer
    hear: Callable[[str, Said], None] = lambda _workflow, _said: None
    """Told everything, with the file of the workflow."""
    _count: int = field(default=0, init=False)

    def run(self, event: Event, only: str = "") -> list[WorkflowResult]:
        """Run every workflow that the event starts, in the order of their files.

        Args:
            event: what happened.
            only: file of the one workflow to run, for a run that is started by hand.

        Raises:
            RunnerError: the commit cannot be had, or a workflow cannot run here.
        """
        self._count += 1
        checkout = self.machine.directory / "checkouts" / f"{self._count}-{event.sha[:12]}"
        shutil.rmtree(checkout, ignore_errors=True)
        self.server.clone(event, checkout)
        return [
            self._workflow(event, path, document, checkout)
            for path, document in _workflows(checkout)
            if (not only or path.name == only) and starts(document, event)
        ]

    def _workflow(self, event: Event, path: Path, document: Mapping[str, Any], checkout: Path) -> WorkflowResult:
        used = act.actions(document)
        local = act.stand_ins(used, STAND_INS)
        environment = self._environment(event, document)
        run = self.server.start_run(event, document, path.name)
        files = Files(self.machine.directory / "runs" / str(run.id))
        secrets, variables = self.server.contents(event.repository, environment)
        files.write(
            event.payload(self.server.root),
            {**secrets, "GITHUB_TOKEN": self.server.token_of(run, document)},
            {**variables, **self.machine.variables.get("", {}), **self.machine.variables.get(environment, {})},
            {**self.machine.environment, **self._of_job(event, run.id, environment, checkout)},
        )
        files.workflow.write_text(act.understood(path.read_text()))
        command = act.command(str(self.machine.act), event.name, files, act.labels(document), local)
        heard = _Heard(act.jobs(document))
        for said in self._act([*command, "--actor", event.actor], checkout):
            if heard.begins(said):
                status = self.server.start_job(run, said.title, act.jobs(document)[said.job])
                if status != "in_progress":
                    raise RunnerError(f"{said.title} may not start: GitHub says that it is {status}")
            heard.take(said)
            self.hear(path.name, said)
            if said.result:
                self.server.finish_job(run, said.title, said.result)
        self.server.close_run(run)
        shutil.rmtree(files.directory, ignore_errors=True)
        return WorkflowResult(
            path.name, str(document.get("name", path.name)), heard.results(), heard.summary, sorted(used)
        )

    def _environment(self, event: Event, document: Mapping[str, Any]) -> str:
        """Return the one environment whose secrets this ref may have; empty for none."""
        named = sorted({name for job in act.jobs(document).values() if (name := act.environment_of(job))})
        open_to = [name for name in named if self.server.may_deploy(event, name)]
        if len(open_to) > 1:
            raise RunnerError(
                f"{event.ref} may deploy to {', '.join(open_to)} in one run, and act knows one set of secrets. Run it"
                " on GitHub, or give each environment a ref of its own (approval: branch)"
            )
        return open_to[0] if open_to else ""

    def _of_job(self, event: Event, run: int, environment: str, checkout: Path) -> dict[str, str]:
        """Return the variables that a job has because of what it is."""
        artifacts = self.machine.directory / "artifacts" / str(run)
        artifacts.mkdir(parents=True, exist_ok=True)
        return {
            "GITHUB_API_URL": f"{self.server.root}/api/v3",
            "GITHUB_RUN_ID": str(run),
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.server.identity_url(event, environment),
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.server.token,
            "SANDBOX_PYTHON": sys.executable,
            "SANDBOX_REGISTRY": self.machine.registry,
            "SANDBOX_ARTIFACTS": str(artifacts),
            "SANDBOX_CHECKOUT": str(checkout),
        }

    def _act(self, command: Sequence[str], cwd: Path) -> Iterator[Said]:
        home = self.machine.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={"HOME": str(home), "PATH": self.machine.path, "LANG": "C.UTF-8", **self.machine.environment},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101  it was asked for
        try:
            yield from act.understand(process.stdout)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            process.stdout.close()
            process.wait()


@dataclass
class _Heard:
    """What act said so far."""

    jobs: Mapping[str, Mapping[str, Any]]
    ended: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])
    summary: str = ""
    _begun: set[str] = field(default_factory=set[str])

    def begins(self, said: Said) -> bool:
        """Say whether this is the first word of a job."""
        if not said.job or said.title in self._begun:
            return False
        self._begun.add(said.title)
        return True

    def take(self, said: Said) -> None:
        """Keep what matters of it."""
        if said.result:
            self.ended.setdefault(said.job, []).append((said.title, said.result))
        self.summary += said.summary

    def results(self) -> list[JobResult]:
        """Return how each job ended, in the order of the file; what never began was skipped."""
        found: list[JobResult] = []
        for job, document in self.jobs.items():
            ended = self.ended.get(job, [(str(document.get("name", job)), "skipped")])
            found += [JobResult(job, title, result) for title, result in ended]
        return found


def _workflows(checkout: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted((checkout / ".github/workflows").glob("*.y*ml")):
        yield path, read(path.read_text())
