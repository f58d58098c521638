from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.cluster import Cluster, ClusterError, current_cluster

KUBECONFIG = """
current-context: here
contexts: [{name: here, context: {cluster: one}}]
clusters: [{name: one, cluster: {server: "https://127.0.0.1:6443"}}]
"""


def test_reads_the_current_context(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    assert current_cluster({}, {"KUBECONFIG": str(tmp_path / "config")}) == Cluster("one", "https://127.0.0.1:6443")


def test_a_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Fix: set KUBECONFIG"):
        current_cluster({}, {"KUBECONFIG": str(tmp_path / "none")})


@given(st.text())
def test_rubbish_is_a_cluster_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ClusterError, match=r"no usable current context|not YAML"):
        current_cluster({}, {"KUBECONFIG": str(path)})


def test_a_token_in_a_broken_line_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("users:\n  token: SUPERSECRET: x\n")
    with pytest.raises(ClusterError, match="not YAML at line 2") as caught:
        current_cluster({}, {"KUBECONFIG": str(tmp_path / "config")})
    assert "SUPERSECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "environ"),
    [({"kubernetes:context": "other"}, {"KUBECONFIG": "a"}), ({}, {"KUBECONFIG": "a:b"})],
)
def test_a_cluster_chosen_in_another_way_is_refused(config: dict[str, str], environ: dict[str, str]) -> None:
    with pytest.raises(ClusterError, match="Fix: "):
        current_cluster(config, environ)
