import json
import os
import re
import stat
from pathlib import Path

import pytest
import yaml
from pavedpath_sandbox import parts
from pavedpath_sandbox.kubernetes.config import NODES, stages
from pavedpath_sandbox.layout import Layout
from pavedpath_sandbox.parts import GROUPS, MissingToolsError

PORTS = {name: 20000 + n for n, name in enumerate(parts.port_names(GROUPS))}
BOTH = ("dev", "prod")
TWICE = {name: 20000 + n for n, name in enumerate(parts.port_names(GROUPS, BOTH))}


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("PATH", "")
    return Layout(tmp_path / "sandbox", tmp_path / "bin")


def add_tool(layout: Layout, name: str) -> None:
    layout.toolchain_bin.mkdir(exist_ok=True)
    (layout.toolchain_bin / name).write_text("#!/bin/sh\n")
    (layout.toolchain_bin / name).chmod(0o755)


def test_every_part_uses_its_own_ports_on_loopback_only(layout: Layout) -> None:
    described = parts.describe(layout, GROUPS, TWICE, clusters=BOTH)
    used = [name for part in described for name in part.ports]
    assert sorted(used) == sorted(TWICE)
    for part in described:
        assert str(TWICE[part.ports[0]]) in part.address
        for argument in part.arguments:
            if "bind" in argument or "listen" in argument or "server-address" in argument:
                assert "127.0.0.1" in argument


def test_a_part_comes_after_what_it_depends_on(layout: Layout) -> None:
    seen: set[str] = set()
    for part in parts.describe(layout, GROUPS, TWICE, clusters=BOTH):
        assert seen >= set(part.depends)
        seen.add(part.name)


def test_no_secret_is_on_a_command_line_or_in_an_environment(layout: Layout) -> None:
    parts.prepare(layout, GROUPS, TWICE, BOTH)
    kept = [layout.github_token.read_text(), *(layout.cluster(each).token.read_text() for each in BOTH)]
    kept.append((layout.root / "registry" / "secret").read_text())
    kept.append(layout.chart_users.read_text().strip().partition(":")[2])
    shown = json.dumps([[part.arguments, dict(part.environment)] for part in parts.describe(layout, GROUPS, TWICE)])
    assert all(len(secret) >= 32 for secret in kept)
    assert not any(secret in shown for secret in kept)


def test_secrets_are_private_and_made_once(layout: Layout) -> None:
    parts.prepare(layout, GROUPS, PORTS)
    files = {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    parts.prepare(layout, GROUPS, PORTS)
    assert {path: path.read_bytes() for path in layout.root.rglob("*") if path.is_file()} == files


def test_what_reads_a_changed_file_is_restarted_and_nothing_else(layout: Layout) -> None:
    def digests(ports: dict[str, int]) -> dict[str, str]:
        parts.prepare(layout, GROUPS, ports)
        return {part.name: part.digest(Path("/x")) for part in parts.describe(layout, GROUPS, ports)}

    before = digests(PORTS)
    assert digests(PORTS) == before
    after = digests({**PORTS, "kube-apiserver": 30000})
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "ingress"}


def test_all_missing_programs_are_named_at_once(layout: Layout) -> None:
    add_tool(layout, "etcd")
    described = parts.describe(layout, GROUPS, PORTS)
    with pytest.raises(MissingToolsError) as caught:
        parts.locate(layout, described)
    message = str(caught.value)
    assert "kube-apiserver, kube-controller-manager, kube-scheduler, kwok, registry" in message
    assert "etcd" not in message
    assert "toolchain ensure" in message


def test_debians_registry_will_do(layout: Layout) -> None:
    add_tool(layout, "docker-registry")
    assert layout.tool("registry") == layout.toolchain_bin / "docker-registry"
    add_tool(layout, "registry")
    assert layout.tool("registry") == layout.toolchain_bin / "registry"


def test_a_file_that_cannot_run_is_no_tool(layout: Layout) -> None:
    layout.toolchain_bin.mkdir()
    (layout.toolchain_bin / "etcd").write_text("")
    assert layout.tool("etcd") is None


