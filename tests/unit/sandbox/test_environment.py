import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pavedpath_sandbox.environment import as_shell, variables
from pavedpath_sandbox.layout import Layout, write_private

ALL = {"aws": 20001, "github": 20002, "kube-apiserver": 20003, "registry": 20004, "charts": 20006}
values = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)


@settings(max_examples=20, deadline=None)
@given(st.lists(values, min_size=1, max_size=20))
def test_a_shell_reads_back_every_value(texts: list[str]) -> None:
    script = as_shell({f"V{n}": text for n, text in enumerate(texts)})
    script += "".join(f'printf "%s\\0" "$V{n}"\n' for n in range(len(texts)))
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    assert done.stderr == b""
    assert done.stdout.decode().split("\0")[:-1] == texts


@pytest.mark.parametrize("name", ["", "A B", "1A", "A;rm", "A-B", "A\n"])
def test_a_name_that_is_no_variables_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be exported"):
        as_shell({name: "x"})


@pytest.mark.parametrize(("environment", "port"), [("dev", 20005), ("prod", 20006)])
def test_the_ingress_is_that_of_the_environment(layout: Layout, environment: str, port: int) -> None:
    found = variables(layout, {**ALL, "ingress": 20005, "ingress-prod": 20006}, {"PATH": ""}, environment)
    assert found["INGRESS_HOST"] == f"127.0.0.1:{port}"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "a sandbox", tmp_path / "tools" / "bin")
    write_private(made.github_token, "secret-token")
    write_private(made.chart_users, "charts:secret-password\n")
    return made


def test_everything(layout: Layout, tmp_path: Path) -> None:
    found = variables(layout, ALL, {"PATH": "/usr/bin:/bin"})
    assert found == {
        "PATH": f"{tmp_path}/tools/bin:/usr/bin:/bin",
        "PULUMI_HOME": f"{tmp_path}/tools/pulumi-home",
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/a sandbox/pulumi",
        "PULUMI_CONFIG_PASSPHRASE_FILE": f"{tmp_path}/a sandbox/pulumi-passphrase",
        "PULUMI_CONFIG_PASSPHRASE": "sandbox",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:20001",
        "AWS_ACCESS_KEY_ID": "123456789012",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTP_PROXY": "http://127.0.0.1:20001",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "GITHUB_BASE_URL": "http://127.0.0.1:20002/",
        "GITHUB_TOKEN": "secret-token",
        "GITHUB_OWNER": "acme",
        "CHART_REGISTRY_URL": "http://127.0.0.1:20006",
        "CHART_REGISTRY_USER": "charts",
        "CHART_REGISTRY_PASSWORD": "secret-password",
        "KUBECONFIG": f"{tmp_path}/a sandbox/kubernetes/kubeconfig",
    }


def test_only_what_was_started(layout: Layout) -> None:
    found = variables(layout, {"aws": 20001}, {})
    assert not any(name.startswith(("GITHUB", "CHART_")) or name == "KUBECONFIG" for name in found)


def test_environments_differ_in_account_and_cluster_alone(layout: Layout, tmp_path: Path) -> None:
    ports = {**ALL, "kube-apiserver-prod": 20005}
    dev, prod = (variables(layout, ports, {"PATH": "/usr/bin"}, environment=name) for name in ("dev", "prod"))
    assert {name: value for name, value in prod.items() if dev[name] != value} == {
        "AWS_ACCESS_KEY_ID": "210987654321",
        "KUBECONFIG": f"{tmp_path}/a sandbox/kubernetes/prod/kubeconfig",
    }
    assert "KUBECONFIG" not in variables(layout, ALL, {}, environment="prod")


def test_evaluating_it_twice_does_not_lengthen_the_path(layout: Layout) -> None:
    once = variables(layout, ALL, {"PATH": "/usr/bin"})["PATH"]
    assert variables(layout, ALL, {"PATH": once})["PATH"] == once


def test_plugins_are_never_fetched_once_all_are_there(layout: Layout) -> None:
    name = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
    plugins = layout.pulumi_home / "plugins"
    for plugin in ("resource-aws-v7.0.0", "resource-github-v6.0.0"):
        (plugins / plugin).mkdir(parents=True)
    assert name not in variables(layout, ALL, {})
    (plugins / "resource-kubernetes-v4.0.0").mkdir()
    assert variables(layout, ALL, {})[name] == "true"


def test_loopback_bypasses_a_proxy(layout: Layout) -> None:
    found = variables(layout, ALL, {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "corp.example,localhost"})
    assert found["NO_PROXY"] == found["no_proxy"] == "corp.example,localhost,127.0.0.1"
    assert "HTTPS_PROXY" not in found
    assert "NO_PROXY" not in variables(layout, {"github": 20002}, {})


def test_a_proxy_of_the_users_is_replaced_for_plain_http_in_capitals_alone(layout: Layout) -> None:
    found = variables(layout, ALL, {"HTTP_PROXY": "http://proxy:3128", "http_proxy": "http://proxy:3128"})
    assert found["HTTP_PROXY"] == "http://127.0.0.1:20001"
    assert "http_proxy" not in found
    assert "HTTP_PROXY" not in variables(layout, {"github": 20002}, {"HTTP_PROXY": "http://proxy:3128"})
