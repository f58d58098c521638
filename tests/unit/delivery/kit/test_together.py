"""Mistakes in what was given are told all at once, before anything is asked."""

from pathlib import Path

import pytest
from pavedpath_delivery.cli import app
from pavedpath_delivery.kit.errors import DeliveryError, Exit, together
from typer.testing import CliRunner

NAMES = ["APP App_X: no name of a release", "--namespace X!: no name of a namespace"]
TIMEOUT = "--timeout 0: no duration above zero"
BUDGET = "--budget 5x: no duration above zero"
CASES: dict[str, tuple[list[str], list[str]]] = {
    "rollback": (["rollback", "App_X", "-n", "X!", "--yes", "--timeout", "0"], [*NAMES, TIMEOUT]),
    "drill": (
        ["drill", "App_X", "-n", "X!", "--kind", "boom", "--timeout", "0", "--fail-fast", "0"],
        [*NAMES, "Give --kind broken-image", TIMEOUT, "--fail-fast 0: no duration above zero"],
    ),
    "history": (["history", "App_X", "-n", "X!"], NAMES),
    "health": (["health", "App_X", "-n", "X!", "--budget", "5x"], [*NAMES, BUDGET]),
    "diagnose": (["diagnose", "App_X", "-n", "X!", "--out", "bundle"], NAMES),
    "smoke": (
        ["smoke", "ftp://x", "--spec", "none.yaml", "--budget", "5x"],
        ["The base URL is no address", "none.yaml cannot be read", BUDGET],
    ),
    "image promote": (
        ["image", "promote", "x:1", "--to", "y", "--to", "z:a:b"],
        ["x:1: a digest is wanted", "--to y: a name with a tag", "--to 'z:a:b'"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_is_named_and_nothing_is_asked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, wanted = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # no Helm: what is missing there is told when the rest can be used
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == Exit.USAGE
    for each in wanted:
        assert each in done.stderr
    assert "KUBECONFIG" not in done.stderr
    assert "helm is not on PATH" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_code_is_that_of_the_first() -> None:
    def refuse() -> None:
        raise DeliveryError("no", Exit.POLICY)

    def fail() -> None:
        raise DeliveryError("broken")

    with pytest.raises(DeliveryError, match=r"^no\nbroken$") as error:
        together(refuse, lambda: None, fail)
    assert error.value.code is Exit.POLICY
    together(lambda: None)
