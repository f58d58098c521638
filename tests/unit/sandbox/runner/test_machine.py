"""What jobs find on their machine, and what of a person's variables they do not."""

from pathlib import Path

import pytest
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.runner.machine import addresses, machine, registry_of
from pavedpath_sandbox.runner.run import RunnerError
from pavedpath_sandbox.sandbox import PartStatus, Sandbox


class Fake(Sandbox):
    """A sandbox that runs as far as its word goes."""

    parts: tuple[str, ...] = ("registry",)

    def environment(self, environment: str = "dev") -> dict[str, str]:
        port = {"dev": "1", "prod": "2"}[environment]
        person = {
            "GITHUB_TOKEN": "t",
            "KUBECONFIG": "/k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "PULUMI_HOME": "/p",
            "PATH": "/x",
        }
        return {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "INGRESS_HOST": f"127.0.0.1:{port}", **person}

    def status(self) -> list[PartStatus]:
        return [PartStatus(part, "healthy", "http://127.0.0.1:5") for part in self.parts]


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def sandbox(tmp_path: Path) -> Fake:
    program(tmp_path / "bin/act")
    return Fake(layout=Layout(tmp_path / "sandbox", tmp_path / "bin"))


def test_jobs_have_the_sandbox_s_addresses_and_no_person_s_credentials(sandbox: Fake, tmp_path: Path) -> None:
    tool = program(tmp_path / "mine/sometool")
    environ = {
        "PATH": str(tool.parent),
        "PIP_INDEX_URL": "here",
        "PIP_FIND_LINKS": "there",
        "https_proxy": "proxy",
        "MY_TOKEN": "hidden",
        "AWS_PROFILE": "mine",
    }
    made = machine(sandbox, tmp_path / "work", ["sometool"], tmp_path / "wheels", environ=environ)
    assert made.environment == {
        "PIP_INDEX_URL": "here",
        "PIP_FIND_LINKS": f"{tmp_path}/wheels there",
        "https_proxy": "proxy",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    assert (tmp_path / "work/tools/sometool").resolve() == tool
    assert made.path.split(":")[:2] == [str(tmp_path / "work/tools"), str(tmp_path / "bin")]
    assert (made.act, made.registry) == (tmp_path / "bin/act", "127.0.0.1:5")
    machine(sandbox, tmp_path / "work", [], environ=environ)
    assert not list((tmp_path / "work/tools").iterdir())


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    sandbox = Fake(layout=Layout(tmp_path / "sandbox", tmp_path / "bin"))
    with pytest.raises(RunnerError, match="not on PATH: no-such-one, no-such-two, act"):
        machine(sandbox, tmp_path / "work", ["no-such-two", "no-such-one"], environ={"PATH": str(tmp_path)})


def test_names_that_nobody_resolves_are_variables(sandbox: Fake) -> None:
    assert addresses(sandbox, "acme/orders") == {
        "": {"IMAGE_REGISTRY": "127.0.0.1:5"},
        "dev": {"INGRESS_HOST": "orders.dev.localhost:1"},
        "prod": {"INGRESS_HOST": "orders.prod.localhost:2"},
    }


def test_a_sandbox_without_a_registry(sandbox: Fake) -> None:
    sandbox.parts = ()
    with pytest.raises(RunnerError, match="no registry"):
        registry_of(sandbox)
