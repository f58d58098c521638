"""States that an earlier release left, under the program and the components of today: nothing is replaced or deleted.

tests/upgrades/make.py makes the states, by running the release itself.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.sample import without_services
from tests.integration.conftest import ROOT, World
from tests.upgrades.make import COMPONENTS, FIXTURES, STACKS, components_project

pytestmark = pytest.mark.integration

RELEASES = sorted(path.parent.name for path in FIXTURES.glob(f"*/{COMPONENTS}.py"))
CHART = ROOT / "charts" / "web-service"
KEEPS = {"same", "update", "create", "read", "refresh"}


def environment_of(world: World) -> Mapping[str, str]:
    return {**os.environ, **world.environment}


def import_state(world: World, directory: Path, stack: str, state: Path) -> None:
    selected = pulumi(world, directory, "stack", "select", "--create", "--stack", stack)
    assert selected.returncode == 0, selected.stderr
    # What the sandbox of the release had at some port, this one has at its own.
    port = world.sandbox.environment()["GITHUB_BASE_URL"].split(":")[2].split("/")[0]
    there = directory / f"{stack}.state.json"
    there.write_text(state.read_text().replace("127.0.0.1:1", f"127.0.0.1:{port}"))
    imported = pulumi(world, directory, "stack", "import", "--stack", stack, "--file", str(there))
    assert imported.returncode == 0, imported.stderr


def make_keys(world: World, state: Path) -> None:
    """Make the KMS keys of a state, with which a preview opens the values files; a sandbox's have the same id again."""
    for each in json.loads(state.read_text())["deployment"]["resources"]:
        if each["type"] == "aws:kms/key:Key":
            made = world.aws("kms").create_key(Description=each["outputs"]["description"])
            assert made["KeyMetadata"]["KeyId"] == each["outputs"]["keyId"]


def settings_of_then(world: World) -> None:
    """Leave out of the settings what no release before the services had: an update alone adds none of it."""
    shared = yaml.safe_load((world.directory / "Pulumi.shared.yaml").read_text())["config"]
    for stack in STACKS:
        path = world.directory / f"Pulumi.{stack}.yaml"
        document = yaml.safe_load(path.read_text())
        document["config"] = without_services(shared, document["config"])
        path.write_text(yaml.safe_dump(document, sort_keys=False))


def pulumi(world: World, directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["pulumi", *arguments, "--non-interactive"]
    return subprocess.run(
        command, cwd=directory, env=environment_of(world), capture_output=True, text=True, timeout=300, check=False
    )


def preview(world: World, directory: Path, stack: str) -> dict[str, Any]:
    done = pulumi(world, directory, "preview", "--json", "--show-sames", "--stack", stack)
    plan: dict[str, Any] = json.loads(done.stdout)
    said = [each["message"] for each in plan.get("diagnostics", []) if each["severity"] == "error"]
    assert done.returncode == 0, f"{stack}: {''.join(said) or done.stderr}"
    return plan


def lost(plan: Mapping[str, Any]) -> list[str]:
    """Return the resources that a preview would not keep, with what would become of them and why."""
    return [
        f"{step['op']} {step['urn']} because of {step.get('replaceReasons') or step.get('diffReasons')}"
        for step in plan["steps"]
        if step["op"] not in KEEPS
    ]


def kept(plan: Mapping[str, Any]) -> set[str]:
    return {step["urn"] for step in plan["steps"] if step["op"] in ("same", "update", "read")}


def resources(state: Path) -> set[str]:
    found = json.loads(state.read_text())["deployment"]["resources"]
    # Default providers are the engine's own, and carry the versions of the SDKs.
    return {each["urn"] for each in found if not each["type"].startswith("pulumi:providers:")}


@pytest.mark.parametrize("release", RELEASES)
def test_the_stacks_of_a_release_keep_everything(world: World, release: str) -> None:
    settings_of_then(world)
    for stack in STACKS:
        import_state(world, world.directory, stack, FIXTURES / release / f"{stack}.json")
        make_keys(world, FIXTURES / release / f"{stack}.json")
    for stack in STACKS:
        plan = preview(world, world.directory, stack)
        assert lost(plan) == []
        assert resources(FIXTURES / release / f"{stack}.json") <= kept(plan)


@pytest.mark.parametrize("release", RELEASES)
def test_the_calls_of_a_release_keep_everything(world: World, tmp_path: Path, release: str) -> None:
    """Every component with every argument that it had then."""
    project = components_project(tmp_path, release, CHART)
    state = FIXTURES / release / f"{COMPONENTS}.json"
    import_state(world, project, COMPONENTS, state)
    plan = preview(world, project, COMPONENTS)
    assert lost(plan) == []
    assert resources(state) <= kept(plan)


def test_a_state_is_of_no_machine() -> None:
    for state in FIXTURES.glob("*/*.json"):
        text = state.read_text()
        assert "sourcePosition" not in text
        assert not any(f"/{place}/" in text for place in ("home", "root", "tmp", "work")), state


def test_a_replacement_would_be_seen(world: World, tmp_path: Path) -> None:
    release = RELEASES[-1]
    project = components_project(tmp_path, release, CHART)
    program = project / "__main__.py"
    program.write_text(
        program.read_text().replace('"10.1.0.0/16"', '"10.8.0.0/16"').replace('SopsKey("plain"', 'SopsKey("other"')
    )
    import_state(world, project, COMPONENTS, FIXTURES / release / f"{COMPONENTS}.json")
    gone = lost(preview(world, project, COMPONENTS))
    assert any("Vpc::plain" in each and "cidrBlock" in each for each in gone)
    assert any(each.startswith("delete") and "Key::plain" in each for each in gone)
