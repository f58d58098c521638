"""The project fixture."""

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.delivery.support import HERE, Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root, scenario, binaries = tmp_path / "project", tmp_path / "scenario", tmp_path / "bin"
    for folder in (root, scenario / "stacks", binaries):
        folder.mkdir(parents=True)
    (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    pulumi = binaries / "pulumi"
    pulumi.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fake_pulumi.py"}" "$@"\n')
    pulumi.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "FAKE_PULUMI": str(scenario),
        "PULUMI_BACKEND_URL": f"file://{scenario}/backend",
    }
    for name in ("PATH", "FAKE_PULUMI", "PULUMI_BACKEND_URL"):
        monkeypatch.setenv(name, environ[name])
    return Project(root, scenario, environ)


@pytest.fixture(scope="session")
def sdk_types() -> Callable[[str], set[str]]:
    """Gives the type tokens of an installed Pulumi SDK, read from its files: importing it takes seconds."""

    def read(package: str) -> set[str]:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        prefix = package.removeprefix("pulumi_")
        pattern = re.compile(rf"'({prefix}:[\w/.]+:\w+)',\n +resource_name,")
        return {token for path in Path(spec.origin).parent.rglob("*.py") for token in pattern.findall(path.read_text())}

    return read
