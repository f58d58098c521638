"""``pavedpath-sandbox workflows``: what an event starts in a repository of the sandbox's GitHub, for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from pavedpath_sandbox.documents import Properties, fields, objects
from pavedpath_sandbox.sandbox import Sandbox

from .act import Said
from .events import Event
from .machine import addresses, machine
from .run import Runner, RunnerError, WorkflowResult
from .server import GitHubServer


@dataclass(frozen=True)
class Asked:
    """What a person says of an event.

    Attributes:
        repository: OWNER/NAME.
        event: push, pull_request or workflow_dispatch.
        ref: branch or tag, or its full name.
        number: of the pull request.
        inputs: of a workflow that is started by hand.
    """

    repository: str
    event: str
    ref: str = "main"
    number: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])


def happened(server: GitHubServer, asked: Asked) -> Event:
    """Return the event with what GitHub knows of it: the commit, what changed in it, and who asks.

    Raises:
        RunnerError: the repository, the ref or the pull request is not there.
    """
    path = f"repos/{asked.repository}"
    shown = _found(server.get(path), f"repository {asked.repository}")
    actor, default = str(fields(server.get("user")).get("login", "")), str(shown["default_branch"])
    if asked.event == "pull_request":
        pull = _found(server.get(f"{path}/pulls/{asked.number}"), f"pull request {asked.number}")
        head, base = fields(pull["head"]), fields(pull["base"])
        compared = server.get(f"{path}/compare/{base['sha']}...{head['sha']}")
        return Event(
            asked.event,
            asked.repository,
            f"refs/pull/{asked.number}/merge",
            str(head["sha"]),
            actor,
            default,
            before=str(base["sha"]),
            paths=_files(compared),
            base=str(base["ref"]),
            head=str(head["ref"]),
            number=asked.number,
        )
    ref = _full_name(server, path, asked.ref)
    commit = _found(server.get(f"{path}/commits/{quote(ref, safe='')}"), f"commit of {ref}")
    parents = objects(commit.get("parents"))
    before = str(parents[0]["sha"]) if parents else "0" * 40
    sha = str(commit["sha"])
    return Event(
        asked.event, asked.repository, ref, sha, actor, default, before, paths=_files(commit), inputs=asked.inputs
    )


def _full_name(server: GitHubServer, path: str, ref: str) -> str:
    names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    for name in names:
        if server.get(f"{path}/git/ref/{quote(name.removeprefix('refs/'))}") is not None:
            return name
    raise RunnerError(f"there is no branch or tag {ref}")


def _found(document: Properties | None, what: str) -> Properties:
    if document is None:
        raise RunnerError(f"there is no {what}")
    return document


def _files(document: Properties | None) -> Sequence[str]:
    return [str(each["filename"]) for each in objects(fields(document).get("files"))]


def run(
    sandbox: Sandbox,
    asked: Asked,
    only: str,
    tools: Sequence[str],
    wheels: Path | None,
    hear: Callable[[str, Said], None],
) -> list[WorkflowResult]:
    """Run what the event starts on this machine.

    Args:
        sandbox: one that runs.
        asked: the event.
        only: file of the one workflow to run; empty for all.
        tools: programs of the user's PATH that jobs need.
        wheels: folder of Python packages that jobs install.
        hear: told everything that jobs say, with the workflow's file.

    Raises:
        RunnerError, NoStandInError, ServerError: it cannot run; the message says why.
    """
    variables = sandbox.environment()
    server = GitHubServer(variables.get("GITHUB_BASE_URL", ""), variables.get("GITHUB_TOKEN", ""))
    where = sandbox.layout.root / "workflows"
    made = machine(sandbox, where, tools, wheels, addresses(sandbox, asked.repository))
    return Runner(made, server, hear).run(happened(server, asked), only)
