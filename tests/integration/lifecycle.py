"""A small program of components against the real engine: what each change of it does to what exists."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.conftest import ROOT, World

_PROJECT = """\
name: {name}
runtime:
  name: python
  options: {{virtualenv: .venv}}
config:
  aws:region: us-east-1
  github:owner: acme
  github:legacyClient: "false"
"""


def project_file(name: str) -> str:
    """Return the Pulumi.yaml of a small project whose providers go where the sandbox's variables point."""
    return _PROJECT.format(name=name)


@dataclass
class Lifecycle:
    """One Pulumi project with one stack, whose program a test rewrites step by step.

    Changes are named as `pulumi preview` sees them: the operation (create, update, replace, delete; nothing for what
    stays the same) and `<type's last part> <logical name>` of each resource, components left out.
    """

    world: World
    directory: Path

    @classmethod
    def begin(cls, world: World, name: str) -> "Lifecycle":
        """Make an empty project with a stack of its own beside the world's."""
        directory = world.directory / name
        directory.mkdir()
        (directory / "Pulumi.yaml").write_text(project_file(name))
        (directory / ".venv").symlink_to(ROOT / ".venv")
        (directory / "__main__.py").write_text("")
        made = cls(world, directory)
        made.pulumi("stack", "init", "it")
        return made

    def pulumi(self, *arguments: str, expect: int = 0) -> str:
        """Run the engine in the project and return what it printed on both streams."""
        done = self._run(*arguments)
        assert done.returncode == expect, (
            f"pulumi {arguments} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stdout + done.stderr

    def preview(self, program: str) -> dict[str, set[str]]:
        """Return what the program would change, by operation."""
        (self.directory / "__main__.py").write_text(program)
        done = self._run("preview", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return _changes(json.loads(done.stdout))

    def up(self, program: str) -> dict[str, set[str]]:
        """Deploy the program and return what it changed, by operation."""
        changes = self.preview(program)
        self.pulumi("up", "--yes", "--skip-preview")
        return changes

    def refused(self, program: str) -> str:
        """Return what a program that must fail printed."""
        (self.directory / "__main__.py").write_text(program)
        done = self._run("up", "--yes", "--skip-preview")
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def drift(self) -> dict[str, set[str]]:
        """Return what differs between the state and what really exists."""
        done = self._run("preview", "--json", "--refresh")
        assert done.returncode == 0, done.stdout + done.stderr
        return _changes(json.loads(done.stdout))

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secrets shown."""
        done = self._run("stack", "output", "--json", "--show-secrets")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def destroy(self) -> None:
        """Delete everything; what refuses fails the test."""
        self.pulumi("destroy", "--yes", "--skip-preview")

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, **self.world.environment, "PULUMI_STACK": "it"}
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )


def _changes(plan: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for step in plan["steps"]:
        state: dict[str, Any] = step.get("newState") or step.get("oldState") or {}
        if step["op"] in ("same", "read", "discard-replaced", "create-replacement", "delete-replaced", "refresh"):
            continue
        if state.get("custom") and not state["type"].startswith("pulumi:"):
            kind, name = state["type"].split(":")[-1], step["urn"].split("::")[-1]
            found.setdefault(step["op"], set()).add(f"{kind} {name}")
    return found
