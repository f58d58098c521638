import json

import pytest
from pavedpath_runners import Architecture, RunnerLabels


def test_labels_name_the_environment() -> None:
    assert json.loads(RunnerLabels("dev").to_json()) == ["self-hosted", "linux", "arm64", "dev"]
    assert list(RunnerLabels("prod", Architecture.X64)) == ["self-hosted", "linux", "x64", "prod"]


@pytest.mark.parametrize("environment", ["", "a,b", "self-hosted", "ARM64", "x" * 257, "a b"])
def test_a_label_that_github_refuses(environment: str) -> None:
    with pytest.raises(ValueError, match="GitHub refuses it or gives it itself"):
        RunnerLabels(environment)
