"""Charts for real: ct on a repository, Helm's packages, an OCI registry and the chart repository."""

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from pavedpath_sandbox.parts import registry_config
from pavedpath_sandbox.ports import choose
from pavedpath_sandbox.probe import Probe, ask
from pavedpath_sandbox.sandbox import Sandbox

from tests.integration.conftest import ROOT

pytestmark = pytest.mark.integration

NAME = "web-service"
# What ct's own defaults in /etc/ct check, as far as a chart of ours can be wrong in it.
CHART_SCHEMA = """
apiVersion: enum("v2")
name: str()
description: str()
type: enum("application", "library")
version: str()
appVersion: str()
"""
LINT_CONFIG = """
rules:
  indentation: {indent-sequences: consistent}
  key-duplicates: enable
  new-line-at-end-of-file: enable
  trailing-spaces: enable
"""
HTPASSWD = "ci:$2b$05$abcdefghijklmnopqrstuu4uoW5CdSDmY8cLkib7pLDRBlvRVo8Pe\n"  # of the password hush-hush


@dataclass(frozen=True)
class Checkout:
    """A clone of a repository with one chart, and what commands see there."""

    root: Path
    environ: Mapping[str, str]

    def run(self, *command: str, expect: int | None = 0, **more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**self.environ, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert expect is None or done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def pavedpath(self, *arguments: str, expect: int = 0, **more: str) -> "subprocess.CompletedProcess[str]":
        return self.run(str(ROOT / ".venv/bin/pavedpath"), "chart", *arguments, expect=expect, **more)

    def json(self, *arguments: str, **more: str) -> Any:
        return json.loads(self.pavedpath(*arguments, "--output", "json", expect=0, **more).stdout)

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / "charts" / NAME / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        self.run("git", "commit", "-qam", "x")

    def lint(self) -> "subprocess.CompletedProcess[str]":
        return self.run(
            *("ct", "lint", "--check-version-increment", "--validate-maintainers=false", "--target-branch", "main"),
            *("--chart-yaml-schema", "chart_schema.yaml", "--lint-conf", "lintconf.yaml"),
            # The chart demands an image; what it deploys is not what is shown here.
            *("--helm-lint-extra-args", "--set image.repository=x --set image.tag=v1"),
            expect=None,
        )


@pytest.fixture(scope="module")
def sandbox(toolchain: Path) -> Iterator[Sandbox]:
    with Sandbox(groups=("registry", "charts")) as made:
        yield made


@pytest.fixture
def checkout(sandbox: Sandbox, tmp_path: Path) -> Checkout:
    """A feature branch of a clone, whose origin has the chart on main."""
    identity = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    helm = {f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "CACHE", "DATA")}
    variables = sandbox.environment()
    # yamllint and yamale, which ct calls, stand beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
    environ = {**os.environ, **variables, **identity, **helm, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull}
    made = Checkout(tmp_path / "origin", environ)
    shutil.copytree(ROOT / "charts" / NAME, made.root / "charts" / NAME)
    (made.root / "chart_schema.yaml").write_text(CHART_SCHEMA)
    (made.root / "lintconf.yaml").write_text(LINT_CONFIG)
    for command in (("init", "-qb", "main"), ("add", "-A"), ("commit", "-qm", "x")):
        made.run("git", *command)
    made.run("git", "clone", "-q", str(made.root), str(tmp_path / "clone"))
    clone = Checkout(tmp_path / "clone", environ)
    clone.run("git", "switch", "-qc", "feature")
    return clone


def address(sandbox: Sandbox, part: str) -> str:
    return next(each.address for each in sandbox.status() if each.part == part)


def oci(sandbox: Sandbox) -> str:
    return address(sandbox, "registry").replace("http://", "oci://") + "/charts"


def version(checkout: Checkout) -> str:
    return str(yaml.safe_load((checkout.root / "charts" / NAME / "Chart.yaml").read_text())["version"])


