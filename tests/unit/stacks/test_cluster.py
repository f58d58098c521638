from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.cluster import ClusterError, api_server

KUBECONFIG = """
current-context: here
contexts: [{name: here, context: {cluster: one}}]
clusters: [{name: one, cluster: {server: "https://127.0.0.1:6443"}}]
"""


def test_reads_the_current_context(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    assert api_server({"KUBECONFIG": str(tmp_path / "config")}) == "https://127.0.0.1:6443"


def test_a_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="Fix: set KUBECONFIG"):
        api_server({"KUBECONFIG": str(tmp_path / "none")})


@given(st.text())
def test_rubbish_is_a_cluster_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ClusterError, match="no usable current context"):
        api_server({"KUBECONFIG": str(path)})
