"""Workflows are rendered without Pulumi, whose SDK takes seconds."""

import pkgutil
import subprocess
import sys

import pavedpath.workflows

MODULES = [each.name for each in pkgutil.walk_packages(pavedpath.workflows.__path__, "pavedpath.workflows.")]


def loaded(code: str) -> list[str]:
    """Return the packages of Pulumi that a fresh interpreter has loaded after some code."""
    show = "import sys; print(*sorted({each.partition('.')[0] for each in sys.modules if each.startswith('pulumi')}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_no_module_loads_pulumi() -> None:
    assert {"pavedpath.workflows.checking", "pavedpath.workflows.catalogue.python_service"} <= set(MODULES)
    assert loaded("\n".join(f"import {each}" for each in MODULES)) == []


def test_neither_does_a_delivery_that_is_right() -> None:
    code = """
from pavedpath.workflows.catalogue import python_service
from pavedpath.workflows.service import Target
python_service("shop", images=["api"], chart="charts/shop", environments=[Target(environment="dev")])
"""
    assert loaded(code) == []


def test_what_is_refused_is_an_error_of_pulumis_so_that_a_program_shows_no_trace() -> None:
    code = """
from pavedpath.workflows.catalogue import python_service
try:
    python_service("Shop", images=[], environments=[])
except ValueError as error:
    import pulumi
    assert isinstance(error, pulumi.RunError) and "python_service 'Shop': 1 problem" in str(error)
"""
    assert loaded(code) == ["pulumi"]