def test_ct_demands_a_higher_version_for_a_changed_chart(checkout: Checkout) -> None:
    assert "No chart changes detected" in checkout.lint().stdout
    before = version(checkout)
    checkout.edit("templates/service.yaml", "kind: Service", "# changed\nkind: Service")
    refused = checkout.lint()
    assert refused.returncode == 1, refused.stdout
    assert "chart version not ok. Needs a version bump" in refused.stdout + refused.stderr
    checkout.edit("Chart.yaml", f"version: {before}", "version: 0.0.9")
    assert checkout.lint().returncode == 1
    checkout.edit("Chart.yaml", "version: 0.0.9", "version: 0.2.0")
    passed = checkout.lint()
    assert passed.returncode == 0, passed.stdout + passed.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("Chart.yaml", 'appVersion: "1.0.0"', "icon: a", "appVersion: Required field missing"),
        ("values.yaml", "replicas: 2", "replicas: 2 ", "trailing-spaces"),
        ("templates/service.yaml", "kind: Service", "kind: {{ nothing }}", 'function "nothing" not defined'),
    ],
)
def test_ct_checks_with_yamale_yamllint_and_helm(checkout: Checkout, file: str, old: str, new: str, says: str) -> None:
    checkout.edit("Chart.yaml", "version: 0.1.0", "version: 0.2.0")
    checkout.edit(file, old, new)
    refused = checkout.lint()
    assert refused.returncode == 1
    assert says in refused.stdout + refused.stderr


def test_a_changed_chart_reaches_both_repositories_once(checkout: Checkout, sandbox: Sandbox, tmp_path: Path) -> None:
    assert checkout.json("changed", "--since", "origin/main")["charts"] == []
    checkout.edit("Chart.yaml", "version: 0.1.0", "version: 0.2.0")
    (chart,) = checkout.json("changed", "--since", "origin/main")["charts"]
    package = checkout.json("package", chart, "--out", "dist")
    for place in (oci(sandbox), address(sandbox, "charts")):
        first = checkout.json("push", package["package"], "--to", place)
        assert (first["version"], first["changed"]) == ("0.2.0", True)
        second = checkout.json("push", package["package"], "--to", place)
        assert second == {**first, "changed": False}
        # Another checkout: other times, the same bytes.
        os.utime(checkout.root / chart / "values.yaml", (1, 1))
        again = checkout.json("package", chart, "--out", "again")
        assert again["digest"] == package["digest"]
        assert checkout.json("push", again["package"], "--to", place)["changed"] is False
    checkout.edit("values.yaml", "replicas:", "# other\nreplicas:")
    other = checkout.json("package", chart, "--out", "dist")
    for place in (oci(sandbox), address(sandbox, "charts")):
        refused = checkout.pavedpath("push", other["package"], "--to", place, expect=5)
        assert "with other bytes" in refused.stderr


def test_helm_installs_from_both(checkout: Checkout, sandbox: Sandbox) -> None:
    checkout.edit("Chart.yaml", "version: 0.1.0", "version: 0.3.0+build.1")
    package = checkout.json("package", f"charts/{NAME}", "--out", "dist")
    reference = checkout.json("push", package["package"], "--to", oci(sandbox))["reference"]
    checkout.pavedpath("push", package["package"])  # to CHART_REGISTRY_URL
    values = ("--set", "image.repository=x", "--set", "image.tag=v1")
    rendered = checkout.run("helm", "template", "x", reference, "--plain-http", *values).stdout
    assert "kind: Deployment" in rendered
    add = 'helm repo add team "$CHART_REGISTRY_URL" --username "$CHART_REGISTRY_USER" --password-stdin'
    checkout.run("sh", "-c", f'printf %s "$CHART_REGISTRY_PASSWORD" | {add}')
    checkout.run("helm", "pull", f"team/{NAME}", "--version", "0.3.0+build.1", "--destination", ".")
    assert (checkout.root / f"{NAME}-0.3.0+build.1.tgz").read_bytes() == (
        checkout.root / package["package"]
    ).read_bytes()
    found = json.loads(checkout.run("helm", "search", "repo", f"team/{NAME}", "--output", "json").stdout)
    assert [each["version"] for each in found] == ["0.3.0+build.1"]


