"""Random right workflows pass actionlint."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.workflows.batch import written

pytestmark = pytest.mark.integration

NEWER_THAN_ACTIONLINT = 'unexpected key "queue" for "concurrency" section'
"""What actionlint 1.7.12 does not know yet."""


def lint(toolchain: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    command = [toolchain / "actionlint", "-ignore", NEWER_THAN_ACTIONLINT, "-no-color", *paths]
    config = paths[0].parents[1] / "actionlint.yaml"
    if config.exists():
        command[1:1] = ["-config-file", config]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)


def test_right_ones_pass(toolchain: Path, tmp_path: Path) -> None:
    done = lint(toolchain, *written(tmp_path))
    assert done.returncode == 0, done.stdout[:4000]


def test_a_wrong_one_does_not(toolchain: Path, tmp_path: Path) -> None:
    path = tmp_path / "ci.yml"
    path.write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.head_ref }}\n")
    assert lint(toolchain, path).returncode == 1