def test_the_kubeconfig_points_at_the_api_server_and_verifies_it(layout: Layout) -> None:
    parts.prepare(layout, GROUPS, PORTS)
    cluster = yaml.safe_load(layout.cluster().kubeconfig.read_text())["clusters"][0]["cluster"]
    assert cluster["server"] == f"https://127.0.0.1:{PORTS['kube-apiserver']}"
    assert "certificate-authority-data" in cluster
    assert "insecure-skip-tls-verify" not in cluster


def test_each_environment_has_a_cluster_of_its_own_and_one_etcd_serves_both(layout: Layout) -> None:
    parts.prepare(layout, GROUPS, TWICE, BOTH)
    described = {part.name: part for part in parts.describe(layout, ("kubernetes",), TWICE, clusters=BOTH)}
    only_dev = {part.name for part in parts.describe(layout, ("kubernetes",), PORTS)}
    # Two ports of CLUSTER_PORTS are the ingress's: its own and that of the logs.
    assert set(described) - only_dev == {f"{name}-prod" for name in parts.CLUSTER_PORTS if name != "ingress-logs"}
    servers = [described[name].arguments for name in ("kube-apiserver", "kube-apiserver-prod")]
    shared = set(servers[0]) & set(servers[1])
    assert f"--etcd-servers=http://127.0.0.1:{TWICE['etcd']}" in shared
    assert not [argument for argument in shared if "prefix" in argument or "tls" in argument or "token" in argument]
    configs = [yaml.safe_load(layout.cluster(each).kubeconfig.read_text()) for each in BOTH]
    for environment, config in zip(BOTH, configs, strict=True):
        name = config["current-context"]
        assert name == config["clusters"][0]["name"] == config["contexts"][0]["context"]["cluster"]
        assert name == f"pavedpath-{environment}"
    secrets = [
        (each["users"][0]["user"]["token"], each["clusters"][0]["cluster"]["certificate-authority-data"])
        for each in configs
    ]
    assert not set(secrets[0]) & set(secrets[1])


def test_the_nodes_are_in_two_zones() -> None:
    assert set(NODES.values()) == {"us-east-1a", "us-east-1b"}
    assert len(NODES) >= 2


def test_stages_are_well_formed_and_named_once() -> None:
    documents = list(yaml.safe_load_all(stages()))
    names = [document["metadata"]["name"] for document in documents]
    assert len(set(names)) == len(names)
    assert all(document["kind"] == "Stage" and document["spec"]["next"] for document in documents)


def test_pods_with_images_of_the_registry_are_left_to_the_ingress() -> None:
    documents = {each["metadata"]["name"]: each for each in yaml.safe_load_all(stages(20004))}
    pattern = "^(127[.]0[.]0[.]1|localhost):20004/"
    excluding = [
        name
        for name, each in documents.items()
        for expression in each["spec"]["selector"]["matchExpressions"]
        if f'test("{pattern}")' in expression["key"] and expression["operator"] == "DoesNotExist"
    ]
    assert sorted(excluding) == ["pod-complete", "pod-image-broken", "pod-ready"]
    assert re.match(pattern, "127.0.0.1:20004/a:1")
    assert not re.match(pattern, "127.0.0.1:200044/a:1")
    assert 'SANDBOX_REGISTRY"' not in stages()


def test_the_layout_follows_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert Layout.find(environment={}) == Layout(tmp_path / ".sandbox", tmp_path / ".toolchain" / "bin")
    given = {"PAVEDPATH_SANDBOX_DIR": "mine", "PAVEDPATH_TOOLCHAIN_BIN": os.fspath(tmp_path / "t")}
    assert Layout.find(environment=given) == Layout(tmp_path / "deep" / "er" / "mine", tmp_path / "t")
    assert Layout.find(tmp_path / "other", given).root == tmp_path / "other"


@pytest.mark.parametrize("plan", ["free", "enterprise"])
def test_github_is_held_to_its_description_and_to_the_plan(layout: Layout, plan: str) -> None:
    (github,) = parts.describe(layout, ("github",), PORTS, plan)
    assert github.arguments[github.arguments.index("--plan") + 1] == plan
    assert "--strict" in github.arguments
