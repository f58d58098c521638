"""The example service passes its own checks, as its workflows would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = Path(__file__).resolve().parents[2] / "examples" / "orders-service"


@pytest.mark.parametrize(
    "check",
    [
        ["-m", "pytest", "-q", "-p", "no:cacheprovider"],
        ["-m", "ruff", "check", "--no-cache", "."],
        ["-m", "ruff", "format", "--no-cache", "--check", "."],
    ],
    ids=lambda check: " ".join(check[1:3]),
)
def test_a_check_of_the_service_passes(check: list[str]) -> None:
    done = subprocess.run([sys.executable, *check], cwd=SERVICE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
