"""How the program's own time grows with what it manages: projects with more repositories and applications."""

import copy
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

SIZES = {"repositories": (1, 10, 30), "applications": (1, 10, 50)}
STACK = {"repositories": "shared", "applications": "dev"}


def grow(project: Path, what: str, count: int) -> None:
    """Rewrite a copy of the project so that its stack has `count` of its sample repository or application."""
    path = project / f"Pulumi.{STACK[what]}.yaml"
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    settings = document["config"]
    name, sample = next(iter(settings[f"pavedpath:{what}"].items()))
    settings[f"pavedpath:{what}"] = {
        (name if index == 0 else f"{name}-{index}"): copy.deepcopy(sample) for index in range(count)
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    if what == "applications":
        values = project / "etc" / "helm_values"
        for index in range(1, count):
            shutil.copytree(values / name, values / f"{name}-{index}", dirs_exist_ok=True)


def seconds(project: Path, what: str, overhead: Callable[[Path, str], float]) -> dict[int, float]:
    """Return the program's seconds without providers for each size."""
    found: dict[int, float] = {}
    for count in SIZES[what]:
        grow(project, what, count)
        found[count] = overhead(project, STACK[what])
    return found


def steps(found: dict[int, float]) -> list[tuple[int, int, float]]:
    """Return from which size to which one more costs how many milliseconds; equal ones mean linear growth."""
    sizes = sorted(found)
    return [
        (small, large, (found[large] - found[small]) / (large - small) * 1000)
        for small, large in itertools.pairwise(sizes)
    ]
