"""What a runner asks of the sandbox's GitHub, and tells it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from pavedpath_sandbox.documents import Properties, fields, objects

from . import act
from .events import Event

_PUBLIC = "https://github.com"


class ServerError(Exception):
    """GitHub refused, or cannot be reached; the message says what.

    Attributes:
        status: HTTP status of its answer, 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Run:
    """One run of a workflow; jobs are told of when they start, since act decides which do."""

    id: int
    repository: str
    jobs: dict[str, int] = field(default_factory=dict[str, int])
    """Ids of the jobs that run, by title."""


class GitHubServer:
    """The server as its owner.

    Args:
        root: its address.
        token: the owner's; no job gets it.
    """

    def __init__(self, root: str, token: str) -> None:
        self.root = root.rstrip("/")
        self.token = token
        self._client = httpx.Client(
            base_url=self.root, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def get(self, path: str, **params: str) -> Properties | None:
        """Return an object, None where there is none."""
        response = self._sent("GET", path, params=params)
        return None if response.status_code == 404 else _checked(response)

    def listed(self, path: str, key: str) -> list[Properties]:
        """Return all objects of a list that answers hold below `key`."""
        found: list[Properties] = []
        while True:
            page = objects(fields(self.get(path, per_page="30", page=str(len(found) // 30 + 1))).get(key))
            found += page
            if len(page) < 30:
                return found

    def post(self, path: str, body: Mapping[str, Any]) -> Properties:
        """Make a change."""
        return _checked(self._sent("POST", path, json=body))

    def _sent(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, f"/{path}", **options)
        except httpx.HTTPError as error:
            raise ServerError(f"{self.root} cannot be reached: {error}") from error

    def clone(self, event: Event, target: Path) -> None:
        """Check the event's commit out, with the whole history; its address is the public one, as jobs know it.

        Raises:
            ServerError: git could not.
        """
        address = f"{self.root}/{event.repository}.git"
        # The token is in git's environment, for nobody else to see.
        environment = {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {self.token}",
            "GIT_TERMINAL_PROMPT": "0",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        }
        branch = event.ref.removeprefix("refs/heads/") if event.ref.startswith("refs/heads/") else ""
        for command in (
            ["git", "clone", "--quiet", "--no-checkout", address, str(target)],
            ["git", "-C", str(target), "checkout", "--quiet", *(["-B", branch] if branch else ["--detach"]), event.sha],
            ["git", "-C", str(target), "remote", "set-url", "origin", f"{_PUBLIC}/{event.repository}"],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
            if done.returncode:
                raise ServerError(f"{' '.join(command[:3])}: {done.stderr.strip()}")

    def gate(self, event: Event, environment: str) -> str:
        """Return why a job of the event may not deploy to an environment now; empty if it may."""
        body = {**_in(event.repository), "environment": environment, "ref": event.ref}
        found = self.post("_sandbox/environments/gate", body)
        waits = f"{environment} waits for its reviewers or its timer, which act cannot do" if found["waits"] else ""
        return str(found["refusal"] or waits)

    def declared(self, repository: str) -> list[str]:
        """Return the names of a repository's environments."""
        return [str(each["name"]) for each in self.listed(f"repos/{repository}/environments", "environments")]

    def contents(self, repository: str, environment: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the secrets and variables that a job may read: the repository's, and those of its environment."""
        secrets, variables = self._of(repository, f"repos/{repository}/actions", {})
        if environment:
            name = quote(environment, safe="")
            more = self._of(repository, f"repos/{repository}/environments/{name}", {"environment": environment})
            secrets, variables = secrets | more[0], variables | more[1]
        return secrets, variables

    def _of(self, repository: str, path: str, scope: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        held = {**_in(repository), **scope}
        secrets = {
            str(each["name"]): str(self.post("_sandbox/secrets/decrypt", {**held, "name": each["name"]})["value"])
            for each in self.listed(f"{path}/secrets", "secrets")
        }
        shown = self.listed(f"{path}/variables", "variables")
        return secrets, {str(each["name"]): str(each["value"]) for each in shown}

    def start_run(self, event: Event, workflow: Mapping[str, Any], file: str) -> Run:
        """Begin a run of a workflow."""
        body: dict[str, Any] = {
            **_in(event.repository),
            "workflow": str(workflow.get("name", file)),
            "path": f".github/workflows/{file}",
            "event": event.name,
            "ref": event.ref,
            "head_branch": event.head or re.sub(r"^refs/(heads|tags)/", "", event.ref),
            "head_sha": event.sha,
            "actor": event.actor,
            "inputs": dict(event.inputs),
            "jobs": [],
            "open": True,
        }
        return Run(int(str(self.post("_sandbox/runs", body)["id"])), event.repository)

    def token_of(self, run: Run, permissions: Mapping[str, str] | None) -> str:
        """Return the run's own token; without permissions it has those of the repository's setting."""
        body = {} if permissions is None else {"permissions": dict(permissions)}
        return str(self.post(f"_sandbox/runs/{run.id}/token", body)["token"])

    def start_job(self, run: Run, title: str, document: Mapping[str, Any]) -> None:
        """Begin a job; one that its environment refuses or holds back does not begin."""
        job = self._added(run, title, {"labels": act.runs_on(document), "environment": act.environment_of(document)})
        if job["status"] == "queued":
            self.post(f"_sandbox/jobs/{job['id']}", {"hosted": True})
            run.jobs[title] = int(str(job["id"]))

    def skip_job(self, run: Run, title: str) -> None:
        """Show a job that did not begin."""
        job = self._added(run, title, {"labels": []})
        self.post(f"_sandbox/jobs/{job['id']}", {"conclusion": "skipped"})

    def _added(self, run: Run, title: str, spec: Mapping[str, Any]) -> Properties:
        wanted = {"name": title, **{name: value for name, value in spec.items() if value != ""}}
        added = self.post(f"_sandbox/runs/{run.id}/jobs", {"jobs": [wanted]})
        return next(each for each in objects(added.get("jobs")) if each["name"] == title)

    def finish_job(self, run: Run, title: str, result: str) -> None:
        """End a job, if it could begin."""
        if (job := run.jobs.pop(title, None)) is not None:
            self.post(f"_sandbox/jobs/{job}", {"conclusion": result})

    def close_run(self, run: int) -> None:
        """End a run, and cancel what of it has not ended; nothing to do for one that is gone."""
        try:
            self.post(f"_sandbox/runs/{run}/close", {})
        except ServerError as error:
            if error.status != 404:
                raise

    def identity(self, run: Run, environment: str) -> dict[str, str]:
        """Return the two variables with which the jobs ask for their identity tokens, until the run ends."""
        body = {"environment": environment} if environment else {}
        return {name: str(value) for name, value in self.post(f"_sandbox/runs/{run.id}/oidc", body).items()}


def _in(repository: str) -> dict[str, str]:
    return {"repository": repository.partition("/")[2]}


def _checked(response: httpx.Response) -> Properties:
    if response.is_error:
        what = f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:500]}"
        raise ServerError(what, response.status_code)
    return fields(response.json()) if response.content else {}
