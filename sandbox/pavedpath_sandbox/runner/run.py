"""Runs what an event starts: the repository's own workflows, job by job, and tells the sandbox's GitHub how they end.

What GitHub's own service does, and act does not, is done here: which workflows an event starts, which environment's
secrets and variables a ref may have, the identity token of a job, runs and check runs that rulesets can require.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pavedpath_sandbox.github.workflowfiles import dispatch_inputs, given_inputs
from pavedpath_sandbox.supervisor import end

from . import act, processes
from .act import Files, Said
from .events import Event, read, starts
from .server import GitHubServer, Run

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

        What a runner that was killed has left is ended first: its processes, and its runs at GitHub.

        Args:
            event: what happened.
            only: file of the one workflow to run, for a run that is started by hand.

        Raises:
            RunnerError: the commit cannot be had, a workflow cannot run here, or none of that file would start.
            ServerError: GitHub refused.
        """
        try:
            with processes.alone(self.machine.directory):
                self._clean_up()
                return self._all(event, only)
        except processes.BusyError as error:
            raise RunnerError(str(error)) from error

    def _clean_up(self) -> None:
        end(processes.running(self.machine.directory))
        for left in sorted((self.machine.directory / "runs").glob("*")):
            self.server.close_run(int(left.name))
            shutil.rmtree(left)

    def _all(self, event: Event, only: str) -> list[WorkflowResult]:
        self._count += 1
        checkout = self.machine.directory / "checkouts" / f"{self._count}-{event.sha[:12]}"
        shutil.rmtree(checkout, ignore_errors=True)
        self.server.clone(event, checkout)
        chosen = [
            (path, document)
            for path, document in _workflows(checkout)
            if (not only or path.name == only) and starts(document, event)
        ]
        if only and not chosen:
            raise RunnerError(f"{event.name} on {event.ref} starts no workflow {only} at {event.sha[:12]}")
        return [self._workflow(event, path, document, checkout) for path, document in chosen]

    def _workflow(self, event: Event, path: Path, document: Mapping[str, Any], checkout: Path) -> WorkflowResult:
        used = act.actions(document)
        local = act.stand_ins(used, STAND_INS)
        event = self._with_inputs(event, document)
        environment, refused = self._environment(event, document)
        run = self.server.start_run(event, document, path.name)
        files = Files(self.machine.directory / "runs" / str(run.id))
        # Before anything can start: a folder of that name is how the next runner learns of a run that was lost.
        files.directory.mkdir(parents=True, mode=0o700)
        try:
            permissions = act.permissions(document)
            self._write(files, event, run, environment, permissions, checkout)
            files.workflow.write_text(act.understood(path.read_text(), refused))
            command = act.command(str(self.machine.act), event.name, files, act.labels(document), local)
            hear = partial(self._hear, path.name, refused)
            heard = self._listen(run, document, [*command, "--actor", event.actor], checkout, hear)
        finally:
            files.delete()
            self.server.close_run(run.id)
            files.directory.rmdir()
        name = str(document.get("name", path.name))
        return WorkflowResult(path.name, name, heard.results(), heard.summary, sorted(used))

    def _hear(self, file: str, refused: Mapping[str, str], said: Said) -> None:
        """Pass on what a job says; of one that may not begin also why, when it fails."""
        if said.result and said.job in refused:
            self.hear(file, Said(said.job, said.title, error=refused[said.job]))
        self.hear(file, said)

    def _listen(
        self,
        run: Run,
        document: Mapping[str, Any],
        command: Sequence[str],
        checkout: Path,
        hear: Callable[[Said], None],
    ) -> _Heard:
        """Run act, and tell GitHub how the jobs begin and end."""
        heard, last = _Heard(act.jobs(document)), deque[str](maxlen=8)
        with self._act(command, checkout) as process:
            for said in act.understand(process.stdout or (), str(document.get("name", Files.WORKFLOW))):
                if heard.begins(said):
                    self.server.start_job(run, said.title, heard.jobs[said.job])
                heard.take(said)
                if not said.job and said.line:
                    last.append(said.line)
                hear(said)
                if said.result:
                    self.server.finish_job(run, said.title, said.result)
            status = process.wait()
        for title in heard.lost():
            self.server.finish_job(run, title, "failure")
        results = heard.results()
        if status and all(each.result != "failure" for each in results):
            raise RunnerError(f"act ended with status {status}, and no job had failed:\n" + "\n".join(last))
        for each in results:
            if each.result == "skipped":
                self.server.skip_job(run, each.title)
        return heard

    def _with_inputs(self, event: Event, document: Mapping[str, Any]) -> Event:
        """Return a run by hand with what its workflow declares: defaults filled in, everything else refused."""
        declared = dispatch_inputs(dict(document)) if event.name == "workflow_dispatch" else None
        if declared is None:
            return event
        names = [each.lower() for each in self.server.declared(event.repository)]
        values, wrong = given_inputs(declared, dict(event.inputs), names)
        if wrong:
            raise RunnerError("; ".join(wrong))
        return replace(event, inputs=values)

    def _environment(self, event: Event, document: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the one environment whose secrets the run gets (empty for none), and why which jobs may not begin."""
        named = {job: name for job, body in act.jobs(document).items() if (name := act.environment_of(body))}
        if unknown := sorted(job for job, name in named.items() if "${{" in name):
            raise RunnerError(f"the environment of {', '.join(unknown)} is an expression, which is not evaluated here")
        refusals = {name: self.server.gate(event, name) for name in sorted(set(named.values()))}
        open_to = [name for name, reason in refusals.items() if not reason]
        if len(open_to) > 1:
            raise RunnerError(
                f"{event.ref} may deploy to {', '.join(open_to)} in one run, and act knows one set of secrets. Run it"
                " on GitHub, or give each environment a ref of its own (approval: branch)"
            )
        refused = {job: refusals[name] for job, name in named.items() if refusals[name]}
        return (open_to[0] if open_to else ""), refused

    def _write(
        self,
        files: Files,
        event: Event,
        run: Run,
        environment: str,
        permissions: Mapping[str, str] | None,
        checkout: Path,
    ) -> None:
        secrets, variables = self.server.contents(event.repository, environment)
        identity: Mapping[str, str] = {}
        if permissions and permissions.get("id-token") == "write":
            identity = self.server.identity(run, environment)
            # act keeps out of its log what is a secret.
            secrets |= {name: value for name, value in identity.items() if name.endswith("TOKEN")}
        files.write(
            event.payload(self.server.root),
            {**secrets, "GITHUB_TOKEN": self.server.token_of(run, permissions)},
            {**variables, **self.machine.variables.get("", {}), **self.machine.variables.get(environment, {})},
            {**self.machine.environment, **identity, **self._of_job(run.id, checkout)},
        )

    def _of_job(self, run: int, checkout: Path) -> dict[str, str]:
        """Return the variables that a job has because of what it is."""
        artifacts = self.machine.directory / "artifacts" / str(run)
        artifacts.mkdir(parents=True, exist_ok=True)
        return {
            "GITHUB_API_URL": f"{self.server.root}/api/v3",
            "GITHUB_RUN_ID": str(run),
            processes.MARK: str(self.machine.directory),
            "SANDBOX_PYTHON": sys.executable,
            "SANDBOX_REGISTRY": self.machine.registry,
            "SANDBOX_ARTIFACTS": str(artifacts),
            "SANDBOX_CHECKOUT": str(checkout),
        }

    @contextmanager
    def _act(self, command: Sequence[str], cwd: Path) -> Generator[subprocess.Popen[str]]:
        home = self.machine.directory / "home"
        home.mkdir(parents=True, exist_ok=True)
        own = {"HOME": str(home), "PATH": self.machine.path, "LANG": "C.UTF-8"}
        with subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**own, **self.machine.environment, processes.MARK: str(self.machine.directory)},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                end(processes.running(self.machine.directory))


@dataclass
class _Heard:
    """What act said so far."""

    jobs: Mapping[str, Mapping[str, Any]]
    ended: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])
    summary: str = ""
    _begun: dict[str, str] = field(default_factory=dict[str, str])

    def begins(self, said: Said) -> bool:
        """Say whether this is the first word of a job."""
        if not said.job or said.title in self._begun:
            return False
        self._begun[said.title] = said.job
        return True

    def take(self, said: Said) -> None:
        """Keep what matters of it."""
        if said.result:
            self.ended.setdefault(said.job, []).append((said.title, said.result))
        self.summary += said.summary

    def lost(self) -> list[str]:
        """Take it as failed what began and did not end; return the titles."""
        ended = {title for each in self.ended.values() for title, _ in each}
        lost = [(job, title) for title, job in self._begun.items() if title not in ended]
        for job, title in lost:
            self.ended.setdefault(job, []).append((title, "failure"))
        return [title for _, title in lost]

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
