"""actionlint over every pipeline of the catalogue, and over the documents' snippets."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.workflows.pipelines import golden
from tests.unit.workflows.test_documents import SNIPPETS, said

pytestmark = pytest.mark.integration

LABELS = "self-hosted-runner:\n  labels: [dev, prod, development, staging, production]\n"
# Newer than actionlint 1.7.12.
QUEUE = 'unexpected key "queue" for "concurrency" section'


def findings(toolchain: Path, *arguments: str | Path) -> list[str]:
    """Return what actionlint says, a line a finding."""
    command = [toolchain / "actionlint", "-oneline", "-no-color", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


def test_the_pipelines_pass(toolchain: Path, tmp_path: Path) -> None:
    config = tmp_path / "actionlint.yaml"
    config.write_text(LABELS)
    paths: list[Path] = []
    for name, text in golden().items():
        if name.endswith(".yml"):
            paths.append(tmp_path / name.replace("/", "-"))
            paths[-1].write_text(text)
    assert findings(toolchain, "-config-file", config, "-ignore", QUEUE, *paths) == []


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.name)
def test_the_page_says_what_it_finds_in_the_documents(toolchain: Path, path: Path) -> None:
    assert len(findings(toolchain, path)) == said()[path.name][3]
