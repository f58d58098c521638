"""act as a runner: its command line, and what it says while it works."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import yaml

from pavedpath_sandbox.documents import fields, objects, texts
from pavedpath_sandbox.github.runtokens import NAMES


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


def understand(lines: Iterable[str], workflow: str) -> Iterator[Said]:
    """Read what `act --json` prints of a workflow of that name."""
    for line in lines:
        try:
            document = json.loads(line)
        except ValueError:
            yield Said("", line=line.rstrip())
            continue
        yield _said(cast("Mapping[str, Any]", document), workflow)


def _said(document: Mapping[str, Any], workflow: str) -> Said:
    # `WORKFLOW/JOB`; both names may hold a slash.
    job, title = str(document.get("jobID", "")), str(document.get("job", "")).strip().removeprefix(f"{workflow}/")
    message = str(document.get("msg", ""))
    more: dict[str, str] = {}
    step = message.strip().partition("Run Main ")[2]
    if "jobResult" in document:
        more["result"] = str(document["jobResult"])
    elif document.get("raw_output") or not job:
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


_REFUSED = "- {name: Wait for the environment, run: exit 1}"


def understood(workflow: str, refused: Collection[str] = ()) -> str:
    """Return a workflow's text as act is to run it.

    Without what act does not know yet, and would refuse: the queue of a lock. The jobs whose ids are in `refused` do
    nothing but fail. All else is as it was.
    """
    workflow = _QUEUE.sub("", workflow)
    if not refused:
        return workflow
    # Nodes keep every scalar as it was written; a load would turn `on` and versions into other values.
    root = yaml.compose(workflow, Loader=yaml.SafeLoader)
    steps = yaml.compose(_REFUSED, Loader=yaml.SafeLoader)
    for job, body in _items(_value(root, "jobs")):
        if job in refused and isinstance(body, yaml.MappingNode):
            body.value = [(key, steps if key.value == "steps" else value) for key, value in body.value]
    text = yaml.serialize(root, Dumper=yaml.SafeDumper)  # pyright: ignore[reportUnknownMemberType]  # untyped nodes
    return str(text)


def _items(node: Any) -> list[tuple[str, Any]]:
    return [(str(key.value), value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _value(node: Any, name: str) -> Any:
    return dict(_items(node)).get(name)


def labels(workflow: Mapping[str, Any]) -> set[str]:
    """Return every label that a workflow's jobs ask for."""
    return {label for job in jobs(workflow).values() for label in runs_on(job)}


def runs_on(job: Mapping[str, Any]) -> list[str]:
    """Return the labels of the runner that a job asks for, by themselves or beside a group."""
    wanted = job.get("runs-on", [])
    wanted = fields(wanted).get("labels", wanted)
    return [wanted] if isinstance(wanted, str) else texts(wanted)


_LEVELS = ("none", "read", "write")


def permissions(workflow: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what any of a workflow's jobs may do; None if one says nothing and so has the repository's setting."""
    found: dict[str, str] = {}
    for job in jobs(workflow).values():
        wanted = job.get("permissions", workflow.get("permissions"))
        if wanted is None:
            return None
        given = (
            dict.fromkeys(NAMES, wanted.removesuffix("-all")) if isinstance(wanted, str) and wanted else fields(wanted)
        )
        for scope, access in given.items():
            found[scope] = max(found.get(scope, "none"), str(access), key=_LEVELS.index)
    return found


def jobs(workflow: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return a workflow's jobs by id."""
    return cast("Mapping[str, Mapping[str, Any]]", workflow.get("jobs", {}))


def environment_of(job: Mapping[str, Any]) -> str:
    """Return the name of the environment that a job deploys to; empty for none."""
    named = job.get("environment", "")
    return named if isinstance(named, str) else str(fields(named).get("name", ""))


def actions(workflow: Mapping[str, Any]) -> set[str]:
    """Return every action of other repositories that the steps use, with its commit."""
    steps = [step for job in jobs(workflow).values() for step in objects(job.get("steps"))]
    return {str(step["uses"]) for step in steps if not str(step.get("uses", "./")).startswith("./")}


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
    WORKFLOW: ClassVar = "workflow.yml"
    """What act calls a workflow without a name."""

    @property
    def workflow(self) -> Path:
        """The workflow."""
        return self.directory / self.WORKFLOW

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

    def delete(self) -> None:
        """Delete them, and leave the folder."""
        for path in self.directory.iterdir():
            path.unlink()


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
