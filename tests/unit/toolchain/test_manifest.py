"""The pinned list: what it says fits the lock file, the recipes are complete, keys change with content."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.toolchain.conftest import HERE, package
from toolchain import manifest
from toolchain.manifest import Build, Kind, Platform, ToolchainError, fits, version_in

LIST = manifest.load()
BY_NAME = {one.name: one for one in LIST.packages}
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", ["pulumi", "aws", "github", "kubernetes"])
def test_engine_and_providers_are_those_of_the_locked_sdks(name: str) -> None:
    sdk = "pulumi" if name == "pulumi" else f"pulumi-{name}"
    locked = re.search(rf"^{sdk}==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert BY_NAME[name].version == locked[1]


@pytest.mark.parametrize("one", LIST.packages, ids=lambda p: p.name)
def test_every_package_can_be_built_and_its_templates_are_complete(one: manifest.Package) -> None:
    assert one.build
    recipe = manifest.RECIPES / one.build.recipe
    assert (recipe / "go.mod").exists()
    assert (recipe / "go.sum").exists()
    assert all((manifest.RECIPES / name).exists() for name in one.build.include)
    wanted = re.search(r"^go (\d+\.\d+)", (recipe / "go.mod").read_text(), re.MULTILINE)
    assert wanted
    assert wanted[1] == LIST.go
    if one.download:
        for template in (one.download.url, one.download.checksums, one.download.member):
            assert "{" not in one.expand(template, HERE, one.files[0])


def test_no_address_of_a_package_registry() -> None:
    hosts = {"get.pulumi.com", "github.com", "api.github.com", "dl.k8s.io", "get.helm.sh", "raw.githubusercontent.com"}
    named = set(re.findall(r'"https://([^/"]+)/', manifest.MANIFEST.read_text()))
    assert named <= hosts


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v3.259.0", "3.259.0"),
        ("sops 3.13.1 (latest)", "3.13.1"),
        ("etcd Version: 3.6.11\nGo Version: go1.26.8", "3.6.11"),
        ("Kubernetes v1.36.2", "1.36.2"),
        ("1.2.3-rc.1 x", "1.2.3-rc.1"),
        ("development", None),
    ],
)
def test_the_version_in_what_a_program_prints(text: str, version: str | None) -> None:
    assert version_in(text) == version


def test_engine_and_providers_must_match_exactly() -> None:
    for kind in (Kind.ENGINE, Kind.PROVIDER):
        assert fits("1.2.3", package(kind=kind))
        assert not fits("1.2.4", package(kind=kind))


@given(st.tuples(*[st.integers(0, 20)] * 3), st.tuples(*[st.integers(0, 20)] * 3))
def test_a_tool_may_be_a_later_patch_and_nothing_else(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    found, pinned = (".".join(map(str, parts)) for parts in (have, want))
    assert fits(found, package(version=pinned)) == (have[:2] == want[:2] and have[2] >= want[2])
    assert not fits(f"{found}-rc.1", package(version=pinned))


def test_the_key_changes_with_definition_and_recipe(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "shared.go").write_text("a")
    (tmp_path / "r/go.mod").write_text("module a")
    one = package(build=Build("r", include=("shared.go",)))
    keys = {one.key(tmp_path), replace(one, version="1.2.4").key(tmp_path)}
    (tmp_path / "r/__pycache__").mkdir()
    (tmp_path / "r/__pycache__/x.pyc").write_text("left out")
    keys.add(one.key(tmp_path))
    assert len(keys) == 2
    for path, content in (("r/go.mod", "module b"), ("shared.go", "b"), ("r/new.go", "")):
        (tmp_path / path).write_text(content)
        keys.add(one.key(tmp_path))
    assert len(keys) == 5


def test_optional_packages_come_when_they_are_named() -> None:
    usual = {one.name for one in LIST.select()}
    assert usual >= {"helm", "helm3", "ct", "act"}  # what tests of the pipelines run
    assert {one.name for one in LIST.select(("kubeconform",))} - usual == {"kubeconform"}
    with pytest.raises(ToolchainError, match=r"not in toolchain.toml: hlem, x; what can be added: kubeconform, argocd"):
        LIST.select(("x", "hlem"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('kind = "tol"', "'tol' is not a valid Kind"),
        ("", "'kind'"),
        ('kind = "tool"\n[package.x.download]\nurls = ""', "unexpected keyword argument 'urls'"),
    ],
)
def test_a_mistake_in_the_list_is_named(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "toolchain.toml"
    path.write_text(f'go = "1.26"\n[package.x]\nversion = "1"\n{change}')
    tomllib.loads(path.read_text())
    with pytest.raises(ToolchainError, match=rf"\[package.x\].*{re.escape(message)}"):
        manifest.load(path)


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAVEDPATH_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert manifest.cache_directory() == tmp_path / ".cache/pavedpath"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert manifest.cache_directory() == tmp_path / "xdg/pavedpath"
    monkeypatch.setenv("PAVEDPATH_CACHE", str(tmp_path / "own"))
    assert manifest.cache_directory() == tmp_path / "own"


def test_platforms_have_the_names_of_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, arch in (("x86_64", "amd64"), ("arm64", "arm64"), ("aarch64", "arm64"), ("riscv64", "riscv64")):
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        monkeypatch.setattr("platform.system", lambda: "Linux")
        assert Platform.here() == Platform("linux", arch)
