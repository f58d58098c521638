"""Each example as a user copies it: up, nothing left to change, destroy; and its page shows what really comes out."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, World

pytestmark = pytest.mark.integration

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/Pulumi.yaml"))


def shown(readme: str) -> tuple[set[str], int]:
    """Return the outputs and the number of resources that an example's page shows."""
    outputs = re.search(r"^Outputs:\n(.*?)^Resources:\n +\+ (\d+) created$", readme, re.MULTILINE | re.DOTALL)
    assert outputs, "the page shows no Outputs and Resources"
    return set(re.findall(r"^ {4}(\w[\w ]*?) *: ", outputs[1], re.MULTILINE)), int(outputs[2])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_works_as_its_page_says(world: World, example: Path) -> None:
    directory = world.directory / "examples" / example.name
    shutil.copytree(example, directory)
    (directory / ".venv").symlink_to(ROOT / ".venv")
    environment = {**os.environ, **world.environment, "PULUMI_STACK": "dev"}

    def pulumi(*arguments: str) -> str:
        command = ["pulumi", *arguments, "--non-interactive"]
        done = subprocess.run(
            # The provider waits for minutes until SQS has shown often enough that a queue is gone.
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    readme = (example / "README.md").read_text()
    pulumi("stack", "init", "dev")
    for command in re.findall(r"^\$ (.+ \| pulumi config set --secret .+)$", readme, re.MULTILINE):
        subprocess.run(["bash", "-c", command], cwd=directory, env=environment, check=True, timeout=400)
    printed = pulumi("up", "--yes", "--skip-preview")
    assert "warning" not in printed
    outputs, resources = shown(readme)
    assert set(json.loads(pulumi("stack", "output", "--json"))) == outputs
    assert re.search(rf"\+ {resources} created", printed), printed
    pulumi("preview", "--expect-no-changes")
    pulumi("destroy", "--yes", "--skip-preview")
    assert json.loads(pulumi("stack", "export"))["deployment"].get("resources") is None


def test_every_example_is_listed() -> None:
    listed = set(re.findall(r"\]\(([\w-]+)/README\.md\)", (ROOT / "examples" / "README.md").read_text()))
    assert listed == {path.name for path in EXAMPLES}
