"""Many random workflows as files, for linters that take a while to start."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from pavedpath.workflows.rendering import render

from tests.unit.workflows.examples import Repository
from tests.unit.workflows.strategies import repositories

LABELS = "self-hosted-runner:\n  labels: [linux, arm64, dev, qa, prod]\n"
"""Configuration of actionlint: what our runners are called."""


def written(folder: Path, repositories_count: int = 25) -> list[Path]:
    """Write the workflows of random repositories below a folder; the same ones each time."""
    below = folder / ".github" / "workflows"
    below.mkdir(parents=True)
    (folder / ".github" / "actionlint.yaml").write_text(LABELS)
    paths: list[Path] = []

    @given(repositories())
    @settings(
        max_examples=repositories_count,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    def write(found: Repository) -> None:
        for workflow in found.workflows:
            path = below / f"{len(paths)}-{workflow.file}"
            path.write_text(render(workflow))
            paths.append(path)

    write()
    return paths
