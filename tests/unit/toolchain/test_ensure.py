"""Have everything: in which order the ways are tried, and what an interrupted run leaves behind."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import FAKE_GO, Vendor, package
from toolchain import build, manifest
from toolchain.download import Downloader
from toolchain.ensure import Ensure, rows
from toolchain.install import Layout
from toolchain.manifest import Build, Download, Kind, Manifest, Package, ToolchainError
from toolchain.report import Reporter
from toolchain.store import Store

Script = Callable[[str, str], Path]


@dataclass
class Machine:
    """A checkout, a cache, a vendor and a PATH of its own."""

    tmp_path: Path
    vendor: Vendor
    script: Script
    store: Store

    @property
    def layout(self) -> Layout:
        return Layout(self.tmp_path / "repo" / ".toolchain")

    def ensure(self, *packages: Package, offline: bool = False, extra: tuple[str, ...] = ()) -> str:
        out = io.StringIO()
        job = Ensure(Manifest(packages, "1.26"), self.layout, self.store, Reporter(out), offline=offline)
        job.downloader = Downloader(self.store.parts, backoff=0.001)
        job.run(extra)
        return out.getvalue()

    def sources(self, *packages: Package) -> dict[str, str]:
        return {name: source for name, _, source, _ in rows(Manifest(packages, "1.26"), self.layout)}

    def offered(self, name: str = "thing", content: bytes = b"#!/bin/sh\n") -> Package:
        self.vendor.offer(f"/{name}", content)
        offer = Download(f"{self.vendor.address}/{name}", f"{self.vendor.address}/{name}.sha256")
        return package(name, download=offer, build=Build("r"))


@pytest.fixture
def machine(tmp_path: Path, vendor: Vendor, on_path: Script, store: Store, monkeypatch: pytest.MonkeyPatch) -> Machine:
    recipes = tmp_path / "recipes"
    (recipes / "r").mkdir(parents=True)
    (recipes / "r/go.mod").write_text("module r")
    monkeypatch.setattr(build, "RECIPES", recipes)
    monkeypatch.setattr(build.stage, "__defaults__", (recipes,))
    monkeypatch.setattr(manifest.Package.key, "__defaults__", (recipes,))
    return Machine(tmp_path, vendor, on_path, store)


def test_path_comes_first_when_its_version_fits(machine: Machine) -> None:
    one = machine.offered()
    where = machine.script("thing", "echo thing v1.2.9")
    assert "on PATH" in machine.ensure(one)
    assert machine.sources(one) == {"thing": "PATH"}
    assert (machine.layout.bin / "thing").resolve() == where
    assert machine.vendor.asked == []


@pytest.mark.parametrize("says", ["echo v1.3.0", "echo who knows", "exit 1"])
def test_another_version_on_path_is_not_taken(machine: Machine, says: str) -> None:
    one = machine.offered()
    machine.script("thing", says)
    machine.ensure(one)
    assert machine.sources(one) == {"thing": "download"}


def test_the_vendor_then_the_cache(machine: Machine) -> None:
    one = machine.offered()
    assert "[ 1/1] thing 1.2.3: downloaded" in machine.ensure(one)
    assert machine.ensure(one) == ""
    machine.vendor.asked.clear()
    (machine.layout.bin / "thing").unlink()
    assert "from the cache" in machine.ensure(one)
    assert machine.vendor.asked == []


def test_a_bad_sum_is_told_and_built_instead(machine: Machine) -> None:
    one = machine.offered()
    machine.vendor.files["/thing"] = b"something else"
    machine.script("go", FAKE_GO)
    told = machine.ensure(one)
    assert "no download, so it is built: " in told
    assert "it was thrown away" in told
    assert machine.sources(one) == {"thing": "build"}
    assert (machine.layout.bin / "thing").read_text().startswith("binary")


def test_an_unreachable_vendor_is_told_once(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    offer = Download("http://127.0.0.1:1/{file}", "http://127.0.0.1:1/{file}.sha256")
    told = machine.ensure(*(package(name, download=offer, build=Build("r")) for name in ("a", "b", "c")))
    assert told.count("cannot be reached") == 1
    assert told.count(": built") == 3


def test_offline_asks_no_vendor(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    one = machine.offered()
    machine.ensure(one, offline=True)
    assert machine.vendor.asked == []
    assert machine.sources(one) == {"thing": "build"}


def test_without_go_the_error_says_what_to_install(machine: Machine) -> None:
    with pytest.raises(ToolchainError, match=r"thing 1.2.3\. There is no download.*no `go` on PATH: install Go 1\.26"):
        machine.ensure(package(build=Build("r")))


@pytest.mark.parametrize(
    ("version", "switch", "fine"), [("go1.25.1", "local", False), ("go1.25.1", "auto", True), ("go1.19", "", False)]
)
def test_an_old_go_is_refused_unless_it_can_switch(machine: Machine, version: str, switch: str, fine: bool) -> None:
    machine.script("go", FAKE_GO.replace("echo go1.26.8; echo local", f"echo {version}; echo {switch}"))
    if fine:
        assert ": built" in machine.ensure(package(build=Build("r")))
    else:
        with pytest.raises(
            ToolchainError, match=r"go is go1\.\d+, and may not switch to a newer one: install Go 1\.26"
        ):
            machine.ensure(package(build=Build("r")))


def test_what_fails_is_named_after_the_others_are_done(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.script("go", FAKE_GO)
    good, stuck = package("good", build=Build("r")), package("stuck")
    with pytest.raises(ToolchainError, match=r"stuck 1\.2\.3: no download, and no recipe"):
        machine.ensure(stuck, good)
    assert machine.sources(good) == {"good": "build"}
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(ToolchainError, match=r"(?s)bad 1.2.3: go build . ended with 1:.*no such thing"):
        machine.ensure(package("bad", build=Build("r")))
    assert machine.store.find(package("bad", build=Build("r"))) is None


def test_a_changed_recipe_is_built_anew(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    one = package(build=Build("r"))
    machine.ensure(one)
    (machine.tmp_path / "recipes/r/main.go").write_text("package main")
    assert ": built" in machine.ensure(one)


def test_files_that_were_tampered_with_are_put_back(machine: Machine) -> None:
    one = machine.offered()
    machine.ensure(one)
    target = machine.layout.bin / "thing"
    target.unlink()
    target.write_text("something else")
    machine.ensure(one)
    assert target.read_bytes() == b"#!/bin/sh\n"


def test_optional_ones_wait_to_be_asked_for(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    extra = package("extra", build=Build("r"), optional=True)
    assert machine.ensure(extra) == ""
    assert ": built" in machine.ensure(extra, extra=("extra",))
    assert machine.sources(extra) == {"extra": "build"}


def test_a_provider_is_no_executable_on_path(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    old = package("aws", files=("pulumi-resource-aws",), kind=Kind.PROVIDER, build=Build("r"), version="1.0.0")
    machine.ensure(old)
    new = package("aws", files=("pulumi-resource-aws",), kind=Kind.PROVIDER, build=Build("r"), version="2.0.0")
    machine.ensure(new)
    plugins = machine.layout.pulumi_home / "plugins"
    assert [str(p.relative_to(plugins)) for p in plugins.rglob("*") if p.is_file()] == [
        "resource-aws-v2.0.0/pulumi-resource-aws"
    ]
    assert not (machine.layout.bin / "pulumi-resource-aws").exists()


def test_manifests_are_copied_out_of_modules_and_never_run(machine: Machine) -> None:
    machine.script("go", FAKE_GO.replace("build)", "build) exit 3 ;;\nnever)"))
    recipe = machine.tmp_path / "recipes/r"
    (recipe / "thing.yaml").write_text("kind: Thing")

    def manifests(name: str) -> Package:
        copied = Build("r", package="", copy=((name, "example.com/module:thing.yaml"),))
        return package("crds", files=(name,), kind=Kind.MANIFESTS, build=copied)

    machine.ensure(manifests("old.yaml"))
    machine.ensure(manifests("thing.yaml"))
    assert [path.name for path in machine.layout.crds.iterdir()] == ["thing.yaml"]
    target = machine.layout.crds / "thing.yaml"
    assert target.read_text() == "kind: Thing"
    assert target.stat().st_mode & 0o111 == 0
    assert machine.sources(manifests("thing.yaml")) == {"thing.yaml": "build"}


def test_the_engine_gets_the_language_host_of_the_checkout(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.script("go", FAKE_GO)
    files = ("pulumi", "pulumi-language-python")
    engine = package("pulumi", files=files, kind=Kind.ENGINE, build=Build("r", makes=("pulumi",)))
    machine.ensure(engine)
    launcher = machine.layout.bin / "pulumi-language-python"
    assert sys.executable in launcher.read_text()
    assert launcher.stat().st_mode & 0o111
    assert not (machine.layout.bin / "pulumi").is_symlink()  # the engine looks beside the file that a link leads to
    assert machine.sources(engine) == {"pulumi": "build", "pulumi-language-python": "toolchain/"}
    monkeypatch.setattr(sys, "executable", "/another/python")
    assert "from the cache" in machine.ensure(engine)
    assert "/another/python" in launcher.read_text()


def test_an_engine_whose_language_host_is_elsewhere_is_not_taken(machine: Machine) -> None:
    machine.script("go", FAKE_GO)
    machine.script("pulumi", "echo v1.2.3")
    elsewhere = machine.tmp_path / "elsewhere"
    elsewhere.mkdir()
    machine.script("pulumi-language-python", "true").rename(elsewhere / "pulumi-language-python")
    os.environ["PATH"] += f"{os.pathsep}{elsewhere}"  # monkeypatched by on_path
    files = ("pulumi", "pulumi-language-python")
    engine = package("pulumi", files=files, kind=Kind.ENGINE, build=Build("r", makes=("pulumi",)))
    machine.ensure(engine)
    assert machine.sources(engine)["pulumi"] == "build"


RUN = """
import io, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.unit.toolchain.conftest import HERE, package
from toolchain import build, manifest
from toolchain.ensure import Ensure
from toolchain.install import Layout
from toolchain.report import Reporter
from toolchain.store import Store
root = Path(sys.argv[1])
build.stage.__defaults__ = manifest.Package.key.__defaults__ = (root / "recipes",)
packages = tuple(package(name, build=manifest.Build("r")) for name in ("first", "second"))
try:
    layout, store = Layout(root / "repo/.toolchain"), Store(root / "cache", HERE)
    Ensure(manifest.Manifest(packages, "1.26"), layout, store, Reporter()).run()
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(machine: Machine, slow: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", RUN, str(machine.tmp_path), str(root)]
    env = dict(os.environ) | {"FAKE_GO_SLOW": slow}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def building(machine: Machine, name: str) -> None:
    path = machine.store.lock
    wait_until(lambda: path.exists() and f'"building {name} 1.2.3", "child": ' in path.read_text())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_build_is_never_used_and_finished_ones_are_kept(machine: Machine, how: signal.Signals) -> None:
    machine.script(
        "go",
        FAKE_GO.replace(
            "${FAKE_GO_SLOW:+sleep $FAKE_GO_SLOW}", 'case "$PWD" in *second) sleep ${FAKE_GO_SLOW:-0};; esac'
        ),
    )
    seconds = f"600.{os.getpid()}{how:02}"  # by which this build's sleep is found, and no other's
    process = start(machine, seconds)
    building(machine, "second")
    wait_until(lambda: [each.read_text() for each in (machine.store.root / "tmp").rglob("output")] == ["half\n"])
    process.send_signal(how)
    assert process.wait(120) == (130 if how == signal.SIGINT else -how)
    first, second = (package(name, build=Build("r")) for name in ("first", "second"))
    assert machine.store.find(first)
    assert machine.store.find(second) is None
    assert not (machine.layout.bin / "second").exists()
    told = machine.ensure(first, second)
    assert "second 1.2.3: built" in told
    assert "first" not in told
    assert (machine.layout.bin / "second").read_text().startswith("binary")
    command = ["pgrep", "-f", f"sleep {seconds}"]
    wait_until(lambda: subprocess.run(command, capture_output=True, check=False).stdout == b"")


def test_a_second_run_waits_and_builds_nothing_twice(machine: Machine) -> None:
    waited = machine.tmp_path / "waited"
    until = f'for _ in $(seq 4000); do [ -e "{waited}" ] && break; sleep 0.05; done'
    machine.script("go", FAKE_GO.replace("${FAKE_GO_SLOW:+sleep $FAKE_GO_SLOW}", until))
    one = start(machine, "")
    building(machine, "first")
    two = start(machine, "")
    assert two.stdout
    other = two.stdout.readline()
    waited.touch()
    said, rest = (process.communicate(timeout=120)[0] for process in (one, two))
    other += rest
    assert said.count(": built") == 2
    assert f"waiting for process {one.pid} (building first 1.2.3, for " in other
    assert ": built" not in other


def test_nothing_to_do_is_quick(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither waits for a lock, nor runs a program, nor asks a vendor."""
    many = [machine.offered(f"thing{i}") for i in range(12)]
    machine.ensure(*many)
    machine.vendor.asked.clear()
    monkeypatch.delattr("toolchain.lock.hold")
    monkeypatch.delattr("subprocess.Popen")
    assert machine.ensure(*many) == ""
    assert machine.vendor.asked == []


def test_the_table_of_a_machine_with_nothing(machine: Machine) -> None:
    needed, extra = package("needed"), package("extra", optional=True)
    assert rows(Manifest((needed, extra), "1.26"), machine.layout) == [
        ("needed", "1.2.3", "missing", "python -m toolchain ensure")
    ]
