"""The library as its users have it: a built wheel in an environment of its own, and a package for other languages."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, World
from tests.integration.lifecycle import Lifecycle
from tests.unit.docs.blocks import blocks

pytestmark = pytest.mark.integration

LIBRARY = ROOT / "components"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(LIBRARY, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def runners_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT / "runners", tmp_path_factory.mktemp("runners"))


def built(member: Path, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=member, check=True, capture_output=True, timeout=500)
    (wheel,) = directory.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def consumer(wheel: Path, runners_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that was empty before the wheels, and holds only what they say they need."""
    uv = shutil.which("uv") or str(ROOT / ".toolchain/uv/bin/uv")
    directory = tmp_path_factory.mktemp("consumer") / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(directory)], check=True, timeout=300)
    python = ["--python", str(directory / "bin/python")]
    locked = ["--constraint", str(ROOT / "requirements.lock")]
    subprocess.run(
        [uv, "pip", "install", "-q", *python, *locked, str(wheel), str(runners_wheel)], check=True, timeout=300
    )
    return directory


def test_the_functions_code_comes_with_the_library(runners_wheel: Path, consumer: Path) -> None:
    """A fleet's functions are packed from what is installed, and the machines' script with them."""
    names = set(zipfile.ZipFile(runners_wheel).namelist())
    assert {"pavedpath_runners/machine/machine.sh", "pavedpath_runners/functions/launch.py"} <= names
    script = "from pavedpath.runner_fleet_functions import *; import pavedpath_runners.machine"
    subprocess.run([consumer / "bin/python", "-c", script], check=True, timeout=300)


def readme_program() -> str:
    program, *_ = blocks(LIBRARY / "README.md")
    return program.text


def test_the_wheel_holds_the_typed_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"pavedpath/py.typed", "pavedpath/__init__.pyi"} <= names
    kinds = ("*.py", "*.lock.toml")
    sources = {str(path.relative_to(LIBRARY)) for kind in kinds for path in LIBRARY.glob(f"pavedpath/**/{kind}")}
    assert {name for name in names if ".dist-info/" not in name} == sources | {
        "pavedpath/py.typed",
        "pavedpath/__init__.pyi",
    }


def strictly_checked(program: str, directory: Path, environment: Path) -> list[str]:
    """Return what pyright strict says of a program that sees only an environment's packages."""
    (directory / "program.py").write_text(program)
    settings = {"typeCheckingMode": "strict", "venvPath": str(environment.parent), "venv": environment.name}
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [ROOT / ".venv/bin/pyright", "--outputjson"]
    checked = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
    found = json.loads(checked.stdout)
    assert found["summary"]["filesAnalyzed"] == 1
    return [each["message"] for each in found["generalDiagnostics"]]


def test_the_installed_library_is_typed(consumer: Path, tmp_path: Path) -> None:
    assert strictly_checked(readme_program(), tmp_path, consumer) == []
    (wrong,) = strictly_checked(readme_program().replace('"shop-sops"', "1"), tmp_path, consumer)
    assert "SopsKeyArgs" in wrong


def test_ten_lines_with_three_components_work(world: World, consumer: Path) -> None:
    assert len([line for line in readme_program().splitlines() if line.strip()]) <= 10
    project = Lifecycle.begin(world, "consumer")
    (project.directory / ".venv").unlink()
    (project.directory / ".venv").symlink_to(consumer)
    created = project.up(readme_program())
    assert {"Vpc shop", "Key shop", "Repository shop/api"} <= created["create"]
    outputs = project.outputs()
    assert outputs["vpc"].startswith("vpc-")
    assert outputs["key"] == "alias/shop-sops"
    assert outputs["images"]["shop/api"].endswith(".amazonaws.com/shop/api")
    assert project.preview(readme_program()) == {}
    project.destroy()


# What an SDK generated for another language sends: the package's own names, and plain JSON. The toolchain's language
# host generates none, and the engine has no host for YAML here, so this program is what such an SDK would be.
THROUGH_THE_PACKAGE = """
import pulumi

class Remote(pulumi.ComponentResource):
    def __init__(self, kind, name, args, outputs):
        super().__init__(f"pavedpath:index:{kind}", name, {**args, **dict.fromkeys(outputs)}, None, remote=True)

vpc = Remote("Vpc", "remote", {
    "cidr": "10.9.0.0/16", "zones": ["us-east-1a"], "tiers": ["public", "private"], "nat": "one",
}, ["vpcId"])
registry = Remote("ImageRegistry", "remote", {"repositories": ["shop/remote"], "keepImages": 7}, ["repositoryUrls"])
pulumi.export("vpc", vpc.vpcId)
pulumi.export("images", registry.repositoryUrls)
"""


class TestPackage:
    def test_the_engine_reads_the_committed_schema(self, world: World) -> None:
        printed = world.json("pulumi", "package", "get-schema", str(LIBRARY))
        committed = json.loads((LIBRARY / "schema.json").read_text())
        assert (printed["name"], printed["version"]) == (committed["name"], committed["version"])
        assert _arguments(printed) == _arguments(committed)
        assert set(printed["types"]) == set(committed["types"])

    def test_a_program_reaches_components_through_it(self, world: World) -> None:
        project = Lifecycle.begin(world, "remote")
        settings = project.directory / "Pulumi.yaml"
        settings.write_text(f"{settings.read_text()}plugins: {{providers: [{{name: pavedpath, path: {LIBRARY}}}]}}\n")
        created = project.up(THROUGH_THE_PACKAGE)
        assert {"Vpc remote", "NatGateway remote-nat-a", "Repository shop/remote"} <= created["create"]
        assert project.outputs()["vpc"].startswith("vpc-")
        assert list(project.outputs()["images"]) == ["shop/remote"]
        assert project.preview(THROUGH_THE_PACKAGE) == {}
        refused = project.refused(THROUGH_THE_PACKAGE.replace("keepImages", "keepImage").replace('"one"', '"two"'))
        assert "keepImage: there is no such argument. Fix: did you mean 'keep_images'?" in refused
        assert "nat = 'two': there is no such choice. Fix: choose none, one, per_zone." in refused
        project.destroy()


def _arguments(schema: dict[str, Any]) -> dict[str, tuple[set[str], set[str]]]:
    """Return each component's arguments and outputs."""
    return {
        token: (set(resource.get("inputProperties", {})), set(resource.get("properties", {})))
        for token, resource in schema["resources"].items()
    }
