"""What a runner asks of the sandbox's GitHub, and tells it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from pavedpath_sandbox.documents import Properties, fields, objects, texts

from . import act
from .events import Event, chosen

_PUBLIC = "https://github.com"


class ServerError(Exception):
    """GitHub refused; the message says what."""


@dataclass
class Run:
    """One run of a workflow; jobs are told of when they start, since act decides which do."""

    id: int
    repository: str
    jobs: dict[str, int] = field(default_factory=dict[str, int])
    """Id of each job by its title."""


class GitHubServer:
    """The server as its owner.

    Args:
        root: its address.
        token: the owner's; jobs get it as GITHUB_TOKEN.
    """

    def __init__(self, root: str, token: str) -> None:
        self.root = root.rstrip("/")
        self.token = token
        self._client = httpx.Client(
            base_url=self.root, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def get(self, path: str, **params: str) -> Properties | None:
        """Return an object, None where there is none."""
        response = self._client.get(f"/{path}", params=params)
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
        return _checked(self._client.post(f"/{path}", json=body))

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

    def may_deploy(self, event: Event, environment: str) -> bool:
        """Say whether the policies of an environment let the event's ref deploy to it."""
        path = f"repos/{event.repository}/environments/{quote(environment, safe='')}"
        found = self.get(path)
        if found is None or event.name == "pull_request":
            return False
        if not fields(found.get("deployment_branch_policy")).get("custom_branch_policies"):
            return True
        kind, _, name = event.ref.removeprefix("refs/").partition("/")
        wanted = "tag" if kind == "tags" else "branch"
        policies = self.listed(f"{path}/deployment-branch-policies", "branch_policies")
        return chosen([str(each["name"]) for each in policies if each.get("type", "branch") == wanted], name)

    def contents(self, repository: str, environment: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the secrets and variables that a job may read: the repository's, and those of its environment."""
        secrets, variables = self._of(repository, f"repos/{repository}/actions", {})
        if environment:
            name = quote(environment, safe="")
            more = self._of(repository, f"repos/{repository}/environments/{name}", {"environment": environment})
            secrets, variables = secrets | more[0], variables | more[1]
        return secrets, variables

    def _of(self, repository: str, path: str, scope: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        held = {"repository": repository.partition("/")[2], **scope}
        secrets = {
            str(each["name"]): str(self.post("_sandbox/secrets/decrypt", {**held, "name": each["name"]})["value"])
            for each in self.listed(f"{path}/secrets", "secrets")
        }
        shown = self.listed(f"{path}/variables", "variables")
        return secrets, {str(each["name"]): str(each["value"]) for each in shown}

    def start_run(self, event: Event, workflow: Mapping[str, Any], file: str) -> Run:
        """Begin a run of a workflow."""
        body: dict[str, Any] = {
            "repository": event.repository.partition("/")[2],
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

    def token_of(self, run: Run, workflow: Mapping[str, Any]) -> str:
        """Return the run's own token, with the permissions of all its jobs: act knows one for them all."""
        wanted: dict[str, str] = {}
        for job in act.jobs(workflow).values():
            for scope, access in fields(job.get("permissions")).items():
                wanted[scope] = "write" if "write" in (str(access), wanted.get(scope)) else str(access)
        return str(self.post(f"_sandbox/runs/{run.id}/token", {"permissions": wanted})["token"])

    def start_job(self, run: Run, title: str, document: Mapping[str, Any]) -> str:
        """Begin a job; return its status: in_progress, waiting (for its environment's rules) or completed (refused)."""
        wanted = document.get("runs-on", [])
        spec: dict[str, Any] = {"name": title, "labels": [wanted] if isinstance(wanted, str) else texts(wanted)}
        if environment := act.environment_of(document):
            spec["environment"] = environment
        self.post(f"_sandbox/runs/{run.id}/jobs", {"jobs": [spec]})
        return self.begin(run, title)

    def begin(self, run: Run, title: str) -> str:
        """Give a job that is queued to a runner; return its status."""
        listed = self.listed(f"repos/{run.repository}/actions/runs/{run.id}/jobs", "jobs")
        job = next(each for each in listed if each["name"] == title)
        run.jobs[title] = int(str(job["id"]))
        if job["status"] == "queued":
            job = self.post(f"_sandbox/jobs/{job['id']}", {"hosted": True})
        return str(job["status"])

    def finish_job(self, run: Run, title: str, result: str) -> None:
        """End a job that was started."""
        self.post(f"_sandbox/jobs/{run.jobs[title]}", {"conclusion": result})

    def close_run(self, run: Run) -> None:
        """End a run."""
        self.post(f"_sandbox/runs/{run.id}/close", {})

    def identity_url(self, event: Event, environment: str) -> str:
        """Return the address that gives a job its identity token; an audience is appended to it."""
        claims = {"repository": event.repository, "ref": event.ref, "sha": event.sha, "event_name": event.name}
        if environment:
            claims["environment"] = environment
        return f"{self.root}/_sandbox/oidc/token?{urlencode(claims)}"


def _checked(response: httpx.Response) -> Properties:
    if response.is_error:
        raise ServerError(
            f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:500]}"
        )
    return fields(response.json()) if response.content else {}
