"""Which cluster the Kubernetes provider talks to.

The provider merges several kubeconfig files and can be given another context in its own configuration; neither is
followed here, so both are refused: the deployer's kubeconfig must name the cluster that the namespace is in.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml


@dataclass(frozen=True)
class Cluster:
    """The cluster of a kubeconfig's current context."""

    name: str
    """Name of its entry in the kubeconfig."""
    server: str
    """Address of its API server."""


class ClusterError(pulumi.RunError):
    """There is no cluster to talk to."""


def current_cluster(config: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Cluster:
    """Return the cluster that the kubeconfig's current context points to.

    Args:
        config: the stack's configuration, for what it says to the Kubernetes provider.
        environ: the environment.

    Raises:
        ClusterError: no kubeconfig, one without a usable current context, or a cluster chosen in another way.
    """
    chosen = sorted({"kubernetes:context", "kubernetes:kubeconfig", "kubernetes:cluster"} & set(config))
    if chosen:
        raise ClusterError(
            f"{', '.join(chosen)} chooses a cluster that the program cannot see. Fix: remove it and set KUBECONFIG to a"
            " file whose current context is that cluster."
        )
    files = [file for file in environ.get("KUBECONFIG", "").split(os.pathsep) if file]
    if len(files) > 1:
        raise ClusterError(f"KUBECONFIG names {len(files)} files. Fix: name the one whose current context is meant.")
    path = Path(files[0] if files else Path.home() / ".kube" / "config")
    try:
        document = cast(dict[str, Any], yaml.safe_load(path.read_text()))
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        clusters = {entry["name"]: entry["cluster"] for entry in document["clusters"]}
        name = contexts[document["current-context"]]["cluster"]
        return Cluster(str(name), str(clusters[name]["server"]))
    except OSError as error:
        raise ClusterError(
            f"kubeconfig {path}: {error.strerror}. The environment's namespaces and releases need a cluster."
            " Fix: set KUBECONFIG, or make sandbox-up and eval its env."
        ) from None
    except yaml.MarkedYAMLError as error:  # its own message quotes the line, which may hold a token
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ClusterError(f"kubeconfig {path}: not YAML at line {line}. Fix: correct its syntax.") from None
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(
            f"kubeconfig {path}: no usable current context ({type(error).__name__})."
            " Fix: name one with current-context."
        ) from None