def test_a_local_dependency_is_packed_with_it_reproducibly(checkout: Checkout) -> None:
    library = checkout.root / "libs" / "base"
    library.mkdir(parents=True)
    (library / "Chart.yaml").write_text("apiVersion: v2\nname: base\nversion: 1.0.0\ntype: library\n")
    file = checkout.root / "charts" / NAME / "Chart.yaml"
    with file.open("a") as text:
        text.write("dependencies:\n  - {name: base, version: 1.0.0, repository: 'file://../../libs/base'}\n")
    digests: set[str] = set()
    for moment in (1, 1_000_000_000):
        os.utime(library / "Chart.yaml", (moment, moment))
        digests.add(checkout.json("package", f"charts/{NAME}", "--out", "dist")["digest"])
    assert len(digests) == 1


def test_a_dependency_comes_from_a_repository_that_helm_was_not_told_of(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "Chart.yaml").write_text("apiVersion: v2\nname: base\nversion: 1.0.0\n")
    checkout.run("helm", "package", str(tmp_path / "base"), "--destination", str(tmp_path / "served"))
    checkout.run("helm", "repo", "index", str(tmp_path / "served"))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        chart = checkout.root / "charts" / NAME
        with (chart / "Chart.yaml").open("a") as text:
            text.write(f"dependencies:\n  - {{name: base, version: 1.0.0, repository: '{place}'}}\n")
        first = checkout.json("package", f"charts/{NAME}", "--out", "dist")
        assert (chart / "Chart.lock").exists()
        (chart / "charts" / "base-1.0.0.tgz").unlink()
        assert checkout.json("package", f"charts/{NAME}", "--out", "dist")["digest"] == first["digest"]
        server.shutdown()


def test_a_login_that_is_refused_is_told_without_the_password(checkout: Checkout) -> None:
    package = checkout.json("package", f"charts/{NAME}", "--out", "dist")
    refused = checkout.pavedpath("push", package["package"], expect=1, CHART_REGISTRY_PASSWORD="not-it")
    assert "login is refused (401)" in refused.stderr
    assert "not-it" not in refused.stderr


def test_what_the_chart_repository_took_is_there_after_a_restart(checkout: Checkout, sandbox: Sandbox) -> None:
    checkout.edit("Chart.yaml", "version: 0.1.0", "version: 0.4.0")
    package = checkout.json("package", f"charts/{NAME}", "--out", "dist")["package"]
    first = checkout.json("push", package)
    sandbox.down()
    sandbox.up()
    assert checkout.json("push", package) == {**first, "changed": False}


@pytest.fixture
def guarded(tmp_path: Path, toolchain: Path) -> Iterator[str]:
    """The registry again, that wants a password."""
    port = choose(["registry"], {})["registry"]
    content = json.loads(registry_config(port, tmp_path / "registry", "secret"))
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    content["auth"] = {"htpasswd": {"realm": "charts", "path": str(tmp_path / "htpasswd")}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen([toolchain / "registry", "serve", tmp_path / "config.json"], env=environ) as process:
        try:
            deadline = time.monotonic() + 240
            while "401" not in (ask(Probe(port, "/v2/")) or ""):
                assert process.poll() is None
                assert time.monotonic() < deadline, "the registry did not start"
                time.sleep(0.1)
            yield f"oci://127.0.0.1:{port}/charts"
        finally:
            process.terminate()


def test_a_registry_that_wants_a_password_gets_it_by_a_login_that_does_not_stay(
    checkout: Checkout, guarded: str
) -> None:
    package = checkout.json("package", f"charts/{NAME}", "--out", "dist")["package"]
    login = {"CHART_REGISTRY_USER": "ci", "CHART_REGISTRY_PASSWORD": "hush-hush", "CHART_REGISTRY_URL": guarded}
    for wrong in (dict.fromkeys(login, ""), {**login, "CHART_REGISTRY_PASSWORD": "not-it"}):
        refused = checkout.pavedpath("push", package, "--to", guarded, expect=1, **wrong)
        assert "not-it" not in refused.stderr
    assert checkout.json("push", package, "--to", guarded, **login)["changed"] is True
    assert checkout.json("push", package, "--to", guarded, **login)["changed"] is False
    assert not list(Path(checkout.environ["HELM_CONFIG_HOME"]).rglob("config.json"))
