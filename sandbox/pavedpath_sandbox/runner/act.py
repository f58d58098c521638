"""act as a runner: its command line, and what it says while it works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from pavedpath_sandbox.documents import fields, objects, texts


@dataclass(frozen=True)
class Said:
    """One thing that act said about a job."""

    job: str
    """Its id; empty for what concerns no job."""
    title: str = ""
    """Its name with the values of its matrix."""
    result: str = ""
    """success or failure, once, at its end."""
    line: str = ""
    """Output of a step."""
    step: str = ""
    """Name of a step that starts."""
    step_failed: str = ""
    """Name of a step that failed."""
    summary: str = ""
    """Markdown that a step added to the job's summary."""
    error: str = ""
    """Annotation."""


def understand(lines: Iterable[str]) -> Iterator[Said]:
    """Read what `act --json` prints."""
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            yield Said("", line=line.rstrip())
            continue
        yield _said(cast("Mapping[str, Any]", document))


def _said(document: Mapping[str, Any]) -> Said:
    # `WORKFLOW/JOB`; a name may hold a slash, a job's id may not.
    job, title = str(document.get("jobID", "")), str(document.get("job", "")).strip().partition("/")[2]
    message = str(document.get("msg", ""))
    more: dict[str, str] = {}
    step = message.strip().partition("Run Main ")[2]
    if "jobResult" in document:
        more["result"] = str(document["jobResult"])
    elif document.get("raw_output"):
        more["line"] = message.rstrip("\n")
    elif document.get("command") == "error":
        more["error"] = str(document.get("arg", ""))
    elif document.get("command") == "summary":
        more["summary"] = str(document.get("content", ""))
    elif document.get("stepResult") == "failure":
        more["step_failed"] = message.strip().partition("Failure - ")[2].rpartition(" [")[0]
    elif step and "stepResult" not in document:
        more["step"] = step.splitlines()[0]
    return Said(job, title, **more)


_QUEUE = re.compile(r"^ +queue: max\n", re.MULTILINE)


def understood(workflow: str) -> str:
    """Return a workflow's text without what act does not know yet, and would refuse: the queue of a lock."""
    return _QUEUE.sub("", workflow)


def labels(workflow: Mapping[str, Any]) -> set[str]:
    """Return every label that a workflow's jobs ask for."""
    found: set[str] = set()
    for job in jobs(workflow).values():
        wanted = job.get("runs-on", [])
        found |= {wanted} if isinstance(wanted, str) else set(texts(wanted))
    return found


def jobs(workflow: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return a workflow's jobs by id."""
    return cast("Mapping[str, Mapping[str, Any]]", workflow.get("jobs", {}))


def environment_of(job: Mapping[str, Any]) -> str:
    """Return the name of the environment that a job deploys to; empty for none."""
    named = job.get("environment", "")
    return named if isinstance(named, str) else str(fields(named).get("name", ""))


def actions(workflow: Mapping[str, Any]) -> set[str]:
    """Return every action that the steps use, with its commit."""
    steps = [step for job in jobs(workflow).values() for step in objects(job.get("steps"))]
    return {str(step["uses"]) for step in steps if "uses" in step}


class NoStandInError(Exception):
    """A workflow uses actions that neither act knows nor the sandbox has a stand-in for."""

    def __init__(self, names: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(
            f"no stand-in for {', '.join(names)}: hosted actions cannot be fetched here. There are stand-ins for"
            f" {', '.join(known)}"
        )


def stand_ins(used: Iterable[str], directory: Path) -> dict[str, Path]:
    """Return the folder that stands in for each action, by `owner/name@commit`.

    Raises:
        NoStandInError: names all that have none.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    for each in sorted(used):
        name = each.partition("@")[0]
        if (directory / name / "action.yml").is_file():
            repository = "/".join(name.split("/")[:2])
            # act is told of repositories, and looks for a path below; the folder of `owner/name` has both.
            found[f"{repository}@{each.partition('@')[2]}"] = directory / repository
        else:
            missing.append(name)
    if missing:
        raise NoStandInError(missing, known(directory))
    return found


def known(directory: Path) -> list[str]:
    """Return the names of all stand-ins."""
    return sorted(str(path.parent.relative_to(directory)) for path in directory.rglob("action.yml"))


@dataclass(frozen=True)
class Files:
    """What a run of act reads; secrets are in files, for nobody else to see."""

    directory: Path

    @property
    def workflow(self) -> Path:
        """The workflow."""
        return self.directory / "workflow.yml"

    @property
    def event(self) -> Path:
        """`github.event`."""
        return self.directory / "event.json"

    @property
    def secrets(self) -> Path:
        """Secrets (0600)."""
        return self.directory / "secrets.yml"  # by the suffix act knows that it is YAML

    @property
    def variables(self) -> Path:
        """Variables."""
        return self.directory / "variables.yml"

    @property
    def environment(self) -> Path:
        """Environment variables of every step (0600)."""
        return self.directory / "environment.yml"

    def write(
        self,
        payload: Mapping[str, Any],
        secrets: Mapping[str, str],
        variables: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        """Write them."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.event.write_text(json.dumps(payload))
        # YAML, since a value such as a kubeconfig has many lines.
        for path, values in ((self.secrets, secrets), (self.variables, variables), (self.environment, environment)):
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(dict(values)))


def command(act: str, event: str, files: Files, labels: Iterable[str], local: Mapping[str, Path]) -> list[str]:
    """Return the command line."""
    return [
        act,
        event,
        *("--eventpath", str(files.event)),
        *("--workflows", str(files.workflow)),
        *("--secret-file", str(files.secrets)),
        *("--var-file", str(files.variables)),
        *("--env-file", str(files.environment)),
        *(argument for label in sorted(labels) for argument in ("--platform", f"{label}=-self-hosted")),
        *(argument for name, path in local.items() for argument in ("--local-repository", f"{name}={path}")),
        "--no-cache-server",
        "--json",
    ]
